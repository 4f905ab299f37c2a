"""Still images sharpened in their own format, with what describes them kept.

Pixels are sharpened as stored: an EXIF orientation stays a tag, so the result looks the same way up.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from keenframe.errors import KeenframeError, OutputError
from keenframe.media.compare import GAP, side_by_side
from keenframe.media.files import same_file, whole_file
from keenframe.media.pictures import Picture, Pixels, read_picture, write_picture

if TYPE_CHECKING:
    from keenframe.sharpener import Sharpener

FORMAT_OF_SUFFIX = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_KEEPS_ALPHA = {"PNG", "WEBP", "TIFF"}
# Pixels a side at most, where a picture of ours can have more.
_SIDE_MAX = {"WEBP": 16383, "JPEG": 65500}


def sharpen_image(
    source: Path,
    target: Path,
    sharpener: Sharpener,
    *,
    strength: float = 1.0,
    compare: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Sharpen one image file into another; the suffix of `target` sets its format.

    Alpha, EXIF, ICC profile, XMP, resolution, PNG texts, JPEG subsampling and TIFF compression are kept.
    16-bit gray and 16-bit PNG stay 16-bit. compare: before and after side by side, turned upright. `target`
    may be `source` with `overwrite`; it is replaced at once when the result is complete. Returns what is left
    out, in words. InputError for anything that is not one still RGB or gray picture; OutputError when it
    cannot be written.
    """
    format = FORMAT_OF_SUFFIX.get(target.suffix.lower())
    if format is None:
        known = " ".join(FORMAT_OF_SUFFIX)
        raise OutputError(f"'{target.name}' has {target.suffix or 'no'} suffix; expected one of {known}")
    if same_file(source, target) and not overwrite:
        raise OutputError(f"'{target}' is the input itself — choose another name or pass --overwrite")
    with whole_file(target, overwrite) as part:
        before = read_picture(source)
        _check_fit(before, format, target)
        _check_size(_size(before, sharpener.scale, compare), format, target)
        colour = sharpener.sharpen(np.ascontiguousarray(before.colour), strength=strength, still=True)
        alpha = before.alpha if before.alpha is None else resized_like(before.alpha, colour)
        after = replace(before, colour=colour, alpha=alpha)
        with _clear_errors(target, format):
            write_picture(part, _compared(before, after) if compare else after, format)
    return before.losses


def _check_fit(picture: Picture, format: str, target: Path) -> None:
    deep = picture.colour.dtype == np.uint16
    if picture.alpha is not None and format not in _KEEPS_ALPHA:
        raise OutputError(f"'{target}': {format} cannot hold alpha; choose .png, .webp or .tiff")
    if deep and not (
        format == "PNG" or (format == "TIFF" and picture.colour.ndim == 2 and picture.alpha is None)
    ):
        raise OutputError(f"'{target}': {format} cannot hold this 16-bit picture; choose .png")


def _size(picture: Picture, scale: int, compare: bool) -> tuple[int, int]:
    """Width and height of the result."""
    height, width = (side * scale for side in picture.colour.shape[:2])
    if not compare:
        return width, height
    width, height = (height, width) if picture.orientation >= 5 else (width, height)
    return 2 * width + GAP, height


def _check_size(size: tuple[int, int], format: str, target: Path) -> None:
    most = _SIDE_MAX.get(format)
    if most is not None and max(size) > most:
        raise OutputError(
            f"'{target}' would be {size[0]}x{size[1]}; {format} holds {most} pixels a side at most; choose .png"
        )


@contextmanager
def _clear_errors(target: Path, format: str) -> Iterator[None]:
    """What Pillow's writers raise for descriptions that a format cannot hold, as one OutputError."""
    try:
        yield
    except KeenframeError:
        raise
    except (ValueError, TypeError, LookupError, struct.error, SystemError) as error:
        other = ".tiff" if format == "PNG" else ".png"
        raise OutputError(
            f"'{target}' could not be written: {format} cannot hold what describes the picture ({error}); "
            f"choose {other}, or take out its EXIF or XMP block first"
        ) from error


def resized_like(pixels: Pixels, like: Pixels) -> Pixels:
    """`pixels` (H, W) or (H, W, 3) at the height and width of `like`, bicubic."""
    if pixels.shape[:2] == like.shape[:2]:
        return pixels
    if pixels.ndim == 3:
        return np.dstack(
            [resized_like(np.ascontiguousarray(pixels[..., c]), like) for c in range(pixels.shape[2])]
        )
    size = (like.shape[1], like.shape[0])
    limit = np.iinfo(pixels.dtype).max
    plane = Image.fromarray(pixels.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    resized: Pixels = np.clip(np.rint(np.asarray(plane)), 0, limit).astype(pixels.dtype)
    return resized


def _compared(before: Picture, after: Picture) -> Picture:
    """Before and after side by side, turned upright, so that 'side by side' is what a viewer shows."""
    orientation = after.orientation

    def pair(first: Pixels, second: Pixels) -> Pixels:
        return side_by_side(upright(first, orientation), upright(second, orientation))

    alpha = None if after.alpha is None else pair(after.alpha, after.alpha)
    old = resized_like(before.colour, after.colour)
    return replace(after.turned_upright(), colour=pair(old, after.colour), alpha=alpha)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """`pixels`, (H, W) or (H, W, 3), as EXIF `orientation` (1 to 8) says to show them."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
