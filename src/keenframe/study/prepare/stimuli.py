"""Stimulus files that tell nothing but what they show: one format, one size, one time, a name without meaning."""

from __future__ import annotations

import os
import secrets
import struct
import textwrap
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from keenframe.frame import Frame

STILL_SUFFIX, CLIP_SUFFIX = ".png", ".mp4"
# Near-lossless: above 48 dB on the clips of the tests, and every browser plays it.
_CLIP_OPTIONS = {"crf": "8", "preset": "medium", "profile": "high"}
# Every file bears this time: 2000-01-01.
_TIME_S = 946684800
_PNG_END = 12  # the IEND chunk
_CHUNK_FRAME = 12  # length, type and checksum of a PNG chunk
_BOX_FRAME = 8  # length and type of an MP4 box


def random_name(suffix: str) -> str:
    """A file name that nothing can be read from, not even with the study's seed."""
    return secrets.token_hex(12) + suffix


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    """(H, W, 3) RGB as a PNG file without anything but pixels."""
    Image.fromarray(np.ascontiguousarray(rgb)).save(path, "PNG", compress_level=9)


def write_clip(path: Path, frames: Iterable[Frame]) -> float:
    """i420 frames with times as a near-lossless MP4 that browsers play; it starts at time 0.

    Returns the time of the last frame in seconds.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = None
        start, last_s = 0, 0.0
        for frame in frames:
            picture = frame.to_av()
            assert picture.time_base is not None and picture.pts is not None
            if stream is None:
                stream = container.add_stream("libx264", options=dict(_CLIP_OPTIONS))
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.time_base = stream.codec_context.time_base = picture.time_base
                stream.codec_context.colorspace = picture.colorspace
                stream.codec_context.color_range = picture.color_range
                start = picture.pts
            picture.pts -= start
            last_s = float(picture.pts * picture.time_base)
            container.mux(stream.encode(picture))
        if stream is not None:
            container.mux(stream.encode(None))
    return last_s


def level(paths: list[Path]) -> None:
    """Fill all files of one kind up to the size of the largest, with random bytes that no viewer looks at."""
    frame = _CHUNK_FRAME if paths[0].suffix == STILL_SUFFIX else _BOX_FRAME
    # Every file gets some filling: its presence must not tell either.
    size = max(path.stat().st_size for path in paths) + frame + 1
    for path in paths:
        data = path.read_bytes()
        filling = secrets.token_bytes(size - len(data) - frame)
        if path.suffix == STILL_SUFFIX:
            kind = b"fiLl"  # ancillary, private: decoders pass it over
            chunk = struct.pack(">I", len(filling)) + kind + filling
            chunk += struct.pack(">I", zlib.crc32(kind + filling))
            data = data[:-_PNG_END] + chunk + data[-_PNG_END:]
        else:
            data += struct.pack(">I", len(filling) + _BOX_FRAME) + b"free" + filling
        path.write_bytes(data)
        os.utime(path, (_TIME_S, _TIME_S))


def with_instruction(frames: Iterable[Frame], lines: list[str]) -> Iterator[Frame]:
    """The frames with an instruction in large letters over their middle."""
    for frame in frames:
        image = Image.fromarray(np.ascontiguousarray(frame.to_rgb()))
        rgb = np.asarray(_instructed(image, lines))
        if frame.format == "rgb24":
            yield frame.with_planes((rgb,))
            continue
        time: dict[str, Any] = {"pts": frame.pts, "time_base": frame.time_base}
        yield Frame.from_rgb(rgb, matrix=frame.matrix, range=frame.range, **time)


def _instructed(image: Image.Image, lines: list[str]) -> Image.Image:
    draw = ImageDraw.Draw(image)
    size = max(12, image.width // 22)
    font = ImageFont.load_default(size)
    wrapped = [part for line in lines for part in textwrap.wrap(line, 34)]
    height = int(size * 1.5) * len(wrapped) + size
    top = (image.height - height) // 2
    draw.rectangle((0, top, image.width, top + height), fill=(250, 250, 250))
    for index, line in enumerate(wrapped):
        left = (image.width - draw.textlength(line, font=font)) / 2
        draw.text((left, top + size // 2 + index * int(size * 1.5)), line, fill=(20, 20, 20), font=font)
    return image
