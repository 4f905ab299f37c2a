"""A video file sharpened: decoding, inference and encoding overlap in three threads with bounded queues
between.

    reader ── frames and packets ──> sharpener ── frames and packets ──> encoder (the caller's thread)

Packets of sound and subtitles travel in the same queues, so that nothing has to be sorted again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from av.packet import Packet
from av.video.frame import VideoFrame

from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.media.channel import Channel, feed
from keenframe.media.compare import Split, split_view
from keenframe.media.conform import conformed, padded_even
from keenframe.media.encoders import Encoder, WorkingFormat, choose_encoder, working_format
from keenframe.media.files import same_file, whole_file
from keenframe.media.source import Source, display_matrix
from keenframe.media.target import Target

if TYPE_CHECKING:
    from keenframe.sharpener import Sharpener

# Frames and packets between two threads. At 1080p a frame is 3 MB.
_QUEUE_LENGTH = 6

Progress = Callable[[int, int | None], None]
Item: TypeAlias = "Packet[Any] | tuple[VideoFrame, VideoFrame]"


@dataclass
class VideoReport:
    """What became of a video.

    frames: written, as many as were decoded. warnings: what the output could not hold. damage: what was
    wrong with the input; the output holds all that could be decoded.
    """

    frames: int
    seconds: float
    warnings: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)


def sharpen_video(
    source: Path,
    target: Path,
    sharpener: Sharpener,
    *,
    strength: float = 1.0,
    compare: bool = False,
    codec: str | None = None,
    crf: int | None = None,
    preset: str | None = None,
    overwrite: bool = False,
    on_progress: Progress | None = None,
    demuxer: str | None = None,
) -> VideoReport:
    """Sharpen the main video stream of `source` into `target`; copy the rest.

    codec: one of `encoders.ENCODERS`, by default the usual one of the container that target's suffix names.
    crf, preset: as that encoder takes them. compare: left half as it was, right half sharpened.
    on_progress(frames written, frames expected or None) is called after each frame, in the calling thread.
    demuxer: FFmpeg's name of the source's container, for files that are not trusted; None lets FFmpeg guess.
    `target` appears only when it is whole. A change of resolution within the video is scaled to the size of
    the first frame.

    InputError for a source that is no progressive standard-range video, OutputError when the target cannot
    be written.
    """
    if same_file(source, target):
        raise InputError(f"'{source}' is both input and output; choose another output name")
    _, encoder = choose_encoder(target, codec)
    started = time.perf_counter()
    sharpener.reset()
    with whole_file(target, overwrite) as part:
        reader = Source(source, demuxer)
        try:
            report = _run(reader, part, sharpener, strength, compare, encoder, crf, preset, on_progress)
        finally:
            reader.close()
    report.seconds = time.perf_counter() - started
    return report


def _run(
    reader: Source,
    part: Path,
    sharpener: Sharpener,
    strength: float,
    compare: bool,
    encoder: Encoder,
    crf: int | None,
    preset: str | None,
    on_progress: Progress | None,
) -> VideoReport:
    writer = Target(part, reader, encoder, crf, preset)
    decoded: Channel[VideoFrame | Packet[Any]] = Channel(_QUEUE_LENGTH)
    sharpened: Channel[Item] = Channel(_QUEUE_LENGTH)
    stage = _Stage(sharpener, strength, compare, encoder)
    threads: list[threading.Thread] = []
    try:
        threads.append(feed(decoded, reader, "keenframe-reader"))
        threads.append(feed(sharpened, stage.run(decoded), "keenframe-sharpener"))
        for item in sharpened:
            if isinstance(item, Packet):
                writer.write(item)
                continue
            writer.write(*item)
            if on_progress is not None:
                on_progress(writer.frames, reader.expected_frames)
        if writer.frames == 0:
            damage = "; ".join(reader.faults.describe()) or "the stream is empty"
            raise InputError(f"'{reader.path}' has a video stream, but no frame could be decoded: {damage}")
        writer.finish()
    except BaseException:
        for channel in (decoded, sharpened):
            channel.abort()
        for thread in threads:
            thread.join()
        writer.discard()
        raise
    for thread in threads:
        thread.join()
    return VideoReport(writer.frames, 0.0, [*stage.warnings, *writer.warnings], reader.faults.describe())


class _Stage:
    """The middle thread: decoded frames in, sharpened frames and their originals out; packets pass."""

    def __init__(self, sharpener: Sharpener, strength: float, compare: bool, encoder: Encoder) -> None:
        self.warnings: list[str] = []
        self._sharpener = sharpener
        self._strength = strength
        self._compare = compare
        self._encoder = encoder
        self._format: WorkingFormat | None = None
        self._size = (0, 0)
        self._split = Split()
        self._tags: tuple[int, int] | None = None

    def run(self, items: Channel[VideoFrame | Packet[Any]]) -> Iterator[Item]:
        for item in items:
            yield item if isinstance(item, Packet) else (self._sharpen(item), item)

    def _sharpen(self, original: VideoFrame) -> VideoFrame:
        if self._format is None:
            self._begin(original)
        conformed = self._conform(original)
        before = Frame.from_av(conformed)
        after = self._sharpener.sharpen(before, strength=self._strength)
        if self._compare:
            after = split_view(_enlarged(before, after), after, self._split)
        if self._encoder.even_size:
            after = padded_even(after)
        frame = after.to_av()
        frame.pts, frame.time_base = original.pts, original.time_base
        frame.duration = original.duration
        # The range is said even where the source leaves it open: gray is full then, but limited once it is in H.264.
        frame.colorspace = conformed.colorspace
        frame.color_primaries, frame.color_trc = original.color_primaries, original.color_trc
        return frame

    def _begin(self, first: VideoFrame) -> None:
        self._format = working_format(first.format, self._encoder)
        self._size = (first.width, first.height)
        self.warnings += self._format.losses
        if self._compare:
            self._split = Split.by_matrix(display_matrix(first))
        scale = self._sharpener.scale
        width, height = first.width * scale, first.height * scale
        if self._encoder.even_size and (width % 2 or height % 2):
            self.warnings.append(
                f"{self._encoder.library} needs even sizes: {width}x{height} becomes {width + width % 2}x"
                f"{height + height % 2}, its edge repeated; --codec vp9 or ffv1 keeps odd sizes"
            )

    def _conform(self, frame: VideoFrame) -> VideoFrame:
        """The frame in the working format, and in the first frame's size and colours."""
        assert self._format is not None
        width, height = self._size
        if (frame.width, frame.height) != self._size:
            note = f"the resolution changes within the video: all frames are scaled to {width}x{height}"
            if note not in self.warnings:
                self.warnings.append(note)
        result = conformed(frame, width, height, self._format.pix_fmt, self._tags)
        self._tags = self._tags or (int(result.colorspace), int(result.color_range))
        return result


def _enlarged(before: Frame, after: Frame) -> Frame:
    """`before` in the size of `after`, as a viewer would enlarge it."""
    if (before.width, before.height) == (after.width, after.height):
        return before
    picture = before.to_av()
    return Frame.from_av(picture.reformat(after.width, after.height, interpolation="BICUBIC"))
