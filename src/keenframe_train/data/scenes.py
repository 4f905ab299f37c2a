"""Scenes of shapes: pictures drawn from nothing, whose edges are known exactly.

What a codec does to a strong edge beside a plain wall, steps along it and ringing around it, is most of what can be
taken off a call's frame of full size, and photographs hardly show it: there a ripple beside an edge may as well be
grass. A network that learnt from photographs alone leaves both. Overlapping shapes of random place, size and tone,
after the dead leaves of Lee, Mumford and Huang (2001), teach restoration nearly as well as photographs do (Achddou,
Gousseau and Ladjal 2021); rooms and clothes in a webcam are closer to them than to a meadow (docs/log.md).
"""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from keenframe_train.data.degradations import Uint8, resize

Floats = NDArray[np.float32]
Point = NDArray[np.float64]  # (x, y), or (N, 2) of them
SHAPES = (6, 48)  # of which few cover much and many little
# A lens's edges fall on pixels by halves; a screen's do not, and the steps of a slanted one, or a game's large pixels,
# are no damage: without such scenes a network takes them for it.
CRISP = 0.3
_SUBPIXEL = 4  # OpenCV's fixed point: coordinates in sixteenths of a pixel
_CHARACTERS = string.ascii_letters + string.digits + "!?&%/()[]+-:"


def scene(picture: Uint8, rng: np.random.Generator) -> Uint8:
    """A scene of the size and channels of `picture`, (H, W) or (H, W, 3) uint8, at least 16 pixels a side.

    Plain and striped, rough and shaded shapes over each other; now and then a piece of the picture is inside of one.
    One `rng`, one scene.
    """
    deep = picture[..., None] if picture.ndim == 2 else picture
    if rng.random() < CRISP:
        pixel = int(rng.choice((1, 1, 2, 3)))
        height, width = (-(-side // pixel) for side in picture.shape[:2])
        drawn = _drawn(deep, rng, (height, width), 1 / pixel).repeat(pixel, 0).repeat(pixel, 1)
        return np.ascontiguousarray(drawn[: picture.shape[0], : picture.shape[1]]).reshape(picture.shape)
    # Twice as large and shrunk: as through a lens.
    drawn = _drawn(deep, rng, (2 * picture.shape[0], 2 * picture.shape[1]), 2.0)
    whole = drawn if picture.ndim == 3 else drawn[..., 0]
    return resize(whole, picture.shape[1], picture.shape[0], "bicubic")


def _drawn(picture: Uint8, rng: np.random.Generator, size: tuple[int, int], zoom: float) -> Uint8:
    """(h, w, C) with C of the picture; `zoom` is its size in the picture's, with smooth edges above 1."""
    smooth, channels = zoom > 1, picture.shape[2]
    canvas = _tone(rng, 40, 230, channels) + _shade(rng, size, rng.uniform(0, 30))
    for _ in range(int(rng.integers(*SHAPES))):
        mask = np.zeros(size, np.uint8)
        _draw_shape(mask, rng, cv2.LINE_AA if smooth else cv2.LINE_8)
        left, top, w, h = cv2.boundingRect(mask)
        if not w:
            continue
        part = np.s_[top : top + h, left : left + w]
        cover = (mask[part].astype(np.float32) / 255)[..., None]
        if rng.random() < 0.25 and smooth:  # out of focus, or a shadow
            cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 6))[..., None]
        fill = _tone(rng, 0, 255, channels) + _texture(picture, rng, (h, w), zoom)
        canvas[part] += (fill - canvas[part]) * cover
    if rng.random() < 0.3 and smooth:
        canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(rng.uniform(0, 2))
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _tone(rng: np.random.Generator, low: float, high: float, channels: int) -> Floats:
    return rng.uniform(low, high, channels).astype(np.float32)


def _shade(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> Floats:
    """(h, w, 1) light that falls off slowly."""
    cells = int(rng.integers(2, 5))
    coarse = rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(strength)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)[..., None]


def _texture(picture: Uint8, rng: np.random.Generator, shape: tuple[int, int], zoom: float) -> Floats:
    """(h, w, 1 or C) that is added to a shape's tone."""
    kind = rng.random()
    if kind < 0.55:
        return _shade(rng, shape, rng.uniform(0, 12))
    if kind < 0.75:
        return _stripes(rng, shape)
    if kind < 0.9:
        noise = rng.standard_normal(shape, dtype=np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 4), sigmaY=rng.uniform(0.5, 4))
        return (noise * np.float32(rng.uniform(1, 14) / max(float(noise.std()), 1e-3)))[..., None]
    h, w = (max(1, min(round(edge / zoom), side)) for edge, side in zip(shape, picture.shape, strict=False))
    top = int(rng.integers(picture.shape[0] - h + 1))
    left = int(rng.integers(picture.shape[1] - w + 1))
    piece = picture[top : top + h, left : left + w].astype(np.float32)
    piece = cv2.resize(piece, shape[::-1], interpolation=cv2.INTER_CUBIC).reshape(*shape, picture.shape[2])
    return np.asarray(piece - piece.mean((0, 1)), np.float32)


