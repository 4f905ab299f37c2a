"""PNG beyond Pillow: 16 bits per sample, which it would cut to 8, and every chunk that describes the picture.

A PNG file is a signature and chunks: 4 bytes of length, 4 of type, the data, 4 of CRC.
"""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from keenframe.errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# FFmpeg's formats by number of channels: gray, gray and alpha, RGB, RGB and alpha; big-endian as in the file.
_FORMATS = {1: "gray16be", 2: "ya16be", 3: "rgb48be", 4: "rgba64be"}
_CHANNELS = {name: channels for channels, name in _FORMATS.items()}
# Chunks that belong to the pixels, their order or their animation, and so are written anew.
_PIXEL_CHUNKS = {
    *(b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT"),
    *(b"acTL", b"fcTL", b"fdAT"),
}

Chunk = tuple[bytes, bytes]


def is_deep(path: Path) -> bool:
    """Whether the PNG at `path` has 16 bits per sample."""
    with path.open("rb") as file:
        head = file.read(25)
    return head.startswith(_SIGNATURE) and len(head) == 25 and head[24] == 16


def read_chunks(path: Path) -> list[Chunk]:
    """(type, data) of the chunks that describe the picture rather than hold it. InputError when broken."""
    try:
        return [chunk for chunk in _parse(path.read_bytes()) if chunk[0] not in _PIXEL_CHUNKS]
    except (ValueError, struct.error) as error:
        raise InputError(f"'{path}' is damaged or cut short: {error}") from error


def transfer(chunks: list[Chunk]) -> int:
    """The code point of the transfer function that a cICP chunk names; 2, unspecified, when there is none."""
    return next((body[1] for kind, body in chunks if kind == b"cICP" and len(body) == 4), 2)


def read_deep(path: Path) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """(H, W) or (H, W, 3) uint16 colour and (H, W) uint16 alpha or None. InputError when broken."""
    try:
        with av.open(str(path), format="png_pipe") as container:
            frame = next(container.decode(video=0))
    except (FFmpegError, StopIteration) as error:
        raise InputError(f"'{path}' is damaged or cut short: {error or 'no picture in it'}") from error
    channels = _CHANNELS.get(frame.format.name)
    if channels is None or frame.is_corrupt:
        raise InputError(f"'{path}' is damaged or cut short")
    rows = _rows(frame)[:, : frame.width * channels]
    samples = rows.reshape(frame.height, frame.width, channels).astype(np.uint16)
    colour = samples[..., 0] if channels <= 2 else samples[..., :3]
    return colour, samples[..., -1] if channels in (2, 4) else None


def encode_deep(colour: NDArray[np.uint16], alpha: NDArray[np.uint16] | None) -> bytes:
    """A PNG file of (H, W) or (H, W, 3) uint16 `colour` with (H, W) uint16 `alpha`, if any."""
    samples: NDArray[Any] = colour if alpha is None else np.dstack([colour, alpha])
    samples = samples.reshape(*colour.shape[:2], -1)
    height, width, channels = samples.shape
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, _FORMATS[channels]
    encoder.time_base = Fraction(1)
    encoder.options = {"pred": "mixed"}
    frame = av.VideoFrame(width, height, _FORMATS[channels])
    _rows(frame)[:, : width * channels] = samples.reshape(height, width * channels)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def with_chunks(encoded: bytes, kept: list[Chunk]) -> bytes:
    """The PNG file `encoded` with its own descriptive chunks replaced by `kept`, before its pixels."""
    own = [chunk for chunk in _parse(encoded) if chunk[0] in _PIXEL_CHUNKS]
    parts = [_SIGNATURE]
    for kind, body in [own[0], *kept, *own[1:]]:
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


def _rows(frame: av.VideoFrame) -> NDArray[np.uint16]:
    """The frame's one plane as a (H, samples with padding) view, big-endian."""
    plane: Any = frame.planes[0]
    return np.frombuffer(plane, np.dtype(">u2")).reshape(frame.height, plane.line_size // 2)


def _parse(data: bytes) -> list[Chunk]:
    """All chunks of a PNG file. ValueError or struct.error when it is cut short or a checksum is wrong."""
    chunks: list[Chunk] = []
    position = len(_SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if checksum != zlib.crc32(kind + body):
            raise ValueError(f"wrong checksum in chunk {kind.decode('latin-1')}")
        chunks.append((kind, body))
        position += 12 + length
    return chunks
