"""A recipe file as an experiment: student, teacher, budgets, and what the report claims; turned into three runs.

The file defines RECIPE (the distilled student), TEACHER (its teacher's own run), BUDGETS (name -> `Budget`) and
REPORT; `keenframe-train reproduce` trains TEACHER, RECIPE without its teacher (the control) and RECIPE.
"""

from __future__ import annotations

import dataclasses
import os
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from keenframe_train.errors import TrainError
from keenframe_train.perceptual import VARIABLE
from keenframe_train.recipe import Recipe, TeacherSpec, recipe_path

RUNS = ("teacher", "control", "student")


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a report is done: fields of TEACHER and RECIPE that are changed, and how much is looked at.

    cost: in words, with the machine that it was worked out for. bank_items, bank_size: the pairs that the three runs
    share. validations: of each run, evenly over its steps; None leaves the recipes' own `validate_every`.
    windows, window: validation windows of each category while training, and their edge. evaluation_window: the middle
    window that the final comparison takes; None: whole pictures, or what the degradation's report says.
    alone: the control is the only run, trained longer, where hours for three are not to be had: what the network can
    do, and nothing about its teacher. then: fields of its second run, `tuned`, which starts from the best weights of
    the first; none: there is no second one.
    """

    cost: str
    bank_items: int
    bank_size: int
    teacher: Mapping[str, Any] = field(default_factory=dict)
    student: Mapping[str, Any] = field(default_factory=dict)
    validations: int | None = 5
    windows: int = 1
    window: int = 256
    evaluation_window: int | None = None
    alone: bool = False
    then: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure of the report. method: "student" or "teacher". measure: "psnr" (dB), "ssim", "parameters" (recomputed
    from the layer list, to be met exactly), "megabytes", "ms" (a frame) or any other word for what is not measured
    here. note: on what the report measured. category: one of the report's.
    """

    method: str
    measure: str
    value: float
    note: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the source says of its own system. sets: whether x2 enlarging of Set5 and Set14 is a fair test of it."""

    source: str
    claims: tuple[Claim, ...] = ()
    sets: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """A recipe file, read."""

    path: Path
    recipe: Recipe
    teacher: Recipe
    budgets: Mapping[str, Budget]
    report: Report

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of one budget, ready for `loop.fit`, and what was left out of them and why."""

    budget: Budget
    runs: Mapping[str, Recipe]
    notes: tuple[str, ...] = ()

    @property
    def own(self) -> str:
        """The run that the budget is about, its last: the distilled student, or a student alone at its end."""
        return list(self.runs)[-1]

    def start(self, name: str) -> str | None:
        """The run whose best weights another one starts from."""
        return "control" if name == "tuned" else None


def load_experiment(name_or_path: str) -> Experiment:
    """The experiment that `recipe.recipe_path` leads to.

    Raises TrainError when there is no such file or when one of its four values is missing.
    """
    path = recipe_path(name_or_path)
    values = runpy.run_path(str(path))
    found = [values.get(name) for name in ("RECIPE", "TEACHER", "BUDGETS", "REPORT")]
    for name, value, kind in zip(
        ("RECIPE", "TEACHER", "BUDGETS", "REPORT"), found, (Recipe, Recipe, Mapping, Report), strict=True
    ):
        if not isinstance(value, kind):
            raise TrainError(
                f"'{path}' defines no {name} of type {kind.__name__}; `reproduce` needs RECIPE, TEACHER, BUDGETS and "
                "REPORT, a recipe without a teacher is for `fit`"
            )
    return Experiment(path, *found)  # type: ignore[arg-type]


def default_folder(experiment: Experiment, budget: str) -> Path:
    """Where a reproduction lies when nobody says: a student alone beside the three runs, not among them."""
    about = experiment.budgets.get(budget)
    suffix = f"-{budget}" if about is not None and about.alone else ""
    return Path("runs") / "reproduce" / f"{experiment.name}{suffix}"


def make_plan(
    experiment: Experiment,
    budget: str,
    folder: Path,
    *,
    steps: int | None = None,
    steps_teacher: int | None = None,
) -> Plan:
    """The runs of a budget below `folder` (folder/teacher, folder/control, folder/student).

    steps: of control, student and a second run, steps_teacher: of the teacher, instead of the budget's.
    Raises TrainError for an unknown budget.
    """
    if budget not in experiment.budgets:
        raise TrainError(
            f"recipe '{experiment.name}' has no budget '{budget}'; it has {', '.join(experiment.budgets)}"
        )
    chosen = experiment.budgets[budget]
    bank = {"bank": experiment.name, "bank_items": chosen.bank_items, "bank_size": chosen.bank_size}
    notes: list[str] = []

    def adapt(recipe: Recipe, changes: Mapping[str, Any], steps: int | None) -> Recipe:
        fields = {**bank, **changes}
        count = fields["steps"] = steps or fields.get("steps", recipe.steps)
        if chosen.validations is not None:
            fields["validate_every"] = -(-count // chosen.validations)
            fields["save_every"] = max(1, min(recipe.save_every, count // 10))
        return _without_perceptual(dataclasses.replace(recipe, **fields), notes)

    if chosen.alone:
        control = adapt(experiment.recipe, chosen.student, steps).control()
        runs = {"control": control}
        if chosen.then:
            runs["tuned"] = adapt(experiment.recipe, {**chosen.student, **chosen.then}, steps).control()
    else:
        teacher = adapt(experiment.teacher, chosen.teacher, steps_teacher)
        teachers = (TeacherSpec(teacher.network, str(folder / "teacher" / "best.pt")),)
        student = adapt(experiment.recipe, {"teachers": teachers, **chosen.student}, steps)
        runs = dict(zip(RUNS, (teacher, student.control(), student), strict=True))
    return Plan(chosen, runs, tuple(dict.fromkeys(notes)))


def _without_perceptual(recipe: Recipe, notes: list[str]) -> Recipe:
    """The recipe itself where weights for its perceptual loss are at hand, else without that loss, and said so."""
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    if not recipe.losses.get("perceptual") or os.environ.get(VARIABLE) or any(hub.glob("vgg16-*.pth")):
        return recipe
    notes.append(f"no weights for the perceptual loss were given ({VARIABLE}): its weight is 0")
    losses = {name: weight for name, weight in recipe.losses.items() if name != "perceptual"}
    return dataclasses.replace(recipe, losses=losses)