def _stripes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Stripes or a plaid, hard or soft, of any direction: cloth, blinds, keys, shelves."""
    rows, columns = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)

    def wave(turn: float, length: float, hardness: float) -> Floats:
        phase = (columns * np.cos(turn) + rows * np.sin(turn)) * np.float32(2 * np.pi / length)
        return np.asarray(np.tanh(np.sin(phase) * np.float32(hardness)), np.float32)

    pattern = wave(angle, period, rng.uniform(1.5, 10))
    if rng.random() < 0.4:
        pattern = (pattern + wave(angle + np.pi / 2, period * rng.uniform(0.7, 1.4), 5.0)) / 2
    return (pattern * np.float32(rng.uniform(2.5, 60)))[..., None]


def _fill(mask: Uint8, corners: Point, edge: int, value: int = 255) -> None:
    points = np.rint(corners * 2**_SUBPIXEL).astype(np.int32)
    cv2.fillPoly(mask, [points], value, edge, _SUBPIXEL)


def _panel(mask: Uint8, rng: np.random.Generator, centre: Point, reach: float, edge: int) -> None:
    """A rectangle, mostly upright and a little out of square: a screen, a door, a wall; now and then its frame."""
    angle = rng.normal(0, 8) if rng.random() < 0.6 else rng.uniform(0, 180)
    w, h = reach * rng.uniform(0.2, 2, 2)
    corners = cv2.boxPoints((tuple(map(float, centre)), (float(w), float(h)), float(angle))).astype(
        np.float64
    )
    corners += rng.normal(0, reach * 0.05, corners.shape)
    _fill(mask, corners, edge)
    if rng.random() < 0.3:
        middle = corners.mean(0)
        _fill(mask, (corners - middle) * rng.uniform(0.7, 0.97) + middle, edge, 0)


def _polygon(mask: Uint8, rng: np.random.Generator, centre: Point, reach: float, edge: int) -> None:
    count = int(rng.integers(3, 8))
    turns = np.sort(rng.uniform(0, 2 * np.pi, count))
    _fill(mask, centre + _around(turns, reach * rng.uniform(0.3, 1.1, count)), edge)


def _blob(mask: Uint8, rng: np.random.Generator, centre: Point, reach: float, edge: int) -> None:
    """A smooth outline: a head, a shoulder, a cup."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones(48)
    for wave in range(2, 6):
        radius += rng.normal(0, 0.25 / wave) * np.cos(wave * turns + rng.uniform(0, 2 * np.pi))
    _fill(mask, centre + _around(turns, 0.6 * reach * radius) * [rng.uniform(0.5, 1.5), 1], edge)


def _lines(mask: Uint8, rng: np.random.Generator, centre: Point, reach: float, edge: int) -> None:
    """Bars and wires, most of them nearly level or upright."""
    for _ in range(int(rng.integers(1, 5))):
        start = rng.uniform(-0.2, 1.2, 2) * mask.shape[::-1]
        level = rng.normal(0, 0.1) + int(rng.integers(2)) * np.pi / 2
        angle = level if rng.random() < 0.6 else rng.uniform(0, np.pi)
        end = start + 2 * reach * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(np.rint(point * 2**_SUBPIXEL).astype(int).tolist()) for point in (start, end)]
        cv2.line(mask, ends[0], ends[1], 255, int(rng.integers(1, 9)), edge, _SUBPIXEL)


def _letters(mask: Uint8, rng: np.random.Generator, centre: Point, reach: float, edge: int) -> None:
    text = "".join(rng.choice(list(_CHARACTERS), int(rng.integers(2, 14))))
    place = (int(centre[0] - mask.shape[1] / 5), int(centre[1]))
    size, weight = float(rng.uniform(0.4, 2)), int(rng.integers(1, 4))
    cv2.putText(mask, text, place, int(rng.integers(7)), size, 255, weight, edge)


def _around(angles: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


_Shape = Callable[[Uint8, np.random.Generator, Point, float, int], None]
_KINDS: tuple[tuple[_Shape, float], ...] = (
    (_panel, 0.45), (_polygon, 0.15), (_blob, 0.15), (_lines, 0.17), (_letters, 0.08),
)  # fmt: skip


def _draw_shape(mask: Uint8, rng: np.random.Generator, edge: int) -> None:
    """One shape in 255 on the zeros of `mask`; sizes log-uniform, so small ones are many, as things are in pictures."""
    centre = rng.uniform(-0.1, 1.1, 2) * mask.shape[::-1]
    reach = float(np.exp(rng.uniform(np.log(0.02), np.log(0.5)))) * min(mask.shape)
    draw = _KINDS[int(rng.choice(len(_KINDS), p=[share for _, share in _KINDS]))][0]
    draw(mask, rng, centre, reach, edge)
