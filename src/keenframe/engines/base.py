"""What every engine does: one picture in, sharpened pixels out, both as the model's graph has them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import CONDITION_SIZE
from keenframe.steady import Memory, Past, kept_share
from keenframe.zoo.spec import ModelSpec, OutputKind

# Compiled forms that are kept: a call that adapts its resolution comes back to the same few sizes. Of a file with
# several experts there are so many forms of each size.
KEPT_FORMS, KEPT_SIZES = 4, 2
# Runs by which `prepare` warms up and measures what it has compiled.
_TRIALS = 3

Prepared = TypeVar("Prepared")


class Variant(NamedTuple):
    """What a graph is compiled for: one of its outputs, strength fixed at 1 or free, and which expert."""

    kind: OutputKind = "pixels"
    unit: bool = True
    expert: int = 0


Key = tuple[int, int, Variant]


class Engine(ABC, Generic[Prepared]):
    """Runs one model. Not thread-safe: `Sharpener` guards it.

    Outputs live in buffers that belong to the engine and are overwritten by its next call of the same size.
    """

    name: str

    def __init__(self, model: Path, spec: ModelSpec, threads: int | None = None) -> None:
        self.model = model
        self.spec = spec
        self.threads = threads
        self._prepared: OrderedDict[Key, Prepared] = OrderedDict()
        # Inputs that engines bind once; they are filled before each run.
        self._strength = np.ones(1, np.float32)
        self._condition = np.zeros((1, CONDITION_SIZE), np.float32)

    def run(
        self,
        picture: NDArray[np.uint8],
        condition: NDArray[np.float32] | None,
        strength: float,
        expert: int = 0,
        past: Past | None = None,
    ) -> NDArray[np.uint8]:
        """Sharpened pixels of a luma plane, or of an RGB picture for a model whose `spec.color` is "rgb".

        picture: (H, W) or (H, W, 3) uint8, C-contiguous, H and W multiples of `spec.size_multiple`.
        condition: (128,) float32, or None for a model that takes none. strength: 0 is the unsharpened image,
        1 the model's. expert: which one of a routed model, from 0. past: what a steady model shall keep of the
        stream's last result. Returns, for luma, (H * scale / 4, W * scale / 4, 16) uint8, 4x4 pixels in row-major
        order; for RGB (H * scale, W * scale, 3) uint8. EngineError on failure.
        """
        variant = Variant("steady" if past else "pixels", strength == 1, expert)
        return self._run(variant, picture, condition, strength, past)

    def run_residual(
        self, picture: NDArray[np.uint8], condition: NDArray[np.float32] | None, expert: int = 0
    ) -> NDArray[np.float32]:
        """What strength 1 adds, in 8-bit code values, unrounded: same shape as `run`'s, float32."""
        return self._run(Variant("residual", expert=expert), picture, condition, 1.0, None)

    def prepare(self, height: int, width: int, variant: Variant) -> tuple[Prepared, float]:
        """Compile for one input size and try it out; the result is for `adopt`, the number the seconds of one run.

        Touches nothing that `run` uses: it may work in another thread beside it.
        """
        prepared = self._prepare(height, width, variant)
        picture = np.zeros((height, width, 3) if self.spec.color == "rgb" else (height, width), np.uint8)
        past = None
        if variant.kind == "steady":
            blocks = self._output(height, width, variant)[0]
            past = Past(np.zeros_like(blocks), np.zeros(blocks.shape[:2], np.float32))
        times_s = []
        for _ in range(_TRIALS):
            start = time.perf_counter()
            self._infer(prepared, picture, past)
            times_s.append(time.perf_counter() - start)
        return prepared, min(times_s)

    def adopt(self, height: int, width: int, variant: Variant, prepared: Prepared) -> None:
        """Take over what `prepare` made, so that the first `run` of this kind is as fast as the others."""
        self._keep((height, width, variant), prepared)

    def kept_share(
        self, luma: NDArray[np.uint8], before: NDArray[np.uint8], memory: Memory
    ) -> NDArray[np.float32]:
        """`keenframe.steady.kept_share`, by the engine's own threads where it has any use for them."""
        return kept_share(luma, before, memory)

    def close(self) -> None:
        """Free compiled models and buffers."""
        self._prepared.clear()

    @abstractmethod
    def _prepare(self, height: int, width: int, variant: Variant) -> Prepared:
        """Compile for one input size and one kind of output, and bind its buffer."""

    @abstractmethod
    def _infer(self, prepared: Prepared, picture: NDArray[np.uint8], past: Past | None) -> NDArray[Any]:
        """Run on one picture with `_strength` and `_condition` as they stand; the result is the bound buffer."""

    def _run(
        self,
        variant: Variant,
        picture: NDArray[np.uint8],
        condition: NDArray[np.float32] | None,
        strength: float,
        past: Past | None,
    ) -> NDArray[Any]:
        self._strength[0] = strength
        if condition is not None:
            self._condition[0] = condition
        return self._infer(self._get(picture, variant), picture, past)

    def _get(self, picture: NDArray[np.uint8], variant: Variant) -> Prepared:
        key = (picture.shape[0], picture.shape[1], variant)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepare(*key)
        self._keep(key, prepared)
        return prepared

    def _keep(self, key: Key, prepared: Prepared) -> None:
        """Remember `prepared` as the last used, and forget what was not used for longest."""
        self._prepared[key] = prepared
        self._prepared.move_to_end(key)
        while len(self._prepared) > max(KEPT_FORMS, KEPT_SIZES * self.spec.experts):
            self._prepared.popitem(last=False)

    def _output(self, height: int, width: int, variant: Variant) -> NDArray[Any]:
        """The buffer for the results of one input size, with the batch dimension."""
        height, width, channels = height * self.spec.scale, width * self.spec.scale, 3
        if self.spec.color == "luma":
            block = self.spec.block
            height, width, channels = height // block, width // block, block * block
        return np.empty((1, height, width, channels), np.float32 if variant.kind == "residual" else np.uint8)

    def _batch(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture with the dimensions that the graph's input has, as a view."""
        return picture[None] if picture.ndim == 3 else picture[None, None]
