"""Flicker: what changes from frame to frame in an output and did not in its reference.

The measure is the mean absolute change of the error (output less reference) from one frame to the next. The
reference's own changes, motion and noise, cancel out, and an error that stays as it is costs nothing. Where things
move, a steady error moves along with them and would count as change; so the error is also followed along the
reference's own motion, found by block matching.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError

BLOCK = 16
# Pixels a block may have moved between two frames: 4 at half the size, and 1 more.
_REACH_HALF, _REACH_FINE = 4, 1
# A longer vector has to fit better, by this much a pixel: flat areas and noise fit anywhere.
_COST_OF_LENGTH = 0.25
# Mean absolute difference, in code values, above which the reference itself was not found again: uncovered, or new.
_LOST = 8.0

Vectors = NDArray[np.intp]


class Flicker:
    """Takes outputs with their references in order, and keeps two figures in code values; lower is steadier.

    Its own figures never say how sharp anything is: compare them with the degraded input's.
    """

    def __init__(self) -> None:
        self._error: NDArray[np.int16] | None = None
        self._still: list[float] = []
        self._along: list[float] = []

    def add(
        self, output: NDArray[np.uint8], reference: NDArray[np.uint8], vectors: Vectors | None = None
    ) -> None:
        """The next pair of (H, W) uint8 planes. vectors: the reference's `motion` from the frame before."""
        if output.ndim != 2 or output.shape != reference.shape:
            raise InputError(
                f"flicker is of planes (H, W) of one shape; got {output.shape} and {reference.shape}"
            )
        error = output.astype(np.int16) - reference
        if self._error is not None:
            self._still.append(float(np.abs(error - self._error).mean()))
            if vectors is not None:
                came, known = moved(self._error, vectors)
                change = np.abs(error - came)[known]
                self._along += [float(change.mean())] if change.size else []
        self._error = error

    @property
    def value(self) -> float:
        """Mean absolute change of the error, pixel by pixel; NaN for fewer than two frames."""
        return float(np.mean(self._still)) if self._still else float("nan")

    @property
    def along_motion(self) -> float:
        """The same along the reference's motion, where that was found; NaN where none was."""
        return float(np.mean(self._along)) if self._along else float("nan")


def motion(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Vectors:
    """Where every 16x16 block of `after` was in `before`: (rows, columns, 2) vertical and horizontal pixels.

    before, after: (H, W) uint8 of one shape. Whole pixels, up to 9 each way; blocks that were not found again (mean
    difference above 8 code values) hold NOWHERE. Pixels beyond the last whole block are left out.
    """
    rows, columns = (size // BLOCK for size in after.shape)
    one, two = (plane[: rows * BLOCK, : columns * BLOCK] for plane in (before, after))
    coarse = _search(
        _halved(one), _halved(two), np.zeros((rows, columns, 2), np.intp), _REACH_HALF, BLOCK // 2
    )
    fine = _search(one, two, 2 * coarse, _REACH_FINE, BLOCK)
    fits = _sums(np.abs(two.astype(np.int16) - moved(one, fine)[0]), BLOCK) / BLOCK**2 <= _LOST
    fine[~fits] = NOWHERE
    return fine


NOWHERE = np.iinfo(np.intp).min


def moved(plane: NDArray[Any], vectors: Vectors) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(`plane` as the vectors carry it, where they do): both (H, W).

    Blocks that lead nowhere, and pixels beyond the last whole block, keep their place and are not carried.
    """
    height, width = plane.shape
    known = np.zeros(plane.shape, bool)
    found = vectors[..., 0] != NOWHERE
    spread = np.repeat(np.repeat(np.where(found[..., None], vectors, 0), BLOCK, 0), BLOCK, 1)
    inner = (slice(0, spread.shape[0]), slice(0, spread.shape[1]))
    known[inner] = np.repeat(np.repeat(found, BLOCK, 0), BLOCK, 1)
    rows, columns = np.mgrid[inner]
    rows, columns = rows + spread[..., 0], columns + spread[..., 1]
    known[inner] &= (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    out = plane.copy()
    out[inner] = plane[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return out, known


def _search(
    before: NDArray[np.uint8], after: NDArray[np.uint8], start: Vectors, reach: int, block: int
) -> Vectors:
    """The best vector of each block within `reach` of `start`."""
    height, width = after.shape
    spread = np.repeat(np.repeat(start, block, 0), block, 1)
    rows, columns = np.mgrid[0:height, 0:width]
    rows, columns = rows + spread[..., 0], columns + spread[..., 1]
    best, cheapest = start.copy(), np.full(start.shape[:2], np.inf)
    still = not start.any()
    padded = np.pad(before, reach, mode="edge")
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if still:
                seen = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
            else:
                seen = before[(rows + dy).clip(0, height - 1), (columns + dx).clip(0, width - 1)]
            difference = np.maximum(seen, after) - np.minimum(seen, after)
            length = np.hypot(start[..., 0] + dy, start[..., 1] + dx)
            cost = _sums(difference, block) + _COST_OF_LENGTH * block**2 * length
            better = cost < cheapest
            cheapest[better] = cost[better]
            best[better] = start[better] + (dy, dx)
    return best


def _sums(plane: NDArray[np.generic], block: int) -> NDArray[np.float64]:
    """Sums over blocks: (H, W) -> (H / block, W / block)."""
    rows, columns = plane.shape[0] // block, plane.shape[1] // block
    summed = plane.reshape(rows * block, columns, block).sum(axis=2, dtype=np.int32)
    return np.asarray(summed.reshape(rows, block, columns).sum(axis=1), np.float64)


def _halved(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2x2 pixels, rounded down."""
    x = plane.astype(np.uint16)
    return ((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) >> 2).astype(np.uint8)
