"""Blockiness: how much larger luma's steps are on a codec's grid than elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError


def blockiness(plane: NDArray[np.uint8], block: int = 8) -> float:
    """Mean step over the borders of a grid of `block` pixels, less the mean step elsewhere, in code values.

    plane: (H, W) uint8 of at least two blocks a side; the grid begins at its top left. Near 0 without blocks; a
    picture of flat blocks gives the mean step between neighbours. Nothing is compared to a reference: set it beside
    the reference's own figure. InputError for smaller planes.
    """
    if plane.ndim != 2 or min(plane.shape) < 2 * block:
        raise InputError(
            f"blockiness needs a plane (H, W) of at least {2 * block} pixels a side; got {plane.shape}"
        )
    down, across = _steps(plane, block), _steps(plane.T, block)
    return (down + across) / 2


def _steps(plane: NDArray[np.uint8], block: int) -> float:
    """Mean absolute difference of neighbouring rows across borders, less that of all others."""
    upper, lower = plane[:-1], plane[1:]
    step = np.maximum(upper, lower) - np.minimum(upper, lower)
    means = step.mean(axis=1, dtype=np.float64)
    border = np.arange(1, len(plane)) % block == 0
    return float(means[border].mean() - means[~border].mean())
