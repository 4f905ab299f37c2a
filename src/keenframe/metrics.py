"""Two yardsticks for a plane against its reference: PSNR, and SSIM with a Gaussian window (Wang et al. 2004).

They live in the runtime so that the demo and the benchmarks can measure without scikit-image, to which the
tests compare them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIGMA = 1.5
_RADIUS = 5  # an 11x11 window


def psnr(plane: NDArray[np.generic], reference: NDArray[np.generic], data_range: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal planes.

    plane, reference: (H, W), any real dtype, code values in 0..data_range.
    """
    image, target = _pair(plane, reference)
    error = float(np.mean(np.square(image - target)))
    return float("inf") if error == 0.0 else float(10.0 * np.log10(data_range**2 / error))


def ssim(plane: NDArray[np.generic], reference: NDArray[np.generic], data_range: float = 255.0) -> float:
    """Mean structural similarity, 1.0 for equal planes.

    plane, reference: (H, W), any real dtype, code values in 0..data_range, at least 11x11. Window 11x11,
    Gaussian, sigma 1.5; K1 0.01, K2 0.03; population statistics; the mean is over whole windows only, so a
    border of 5 pixels is left out. That is scikit-image's `structural_similarity(gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False)`.
    """
    image, target = _pair(plane, reference)
    window = 2 * _RADIUS + 1
    if min(image.shape) < window:
        height, width = image.shape
        raise ValueError(f"ssim needs planes of at least {window}x{window}; got {width}x{height}")
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _blur(image), _blur(target)
    variance_x = _blur(image * image) - mean_x * mean_x
    variance_y = _blur(target * target) - mean_y * mean_y
    covariance = _blur(image * target) - mean_x * mean_y
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    structure = (2.0 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def _pair(
    plane: NDArray[np.generic], reference: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if plane.ndim != 2 or plane.shape != reference.shape:
        raise ValueError(
            f"expected two planes of one shape (H, W); got {plane.shape} and {reference.shape} "
            "— measure luma, or one channel at a time"
        )
    return plane.astype(np.float64), reference.astype(np.float64)


def _gaussian() -> NDArray[np.float64]:
    taps: NDArray[np.float64] = np.exp(-0.5 * np.square(np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA))
    taps /= taps.sum()
    return taps


_TAPS = _gaussian()


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian mean of every whole window: (H, W) -> (H - 10, W - 10), float64. Rows, then columns."""
    height, width = plane.shape[0] - 2 * _RADIUS, plane.shape[1] - 2 * _RADIUS
    rows = np.zeros((plane.shape[0], width))
    for offset, tap in enumerate(_TAPS):
        rows += tap * plane[:, offset : offset + width]
    out = np.zeros((height, width))
    for offset, tap in enumerate(_TAPS):
        out += tap * rows[offset : offset + height]
    return out
