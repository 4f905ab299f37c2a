"""Pictures of the vision checks: faint digits on black and on white, and digits in coloured dots.

They are checks of screen and eyes for this study, and no diagnosis of anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Code values of the digits, from hardest to easiest: a well-set screen in a room without glare shows the outer
# four of six, and most show all.
DARK_LEVELS = (10, 20, 32)
LIGHT_LEVELS = (246, 237, 226)
RAMP_SIZE = (600, 280)
PLATE_SIDE = 360
_DOTS_MAX, _TRIES = 1600, 30000
_RADII = (3.5, 8.0)

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of the dots in the digit and around it. control: they differ in lightness, so everybody sees it."""

    figure: tuple[RGB, ...]
    ground: tuple[RGB, ...]
    control: bool = False


# Red and green of equal lightness for the eye without one of the two receptors; lightness varies from dot to dot
# by more than the two groups differ, so that it does not tell.
RED_GREEN = Palette(
    figure=((203, 121, 86), (182, 103, 70), (221, 143, 108)),
    ground=((151, 143, 84), (133, 124, 68), (171, 163, 106)),
)
GREEN_RED = Palette(RED_GREEN.ground, RED_GREEN.figure)
CONTROL = Palette(
    figure=((52, 74, 122), (66, 88, 138), (40, 60, 104)),
    ground=((201, 187, 152), (214, 202, 170), (188, 172, 136)),
    control=True,
)


def ramp(digits: str) -> NDArray[np.uint8]:
    """(280, 600, 3) RGB: six digits, three faint ones on black and three on white."""
    width, height = RAMP_SIZE
    image = Image.new("RGB", RAMP_SIZE, (0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height // 2, width, height), fill=(255, 255, 255))
    font = ImageFont.load_default(100)
    for index, digit in enumerate(digits):
        row, column = divmod(index, 3)
        code = (DARK_LEVELS, LIGHT_LEVELS)[row][column]
        left, top, right, bottom = draw.textbbox((0, 0), digit, font=font)
        x = width * (2 * column + 1) / 6 - (left + right) / 2
        y = height * (2 * row + 1) / 4 - (top + bottom) / 2
        draw.text((x, y), digit, fill=(code, code, code), font=font)
    return np.asarray(image)


def plate(digit: str, palette: Palette, random: np.random.Generator) -> NDArray[np.uint8]:
    """(360, 360, 3) RGB: a disc of dots with `digit` in it, on gray."""
    mask = _digit_mask(digit)
    scale = 3  # drawn larger and shrunk, for smooth edges
    image = Image.new("RGB", (PLATE_SIDE * scale, PLATE_SIDE * scale), (128, 128, 128))
    draw = ImageDraw.Draw(image)
    for x, y, radius in _dots(random):
        colours = palette.figure if mask[int(y), int(x)] else palette.ground
        colour = colours[int(random.integers(len(colours)))]
        box = [scale * value for value in (x - radius, y - radius, x + radius, y + radius)]
        draw.ellipse(box, fill=colour)
    return np.asarray(image.resize((PLATE_SIDE, PLATE_SIDE), Image.Resampling.LANCZOS))


def _digit_mask(digit: str) -> NDArray[np.bool_]:
    image = Image.new("L", (PLATE_SIDE, PLATE_SIDE), 0)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(280)
    left, top, right, bottom = draw.textbbox((0, 0), digit, font=font)
    middle = PLATE_SIDE / 2
    place = (middle - (left + right) / 2, middle - (top + bottom) / 2)
    # A stroke wide enough for a few dots.
    draw.text(place, digit, fill=255, font=font, stroke_width=9, stroke_fill=255)
    return np.asarray(image) > 127


def _dots(random: np.random.Generator) -> list[tuple[float, float, float]]:
    """(x, y, radius) of dots that fill a disc and do not touch, large ones first."""
    middle, whole = PLATE_SIDE / 2, PLATE_SIDE / 2 - 4
    placed = np.zeros((_DOTS_MAX, 3))
    count = 0
    for attempt in range(_TRIES):
        if count == _DOTS_MAX:
            break
        # Radii shrink as it fills up.
        share = attempt / _TRIES
        radius = _RADII[1] * (1 - share) + _RADII[0] * share
        angle, distance = random.uniform(0, 2 * np.pi), (whole - radius) * np.sqrt(random.uniform())
        x, y = middle + distance * np.cos(angle), middle + distance * np.sin(angle)
        near = placed[:count]
        if np.all(np.hypot(near[:, 0] - x, near[:, 1] - y) > near[:, 2] + radius + 1.0):
            placed[count] = (x, y, radius)
            count += 1
    return [(float(x), float(y), float(radius)) for x, y, radius in placed[:count]]
