"""Distillation: a student learns from what frozen teachers make of the same damaged pictures.

Terms, each a mean over batch and positions, comparable between patches and teachers:

- `response-l1`, `response-mse`, `response-rmse`: the teacher's output as target (Hinton et al. 2015, for pictures).
- `gradients`: SIFT-like descriptors of the two outputs (R3's exploration).
- `features`: the student's features through trainable 1x1 adapters against the teacher's (Romero et al. 2015).
- `fakd`: which places resemble which, in the features of both (He et al. 2020); needs no adapter.

The **control** of a distilled run is its recipe without `teachers` and `distill`, everything else equal. It is a
fair one: batches depend on (seed, step) alone, cached outputs or not, and making the adapters leaves the random
numbers of the run untouched, so that both runs see the same pixels from the same first weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor, nn

from keenframe.condition import CONDITION_SIZE
from keenframe_train import features as f
from keenframe_train.errors import TrainError
from keenframe_train.frozen import Frozen
from keenframe_train.losses import check_weights, l1, mse, rmse_loss
from keenframe_train.teachers import check_pair, teacher_input, traits

OUTPUT_TERMS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "response-l1": l1,
        "response-mse": mse,
        "response-rmse": rmse_loss,
        "gradients": f.descriptor_distance,
    }
)
FEATURE_TERMS = ("features", "fakd")
TERMS = (*OUTPUT_TERMS, *FEATURE_TERMS)
Pairs = Sequence[tuple[str, str]]
PROBE = 32  # pixels; enough for every depth of the networks here


class Distillation(nn.Module):
    """What the teachers add to the loss of `student`.

    terms: weight of each term of TERMS. weights: one for each teacher, scaled to sum to 1; None: all alike.
    taps: for each teacher the layers to compare as (student's, teacher's) names, None: `paired_taps`.
    Teachers are frozen here; they and the student are in no state_dict: the adapters are all there is to train and
    save. Terms are in the student's terms: a teacher of scale 1 gets the enlarged input of a student that enlarges.

        with distillation.watch():
            output = student(x, condition)
        total, values = distillation(output, x, condition, pristine)

    Raises TrainError for unknown terms, teachers whose scale or channels do not fit, and layers that do not exist.
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: Sequence[nn.Module],
        terms: Mapping[str, float],
        *,
        taps: Sequence[Pairs | None] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_weights(terms, TERMS, "distillation term")
        self.terms = {name: weight for name, weight in terms.items() if weight}
        if not teachers or not self.terms:
            raise TrainError(
                f"distillation needs a teacher and a term; got {len(teachers)} teachers and terms {dict(terms)}"
            )
        for teacher in teachers:
            check_pair(student, teacher)
        self.shares = _shares(weights, len(teachers))
        self._student = (student,)  # in a tuple: it is not a part of this module
        self.teachers = Frozen(*teachers)
        self._seen: dict[str, Tensor] = {}
        self.pairs: list[Pairs] = [()] * len(teachers)
        if self.needs_features:
            given = taps or [None] * len(teachers)
            if len(given) != len(teachers):
                raise TrainError(f"taps for {len(given)} teachers; there are {len(teachers)}")
            self.pairs = [
                tuple(own or f.paired_taps(student, teacher))
                for own, teacher in zip(given, teachers, strict=True)
            ]
        self.adapters = nn.ModuleList(nn.ModuleList(own) for own in self._probe(student))

    @property
    def needs_features(self) -> bool:
        """Whether the teachers must run in training; cached outputs do not suffice then."""
        return any(name in FEATURE_TERMS for name in self.terms)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """The student's run within the block leaves its features for the next call of this module."""
        names = [name for pairs in self.pairs for name, _ in pairs]
        with f.recording(self._student[0], names) as seen:
            yield
        self._seen = seen

    def forward(
        self,
        output: Tensor,
        x: Tensor,
        condition: Tensor | None,
        pristine: Tensor | None = None,
        outputs: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(scalar total, {term: scalar, detached, before its weight}), float32.

        output (N, C, sH, sW): the student's for x (N, C, H, W) in 0-1 and condition (N, 128). pristine: taken so
        that it is called as the other losses are; no term reads it. outputs (T, N, C, sH, sW): the teachers' own,
        from a cache; they then run only where features are compared. Teachers run under the caller's autocast.
        Raises TrainError for a tap that never fired and for outputs of another shape than the student's.
        """
        seen, self._seen = self._seen, {}
        values = {name: output.new_zeros((), dtype=torch.float32) for name in self.terms}
        for index, (teacher, share) in enumerate(zip(self.teachers, self.shares, strict=True)):
            response, taught = None if outputs is None else outputs[index], {}
            if response is None or self.pairs[index]:
                with torch.no_grad(), f.recording(teacher, [name for _, name in self.pairs[index]]) as taught:
                    live = teacher(teacher_input(x, teacher, traits(self._student[0]).scale), condition)
                response = live if response is None else response
            if response.shape != output.shape:
                raise TrainError(
                    f"{type(teacher).__name__} gives {tuple(response.shape)} where the student gives "
                    f"{tuple(output.shape)}; check scale and channels of both"
                )
            for name in self.terms:
                if name in OUTPUT_TERMS:
                    with torch.autocast(output.device.type, enabled=False):
                        value = OUTPUT_TERMS[name](output.float(), response.float())
                else:
                    value = self._compare(name, index, seen, taught)
                values[name] = values[name] + share * value
        total = torch.stack([self.terms[name] * value for name, value in values.items()]).sum()
        return total, {name: value.detach() for name, value in values.items()}

    def _compare(self, term: str, index: int, seen: dict[str, Tensor], taught: dict[str, Tensor]) -> Tensor:
        distances = []
        for place, (own, other) in enumerate(self.pairs[index]):
            mine = f.tapped(seen, own, self._student[0])
            theirs = f.tapped(taught, other, self.teachers[index])
            if term == "features":
                # At unit strength, as the teacher's: else a young student's features would make the term, and
                # the gradients that are clipped together with it, any size at all.
                mine = self.adapters[index][place](f.unit(mine))
            with torch.autocast(mine.device.type, enabled=False):
                distance = f.feature_distance if term == "features" else f.affinity_distance
                distances.append(distance(mine.float(), theirs.float()))
        return torch.stack(distances).mean()

    @torch.no_grad()
    def _probe(self, student: nn.Module) -> list[list[nn.Module]]:
        """Run everything once on a grey patch: layers that do not fire are found now, and channels are counted."""
        if not self.needs_features:
            return []
        own = traits(student)
        multiple = math.lcm(own.multiple, *(traits(teacher).multiple for teacher in self.teachers))
        edge = multiple * math.ceil(PROBE / multiple)
        device = next(student.parameters()).device
        x = torch.full((1, own.channels, edge, edge), 0.5, device=device)
        condition = torch.zeros(1, CONDITION_SIZE, device=device)
        modes = {module: module.training for module in student.modules()}
        student.eval()
        with self.watch():
            student(x, condition)
        for module, mode in modes.items():
            module.training = mode
        seen, self._seen = self._seen, {}
        adapters: list[list[nn.Module]] = []
        for teacher, pairs in zip(self.teachers, self.pairs, strict=True):
            teacher.to(device)
            with f.recording(teacher, [name for _, name in pairs]) as taught:
                teacher(teacher_input(x, teacher, own.scale), condition)
            sizes = [
                (f.tapped(seen, a, student).shape[1], f.tapped(taught, b, teacher).shape[1]) for a, b in pairs
            ]
            # A fork, and on the CPU, so that the run's own random numbers stay those of its control.
            with torch.random.fork_rng(devices=[]):
                needed = sizes if "features" in self.terms else []
                adapters.append([nn.Conv2d(a, b, 1).to(device) for a, b in needed])
        return adapters


def _shares(weights: Sequence[float] | None, count: int) -> list[float]:
    given = [1.0] * count if weights is None else list(weights)
    if len(given) != count or min(given) < 0 or not 0 < sum(given) < math.inf:
        raise TrainError(
            f"teacher weights {given}; expected {count} numbers from 0 up that are not all zero, one a teacher"
        )
    return [weight / sum(given) for weight in given]
