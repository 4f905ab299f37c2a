"""Before and after in one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS

_LINE_PER_WIDTH = 640
_GAP = 4


def split_view(before: Frame, after: Frame) -> Frame:
    """`after` with its left half taken from `before` and a thin light line between; both planar, of one size.

    Chroma columns that the line touches become neutral. The planes are new: neither input is written.
    """
    layout = LAYOUTS[after.format]
    peak = (1 << layout.bit_depth) - 1
    # Even bounds, so that the line falls on whole chroma columns.
    half = after.width // 4 * 2
    line = max(2, after.width // _LINE_PER_WIDTH // 2 * 2)
    white = peak if after.range == "full" else round(235 * (peak + 1) / 256)
    planes = []
    for index, (old, new) in enumerate(zip(before.planes, after.planes, strict=True)):
        shift = layout.chroma_shift_x if index else 0
        plane = new.copy()
        plane[:, : half >> shift] = old[:, : half >> shift]
        plane[:, half >> shift : (half + line) >> shift] = (peak + 1) // 2 if index else white
        planes.append(plane)
    return after.with_planes(tuple(planes))


def side_by_side(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """(H, 2W + 4, ...) array: `before`, a white bar, `after`; both of one shape and dtype."""
    bar = np.full((after.shape[0], _GAP, *after.shape[2:]), np.iinfo(after.dtype).max, after.dtype)
    return np.concatenate([before, bar, after], axis=1)
