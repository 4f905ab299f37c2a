"""Sharpness at edges, and what sharpening does beside them: halos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError

# Edges are the tenth of a picture's pixels with the steepest luma, and steeper than noise, in code values a pixel.
SHARE = 0.1
LEAST = 4.0
# Halos are looked for up to two pixels from an edge. The reference's own range is taken over 9x9 pixels around each:
# that holds both sides of the edge, so blur across it stays within.
_BESIDE = 2
_RANGE = 4


def gradient(plane: NDArray[np.generic]) -> NDArray[np.float32]:
    """Sobel's gradient magnitude in code values a pixel: (H, W) -> (H - 2, W - 2) float32.

    A straight ramp of n code values a pixel gives n, in whichever direction it climbs.
    """
    x = plane.astype(np.float32)
    smooth = (x[:-2] + 2 * x[1:-1] + x[2:]) * np.float32(0.25)
    across = (smooth[:, 2:] - smooth[:, :-2]) * np.float32(0.5)
    smooth = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) * np.float32(0.25)
    down = (smooth[2:] - smooth[:-2]) * np.float32(0.5)
    across *= across
    down *= down
    across += down
    return np.sqrt(across, out=across)


class Edges:
    """The edges of a pristine luma plane, (H, W) uint8 of at least 16x16, to which others of its size are held."""

    def __init__(self, reference: NDArray[np.uint8]) -> None:
        if reference.ndim != 2 or min(reference.shape) < 16:
            raise InputError(
                f"edges are those of a plane (H, W) of at least 16x16 pixels; got {reference.shape}"
            )
        self._shape = reference.shape
        steepness = gradient(reference)
        self._edges = steepness >= max(LEAST, float(np.quantile(steepness, 1 - SHARE)))
        self._low = 255 - _highest(255 - reference, _RANGE).astype(np.int16)
        self._high = _highest(reference, _RANGE).astype(np.int16)
        # Whole windows only: the gradient leaves out a border of one pixel, the range one of four.
        self._beside = _highest(self._edges, _BESIDE)[1:-1, 1:-1]
        self.strength_of_reference = self.strength(reference)

    def strength(self, plane: NDArray[np.uint8]) -> float:
        """Mean gradient magnitude of `plane` at the reference's edges, code values a pixel; NaN without edges.

        Divided by the degraded picture's, this is the edge ratio; by the reference's, 1.0 is as sharp as it was.
        """
        self._check(plane)
        return float(gradient(plane)[self._edges].mean()) if self._edges.any() else float("nan")

    def overshoot(self, plane: NDArray[np.uint8]) -> float:
        """Mean distance, in code values, by which `plane` leaves the reference's own range beside its edges.

        The range of a pixel is the reference's minimum to maximum over the 9x9 pixels around it; beside an edge
        are the pixels up to two away from one. Halos and ringing lie outside, blur does not. NaN without edges.
        """
        self._check(plane)
        if not self._beside.any():
            return float("nan")
        inner = plane[_RANGE:-_RANGE, _RANGE:-_RANGE].astype(np.int16)
        outside = np.maximum(inner - self._high, self._low - inner)
        return float(np.maximum(outside, 0)[self._beside].mean())

    def _check(self, plane: NDArray[np.uint8]) -> None:
        if plane.shape != self._shape:
            raise InputError(f"the edges are of a plane {self._shape}; got one of {plane.shape}")


def _highest(plane: NDArray[np.generic], reach: int) -> NDArray[np.generic]:
    """Maximum over the (2 * reach + 1)^2 pixels around each, whole windows only."""
    size = 2 * reach + 1
    count = plane.shape[0] - size + 1
    rows = plane[:count]
    for offset in range(1, size):
        rows = np.maximum(rows, plane[offset : offset + count])
    count = plane.shape[1] - size + 1
    out = rows[:, :count]
    for offset in range(1, size):
        out = np.maximum(out, rows[:, offset : offset + count])
    return out
