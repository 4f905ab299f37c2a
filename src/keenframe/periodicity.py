"""The periodicity of a frame: what enlarging leaves in it, whatever its content.

Interpolated pixels lie between others at distances that come back with the enlarging factor's period, and so does the
size of a row's second differences: a picture enlarged by 1.5 shows a line at 1 / 1.5 (Gallagher 2005, "Detection of
linear and cubic interpolation in JPEG compressed images"). A codec's blocks show theirs at multiples of 1 / 8 of the
pixels that it saw. A spectrum of the blocks themselves (`keenframe.condition`) knows nothing of either, and takes soft
pictures for enlarged ones and small enlargements for none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A window of the spectrum, and the way to the next (Welch 1967). All that a picture is long goes into a mean over
# windows, so that large frames and small ones are seen alike.
WINDOW, HOP = 64, 32
LINES_MAX = 128
# Windows transformed at once: larger products wake the linear algebra's own threads, as in `keenframe.condition`.
_CHUNK = 64
# In code values, and as a relative change: below them it is rounding.
FLOOR, AMPLITUDE_FLOOR = 0.05, 0.01
# Frequencies 2 / 64 to 32 / 64. At 0 and 1 the window itself stands.
FREQUENCIES = np.arange(2, WINDOW // 2 + 1)
PERIODICITY_SIZE = len(FREQUENCIES)


def _kernels() -> NDArray[np.float32]:
    """Hann's window times cosines and then sines of the frequencies, (64, 62): a sine of amplitude 1 gives 1."""
    n = np.arange(WINDOW)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    phase = 2 * np.pi * n[:, None] * FREQUENCIES / WINDOW
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    return np.asarray(window[:, None] * waves * (2 / window.sum()), np.float32)


KERNELS = _kernels()


def line_step(lines: int) -> int:
    """n, where every n-th of so many rows (or columns) is looked at."""
    return -(-lines // LINES_MAX)


def periodicity(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The periodicity of one luma plane.

    luma: (H, W) uint8. A side below 66 pixels holds no window; of two such sides everything is 0.
    Returns (31,) float32: the log of each frequency's amplitude in the log second differences along rows and columns,
    over the mean amplitude of all frequencies.
    """
    powers = [_power(side) for side in (luma, luma.T) if side.shape[1] >= WINDOW + 2]
    if not powers:
        return np.zeros(PERIODICITY_SIZE, np.float32)
    amplitude = np.sqrt(np.mean(powers, axis=0))
    relative: NDArray[np.floating] = (amplitude + AMPLITUDE_FLOOR) / (amplitude.mean() + AMPLITUDE_FLOOR)
    return np.asarray(np.log(relative), np.float32)


def _power(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Power of each frequency along the rows, (31,)."""
    lines = luma[:: line_step(luma.shape[0])].astype(np.int16)
    change = np.abs(lines[:, :-2] - 2 * lines[:, 1:-1] + lines[:, 2:]).mean(axis=0, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(np.log(change + np.float32(FLOOR)), WINDOW)[::HOP]
    power = np.zeros(2 * PERIODICITY_SIZE, np.float32)
    for start in range(0, len(windows), _CHUNK):
        power += np.square(windows[start : start + _CHUNK] @ KERNELS).sum(axis=0)
    mean: NDArray[np.float32] = power.reshape(2, -1).sum(axis=0) / np.float32(len(windows))
    return mean
