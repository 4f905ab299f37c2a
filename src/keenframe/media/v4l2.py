"""What Linux's video devices say of themselves."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# ioctl numbers and structures of linux/videodev2.h: v4l2_capability, v4l2_fmtdesc, v4l2_frmsizeenum.
_QUERYCAP, _CAPABILITY = 0x80685600, struct.Struct("=16s32s32s6I")
_ENUM_FMT, _FORMAT = 0xC0405602, struct.Struct("=3I32s5I")
_ENUM_SIZES, _SIZE = 0xC02C564A, struct.Struct("=11I")
_STREAMON = 0x40045612
_CAPTURE, _OUTPUT, _M2M, _OF_NODE = 0x1, 0x2, 0xC000, 0x80000000
_TYPE_CAPTURE, _TYPE_OUTPUT, _DISCRETE = 1, 2, 1
# Formats, and sizes of each, that are looked at: drivers are trusted no further.
_MANY = 64
LOOPBACK_DRIVER = "v4l2 loopback"


class Sizes(NamedTuple):
    """(width, height) of the pictures of a format, largest first; of one with any size, the largest."""

    listed: list[tuple[int, int]]
    any_size: bool = False

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """The size that is nearest to this one, by its number of pixels."""
        if self.any_size or not self.listed:
            return width, height
        return min(self.listed, key=lambda size: abs(size[0] * size[1] - width * height))


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """A /dev/video node. capture, output: whether it gives pictures, and takes them; a loopback device with
    exclusive_caps=1 does one at a time. formats: of pictures it gives, by their four letters ("MJPG", "YUYV").
    error: why it could not be asked; everything else is empty then."""

    path: str
    name: str = ""
    driver: str = ""
    capture: bool = False
    output: bool = False
    formats: dict[str, Sizes] = field(default_factory=dict)
    error: str = ""

    @property
    def loopback(self) -> bool:
        """Whether it belongs to v4l2loopback."""
        return self.driver == LOOPBACK_DRIVER

    @property
    def stuck(self) -> bool:
        """Whether it waits for a sender that has gone (see `revive`)."""
        return self.loopback and not self.capture and not self.output


def video_devices() -> list[VideoDevice]:
    """Every /dev/video node, in order of their numbers; empty where there are none."""
    nodes = [path for path in Path("/dev").glob("video*") if path.name[5:].isdigit()]
    return [ask(str(path)) for path in sorted(nodes, key=lambda path: int(path.name[5:]))]


def ask(path: str) -> VideoDevice:
    """What the device at `path` says."""
    import fcntl

    try:
        node = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return VideoDevice(path, error=(error.strerror or str(error)).lower())
    try:
        buffer = bytearray(_CAPABILITY.size)
        fcntl.ioctl(node, _QUERYCAP, buffer)
        driver, name, capture, output = read_capability(bytes(buffer))
        formats: dict[str, Sizes] = {}
        if capture:
            for number, text in _formats(node):
                formats[text] = _sizes(node, number)
    except OSError as error:
        return VideoDevice(path, error=f"is no video device: {(error.strerror or str(error)).lower()}")
    finally:
        os.close(node)
    return VideoDevice(path, name, driver, capture, output, formats)


def read_capability(data: bytes) -> tuple[str, str, bool, bool]:
    """(driver, name, capture, output) of a v4l2_capability, 104 bytes; memory-to-memory codecs are neither."""
    driver, card, _, _, whole, of_node, *_ = _CAPABILITY.unpack(data)
    flags = of_node if whole & _OF_NODE else whole
    both = bool(flags & _M2M)
    return _text(driver), _text(card), bool(flags & _CAPTURE) and not both, bool(flags & _OUTPUT) and not both


def _formats(node: int) -> Iterator[tuple[int, str]]:
    """(number, four letters) of each pixel format."""
    import fcntl

    with suppress(OSError):
        for index in range(_MANY):
            buffer = bytearray(_FORMAT.pack(index, _TYPE_CAPTURE, 0, b"", 0, 0, 0, 0, 0))
            fcntl.ioctl(node, _ENUM_FMT, buffer)
            number = _FORMAT.unpack(buffer)[4]
            yield number, struct.pack("=I", number & 0x7FFFFFFF).decode("ascii", "replace").strip()


def _sizes(node: int, number: int) -> Sizes:
    import fcntl

    listed = []
    with suppress(OSError):
        for index in range(_MANY):
            buffer = bytearray(_SIZE.pack(index, number, *[0] * 9))
            fcntl.ioctl(node, _ENUM_SIZES, buffer)
            _, _, kind, *values = _SIZE.unpack(buffer)
            if kind != _DISCRETE:
                # Minimum, maximum and step of the width, then of the height.
                return Sizes([(values[1], values[4])], any_size=True)
            listed.append((values[0], values[1]))
    return Sizes(sorted(set(listed), reverse=True))


def revive(path: str) -> None:
    """Let a loopback device take pictures again, which v4l2loopback 0.12 with exclusive_caps=1 forgets.

    It notes that a sender has gone only of one that began with STREAMON; of others, such as pyvirtualcam, it stays
    in use until the module is loaded again. So begin and go once more, properly. Does nothing to other devices, and
    is not to be done to one that somebody else sends to.
    """
    import fcntl

    if not ask(path).loopback:
        return
    with suppress(OSError):
        node = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.ioctl(node, _STREAMON, struct.pack("=i", _TYPE_OUTPUT))
        finally:
            os.close(node)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")
