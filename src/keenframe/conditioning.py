"""The condition over time: computed now and then, smoothed, and begun anew at a cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import band_statistics

# A look costs half a millisecond at 1080p. One in four frames, followed soon: a rate control changes what a codec does
# within a second, and who lags behind it loses up to a tenth of a decibel and flickers more (docs/log.md).
INTERVAL = 4
# Weight of a new look in the running mean: two looks, a quarter of a second of video, to follow a change.
WEIGHT = 0.7
# Mean distance of the log statistics, in nepers, beyond which it is another scene and not the same one
# moving.
CUT = 0.5


class ConditionTracker:
    """The condition vector of a stream."""

    def __init__(self) -> None:
        self._value: NDArray[np.float32] | None = None
        self._shape: tuple[int, ...] = ()
        self._age = 0

    def update(self, luma: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The smoothed (128,) float32 condition after seeing `luma` (H, W) uint8, the stream's next frame."""
        if self._value is None or luma.shape != self._shape:
            self._value, self._shape, self._age = band_statistics(luma), luma.shape, 0
        elif self._age % INTERVAL == 0:
            new = band_statistics(luma)
            cut = float(np.abs(new - self._value).mean()) > CUT
            self._value = new if cut else self._value + np.float32(WEIGHT) * (new - self._value)
        self._age += 1
        return self._value

    def reset(self) -> None:
        """Forget the stream: the next frame starts another."""
        self._value = None
