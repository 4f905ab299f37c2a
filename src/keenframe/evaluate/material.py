"""What there is to measure: pristine pictures and clips below a folder, perhaps with their degraded twins."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from keenframe.errors import InputError
from keenframe.evaluate.judge import check_size
from keenframe.frame import AV_OF_RANGE, Frame
from keenframe.media.conform import conformed
from keenframe.media.encoders import DEFAULT_CODEC
from keenframe.media.files import files_below
from keenframe.media.images import FORMAT_OF_SUFFIX, upright
from keenframe.media.pictures import read_picture
from keenframe.media.source import Source
from keenframe.metrics import luma
from keenframe.pixels import LAYOUTS

Pixels = NDArray[np.uint8]
PICTURES, CLIPS = frozenset(FORMAT_OF_SUFFIX), frozenset(DEFAULT_CODEC)
TOP = "top level"
# What presets may rely on: codecs and networks take sides that are multiples of it.
MULTIPLE = 16


@dataclass(frozen=True, slots=True)
class File:
    """name: below the folder, with slashes. category: its first folder. degraded: its twin. truth: the text that a
    picture shows, from NAME.txt beside it."""

    name: str
    category: str
    path: Path
    clip: bool
    degraded: Path | None = None
    truth: Path | None = None

    def digest(self) -> str:
        """SHA-256 over all files that belong to it. InputError where one cannot be read."""
        total = hashlib.sha256()
        for path in (self.path, self.degraded, self.truth):
            if path is not None:
                try:
                    total.update(path.read_bytes())
                except OSError as error:
                    raise InputError(
                        f"'{path}' cannot be read: {(error.strerror or str(error)).lower()}"
                    ) from error
        return total.hexdigest()


def find_files(
    folder: Path, degraded: Path | None = None, limit: int | None = None
) -> tuple[list[File], list[str]]:
    """(pictures and clips below a folder, sorted by name; what is wrong with the others).

    degraded: a folder with the same names, whatever their suffixes; what has no twin there is left out and told.
    limit: that many of every category. InputError for a missing folder and for one without any material.
    """
    found, problems = _below(folder)
    if not found:
        if problems:
            raise InputError(problems[0])
        raise InputError(
            f"'{folder}' holds no pictures and no clips; expected files with "
            f"{' '.join(sorted(PICTURES | CLIPS))}"
        )
    twins: dict[str, list[Path]] = {}
    if degraded is not None:
        below, unread = _below(degraded)
        problems += unread
        for name, path in below.items():
            twins.setdefault(_stem(name), []).append(path)
    files = []
    counts: Counter[str] = Counter()
    for name, path in found.items():
        category = name.split("/")[0] if "/" in name else TOP
        clip = path.suffix.lower() in CLIPS
        twin = None
        if degraded is not None:
            try:
                twin = _twin(name, clip, twins.get(_stem(name), []), degraded)
            except InputError as error:
                problems.append(str(error))
                continue
        counts[category] += 1
        if limit is None or counts[category] <= limit:
            truth = path.with_suffix(".txt")
            files.append(File(name, category, path, clip, twin, truth if truth.is_file() else None))
    if not files:
        raise InputError(f"nothing in '{folder}' has its degraded twin in '{degraded}'; {problems[0]}")
    return files, problems


def _below(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """(pictures and clips by their names below a folder, hidden ones apart; what cannot be looked into)."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"'{folder}' {what}; expected a folder of pictures or clips")
    paths, problems = files_below(folder)
    named = {
        path.relative_to(folder).as_posix(): path
        for path in paths
        if path.suffix.lower() in PICTURES | CLIPS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    return dict(sorted(named.items())), problems


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _twin(name: str, clip: bool, candidates: Iterable[Path], folder: Path) -> Path:
    fitting = [path for path in candidates if (path.suffix.lower() in CLIPS) == clip]
    exact = [path for path in fitting if path.relative_to(folder).as_posix() == name]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if fitting:
        raise InputError(
            f"'{name}' has {len(fitting)} twins in '{folder}', told apart by their suffixes alone"
        )
    kind = "clip" if clip else "picture"
    raise InputError(f"'{name}' has no twin in '{folder}'; expected a {kind} with the same name")


def read_pixels(path: Path, gray: bool = False) -> Pixels:
    """A picture as (H, W, 3) uint8 RGB, or as its luma (H, W), 16-235, with `gray`.

    It is turned upright; 16-bit samples become 8-bit ones; what is transparent is laid over white. InputError for what
    is no picture, and below 32 pixels a side.
    """
    picture = read_picture(path)
    colour = picture.colour
    if colour.dtype == np.uint16:
        colour = ((colour.astype(np.uint32) + 128) // 257).astype(np.uint8)
    rgb = colour if colour.ndim == 3 else np.repeat(colour[..., None], 3, axis=2)
    if picture.alpha is not None:
        deepest = np.iinfo(picture.alpha.dtype).max
        cover = (picture.alpha.astype(np.float32) / deepest)[..., None]
        rgb = np.rint(255 + (rgb - np.float32(255)) * cover).astype(np.uint8)
    rgb = upright(rgb, picture.orientation)
    check_size(rgb)
    return luma(rgb) if gray else rgb


def cut(pixels: Pixels, window: int | None = None) -> Pixels:
    """The middle window of a picture, where it has one so large, and of that what is a multiple of 16."""
    height, width = pixels.shape[:2]
    if window is not None and min(height, width) >= window:
        top, left = (height - window) // 2, (width - window) // 2
        pixels = pixels[top : top + window, left : left + window]
    height, width = (size // MULTIPLE * MULTIPLE for size in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


def read_clip(path: Path, frames: int, shrink: int = 1, gray: bool = False, multiple: int = 1) -> list[Frame]:
    """The first `frames` frames of a clip as 8-bit I420, or gray with `gray`, in memory of their own; of limited range,
    whatever the clip's own is, so that code values of one clip mean those of another.

    shrink: sides are divided by it, with a bicubic filter; a clip that is itself compressed is then a better
    reference. multiple: sides are cut to multiples of it. InputError for what is no video, is empty, or is below 32
    pixels a side.
    """
    source = Source(path)
    source.video.codec_context.thread_count = 1  # as many items are measured at once as there are processors
    clip: list[Frame] = []
    try:
        for decoded in source:
            if len(clip) == frames:
                break
            if not isinstance(decoded, VideoFrame):
                continue  # sound
            tags = int(decoded.colorspace), AV_OF_RANGE["limited"]
            planar = conformed(decoded, decoded.width, decoded.height, "yuv420p", tags)
            frame = _resized(Frame.from_av(planar), shrink, multiple)
            if gray:
                frame = Frame(
                    frame.planes[:1], "gray", frame.width, frame.height, frame.matrix, frame.range,
                    frame.pts, frame.time_base,
                )  # fmt: skip
            clip.append(frame)
    finally:
        source.close()
    if not clip:
        raise InputError(f"'{path}' holds no frame that can be decoded")
    check_size(clip[0].planes[0])
    return clip


def _resized(frame: Frame, shrink: int, multiple: int) -> Frame:
    """A frame with sides divided by `shrink`, cut to multiples, in memory of its own."""
    multiple = max(multiple, 2) if shrink > 1 else multiple  # chroma has to be there for every luma sample
    width = frame.width // shrink // multiple * multiple
    height = frame.height // shrink // multiple * multiple
    planes = []
    for plane, shape in zip(frame.planes, LAYOUTS[frame.format].shapes(width, height), strict=True):
        if shrink > 1:
            small = (plane.shape[1] // shrink, plane.shape[0] // shrink)
            plane = np.asarray(
                Image.fromarray(np.ascontiguousarray(plane)).resize(small, Image.Resampling.BICUBIC)
            )
        planes.append(plane[: shape[0], : shape[1]].copy())
    time_base = frame.time_base or Fraction(1, 30)
    return Frame(tuple(planes), frame.format, width, height, frame.matrix, frame.range, frame.pts, time_base)
