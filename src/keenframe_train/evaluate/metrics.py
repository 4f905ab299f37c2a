"""The runtime's PSNR with a ceiling, so that a perfect picture does not swallow a mean, and its SSIM, quickly."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keenframe.metrics import psnr as exact_psnr

__all__ = ["CEILING", "psnr", "ssim"]

CEILING = 60.0
RADIUS, SIGMA = 5, 1.5


def psnr(plane: NDArray[np.uint8], reference: NDArray[np.uint8], ceiling: float = CEILING) -> float:
    """PSNR in dB of (H, W) uint8 planes, peak 255, at most `ceiling`."""
    return min(ceiling, exact_psnr(plane, reference))


def ssim(plane: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """`keenframe.metrics.ssim` of (H, W) uint8 planes of at least 11x11, equal to 1e-9 and many times as fast.

    Thousands of pictures are judged here, and OpenCV, which the runtime does without, is at hand.
    """
    if plane.ndim != 2 or plane.shape != reference.shape or min(plane.shape) < 2 * RADIUS + 1:
        raise ValueError(
            f"ssim needs two planes of one shape, 11x11 or more; got {plane.shape}, {reference.shape}"
        )
    x, y = plane.astype(np.float64), reference.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    variances = _blur(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian mean of every whole window: (H, W) -> (H - 10, W - 10)."""
    taps = cv2.getGaussianKernel(2 * RADIUS + 1, SIGMA, cv2.CV_64F)
    blurred = cv2.sepFilter2D(image, cv2.CV_64F, taps, taps)
    return np.asarray(blurred[RADIUS:-RADIUS, RADIUS:-RADIUS], np.float64)
