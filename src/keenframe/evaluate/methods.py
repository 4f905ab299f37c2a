"""What is compared: the input as a viewer shows it, filters that need no network, and models.

A method is written as text:
    input                    what arrived, enlarged where it is smaller
    bilinear, bicubic, lanczos   enlarging alone, where what arrived is smaller
    unsharp, unsharp:0.5     an unsharp mask of sigma 1 and amount 1, or another amount
    unsharp@keen             an unsharp mask of the amount that gives each item the edge strength that `keen` gives it
    keen, model.onnx         a model by name or path
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keenframe import color
from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.metrics import Edges
from keenframe.pixels import LAYOUTS

Filter = Literal["bilinear", "bicubic", "lanczos"]
Pixels = NDArray[np.uint8]
Picture = TypeVar("Picture", bound=NDArray[np.uint8] | Frame)

INPUT = "input"
UNSHARP = "unsharp"
SIGMA = 1.0
AMOUNT_MAX = 16.0
# Where an edge strength is to be reached, whatever it takes.
_AMOUNT_SEARCHED = 64.0
_TAPS_REACH = 3


@dataclass(frozen=True, slots=True)
class Method:
    """name: as it was asked for, which heads its column. like: for "matched", the method whose edges it equals."""

    name: str
    kind: Literal["input", "filter", "unsharp", "matched", "model"]
    amount: float = 1.0
    like: str = ""


def parse_method(text: str) -> Method:
    """The method that a text names. InputError for an amount that is none; a model's name is not checked here."""
    if text == INPUT:
        return Method(text, "input")
    if text in get_args(Filter):
        return Method(text, "filter")
    if text == UNSHARP:
        return Method(text, "unsharp")
    if text.startswith(f"{UNSHARP}@"):
        return Method(text, "matched", like=text.removeprefix(f"{UNSHARP}@"))
    if text.startswith(f"{UNSHARP}:"):
        try:
            amount = float(text.removeprefix(f"{UNSHARP}:"))
        except ValueError:
            amount = math.nan
        if not 0 < amount <= AMOUNT_MAX:
            raise InputError(
                f"method '{text}': expected unsharp:AMOUNT with a number up to {AMOUNT_MAX:g}, like unsharp:0.5"
            )
        return Method(text, "unsharp", amount=amount)
    return Method(text, "model")


def parse_filter(text: str) -> Filter:
    """A way of enlarging by name. InputError for another."""
    if text not in get_args(Filter):
        raise InputError(f"pictures are enlarged {', '.join(get_args(Filter))}; got '{text}'")
    return cast(Filter, text)


def parse_methods(texts: list[str]) -> list[Method]:
    """Each method once, the input first, a matched mask after what it is matched to."""
    methods = {text: parse_method(text) for text in [INPUT, *texts]}
    for method in methods.values():
        if method.kind == "matched" and method.like not in methods:
            raise InputError(
                f"method '{method.name}' takes its edge strength from '{method.like}', which is not among the "
                f"methods; add --method {method.like}"
            )
        if method.kind == "matched" and methods[method.like].kind == "matched":
            raise InputError(
                f"method '{method.name}' is matched to a matched mask; expected a model or a filter"
            )
    return sorted(methods.values(), key=lambda method: method.kind == "matched")


def on_pixels(picture: Picture, function: Callable[[Pixels], Pixels]) -> Picture:
    """`function` of an array, or of a frame's luma: chroma is carried."""
    if isinstance(picture, Frame):
        return cast(Picture, picture.with_planes((function(picture.planes[0]), *picture.chroma)))
    return cast(Picture, function(picture))


def unsharp_mask(pixels: Pixels, amount: float = 1.0, sigma: float = SIGMA) -> Pixels:
    """pixels + amount * (pixels - blurred), as players and cameras do: (H, W) or (H, W, 3) uint8, rounded, clipped.

    The blur is Gaussian over 7x7 pixels; beyond the edge the picture is mirrored.
    """
    return with_detail(pixels, detail(pixels, sigma), amount)


def detail(pixels: Pixels, sigma: float = SIGMA) -> NDArray[np.float32]:
    """pixels - blurred, float32 of the same shape."""
    taps = np.exp(-0.5 * np.square(np.arange(-_TAPS_REACH, _TAPS_REACH + 1) / sigma))
    taps = (taps / taps.sum()).astype(np.float32)
    blurred = pixels.astype(np.float32)
    for axis in (0, 1):
        width = [(0, 0)] * pixels.ndim
        width[axis] = (_TAPS_REACH, _TAPS_REACH)
        padded = np.moveaxis(np.pad(blurred, width, mode="reflect"), axis, 0)
        count = pixels.shape[axis]
        total = sum(tap * padded[offset : offset + count] for offset, tap in enumerate(taps))
        blurred = np.moveaxis(np.asarray(total, np.float32), 0, axis)
    return pixels - blurred


def with_detail(pixels: Pixels, detail: NDArray[np.float32], amount: float) -> Pixels:
    """pixels + amount * detail, rounded and clipped to 0..255."""
    return np.rint(pixels + np.float32(amount) * detail).clip(0, 255).astype(np.uint8)


def matched_amount(luma: Pixels, edges: Edges, strength: float) -> float:
    """The amount by which an unsharp mask of `luma` reaches an edge strength, 0 to 64; found by halving."""
    fine = detail(luma)
    low, high = 0.0, _AMOUNT_SEARCHED
    if math.isnan(strength) or edges.strength(luma) >= strength:
        return 0.0
    for _ in range(14):
        middle = (low + high) / 2
        if edges.strength(with_detail(luma, fine, middle)) < strength:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def enlarged(picture: Picture, factor: int, filter: Filter) -> Picture:
    """A picture or frame, `factor` times as wide and high. Chroma of frames is enlarged bilinearly."""
    if factor == 1:
        return picture
    if not isinstance(picture, Frame):
        return cast(Picture, _enlarged_pixels(picture, factor, filter))
    layout = LAYOUTS[picture.format]
    shapes = layout.shapes(picture.width * factor, picture.height * factor)
    planes = [_enlarged_pixels(picture.planes[0], factor, filter)]
    for plane, shape in zip(picture.chroma, shapes[1:], strict=True):
        out = np.empty(shape, np.uint8)
        color.enlarge(plane, factor, out, "bilinear", picture.left_sited)
        planes.append(out)
    return cast(Picture, picture.with_planes(tuple(planes)))


def _enlarged_pixels(pixels: Pixels, factor: int, filter: Filter) -> Pixels:
    height, width = pixels.shape[0] * factor, pixels.shape[1] * factor
    if filter == "lanczos":
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
    out = np.empty((height, width, *pixels.shape[2:]), np.uint8)
    color.enlarge(pixels, factor, out, filter)
    return out
