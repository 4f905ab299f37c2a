"""Recipes: everything that decides a training run, in one frozen, typed value."""

from __future__ import annotations

import dataclasses
import json
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from keenframe_train.errors import TrainError

Color = Literal["luma", "rgb"]
Optimizer = Literal["adam", "adamw", "muon"]
Schedule = Literal["constant", "plateau", "step", "cosine"]


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object, most: float = sys.float_info.max) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


# Fields, what their values have to fulfil, and that in words.
_RANGES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ("bank_items", "bank_size", "batch", "steps", "step_every", "validate_every", "save_every"),
        lambda value: _whole(value, 1),
        "1 or more",
    ),
    (("patch",), lambda value: _whole(value, 11), "11 or more, which validation takes"),
    (("seed", "warmup", "patience"), lambda value: _whole(value, 0), "0 or more"),
    (("rate",), lambda value: _number(value) and value > 0, "a number above 0"),
    (("final_rate", "weight_decay", "clip", "condition_noise"), _number, "a number from 0 up"),
    (("light", "jitter", "ema"), lambda value: _number(value, 1), "a number from 0 to 1"),
    (("factor",), lambda value: _number(value, 1) and value > 0, "a number above 0, at most 1"),
    (("early_stopping",), lambda value: value is None or _whole(value, 1), "1 or more, or None"),
)


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network of `nets.registry` by name, and the options it is built with (plain JSON values)."""

    name: str = "keen"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TeacherSpec:
    """A frozen teacher: its network, the checkpoint of its run (a file or a run's folder), and its share.

    checkpoint None leaves the network as it is initialised: for tests of the machinery only. turned: the teacher sees
    every batch in one of its eight turns and mirrorings, drawn anew each time: over the steps its answers are those
    of the self-ensemble (Lim et al. 2017, EDSR+), which is better than the teacher alone. For response terms only.
    """

    network: NetworkSpec
    checkpoint: str | Path | None = None
    weight: float = 1.0
    turned: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run.

    network: what is trained. losses: name in `losses.LOSSES` -> weight. teachers, distill (term of `distill` ->
    weight) and taps (pairs of student's and teacher's module names; none: the networks' own) make it a distillation.
    color: what the network sees, luma or RGB. mix: name in `data.presets.MIXES`. bank: folder name of the pairs, so
    that several runs share them (the recipe's own name when empty); bank_items pairs of bank_size pixels.
    inherit: a `keen` starts as its first teacher, without the channels inside the blocks that the teacher misses least
    (`start.inherit`), instead of at random.
    jitter: probability of colour jitter on the degraded crop alone (R4). shares: how often each kind of the bank is
    drawn; None: as the bank has them. light: how often, among the items of a kind, those above 40 dB already.
    condition_noise: deviation of what is added to the numbers of every condition, in their own deviations over the
    bank: what a network is told of a frame is then no name that it can learn a picture by (docs/log.md).

    batch x patch x patch output pixels a step, over all processes. steps at learning rate `rate` after `warmup` linear
    steps; schedule: "cosine" falls to `final_rate` at the last step, "step" takes `factor` every `step_every` steps,
    "plateau" takes `factor` after `patience` validations without gain, "constant" stays. optimizer: "adam", "adamw" or
    "muon" (`muon.Muon`, AdamW for what is no matrix); weight_decay is the latter two's.
    clip: largest gradient norm, 0 for none. ema: decay of the averaged weights, 0 for none.
    early_stopping: validations without gain after which the run ends; None: never. validate_every, save_every: steps
    (`epoch_steps` for reports that count epochs).
    """

    name: str
    network: NetworkSpec = field(default_factory=NetworkSpec)
    losses: Mapping[str, float] = field(default_factory=lambda: {"rmse": 1.0})
    teachers: tuple[TeacherSpec, ...] = ()
    distill: Mapping[str, float] = field(default_factory=dict)
    taps: tuple[tuple[str, str], ...] = ()
    inherit: bool = False
    color: Color = "luma"
    mix: str = "keen"
    bank: str = ""
    bank_items: int = 30_000
    bank_size: int = 320
    jitter: float = 0.0
    shares: Mapping[str, float] | None = None
    light: float = 1.0
    condition_noise: float = 0.0
    batch: int = 16
    patch: int = 128
    steps: int = 200_000
    optimizer: Optimizer = "adamw"
    rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: Schedule = "cosine"
    final_rate: float = 1e-6
    factor: float = 0.5
    step_every: int = 30_000
    patience: int = 5
    warmup: int = 500
    clip: float = 1.0
    ema: float = 0.999
    early_stopping: int | None = None
    seed: int = 42
    validate_every: int = 5_000
    save_every: int = 1_000
    description: str = ""

    def __post_init__(self) -> None:
        for name, choices in (("color", Color), ("optimizer", Optimizer), ("schedule", Schedule)):
            value = getattr(self, name)
            if value not in get_args(choices):
                raise TrainError(
                    f"recipe '{self.name}': {name} is '{value}'; known: {', '.join(get_args(choices))}"
                )
        for names, fits, words in _RANGES:
            for name in names:
                if not fits(value := getattr(self, name)):
                    raise TrainError(f"recipe '{self.name}': {name} is {value!r}; expected {words}")
        taught = {str(number): teacher.weight for number, teacher in enumerate(self.teachers)}
        weighed = {
            "losses": self.losses,
            "distill": self.distill,
            "shares": self.shares or {},
            "teachers": taught,
        }
        for name, weights in weighed.items():
            for key, weight in weights.items():
                if not _number(weight):
                    raise TrainError(
                        f"recipe '{self.name}': {name} has '{key}' at {weight!r}; expected a number from 0 up"
                    )
        if not any(self.losses.values()) and not any(self.distill.values()):
            raise TrainError(f"recipe '{self.name}': no loss has a weight, so there is nothing to learn")
        if self.shares is not None and not sum(self.shares.values()) > 0:
            raise TrainError(f"recipe '{self.name}': no kind in shares has any, so there is nothing to draw")
        if self.patch > self.bank_size:
            raise TrainError(
                f"recipe '{self.name}': patches of {self.patch} do not fit bank_size {self.bank_size}"
            )
        features = sorted({"features", "fakd"} & {name for name, weight in self.distill.items() if weight})
        if features and any(teacher.turned for teacher in self.teachers):
            raise TrainError(
                f"recipe '{self.name}': a turned teacher's {', '.join(features)} lie elsewhere than the student's; "
                f"use response terms, or turned=False"
            )
        if bool(self.teachers) != bool(self.distill):
            raise TrainError(f"recipe '{self.name}': teachers and distill come together or not at all")
        if self.inherit and not self.teachers:
            raise TrainError(f"recipe '{self.name}': there is no teacher to inherit from")

    @property
    def bank_name(self) -> str:
        """Folder name of the bank."""
        return self.bank or self.name

    def control(self) -> Recipe:
        """The same student, data, seed and budget without the teacher: what a distilled run is measured against."""
        return dataclasses.replace(
            self,
            name=f"{self.name}-control",
            bank=self.bank_name,
            teachers=(),
            distill={},
            taps=(),
            inherit=False,
        )

    def same_run(self, other: Recipe) -> bool:
        """Whether both describe one run, so that the one goes on where the other stopped.

        What a run is called for its readers and where its teachers' files lie do not matter: folders may be moved.
        """

        def bare(recipe: Recipe) -> str:
            teachers = tuple(
                dataclasses.replace(teacher, checkpoint=None if teacher.checkpoint is None else "elsewhere")
                for teacher in recipe.teachers
            )
            return dataclasses.replace(recipe, description="", teachers=teachers).to_json()

        return bare(self) == bare(other)

    def to_json(self) -> str:
        """The recipe as JSON, for checkpoints."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, default=str)

    def to_card(self) -> str:
        """The recipe as JSON, for model cards: of a teacher's checkpoint its run's folder and its name are left."""
        teachers = tuple(
            dataclasses.replace(
                teacher,
                checkpoint=None
                if teacher.checkpoint is None
                else "/".join(Path(teacher.checkpoint).parts[-2:]),
            )
            for teacher in self.teachers
        )
        return dataclasses.replace(self, teachers=teachers).to_json()

    @staticmethod
    def from_json(text: str) -> Recipe:
        """The recipe of a checkpoint, of today's form or of the first, which knew `keen` alone.

        Raises TrainError for what is no recipe.
        """
        try:
            values = json.loads(text)
            network = values.pop("network")
            if "name" not in network:
                network = {"name": "keen", "options": network}
            teachers = tuple(
                TeacherSpec(**{**item, "network": NetworkSpec(**item["network"])})
                for item in values.pop("teachers", ())
            )
            taps = tuple((first, second) for first, second in values.pop("taps", ()))
            return Recipe(network=NetworkSpec(**network), teachers=teachers, taps=taps, **values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TrainError(f"no recipe of this or an earlier version: {error}") from error


# Values that `changed` may set. What a run is of (network, teachers, name) is the recipe file's business.
_SETTABLE: Mapping[str, type | tuple[type, ...]] = {
    "losses": dict, "distill": dict, "inherit": bool, "mix": str, "bank_items": int, "bank_size": int,
    "jitter": float, "shares": (dict, type(None)), "light": float, "batch": int, "patch": int, "steps": int,
    "optimizer": str, "rate": float, "weight_decay": float, "schedule": str, "final_rate": float, "factor": float,
    "step_every": int, "patience": int, "warmup": int, "clip": float, "ema": float,
    "condition_noise": float, "early_stopping": (int, type(None)), "seed": int, "validate_every": int,
    "save_every": int,
}  # fmt: skip


def changed(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """The recipe with fields set anew, each "field=value"; value: JSON, and where it is none the text itself.

    Raises TrainError for a field that does not exist or may not be set, and a value of another type than the field's.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        expected = _SETTABLE.get(name)
        if not equals or expected is None:
            raise TrainError(
                f"cannot set '{assignment}'; expected FIELD=VALUE with one of {', '.join(sorted(_SETTABLE))}"
            )
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        # A bool is an int to Python, and to nobody who sets `batch`.
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            kinds = expected if isinstance(expected, tuple) else (expected,)
            words = " or ".join("null" if kind is type(None) else _JSON_WORDS[kind] for kind in kinds)
            raise TrainError(f"cannot set '{assignment}': {name} is {words}")
        values[name] = value
    return dataclasses.replace(recipe, **values)


_JSON_WORDS = {
    dict: 'an object such as {"r2": 1.0}', bool: "true or false", str: "a word", int: "a whole number",
    float: "a number",
}  # fmt: skip


def epoch_steps(pairs: int, batch: int) -> int:
    """Steps of one pass over `pairs` pictures at `batch` crops a step, for reports that count epochs."""
    return max(1, -(-pairs // batch))


def recipe_path(name_or_path: str) -> Path:
    """The file of a recipe: `recipes/NAME/recipe.py`, a folder that holds a recipe.py, or the file itself.

    Raises TrainError that names those that there are.
    """
    given = Path(name_or_path)
    repository = Path(__file__).parents[2] / "recipes"
    beside = Path("recipes") / name_or_path / "recipe.py"
    for path in (given, given / "recipe.py", beside, repository / name_or_path / "recipe.py"):
        if path.is_file():
            return path
    known = sorted(path.parent.name for path in repository.glob("*/recipe.py"))
    raise TrainError(
        f"no recipe '{name_or_path}'; known: {', '.join(known) or 'none here'}; or pass a recipe.py"
    )


def load_recipe(name_or_path: str) -> Recipe:
    """The RECIPE that `recipe_path` leads to. Raises TrainError when there is none."""
    path = recipe_path(name_or_path)
    recipe = runpy.run_path(str(path)).get("RECIPE")
    if not isinstance(recipe, Recipe):
        raise TrainError(f"'{path}' defines no RECIPE of type keenframe_train.recipe.Recipe")
    return recipe
