"""The fixed pictures on which a run is judged: degraded pictures of `val`, luma or RGB, the same in every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import band_statistics
from keenframe.evaluate.material import cut
from keenframe.metrics import luma
from keenframe_train.data.images import ImageFile, first_of_each, read_rgb
from keenframe_train.data.presets import preset
from keenframe_train.errors import TrainError
from keenframe_train.recipe import Color

Uint8 = NDArray[np.uint8]
SMALLEST = 32  # a quarter of it is one block of the statistics, and SSIM needs a window of 11


@dataclass(frozen=True, slots=True)
class Sample:
    """One degraded picture and its twin, uint8: luma (H, W), BT.601 limited range, or RGB (H, W, 3).

    condition (128,) float32 is of the degraded luma.
    """

    kind: str
    category: str
    name: str
    degraded: Uint8
    pristine: Uint8
    condition: NDArray[np.float32]


def luma_plane(picture: Uint8) -> Uint8:
    """The plane on which everything is measured: the picture itself, or the limited-range luma of an RGB one."""
    return picture if picture.ndim == 2 else luma(picture)


def make_sample(
    file: ImageFile, kind: str, seed: int, size: int | None = None, color: Color = "luma"
) -> Sample:
    """Degrade one picture by a preset, deterministic in (seed, file name, kind).

    size: take the middle window of this edge; else the whole picture, cut to a multiple of 16. `NAME-small` is
    drawn as `NAME` is: the same damage before it is enlarged. Raises TrainError for a picture below SMALLEST.
    """
    picture = read_rgb(file.path) if color == "rgb" else luma(read_rgb(file.path))
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise TrainError(
            f"'{file.path}' is {width}x{height}; pictures to validate on have {SMALLEST} pixels a side at least: "
            "remove it"
        )
    picture = cut(picture, size)
    key = [seed, *file.path.name.encode(), *kind.removesuffix("-small").encode()]
    degraded = preset(kind)(picture, np.random.default_rng(key))
    condition = band_statistics(luma_plane(degraded))
    return Sample(kind, file.category, file.path.name, degraded, picture, condition)


def validation_samples(
    files: Sequence[ImageFile],
    kinds: Sequence[str],
    per_category: int,
    size: int,
    seed: int = 7,
    color: Color = "luma",
) -> list[Sample]:
    """The first `per_category` pictures of every category under every kind, as windows of `size`."""
    chosen = first_of_each(files, per_category)
    return [make_sample(file, kind, seed, size, color) for kind in kinds for file in chosen]
