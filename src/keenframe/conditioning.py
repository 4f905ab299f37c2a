"""What is seen of a stream's frames: looked at now and then, smoothed, and begun anew at a cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import CONDITION_SIZE, band_statistics
from keenframe.periodicity import periodicity

# A look costs half a millisecond at 1080p, and half of that again for the periodicity. One in four frames, followed
# soon: a rate control changes what a codec does within a second, and who lags behind it loses up to a tenth of a
# decibel and flickers more (docs/log.md).
INTERVAL = 4
# Weight of a new look in the running mean: two looks, a quarter of a second of video, to follow a change.
WEIGHT = 0.7
# Mean distance of the log statistics, in nepers, beyond which it is another scene and not the same one
# moving.
CUT = 0.5


def look_at(luma: NDArray[np.uint8], periods: bool = False) -> NDArray[np.float32]:
    """The condition (128,) float32 of one luma plane (H, W) uint8, with `periods` its periodicity behind it, (159,)."""
    condition = band_statistics(luma)
    return np.concatenate([condition, periodicity(luma)]) if periods else condition


class ConditionTracker:
    """What `look_at` sees of a stream."""

    def __init__(self, periods: bool = False) -> None:
        self._periods = periods
        self._value: NDArray[np.float32] | None = None
        self._shape: tuple[int, ...] = ()
        self._age = 0

    def update(self, luma: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The smoothed numbers of `look_at` after seeing `luma` (H, W) uint8, the stream's next frame."""
        if self._value is None or luma.shape != self._shape:
            self._value, self._shape, self._age = look_at(luma, self._periods), luma.shape, 0
        elif self._age % INTERVAL == 0:
            new = look_at(luma, self._periods)
            cut = float(np.abs((new - self._value)[:CONDITION_SIZE]).mean()) > CUT
            self._value = new if cut else self._value + np.float32(WEIGHT) * (new - self._value)
        self._age += 1
        return self._value

    def reset(self) -> None:
        """Forget the stream: the next frame starts another."""
        self._value = None
