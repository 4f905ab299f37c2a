"""Before and after in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS

_LINE_PER_WIDTH = 640
GAP = 4


@dataclass(frozen=True, slots=True)
class Split:
    """Where in the stored planes the left half of the shown picture lies.

    axis: 1 for a split between columns, 0 between rows. last: whether it is the part of the higher numbers.
    """

    axis: int = 1
    last: bool = False

    @classmethod
    def by_matrix(cls, matrix: bytes | None) -> Split:
        """For a video with this display matrix, nine 32-bit numbers; None is upright."""
        if matrix is None:
            return cls()
        numbers = np.frombuffer(matrix, "<i4")
        # The shown column is numbers[0] times the stored column plus numbers[3] times the stored row.
        across, down = int(numbers[0]), int(numbers[3])
        return cls(1, across < 0) if abs(across) >= abs(down) else cls(0, down < 0)


_UPRIGHT = Split()


def split_view(before: Frame, after: Frame, split: Split = _UPRIGHT) -> Frame:
    """`after` with its left half taken from `before` and a thin light line between; both planar, of one size.

    split: which half that is as the planes are stored. Chroma that the line touches becomes neutral. The planes
    are new: neither input is written.
    """
    layout = LAYOUTS[after.format]
    peak = (1 << layout.bit_depth) - 1
    # Even bounds, so that the line falls on whole chroma samples.
    size = (after.height, after.width)[split.axis]
    half, line = size // 4 * 2, max(2, size // _LINE_PER_WIDTH // 2 * 2)
    white = peak if after.range == "full" else round(235 * (peak + 1) / 256)
    shifts = (layout.chroma_shift_y, layout.chroma_shift_x)
    planes = []
    for index, (old, new) in enumerate(zip(before.planes, after.planes, strict=True)):
        shift = shifts[split.axis] if index else 0
        start, end = half >> shift, (half + line) >> shift
        plane = new.copy()
        old, shown = (old, plane) if split.axis else (old.swapaxes(0, 1), plane.swapaxes(0, 1))
        kept = slice(end, None) if split.last else slice(start)
        shown[:, kept] = old[:, kept]
        shown[:, start:end] = (peak + 1) // 2 if index else white
        planes.append(plane)
    return after.with_planes(tuple(planes))


def side_by_side(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """(H, 2W + 4, ...) array: `before`, a white bar, `after`; both of one shape and dtype."""
    bar = np.full((after.shape[0], GAP, *after.shape[2:]), np.iinfo(after.dtype).max, after.dtype)
    return np.concatenate([before, bar, after], axis=1)
