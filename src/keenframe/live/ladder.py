"""Models of several sizes for one stream, the largest first, each made ready for the stream's frames beforehand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keenframe.engines.base import KEPT_SIZES
from keenframe.engines.cpu import usable_cores
from keenframe.errors import InputError, ModelError
from keenframe.frame import Frame
from keenframe.sharpener import Sharpener
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import find_model, list_models, read_spec

# Models that a stream steps through when nobody says: those of them that are installed.
DEFAULT_MODELS = ("keen", "keen-nano")
# The share of a frame's interval that a model may take on few threads; on more of them it takes what it takes.
FEW = 0.5


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


class Ready(NamedTuple):
    """What a ladder has made ready for one kind of frame.

    sharpeners: largest model first. costs: seconds a frame takes on each. target_fps: the rate it was made for.
    """

    sharpeners: tuple[Sharpener, ...]
    costs: tuple[float, ...]
    target_fps: float


class Ladder:
    """Sharpeners of `models`; what is slow (loading, compiling) happens in the constructor and in `prepare`.

    threads: of each model; None takes as few as keep up. A frame is done only when its slowest thread is, and where a
    call's own programs take processors away, that is soon the case: one thread then holds a rate that two do not.
    """

    def __init__(self, models: Sequence[str | Path], engine: str, threads: int | None) -> None:
        self.models = check_models(models)
        self._engine = engine
        self._threads = _thread_counts() if threads is None else [threads]
        self._sharpeners: dict[tuple[int, int | None], Sharpener] = {}
        self._ready: OrderedDict[Kind, Ready] = OrderedDict()
        try:
            loaded = [self._sharpener(level, self._threads[0]) for level in range(len(self.models))]
            self.names = tuple(sharpener.spec.name for sharpener in loaded)
        except BaseException:
            self.close()
            raise

    def ready(self, kind: Kind) -> Ready | None:
        """What serves this kind of frame, or None while that is not ready."""
        if kind in self._ready:
            self._ready.move_to_end(kind)
        return self._ready.get(kind)

    def prepare(self, like: Frame, strength: float, target_fps: float) -> Ready:
        """Make every model ready for frames like this one, smallest model first; may run beside their `sharpen`."""
        levels = range(len(self.models))
        found = [self._prepare_level(level, like, strength, target_fps) for level in reversed(levels)]
        sharpeners, costs = zip(*reversed(found), strict=True)
        return Ready(sharpeners, costs, target_fps)

    def adopt(self, kind: Kind, ready: Ready) -> None:
        """Note what `prepare` has made ready. Only the last kinds are still compiled."""
        self._ready[kind] = ready
        self._ready.move_to_end(kind)
        while len(self._ready) > KEPT_SIZES:
            self._ready.popitem(last=False)
        used = {id(sharpener) for kept in self._ready.values() for sharpener in kept.sharpeners}
        for key, sharpener in list(self._sharpeners.items()):
            if id(sharpener) not in used:
                self._sharpeners.pop(key).close()

    def close(self) -> None:
        """Free the models."""
        for sharpener in self._sharpeners.values():
            sharpener.close()

    def _prepare_level(
        self, level: int, like: Frame, strength: float, target_fps: float
    ) -> tuple[Sharpener, float]:
        for threads in self._threads:
            sharpener = self._sharpener(level, threads)
            cost_s = sharpener.prepare(like, strength)
            if cost_s <= FEW / target_fps:
                break
        return sharpener, cost_s

    def _sharpener(self, level: int, threads: int | None) -> Sharpener:
        key = (level, threads)
        if key not in self._sharpeners:
            self._sharpeners[key] = Sharpener(self.models[level], self._engine, threads)
        return self._sharpeners[key]


def _thread_counts() -> list[int | None]:
    """1, 2, 4, ... threads, and last what the engine takes by itself."""
    counts: list[int | None] = [2**power for power in range((usable_cores() - 1).bit_length())]
    return [*counts, None]
