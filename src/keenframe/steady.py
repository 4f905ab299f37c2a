"""Flicker: a frame's result is drawn towards the last one's where the picture stands still.

What a codec leaves of a still background differs a little from frame to frame, and whatever sharpens a picture sharpens
that too. Averaging over time takes it away, but smears what moves; so each 4x4 block is averaged the more, the
less its input changed: the motion-adaptive recursive filter of television's noise reducers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Memory(NamedTuple):
    """share: of the last result where nothing changes. change: mean, in code values, from which nothing is kept.

    Chosen on webcam clips (docs/log.md): more of either smears slow, faint motion.
    """

    share: float
    change: float


# What was sent small flickers more once sharp, for there is more to add; and enlarging spreads each change.
FULL_SIZE = Memory(0.6, 1.5)
ENLARGED = Memory(0.75, 8.0)
_LOW_BYTES = np.uint32(0x00FF00FF)
KeptShare = Callable[[NDArray[np.uint8], NDArray[np.uint8], Memory], NDArray[np.float32]]


@dataclass(slots=True)
class Past:
    """previous: the last result's blocks, (h, w, 16) uint8. keep: how much of them to keep, (h, w) float32 0-1."""

    previous: NDArray[np.uint8]
    keep: NDArray[np.float32]


def kept_share(luma: NDArray[np.uint8], before: NDArray[np.uint8], memory: Memory) -> NDArray[np.float32]:
    """How much of each 4x4 block's last result to keep, (H / 4, W / 4) float32.

    luma: (H, W) uint8. before: (H / 2, W), every second row of the last frame, contiguous.
    """
    change = block_change(luma[::2], before)
    kept: NDArray[np.float32] = memory.share * np.clip(1 - change / memory.change, 0, 1)
    return kept


class Steadier:
    """Remembers a stream's last frame and result. scale: output size over input size. keeps: `kept_share`, or what does
    the same faster."""

    def __init__(self, scale: int, keeps: KeptShare = kept_share) -> None:
        self._scale, self._keeps = scale, keeps
        # Every second one of the last frame: all that is compared.
        self._rows: NDArray[np.uint8] | None = None
        self._past: Past | None = None
        self._strength = 1.0
        self._remembered = False

    def look(self, luma: NDArray[np.uint8], strength: float = 1.0, memory: Memory = FULL_SIZE) -> Past:
        """What is to be kept for `luma`, (H, W) uint8 in multiples of 4, sharpened with `strength`.

        Nothing at the beginning of a stream, after a change of size or strength, and where the last frame has left
        no result (`remember`) because its engine failed.
        """
        height, width = luma.shape
        looked_at = luma[::2]
        if self._rows is None or self._past is None or self._rows.shape != looked_at.shape:
            rows, columns = height * self._scale // 4, width * self._scale // 4
            self._rows = np.empty_like(looked_at, order="C")
            self._past = Past(np.zeros((rows, columns, 16), np.uint8), np.zeros((rows, columns), np.float32))
            self._remembered = False
        if self._remembered and strength == self._strength:
            keep = self._keeps(luma, self._rows, memory)
            if self._scale > 1:
                keep = np.repeat(np.repeat(keep, self._scale, 0), self._scale, 1)
            self._past.keep[:] = keep
        else:
            self._past.keep[:] = 0
        np.copyto(self._rows, looked_at)
        self._strength, self._remembered = strength, False
        return self._past

    def remember(self, blocks: NDArray[np.uint8]) -> None:
        """Keep a copy of the result that followed the last `look`."""
        if self._past is not None:
            np.copyto(self._past.previous, blocks)
            self._remembered = True

    def reset(self) -> None:
        """Forget the stream."""
        self._remembered = False


def block_change(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean absolute difference of planes over 12x12 pixels around each 4x4 block, (H / 4, W / 4) float32.

    a, b: every second row of (H, W) planes, (H / 2, W), which speaks for both. Bytes are added in pairs, four of a word
    at once: a third of a millisecond at 1080p where float arithmetic takes several.
    """
    words = (np.maximum(a, b) - np.minimum(a, b)).view(np.uint32)
    pairs = (words & _LOW_BYTES) + ((words >> np.uint32(8)) & _LOW_BYTES)
    pairs = pairs[::2] + pairs[1::2]
    sums = ((pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))).astype(np.float32)
    mean: NDArray[np.float32] = _box3(sums) / np.float32(8 * 9)
    return mean


def _box3(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over 3x3 neighbours, edges repeated."""
    padded = np.pad(plane, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    boxes: NDArray[np.float32] = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return boxes
