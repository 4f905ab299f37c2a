"""Recipes: everything that decides a training run, in one frozen, typed value."""

from __future__ import annotations

import dataclasses
import json
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keenframe_train.errors import TrainError
from keenframe_train.nets.keen import KeenConfig


@dataclass(frozen=True, slots=True)
class Recipe:
    """One `keen` training run.

    mix: name in `data.presets.MIXES`. bank_items: pairs in the bank. batch x patch x patch pixels of output luma a
    step. steps at learning rate `rate` (AdamW), `warmup` linear steps, then cosine down to `final_rate`.
    ema: decay of the averaged weights. shares: how often each kind of the bank is drawn; None: as the bank has them.
    light: how often, among the items of a kind, those that stand above 40 dB already.
    """

    name: str
    network: KeenConfig = field(default_factory=KeenConfig)
    mix: str = "keen"
    bank_items: int = 30_000
    batch: int = 16
    patch: int = 128
    steps: int = 200_000
    rate: float = 1e-3
    final_rate: float = 1e-6
    warmup: int = 500
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 42
    shares: Mapping[str, float] | None = None
    light: float = 1.0
    validate_every: int = 5_000
    save_every: int = 1_000
    description: str = ""

    def to_json(self) -> str:
        """The recipe as JSON, for checkpoints and model cards."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def load_recipe(name_or_path: str) -> Recipe:
    """A recipe from `recipes/NAME/recipe.py`, a folder, or a file that defines RECIPE.

    Raises TrainError when there is none.
    """
    given = Path(name_or_path)
    candidates = [given, given / "recipe.py", Path("recipes") / name_or_path / "recipe.py"]
    repository = Path(__file__).parents[2] / "recipes" / name_or_path / "recipe.py"
    for path in [*candidates, repository]:
        if path.is_file():
            recipe = runpy.run_path(str(path)).get("RECIPE")
            if not isinstance(recipe, Recipe):
                raise TrainError(f"'{path}' defines no RECIPE of type keenframe_train.recipe.Recipe")
            return recipe
    known = sorted(p.parent.name for p in (Path(__file__).parents[2] / "recipes").glob("*/recipe.py"))
    raise TrainError(
        f"no recipe '{name_or_path}'; known: {', '.join(known) or 'none here'}; or pass a recipe.py"
    )
