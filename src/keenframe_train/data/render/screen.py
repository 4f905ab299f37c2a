"""A surface that looks like a screen: hinted text, gray or sub-pixel anti-aliasing, smooth shapes.

Coordinates are pixels from the top left; colours are RGB triples or names as Pillow takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw
from PIL.ImageFont import FreeTypeFont

Color = str | tuple[int, int, int]
Point = tuple[float, float]
_FINE = 4  # shapes are drawn this much larger and averaged
# FreeType's default filter for liquid-crystal screens spreads a sub-pixel over five, so that colours balance.
_LCD_FILTER = np.array([8, 77, 86, 77, 8], np.float32) / 256


def rgb(color: Color) -> tuple[int, int, int]:
    """A colour as three numbers, 0-255."""
    return ImageColor.getrgb(color)[:3] if isinstance(color, str) else color


def mixed(one: Color, two: Color, share: float) -> tuple[int, int, int]:
    """`share` of `two` over the rest of `one`."""
    return tuple(round(a + (b - a) * share) for a, b in zip(rgb(one), rgb(two), strict=True))  # type: ignore[return-value]


class Screen:
    """A picture to draw on. smoothing: "gray", or "lcd" with the red, green and blue stripes of a pixel in turn."""

    def __init__(
        self, width: int, height: int, background: Color, smoothing: Literal["gray", "lcd"] = "gray"
    ) -> None:
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width, height), rgb(background))
        self._draw = ImageDraw.Draw(self.image)
        self.smoothing: Literal["gray", "lcd"] = smoothing

    def part(self, width: float, height: float, background: Color) -> Screen:
        """Another surface with the same smoothing, to be pasted: what is drawn beyond its edges is cut off."""
        return Screen(max(1, round(width)), max(1, round(height)), background, self.smoothing)

    def paste(self, part: Screen, left: float, top: float) -> None:
        """Put a surface here."""
        self.image.paste(part.image, (round(left), round(top)))

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return np.asarray(self.image)

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Color) -> None:
        """Filled, on whole pixels; `right` and `bottom` are outside."""
        box = (round(left), round(top), round(right) - 1, round(bottom) - 1)
        if box[2] >= box[0] and box[3] >= box[1]:
            self._draw.rectangle(box, fill=rgb(fill))

    def rule(self, left: float, y: float, right: float, fill: Color, width: int = 1) -> None:
        """A horizontal line."""
        self.rectangle(left, y, right, round(y) + width, fill)

    def frame(
        self, left: float, top: float, right: float, bottom: float, color: Color, width: int = 1
    ) -> None:
        """The border of a rectangle, on whole pixels."""
        self._draw.rectangle(
            (round(left), round(top), round(right) - 1, round(bottom) - 1), outline=rgb(color), width=width
        )

    def panel(
        self, left: float, top: float, right: float, bottom: float, fill: Color, radius: float,
        border: Color | None = None,
    ) -> None:  # fmt: skip
        """A rectangle with round corners and perhaps a border of a pixel."""
        if border is not None:
            self.panel(left, top, right, bottom, border, radius)
            left, top, right, bottom = left + 1, top + 1, right - 1, bottom - 1
        self.shape(
            (left, top, right, bottom),
            lambda draw, at: draw.rounded_rectangle(
                (*at(left, top), at(right, 0)[0] - 1, at(0, bottom)[1] - 1), radius * _FINE, fill=255
            ),
            fill,
        )

    def shape(
        self,
        bounds: tuple[float, float, float, float],
        paint: Callable[[ImageDraw.ImageDraw, Callable[[float, float], Point]], object],
        fill: Color,
    ) -> None:
        """An anti-aliased shape within bounds: `paint(draw, at)` draws it in 255; `at` turns places into draw's."""
        left, top = int(np.floor(bounds[0])), int(np.floor(bounds[1]))
        width, height = int(np.ceil(bounds[2])) - left, int(np.ceil(bounds[3])) - top
        if width <= 0 or height <= 0:
            return
        mask = Image.new("L", (width * _FINE, height * _FINE))
        paint(ImageDraw.Draw(mask), lambda x, y: ((x - left) * _FINE, (y - top) * _FINE))
        self.image.paste(rgb(fill), (left, top), mask.reduce(_FINE))

    def disc(self, x: float, y: float, radius: float, fill: Color) -> None:
        """A filled circle."""
        bounds = (x - radius, y - radius, x + radius, y + radius)
        self.shape(
            bounds, lambda draw, at: draw.ellipse((*at(*bounds[:2]), *at(*bounds[2:])), fill=255), fill
        )

    def sector(self, x: float, y: float, radius: float, start: float, end: float, fill: Color) -> None:
        """A piece of a pie; angles in degrees, clockwise from the right."""
        bounds = (x - radius, y - radius, x + radius, y + radius)

        def paint(draw: ImageDraw.ImageDraw, at: Callable[[float, float], Point]) -> None:
            draw.pieslice((*at(*bounds[:2]), *at(*bounds[2:])), start, end, fill=255)

        self.shape(bounds, paint, fill)

    def polygon(self, points: Sequence[Point], fill: Color) -> None:
        """A filled polygon."""
        xs, ys = zip(*points, strict=True)
        bounds = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        self.shape(bounds, lambda draw, at: draw.polygon([at(*p) for p in points], fill=255), fill)

    def line(self, points: Sequence[Point], fill: Color, width: float = 1.5) -> None:
        """A polyline with round joints."""
        xs, ys = zip(*points, strict=True)
        bounds = (min(xs) - width, min(ys) - width, max(xs) + width, max(ys) + width)
        thick = max(1, round(width * _FINE))
        self.shape(
            bounds,
            lambda draw, at: draw.line([at(*p) for p in points], fill=255, width=thick, joint="curve"),
            fill,
        )

    def text(
        self, x: float, y: float, text: str, font: FreeTypeFont, fill: Color, anchor: str = "ls"
    ) -> None:
        """Text by Pillow's anchor, the left end of the base line unless told."""
        if not text or y < -font.size or y > self.height + font.size or x > self.width:
            return
        if self.smoothing == "gray":
            self._draw.text((round(x), round(y)), text, fill=rgb(fill), font=font, anchor=anchor)
            return
        self._lcd_text(round(x), round(y), text, font, rgb(fill), anchor)

    def _lcd_text(
        self, x: int, y: int, text: str, font: FreeTypeFont, fill: tuple[int, int, int], anchor: str
    ) -> None:
        large = font.font_variant(size=font.size * 3)
        box = large.getbbox(text, anchor=anchor)
        left, top = int(np.floor(box[0] / 3)) - 1, int(np.floor(box[1] / 3))
        width, height = int(np.ceil(box[2] / 3)) + 1 - left, int(np.ceil(box[3] / 3)) - top
        mask = Image.new("L", (3 * width, 3 * height))
        ImageDraw.Draw(mask).text((-3 * left, -3 * top), text, fill=255, font=large, anchor=anchor)
        rows = np.asarray(mask, np.float32).reshape(height, 3, 3 * width).mean(1)
        padded = np.pad(rows, ((0, 0), (2, 2)))
        spread = sum(w * padded[:, i : i + 3 * width] for i, w in enumerate(_LCD_FILTER))
        cover = np.asarray(spread, np.float32).reshape(height, width, 3) / 255
        x0, y0 = x + left, y + top
        area = (max(0, x0), max(0, y0), min(self.width, x0 + width), min(self.height, y0 + height))
        if area[2] <= area[0] or area[3] <= area[1]:
            return
        cover = cover[area[1] - y0 : area[3] - y0, area[0] - x0 : area[2] - x0]
        under = np.asarray(self.image.crop(area), np.float32)
        result = under + (np.array(fill, np.float32) - under) * cover
        self.image.paste(Image.fromarray(np.rint(result).astype(np.uint8)), area[:2])

    def fitted(self, text: str, font: FreeTypeFont, width: float) -> str:
        """The text, cut with an ellipsis of dots where it is wider than `width` pixels."""
        if font.getlength(text) <= width:
            return text
        while text and font.getlength(text + "...") > width:
            text = text[:-1]
        return text.rstrip() + "..."


def wrapped(words: Sequence[str], font: FreeTypeFont, width: float, space: str = " ") -> list[str]:
    """Lines no wider than `width` pixels; a word that is wider gets a line of its own."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}{space}{word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
