"""A moving test picture as a camera would give it, each frame with its number in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.pixels import HD_LINES, Matrix, Plane

SIDE_MIN, SIDE_MAX = 64, 8192
# The number's bits lie along the lower edge, the lowest first, and behind them their complement as a check.
NUMBER_BITS = 16
_DARK, _LIGHT = 40, 216
_WORDS = "The quick brown fox jumps over the lazy dog 0123456789"


class Pattern:
    """`fps` frames per second of width x height I420 with a softened text, colours and a bar that moves.

    Iterating waits until each frame is due; `close` from any thread ends it. InputError for sizes below 64 or odd.
    """

    reopens = False

    def __init__(self, width: int = 1280, height: int = 720, fps: float = 30.0) -> None:
        if not all(SIDE_MIN <= side <= SIDE_MAX and side % 2 == 0 for side in (width, height)):
            raise InputError(
                f"the test pattern cannot be {width}x{height}; expected even sides of {SIDE_MIN} to {SIDE_MAX}"
            )
        self.name = f"test pattern {width}x{height}"
        self._fps = Fraction(fps).limit_denominator(1001)
        self._matrix: Matrix = "bt709" if height >= HD_LINES else "bt601"
        self._luma, *chroma = _picture(width, height, self._matrix)
        for plane in chroma:
            # The number is black and white.
            plane[-_bit_side(self._luma) // 2 :] = 128
            plane.flags.writeable = False
        self._chroma = tuple(chroma)
        self._closed = threading.Event()

    def frame(self, index: int) -> Frame:
        """Frame `index`, counted from 0."""
        luma = self._luma.copy()
        height, width = luma.shape
        bar = max(8, width // 40)
        left = index * max(2, width // 160) % (width - bar)
        luma[: height // 2, left : left + bar] = _LIGHT
        write_number(luma, index)
        return Frame(
            (luma, *self._chroma), "i420", width, height, self._matrix, pts=index, time_base=1 / self._fps
        )

    def __iter__(self) -> Iterator[Frame]:
        start_s = time.perf_counter()
        index = 0
        while not self._closed.is_set():
            frame = self.frame(index)
            if self._closed.wait(max(0.0, start_s + index / float(self._fps) - time.perf_counter())):
                return
            yield frame
            # What the system held up is left out, as by a camera.
            late = int((time.perf_counter() - start_s) * float(self._fps)) - index
            index += 1 if late < float(self._fps) / 2 else late

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()


def write_number(luma: NDArray[np.uint8], number: int) -> None:
    """Paint the low 16 bits of `number` into the lower edge of (H, W) luma, in place."""
    bits = number >> np.arange(NUMBER_BITS) & 1
    row = np.concatenate([bits, 1 - bits])
    side = _bit_side(luma)
    values = np.where(row, _LIGHT, _DARK).astype(np.uint8).repeat(side)
    luma[-side:, : len(values)] = values


def read_number(luma: NDArray[np.uint8]) -> int | None:
    """The number that `write_number` painted; None where it cannot be read. Survives coding and scaling by codecs."""
    side = _bit_side(luma)
    cells = luma[-side:, : 2 * NUMBER_BITS * side].reshape(side, 2 * NUMBER_BITS, side)
    inner = slice(side // 4, -(side // 4) or None)
    bits = cells[inner, :, inner].mean((0, 2)) > (_DARK + _LIGHT) / 2
    number, check = bits[:NUMBER_BITS], bits[NUMBER_BITS:]
    if np.any(number == check):
        return None
    return int(np.sum(number << np.arange(NUMBER_BITS)))


def _bit_side(luma: Plane) -> int:
    return max(2, int(luma.shape[1]) // (2 * NUMBER_BITS) // 2 * 2)


def _picture(width: int, height: int, matrix: Matrix) -> tuple[Plane, ...]:
    """Planes of a picture that has something to sharpen: text and lines, made soft by enlarging it."""
    from PIL import Image, ImageDraw, ImageFont

    from keenframe import color

    small = (max(32, width * 2 // 3), max(32, height * 2 // 3))
    columns, rows = np.meshgrid(np.linspace(0, 1, small[0]), np.linspace(0, 1, small[1]))
    base = np.stack([60 + 120 * columns, 70 + 90 * rows, 150 - 80 * columns], -1)
    image = Image.fromarray(base.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    top = 4
    for size in (9, 11, 14, 18, 24, 32, 48, 64):
        if top + size > small[1]:
            break
        draw.text((8, top), _WORDS, fill=(240, 240, 235), font=ImageFont.load_default(size))
        top += size * 3 // 2
    for index, left in enumerate(range(0, small[0], max(3, small[0] // 24))):
        draw.line([(left, small[1] * 3 // 4), (left + index * 2, small[1])], fill=(20, 24, 30), width=1)
    rgb = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    return tuple(np.ascontiguousarray(plane) for plane in color.rgb_to_planes(rgb, "i420", matrix, "limited"))
