"""PSNR, and SSIM with a Gaussian window (Wang et al. 2004); the tests compare both to scikit-image's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError

# What a picture counts at most where many are averaged: one that is nearly perfect must not carry the mean.
CEILING_DB = 60.0
_SIGMA = 1.5
_RADIUS = 5  # an 11x11 window
# Rows handled at once: their temporaries stay in the processor's cache, which makes it three times as fast.
_ROWS = 32


def luma(rgb: NDArray[np.uint8], full_range: bool = False) -> NDArray[np.uint8]:
    """BT.601 luma of an (H, W, 3) uint8 RGB picture, (H, W) uint8, rounded: 16-235, or 0-255 with `full_range`.

    Limited range is what MATLAB's rgb2ycbcr gives and super-resolution papers call Y. For the same error its PSNR
    lies 1.3 dB above that of full-range luma.
    """
    total: NDArray[np.float32] = rgb[:, :, 0] * np.float32(0.299)
    total += rgb[:, :, 1] * np.float32(0.587)
    total += rgb[:, :, 2] * np.float32(0.114)
    if not full_range:
        total *= np.float32(219 / 255)
        total += np.float32(16)
    np.rint(total, out=total)
    return total.astype(np.uint8)


def psnr(
    image: NDArray[np.generic],
    reference: NDArray[np.generic],
    data_range: float = 255.0,
    ceiling_db: float = float("inf"),
) -> float:
    """Peak signal-to-noise ratio in dB, at most `ceiling_db`; without one infinite for equal pictures.

    image, reference: (H, W) or (H, W, C) of one shape, any real dtype, code values in 0..data_range. The mean
    squared error is over all samples of all channels. InputError for other shapes.
    """
    _check(image, reference)
    error = 0.0
    for top in range(0, len(image), _ROWS):
        rows = slice(top, top + _ROWS)
        difference = image[rows].astype(np.float64) - reference[rows].astype(np.float64)
        error += float(np.square(difference, out=difference).sum())
    if error == 0.0:
        return ceiling_db
    return min(ceiling_db, float(10.0 * np.log10(data_range**2 * image.size / error)))


def ssim(image: NDArray[np.generic], reference: NDArray[np.generic], data_range: float = 255.0) -> float:
    """Mean structural similarity, 1.0 for equal pictures; of several channels the mean of theirs.

    image, reference: (H, W) or (H, W, C) of one shape, any real dtype, code values in 0..data_range, at least
    11x11 pixels. Window 11x11, Gaussian, sigma 1.5; K1 0.01, K2 0.03; population statistics; the mean is over
    whole windows only, so a border of 5 pixels is left out. That is scikit-image's
    `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`. InputError for other
    shapes.
    """
    _check(image, reference)
    window = 2 * _RADIUS + 1
    height, width = image.shape[:2]
    if min(height, width) < window:
        raise InputError(f"ssim needs pictures of at least {window}x{window}; got {width}x{height}")
    if image.ndim == 3:
        channels = range(image.shape[2])
        return float(np.mean([ssim(image[..., c], reference[..., c], data_range) for c in channels]))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    total = 0.0
    for top in range(0, height - 2 * _RADIUS, _ROWS):
        rows = slice(top, top + _ROWS + 2 * _RADIUS)
        x, y = image[rows].astype(np.float64), reference[rows].astype(np.float64)
        mean_x, mean_y = _blurred(x), _blurred(y)
        products, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        variances = _blurred(x * x + y * y) - squares
        covariance = _blurred(x * y) - products
        luminance = (2.0 * products + c1) / (squares + c1)
        total += float((luminance * (2.0 * covariance + c2) / (variances + c2)).sum())
    return float(total / ((height - 2 * _RADIUS) * (width - 2 * _RADIUS)))


def _check(image: NDArray[np.generic], reference: NDArray[np.generic]) -> None:
    if image.ndim not in (2, 3) or image.shape != reference.shape or not image.size:
        raise InputError(
            f"expected two pictures of one shape, (H, W) or (H, W, C); got {image.shape} and {reference.shape}"
        )


def _gaussian() -> NDArray[np.float64]:
    taps: NDArray[np.float64] = np.exp(-0.5 * np.square(np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA))
    taps /= taps.sum()
    return taps


_TAPS = _gaussian()


def _blurred(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian mean of every whole window: (H, W) -> (H - 10, W - 10)."""
    return _filtered(_filtered(rows.T).T)


def _filtered(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The taps along axis 0, whole windows only; the window is symmetric, so rows are added in pairs first."""
    count = len(rows) - 2 * _RADIUS
    out: NDArray[np.float64] = rows[_RADIUS : _RADIUS + count] * _TAPS[_RADIUS]
    pair = np.empty_like(out)
    for offset in range(_RADIUS):
        far = 2 * _RADIUS - offset
        np.add(rows[offset : offset + count], rows[far : far + count], out=pair)
        pair *= _TAPS[offset]
        out += pair
    return out
