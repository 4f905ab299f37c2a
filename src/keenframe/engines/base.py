"""What every engine does: one luma plane in, blocks of sharpened pixels out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import CONDITION_SIZE
from keenframe.zoo.spec import ModelSpec

# Compiled sizes that are kept: a call that adapts its resolution comes back to the same few.
KEPT_SIZES = 4

# What a compiled graph gives: pixels at strength 1, pixels at any strength, or the residual.
Variant = Literal["unit", "any", "residual"]
Key = tuple[int, int, Variant]
Prepared = TypeVar("Prepared")


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
        self, luma: NDArray[np.uint8], condition: NDArray[np.float32] | None, strength: float
    ) -> NDArray[np.uint8]:
        """Sharpened pixels of a luma plane.

        luma: (H, W) uint8, C-contiguous, H and W multiples of `spec.size_multiple`. condition: (128,)
        float32, or None for a model that takes none. strength: 0 is the unsharpened image, 1 the model's.
        Returns (H * scale / 4, W * scale / 4, 16) uint8: 4x4 pixels in row-major order. EngineError on
        failure.
        """
        return self._run("unit" if strength == 1 else "any", luma, condition, strength)

    def run_residual(
        self, luma: NDArray[np.uint8], condition: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """What strength 1 adds, in 8-bit code values, unrounded: same shape as `run`'s, float32."""
        return self._run("residual", luma, condition, 1.0)

    def close(self) -> None:
        """Free compiled models and buffers."""
        self._prepared.clear()

    @abstractmethod
    def _prepare(self, height: int, width: int, variant: Variant) -> Prepared:
        """Compile for one input size and one kind of output, and bind its buffer."""

    @abstractmethod
    def _infer(self, prepared: Prepared, luma: NDArray[np.uint8]) -> NDArray[Any]:
        """Run on one plane with `_strength` and `_condition` as they stand; the result is the bound buffer."""

    def _run(
        self,
        variant: Variant,
        luma: NDArray[np.uint8],
        condition: NDArray[np.float32] | None,
        strength: float,
    ) -> NDArray[Any]:
        self._strength[0] = strength
        if condition is not None:
            self._condition[0] = condition
        return self._infer(self._get(luma, variant), luma)

    def _get(self, luma: NDArray[np.uint8], variant: Variant) -> Prepared:
        key = (*luma.shape, variant)
        prepared = self._prepared.pop(key, None)
        if prepared is None:
            while len(self._prepared) >= KEPT_SIZES:
                self._prepared.popitem(last=False)
            prepared = self._prepare(*key)
        self._prepared[key] = prepared
        return prepared

    def _output_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        block, scale = self.spec.block, self.spec.scale
        return 1, height * scale // block, width * scale // block, block * block
