"""Models of several sizes for one stream, the largest first, each made ready for the stream's frames beforehand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keenframe.engines.base import KEPT_SIZES
from keenframe.errors import InputError, ModelError
from keenframe.frame import Frame
from keenframe.sharpener import Sharpener
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import find_model, list_models, read_spec

# Models that a stream steps through when nobody says: those of them that are installed.
DEFAULT_MODELS = ("keen", "keen-nano")
# A file with two experts is compiled twice for each kind of frame.
_KEPT_KINDS = KEPT_SIZES // 2


class Kind(NamedTuple):
    """What models are compiled for."""

    width: int
    height: int
    format: str
    unit: bool

    @classmethod
    def of(cls, frame: Frame, strength: float) -> Kind:
        """The kind of `frame` at `strength`."""
        return cls(frame.width, frame.height, frame.format, strength == 1)


def default_models() -> tuple[str, ...]:
    """Those of `DEFAULT_MODELS` that are installed; ModelError when there is none."""
    present = {spec.name for spec in list_models()}
    models = tuple(name for name in DEFAULT_MODELS if {name, f"{name}-int8"} & present)
    if not models:
        raise ModelError(f"none of {', '.join(DEFAULT_MODELS)} is installed; install keenframe again")
    return models


def check_models(models: Sequence[str | Path]) -> tuple[str | Path, ...]:
    """The models as a tuple. ModelError for one that is not there, InputError for one that cannot take a stream."""
    if isinstance(models, str | Path) or not models:
        raise InputError(f"models is {models!r}; expected a list of model names or files, largest first")
    for model in models:
        spec = read_spec(find_model(model))
        _check_live(spec, model)
    return tuple(models)


def _check_live(spec: ModelSpec, model: str | Path) -> None:
    if spec.scale != 1 or spec.color != "luma":
        raise InputError(
            f"model '{model}' is x{spec.scale}, {spec.color}; a live stream needs a luma model that keeps the size, "
            "such as keen (see: keenframe models)"
        )


class Ladder:
    """Sharpeners of `models`; what is slow (loading, compiling) happens in the constructor and in `prepare`."""

    def __init__(self, models: Sequence[str | Path], engine: str, threads: int | None) -> None:
        self.models = check_models(models)
        self.sharpeners: list[Sharpener] = []
        self._costs: OrderedDict[Kind, tuple[float, ...]] = OrderedDict()
        try:
            for model in self.models:
                self.sharpeners.append(Sharpener(model, engine, threads))
        except BaseException:
            self.close()
            raise

    def costs(self, kind: Kind) -> tuple[float, ...] | None:
        """Seconds that a frame of this kind takes on each model, or None while they are not ready for it."""
        if kind in self._costs:
            self._costs.move_to_end(kind)
        return self._costs.get(kind)

    def prepare(self, like: Frame, strength: float) -> tuple[float, ...]:
        """Make every model ready for frames like this one, smallest model first; may run beside their `sharpen`."""
        costs = [sharpener.prepare(like, strength) for sharpener in reversed(self.sharpeners)]
        return tuple(reversed(costs))

    def adopt(self, kind: Kind, costs: tuple[float, ...]) -> None:
        """Note what `prepare` has made ready. Only the last kinds are still compiled."""
        self._costs[kind] = costs
        self._costs.move_to_end(kind)
        while len(self._costs) > _KEPT_KINDS:
            self._costs.popitem(last=False)

    def close(self) -> None:
        """Free the models."""
        for sharpener in self.sharpeners:
            sharpener.close()
