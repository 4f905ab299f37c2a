"""The way of models that take and give RGB: frames and pictures of every format there and back.

8-bit RGB is the network's own output. To anything else, planes, gray and finer samples, is added what the
network adds to its 8-bit RGB, so that neither precision nor chroma is lost on the way there and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe import color
from keenframe.buffers import BufferPool, Scratch
from keenframe.engines.base import Engine
from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS, Plane, copy_padded
from keenframe.tiles import Window, round_up, windows
from keenframe.zoo.spec import ModelSpec

# Output pixels that are computed at once, and the side of an output tile beyond. These networks keep some 64
# float channels of every pixel, several times over: near 1 KB a pixel, so about 1 GB at once.
TILED_PIXELS = 1 << 20
TILE = 1024
# Output pixels up to which a network that reads the whole picture runs, in one pass: about 4 GB.
WHOLE_PIXELS = 4 << 20


class RgbPath:
    """Runs an RGB model for a `Sharpener`, which checks the input and guards it; its buffers are reused."""

    def __init__(self, engine: Engine[Any], pool: BufferPool, scratch: Scratch) -> None:
        self._engine = engine
        self._spec: ModelSpec = engine.spec
        self._pool = pool
        self._scratch = scratch

    def sharpen(self, x: Frame | Plane, strength: float, still: bool) -> Frame | Plane:
        """As `Sharpener.sharpen`, on checked input."""
        if not isinstance(x, Frame):
            return self._sharpen_array(x, strength, still)
        if x.format == "rgb24":
            return x.with_planes((self._sharpen_array(x.planes[0], strength, still),))
        rgb = self._padded_scratch(x.height, x.width)
        color.planes_to_rgb(x.planes, x.format, x.matrix, x.range, rgb)
        residual = self._residual(rgb, x.height, x.width)
        planes = self._enlarged(x, still)
        color.add_rgb_residual(planes, x.format, x.matrix, x.range, residual, strength, x.bit_depth)
        return x.with_planes(planes)

    def _sharpen_array(self, array: Plane, strength: float, still: bool) -> Plane:
        """RGB (H, W, 3) or gray (H, W), uint8 or uint16, full range."""
        height, width = array.shape[:2]
        if array.ndim == 3 and array.dtype == np.uint8:
            out = self._pool.result(self._large(*self._padded(height, width), 3), np.uint8, still)
            return self._run(array, strength, out)
        bit_depth = 8 * array.itemsize
        eight = array
        if bit_depth > 8:
            eight = self._scratch.get("eight", array.shape, np.uint8)
            color.to_8_bits(array, bit_depth, eight)
        rgb = self._padded_scratch(height, width)
        copy_padded(eight if array.ndim == 3 else eight[:, :, None], rgb)
        residual = self._residual(rgb, height, width)
        out = self._pool.result(self._large(*array.shape), array.dtype, still)
        color.enlarge(array, self._spec.scale, out, self._spec.enlarging)
        if array.ndim == 2:
            color.add_rgb_residual((out,), "gray", "bt601", "full", residual, strength, bit_depth)
        else:
            color.add_scaled(out, residual, strength * color.code_value(bit_depth), (1 << bit_depth) - 1)
        return out

    def _residual(self, rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
        """What strength 1 adds to padded RGB, of its first `height` rows and `width` columns, times scale."""
        residual = self._scratch.get("residual", self._large(*rgb.shape), np.float32)
        self._run(rgb, None, residual)
        return residual[: height * self._spec.scale, : width * self._spec.scale]

    def _run(self, rgb: NDArray[np.uint8], strength: float | None, out: Plane) -> Plane:
        """Run the network over (H, W, 3), whole or in tiles, into padded `out`; returns its valid part.

        `out` gets pixels at `strength`, or, for None, the residual.
        """
        scale = self._spec.scale
        height, width = rgb.shape[:2]
        for window in picture_windows(*self._padded(height, width), self._spec):
            view = rgb[window.top : window.top + window.height, window.left : window.left + window.width]
            source = self._scratch.padded("source", view, window.height, window.width)
            if strength is None:
                result: Plane = self._engine.run_residual(source, None)
            else:
                result = self._engine.run(source, None, strength)
            rows = slice(window.first_row * scale, window.last_row * scale)
            columns = slice(window.first_column * scale, window.last_column * scale)
            kept = result[rows, columns]
            top, left = window.top * scale + rows.start, window.left * scale + columns.start
            out[top : top + kept.shape[0], left : left + kept.shape[1]] = kept
        return out[: height * scale, : width * scale]

    def _enlarged(self, frame: Frame, still: bool) -> tuple[Plane, ...]:
        """New planes with the frame's own pixels in the result's size."""
        layout, scale = LAYOUTS[frame.format], self._spec.scale
        shapes = layout.shapes(frame.width * scale, frame.height * scale)
        planes = tuple(self._pool.result(shape, layout.dtype, still) for shape in shapes)
        for index, (plane, out) in enumerate(zip(frame.planes, planes, strict=True)):
            kind, left = (self._spec.enlarging, False) if index == 0 else ("bilinear", frame.left_sited)
            color.enlarge(plane, scale, out, kind, left, (1 << frame.bit_depth) - 1)
        return planes

    def _padded_scratch(self, height: int, width: int) -> NDArray[np.uint8]:
        return self._scratch.get("rgb", (*self._padded(height, width), 3), np.uint8)

    def _padded(self, height: int, width: int) -> tuple[int, int]:
        multiple = self._spec.size_multiple
        return round_up(height, multiple), round_up(width, multiple)

    def _large(self, height: int, width: int, *channels: int) -> tuple[int, ...]:
        return height * self._spec.scale, width * self._spec.scale, *channels


def picture_windows(height: int, width: int, spec: ModelSpec) -> Iterator[Window]:
    """The windows in which an RGB model runs over a padded picture of that size, in input pixels.

    One for a picture of up to `TILED_PIXELS` output pixels, and for every picture that a network reads as a
    whole: cut in tiles, it would see other means in each, and the seams would show. InputError where that
    one would take too much memory.
    """
    pixels = height * width * spec.scale**2
    if spec.whole and pixels > WHOLE_PIXELS:
        raise InputError(
            f"model {spec.name!r} reads the whole picture at once and cannot work in tiles; {width}x{height}"
            f"{f' enlarged x{spec.scale}' if spec.scale > 1 else ''} is {pixels / 1e6:.1f} megapixels, expected "
            f"at most {WHOLE_PIXELS / 1e6:.1f}: make it smaller or cut it up, or take a model that works in "
            f"tiles, such as keen"
        )
    tile = max(height, width)
    if not spec.whole and pixels > TILED_PIXELS:
        tile = round_up(max(TILE // spec.scale, 4 * spec.radius), spec.size_multiple)
    return windows(height, width, tile, spec.radius)
