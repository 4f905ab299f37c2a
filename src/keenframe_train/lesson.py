"""What a training step computes: the student's output, its losses, and what the teachers add."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from keenframe_train.data.batches import BankBatches
from keenframe_train.distill import Distillation
from keenframe_train.errors import TrainError
from keenframe_train.frozen import freeze
from keenframe_train.losses import Losses
from keenframe_train.nets.load import load_any
from keenframe_train.nets.registry import build
from keenframe_train.recipe import Recipe, TeacherSpec
from keenframe_train.teachers import CachedBatches, Turned, cache_teacher, check_cacheable


class Lesson(nn.Module):
    """Student, losses and distillation in one module, so that one wrapper averages every gradient of a step.

    forward(x (N, C, H, W) in 0-1, condition (N, 128), pristine (N, C, sH, sW), outputs (T, N, C, sH, sW) of the
    teachers from their caches, or None) -> (scalar total, {term: scalar, detached, before its weight}), float32.
    """

    def __init__(self, student: nn.Module, losses: Losses, distillation: Distillation | None = None) -> None:
        super().__init__()
        self.student, self.losses, self.distillation = student, losses, distillation

    def forward(
        self, x: Tensor, condition: Tensor, pristine: Tensor, outputs: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.distillation is None:
            total, terms = self.losses(self.student(x, condition), pristine)
            return total, terms
        with self.distillation.watch():
            output = self.student(x, condition)
        total, terms = self.losses(output, pristine)
        taught, more = self.distillation(output, x, condition, pristine, outputs)
        return total + taught, terms | more

    def cached(self, batches: BankBatches, folder: Path, fabric: Fabric) -> CachedBatches:
        """The batches with the teachers' outputs, which are made where they are missing, below `folder`.

        Raises TrainError, before any teacher has run, for a run without teachers and for one whose teachers answer
        anew at every step: turned ones, and those of jittered batches.
        """
        if self.distillation is None:
            raise TrainError("a teacher cache needs a recipe with teachers; leave it out for a control")
        check_cacheable(batches)
        if any(isinstance(teacher, Turned) for teacher in self.distillation.teachers):
            raise TrainError(
                "a turned teacher gives another answer at every step; leave the teacher cache out, or turned=False"
            )
        caches = []
        for teacher in self.distillation.teachers:
            with fabric.rank_zero_first(), fabric.autocast():
                caches.append(cache_teacher(folder, batches.bank, teacher, name=type(teacher).__name__))
        return CachedBatches(batches, caches)


def prepare_lesson(recipe: Recipe, student: nn.Module) -> Lesson:
    """The lesson of a recipe. Raises TrainError for teachers that are not there or do not fit."""
    distillation = None
    if recipe.teachers:
        distillation = Distillation(
            student,
            [
                freeze(Turned(teacher)) if spec.turned else teacher
                for spec, teacher in ((spec, load_teacher(spec)) for spec in recipe.teachers)
            ],
            recipe.distill,
            taps=[recipe.taps or None] * len(recipe.teachers),
            weights=[spec.weight for spec in recipe.teachers],
        )
    return Lesson(student, Losses(recipe.losses), distillation)


def load_teacher(spec: TeacherSpec) -> nn.Module:
    """A recipe's teacher, frozen, on the CPU. Raises TrainError when the checkpoint is of another network."""
    # Its random first weights must not cost the run any of its random numbers: the control has no teacher.
    with torch.random.fork_rng(devices=[]):
        if spec.checkpoint is None:
            return freeze(build(spec.network.name, **spec.network.options))
        path = Path(spec.checkpoint)
        if not path.exists():
            raise TrainError(
                f"the teacher's run '{path}' is not there; train it with `keenframe-train reproduce`, name another "
                "in the recipe, or take the student alone with `fit --control`"
            )
        network, state = load_any(path)
    found = Recipe.from_json(state["recipe"]).network
    if found.name != spec.network.name:
        raise TrainError(
            f"'{path}' holds network '{found.name}', the recipe's teacher is '{spec.network.name}'"
        )
    return freeze(network)
