"""The runtime's PSNR and SSIM with a ceiling, so that a perfect picture does not swallow a mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keenframe.metrics import psnr as exact_psnr
from keenframe.metrics import ssim

__all__ = ["CEILING", "psnr", "ssim"]

CEILING = 60.0


def psnr(plane: NDArray[np.uint8], reference: NDArray[np.uint8], ceiling: float = CEILING) -> float:
    """PSNR in dB of (H, W) uint8 planes, peak 255, at most `ceiling`."""
    return min(ceiling, exact_psnr(plane, reference))
