"""What a bad call does to pristine frames, in a few fixed degrees that a result can name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, repeat
from types import MappingProxyType
from typing import Any

import av

from keenframe.errors import InputError
from keenframe.frame import Frame

# A picture is sent as a clip of itself that stands still; the last frame is what the viewer looks at.
_STILL_FRAMES = 12
# A size at which nothing but large shapes is left, for answers that must be plain.
_RUINED_FACTOR = 14


@dataclass(frozen=True, slots=True)
class Damage:
    """factor: how much smaller a frame is sent. qp: H.264 quantiser of a low-delay stream, None for no codec.
    what: in words, for the report."""

    factor: int
    qp: int | None
    what: str


DAMAGES = MappingProxyType(
    {
        "call-half": Damage(2, 32, "sent at half size as low-delay H.264, QP 32, and enlarged bilinearly"),
        "call-full": Damage(1, 37, "sent at full size as low-delay H.264, QP 37"),
        "blur": Damage(2, None, "halved (bicubic) and enlarged bilinearly"),
        "none": Damage(1, None, "left as it was"),
    }
)


def damage(name: str) -> Damage:
    """A damage by name; InputError with the known ones."""
    if name not in DAMAGES:
        raise InputError(f"damage '{name}' is unknown; expected one of {', '.join(DAMAGES)}")
    return DAMAGES[name]


def received(frames: Iterable[Frame], damage: Damage) -> Iterator[Frame]:
    """The frames as they arrive: `factor` times smaller (sizes are multiples of 4), after the codec."""
    if damage.factor > 1:
        frames = (resized(f, f.width // damage.factor, f.height // damage.factor, "BICUBIC") for f in frames)
    if damage.qp is None:
        yield from frames
        return
    yield from _coded(frames, damage.qp)


def shown(frames: Iterable[Frame], damage: Damage) -> Iterator[Frame]:
    """The received frames as a viewer enlarges them."""
    if damage.factor == 1:
        return iter(frames)
    return (resized(f, f.width * damage.factor, f.height * damage.factor, "BILINEAR") for f in frames)


def ruined(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames so blurred that nobody can call them good."""
    for frame in frames:
        small = resized(frame, frame.width // _RUINED_FACTOR, frame.height // _RUINED_FACTOR, "BICUBIC")
        yield resized(small, frame.width, frame.height, "BILINEAR")


def resized(frame: Frame, width: int, height: int, interpolation: str) -> Frame:
    """A frame at another size, with its tags and times; width and height at least 2."""
    picture = frame.to_av().reformat(max(2, width), max(2, height), interpolation=interpolation)
    return _tagged(picture, frame)


def _tagged(picture: av.VideoFrame, like: Frame) -> Frame:
    made = Frame.from_av(picture)
    return replace(made, matrix=like.matrix, range=like.range, pts=like.pts, time_base=like.time_base)


def _coded(frames: Iterable[Frame], qp: int) -> Iterator[Frame]:
    """The frames through H.264 and back. An rgb24 picture goes as a clip of YUV 4:2:0 and comes back as RGB."""
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        return
    if first.format != "rgb24":
        yield from _streamed(chain([first], iterator), qp)
        return
    for picture in chain([first], iterator):
        yuv = Frame.from_rgb(picture.planes[0], matrix=picture.matrix)
        last = deque(_streamed(repeat(yuv, _STILL_FRAMES), qp), maxlen=1).pop()
        yield picture.with_planes((last.to_rgb(),))


def _streamed(frames: Iterable[Frame], qp: int) -> Iterator[Frame]:
    """i420 frames of one size, one out for each one in, in order."""
    encoder: Any = None
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    waiting: deque[Frame] = deque()
    for index, frame in enumerate(frames):
        encoder = encoder or _encoder(frame, qp)
        waiting.append(frame)
        picture = frame.to_av()
        picture.pts, picture.time_base = index, encoder.time_base
        for packet in encoder.encode(picture):
            for decoded in decoder.decode(packet):
                yield _tagged(decoded, waiting.popleft())
    packets = [] if encoder is None else encoder.encode(None)
    for packet in [*packets, None]:
        for decoded in decoder.decode(packet):
            yield _tagged(decoded, waiting.popleft())


def _encoder(frame: Frame, qp: int) -> Any:
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuv420p"
    context.time_base, context.framerate, context.thread_count = Fraction(1, 30), Fraction(30), 1
    context.options = {"preset": "veryfast", "tune": "zerolatency", "qp": str(qp), "threads": "1"}
    return context
