"""Which pictures and clips become sources, balanced over categories, and their frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from keenframe import color
from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.media.encoders import DEFAULT_CODEC
from keenframe.media.images import FORMAT_OF_SUFFIX, upright
from keenframe.media.pictures import read_picture
from keenframe.media.source import Source as VideoFile
from keenframe.study.design import category_of

SIDE_MIN = 96
# Half the size of a source must still be even, for codecs.
_MULTIPLE = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A usable file: where it lies, its name relative to the data folder, its category and what it is."""

    path: Path
    name: str
    category: str
    moving: bool


def is_media(path: Path) -> bool:
    """Whether the suffix is that of a picture or a video."""
    return path.suffix.lower() in FORMAT_OF_SUFFIX or path.suffix.lower() in DEFAULT_CODEC


def find_files(folder: Path) -> list[Found]:
    """All pictures and clips under `folder`. The first folder below it names the category."""
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder; expected one with pristine pictures or clips")
    found = []
    for path in sorted(folder.rglob("*")):
        if not is_media(path) or not path.is_file() or path.name.startswith("."):
            continue
        name = path.relative_to(folder).as_posix()
        found.append(Found(path, name, category_of(name), path.suffix.lower() in DEFAULT_CODEC))
    if not found:
        known = " ".join([*FORMAT_OF_SUFFIX, *DEFAULT_CODEC])
        raise InputError(f"'{folder}' holds no pictures or clips; expected files with {known}")
    return found


def in_drawing_order(files: list[Found], seed: int) -> list[Found]:
    """The files shuffled within their categories, and the categories taken in turn."""
    random = np.random.default_rng(seed)
    by_category: dict[str, list[Found]] = {}
    for file in files:
        by_category.setdefault(file.category, []).append(file)
    shuffled = [[group[int(i)] for i in random.permutation(len(group))] for group in by_category.values()]
    turns = zip_longest(*shuffled)
    return [file for turn in turns for file in turn if file is not None]


def read_frames(file: Path, moving: bool, seconds: float) -> Iterator[Frame]:
    """The frames of a file, one for a picture. Sizes are cut to multiples of 4; InputError when unusable.

    Pictures are rgb24 without pts, turned upright, alpha over white; clips are i420 with their times, at most
    `seconds` long.
    """
    if not moving:
        still = Frame.from_rgb(_still(file), format="rgb24")
        yield cropped(still, *_even_size(file, still.width, still.height))
        return
    video = VideoFile(file)
    try:
        first: int | None = None
        for item in video:
            if isinstance(item, Packet):
                continue
            assert item.pts is not None  # `VideoFile` sees to it
            first = item.pts if first is None else first
            if (item.pts - first) * video.time_base >= seconds:
                return
            frame = Frame.from_av(item)
            if frame.format != "i420":
                converted = Frame.from_av(item.reformat(format="yuv420p"))
                frame = replace(converted, pts=item.pts, time_base=video.time_base, matrix=frame.matrix)
            yield cropped(frame, *_even_size(file, frame.width, frame.height))
    finally:
        video.close()


def cropped(frame: Frame, width: int, height: int) -> Frame:
    """The middle of a frame, as views; starts at even samples, so chroma stays in place."""
    left = (frame.width - width) // 4 * 2
    top = (frame.height - height) // 4 * 2
    planes = []
    for index, plane in enumerate(frame.planes):
        shift = 1 if index and frame.format == "i420" else 0
        rows = slice(top >> shift, (top + height) >> shift)
        planes.append(plane[rows, left >> shift : (left + width) >> shift])
    return frame.with_planes(tuple(planes))


def _even_size(file: Path, width: int, height: int) -> tuple[int, int]:
    width, height = width // _MULTIPLE * _MULTIPLE, height // _MULTIPLE * _MULTIPLE
    if min(width, height) < SIDE_MIN:
        raise InputError(f"'{file}' is {width}x{height}; expected at least {SIDE_MIN} pixels a side")
    return width, height


def _still(file: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB as a viewer shows it."""
    picture = read_picture(file)
    colour, alpha = picture.colour, picture.alpha
    if colour.dtype == np.uint16:
        narrow = np.empty(colour.shape, np.uint8)
        color.to_8_bits(colour, 16, narrow)
        colour = narrow
    if colour.ndim == 2:
        colour = colour[:, :, None].repeat(3, axis=2)
    if alpha is not None:
        opacity = alpha[:, :, None] / np.float32(np.iinfo(alpha.dtype).max)
        colour = np.rint(colour * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return np.ascontiguousarray(upright(colour, picture.orientation))
