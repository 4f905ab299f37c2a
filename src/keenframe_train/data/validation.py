"""The fixed pictures on which a run is judged: whole degraded luma planes of `val`, the same in every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import band_statistics
from keenframe_train.data.images import ImageFile, luma, read_rgb
from keenframe_train.data.presets import preset

Uint8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sample:
    """One degraded plane and its twin: (H, W) uint8, BT.601 limited range."""

    kind: str
    category: str
    name: str
    degraded: Uint8
    pristine: Uint8
    condition: NDArray[np.float32]


def make_sample(file: ImageFile, kind: str, seed: int, size: int | None = None) -> Sample:
    """Degrade one picture by a preset, deterministic in (seed, file name, kind).

    size: take the middle window of this edge; else the whole picture, cut to a multiple of 16.
    """
    plane = luma(read_rgb(file.path))
    height, width = plane.shape
    if size is not None and height >= size and width >= size:
        top, left = (height - size) // 2, (width - size) // 2
        plane = plane[top : top + size, left : left + size]
    plane = np.ascontiguousarray(plane[: plane.shape[0] // 16 * 16, : plane.shape[1] // 16 * 16])
    key = [seed, *file.path.name.encode(), *kind.encode()]
    degraded = preset(kind)(plane, np.random.default_rng(key))
    return Sample(kind, file.category, file.path.name, degraded, plane, band_statistics(degraded))


def validation_samples(
    files: Sequence[ImageFile], kinds: Sequence[str], per_category: int, size: int, seed: int = 7
) -> list[Sample]:
    """The first `per_category` pictures of every category under every kind, as windows of `size`."""
    chosen: list[ImageFile] = []
    for category in sorted({file.category for file in files}):
        chosen += [file for file in files if file.category == category][:per_category]
    return [make_sample(file, kind, seed, size) for kind in kinds for file in chosen]
