"""Colour drift: how far the colours of a picture moved, apart from their lightness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError

_BLOCK = 8
# sRGB's primaries in CIE XYZ, over the white point D65.
_XYZ = np.array(
    [
        [0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047],
        [0.212671, 0.715160, 0.072169],
        [0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883],
    ]
)


def lab(rgb: NDArray[np.generic]) -> NDArray[np.float64]:
    """CIELAB (D65) of sRGB code values 0-255, (..., 3): lightness 0-100, a* and b*; float64 of the same shape."""
    x = rgb.astype(np.float64) / 255.0
    linear = np.where(x > 0.04045, ((np.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = np.stack([(linear * row).sum(axis=-1) for row in _XYZ], axis=-1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    a, b = 500.0 * (f[..., 0] - f[..., 1]), 200.0 * (f[..., 1] - f[..., 2])
    return np.stack([116.0 * f[..., 1] - 16.0, a, b], axis=-1)


def colour_drift(rgb: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Mean distance of colours in the a*b* plane of CIELAB, over means of 8x8 pixels; 0 for equal colours.

    rgb, reference: (H, W, 3) uint8 sRGB of one shape, at least 8x8 pixels. About 1 is just visible side by side.
    Lightness is left out, that is what PSNR measures; the means leave out detail, which sharpening is meant to
    change. InputError for other shapes.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape != reference.shape or min(rgb.shape[:2]) < _BLOCK:
        raise InputError(
            f"colour drift is of two RGB pictures (H, W, 3) of one shape, at least {_BLOCK}x{_BLOCK}; got "
            f"{rgb.shape} and {reference.shape}"
        )
    distance = lab(_means(rgb))[..., 1:] - lab(_means(reference))[..., 1:]
    return float(np.hypot(distance[..., 0], distance[..., 1]).mean())


def _means(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Means of whole blocks: (H, W, 3) -> (H // 8, W // 8, 3)."""
    rows, columns = rgb.shape[0] // _BLOCK, rgb.shape[1] // _BLOCK
    whole = rgb[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK, 3)
    return np.asarray(whole.mean(axis=(1, 3), dtype=np.float64))
