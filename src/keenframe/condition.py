"""The condition vector: what a frame's spectrum says about how it was damaged.

A blurred frame has no energy in its high bands, a coarsely quantised one has many exact zeros, a noisy one a
raised floor. The log mean magnitude and log RMS of each band of the 8x8 DCT tell these apart; the network
turns them into a scale and a shift of its channels (FiLM, Perez et al. 2018). No pixel leaves the statistic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 8
CONDITION_SIZE = 2 * BLOCK * BLOCK
# Half a code value: below it a band is rounding noise, and its logarithm would only amplify that.
FLOOR = 0.5
MAX_BLOCKS = 4096
# Blocks transformed at once. Larger products wake OpenBLAS's own threads, which then spin for some 20 ms on
# the cores that the inference engine needs for the next frames.
_CHUNK = 64


def dct_matrix(size: int) -> NDArray[np.float32]:
    """Orthonormal DCT-II matrix, shape (size, size), float32: `dct_matrix(n) @ x` transforms a column x."""
    k = np.arange(size)[:, None]
    n = np.arange(size)[None, :]
    basis: NDArray[np.float64] = np.cos(np.pi * (2 * n + 1) * k / (2 * size)) * np.sqrt(2.0 / size)
    basis[0] /= np.sqrt(2.0)
    return np.asarray(basis, np.float32)


_BASIS = np.kron(dct_matrix(BLOCK), dct_matrix(BLOCK)).T.copy()


def band_statistics(luma: NDArray[np.uint8], max_blocks: int = MAX_BLOCKS) -> NDArray[np.float32]:
    """Condition vector of one luma plane.

    luma: (H, W) uint8, code values, H and W at least 8. At most `max_blocks` whole 8x8 blocks on an evenly
    spaced grid aligned to multiples of 8 are read, so the cost does not grow with the frame.
    Returns (128,) float32: 64 log mean magnitudes, then 64 log RMS values, bands in row-major order.
    """
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    if rows == 0 or columns == 0:
        raise ValueError(
            f"band_statistics needs a plane of at least {BLOCK}x{BLOCK}; got {luma.shape[1]}x{luma.shape[0]}"
        )
    step = max(1, int(np.ceil(np.sqrt(rows * columns / max_blocks))))
    blocks = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)[::step, :, ::step]
    pixels = blocks.transpose(0, 2, 1, 3).reshape(-1, BLOCK * BLOCK).astype(np.float32)
    # The first band is the block's mean times 8; its deviation from the frame's mean is what counts.
    mean = BLOCK * pixels.mean(dtype=np.float64)
    magnitude, power = np.zeros((2, BLOCK * BLOCK))
    for start in range(0, len(pixels), _CHUNK):
        coefficients = pixels[start : start + _CHUNK] @ _BASIS
        coefficients[:, 0] -= mean
        magnitude += np.abs(coefficients).sum(axis=0)
        power += np.square(coefficients, out=coefficients).sum(axis=0)
    statistics = np.concatenate([magnitude / len(pixels), np.sqrt(power / len(pixels))])
    return np.log(statistics + FLOOR).astype(np.float32)
