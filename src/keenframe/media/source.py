"""Reading a video: its frames to sharpen, in order and with exact times, between the packets to copy as
they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from keenframe.errors import InputError
from keenframe.media.files import check_input, reason

# Code points of ITU-T H.273, which videos and PNG files share.
HDR_TRANSFER = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}
_DECODER_THREADS = 4
# A demuxer that reads any text as a picture of a terminal, and those that read single pictures.
_NO_VIDEO_FORMATS = ("tty", "image2", "_pipe")
# Above it, a rate that the header states or FFmpeg guesses is measured.
_PLAUSIBLE_RATE = 240
_MEASURED_PACKETS = 120
_ASSUMED_RATE = Fraction(30)
# How much earlier than announced a Matroska file may end: muxers round, and streams end unevenly.
_SHORT_S = 0.5
# How far back a stream's packets may step before its clock counts as started anew: where files were joined.
_RESTART_S = 0.5


@dataclass
class Faults:
    """What was wrong with the input and could be passed over; empty for a sound file."""

    broken_packets: int = 0
    corrupt_frames: int = 0
    restarts: int = 0
    messages: list[str] = field(default_factory=list)

    def describe(self) -> list[str]:
        """One sentence for each kind of damage."""
        lines = list(self.messages)
        if self.broken_packets:
            lines.append(f"{self.broken_packets} damaged video packets could not be decoded")
        if self.corrupt_frames:
            lines.append(f"{self.corrupt_frames} frames were decoded from damaged data")
        if self.restarts:
            times = "once" if self.restarts == 1 else f"{self.restarts} times"
            lines.append(f"the clock starts anew {times}; what follows is put behind what came before")
        return lines


class Source:
    """An open input video. Iterating gives `VideoFrame`s of the main video stream, and `Packet`s of all
    others.

    Every frame has a pts in `time_base`, strictly rising. demuxer: FFmpeg's name of the container, for files
    that are not trusted; None lets FFmpeg guess. InputError when there is nothing to sharpen.
    """

    def __init__(self, path: Path, demuxer: str | None = None) -> None:
        check_input(path)
        self.path, self._demuxer = path, demuxer
        self.faults = Faults()
        try:
            self.container = self._open()
        except (FFmpegError, OSError, ValueError) as error:
            raise InputError(f"'{path}' is not a video that can be read: {reason(error)}") from error
        try:
            self.video = self._main_video()
        except BaseException:
            self.container.close()
            raise
        context = self.video.codec_context
        context.thread_type = "AUTO"
        context.thread_count = _DECODER_THREADS
        self.time_base = Fraction(self.video.time_base or Fraction(1, 1000))
        # What the container's times can tell apart; of a browser's recording no more than that is known.
        self.finest_rate = Fraction(self.video.guessed_rate or self.video.average_rate or 25)
        plausible = self.finest_rate <= _PLAUSIBLE_RATE
        self.frame_rate = self.finest_rate if plausible else self._measured_rate()
        self._packets = 0
        self._looked_deeper = False
        self._last_pts: int | None = None
        self._end_s = self._video_end_s = 0.0
        # Where times go on when a clock starts anew; by how much they are moved after each such restart; and of each
        # stream how many it has met, and its last time as the file says it.
        self._behind_s = 0.0
        self._moves_s = [0.0]
        self._clocks: dict[int, tuple[int, float]] = {}

    def _open(self) -> InputContainer:
        return av.open(f"file:{self.path}", "r", format=self._demuxer, metadata_errors="surrogateescape")

    def _measured_rate(self) -> Fraction:
        """Whole frames per second by the times of the first packets."""
        times: list[int] = []
        # Damage is for the real reading to report.
        with suppress(FFmpegError, OSError), self._open() as again:
            packets = again.demux(again.streams[self.video.index])
            times += (packet.pts for packet in islice(packets, _MEASURED_PACKETS) if packet.pts is not None)
        if len(times) < 2 or max(times) == min(times):
            return _ASSUMED_RATE
        span_s = (max(times) - min(times)) * self.time_base
        return Fraction(max(1, round((len(times) - 1) / span_s)))

    def _main_video(self) -> VideoStream:
        name = self.container.format.name
        if any(part in name for part in _NO_VIDEO_FORMATS):
            raise InputError(
                f"'{self.path}' is not a video (it reads as {name}) — for pictures: keenframe image"
            )
        videos = [s for s in self.container.streams.video if not s.disposition & Disposition.attached_pic]
        if not videos:
            found = ", ".join(f"{s.type} {_codec(s)}" for s in self.container.streams) or "no streams"
            raise InputError(f"'{self.path}' has no video stream; found: {found}")
        best = max(videos, key=lambda s: (bool(s.disposition & Disposition.default), -s.index))
        if best.codec_context is None:
            raise InputError(f"'{self.path}' has video in a codec that this build cannot decode")
        return best

    @property
    def others(self) -> list[Stream]:
        """The streams to copy: all but the one to sharpen and those the demuxer uses up itself (chapter
        texts)."""
        return [s for s in self.container.streams if s is not self.video and s.discard != Discard.all]

    @property
    def expected_frames(self) -> int | None:
        """Number of frames as the header states or the duration suggests; None when unknown."""
        if self.video.frames:
            return self.video.frames
        if self.container.duration:
            return max(1, round(self.container.duration / av.time_base * self.frame_rate))
        return None

    def __iter__(self) -> Iterator[VideoFrame | Packet[Any]]:
        wanted = [self.video, *(s for s in self.others if s.type != "attachment")]
        packets = self.container.demux(wanted)
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                self.faults.messages.append(f"reading stopped early: {reason(error)}")
                packet = None
            if packet is None:
                break
            self._move(packet)
            if packet.stream is self.video:
                yield from self._decode(packet)
            elif packet.size:
                self._note_end(packet)
                yield packet
        yield from self._decode(None)
        self._check_length()

    def _decode(self, packet: Packet[Any] | None) -> Iterator[VideoFrame]:
        if packet is not None:
            if not packet.size:  # demux ends with an empty packet; the decoder is flushed once, below
                return
            self._packets += 1
            self.faults.corrupt_frames += packet.is_corrupt
            self._note_end(packet)
        try:
            frames = self.video.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except FFmpegError:
            self.faults.broken_packets += 1
            return
        for frame in frames:
            self._check(frame)
            self._set_time(frame)
            yield frame

    def _check(self, frame: VideoFrame) -> None:
        """InputError for pictures that a sharpener of progressive, gamma-coded frames would spoil."""
        self.faults.corrupt_frames += frame.is_corrupt
        if frame.interlaced_frame:
            raise InputError(
                f"'{self.path}' is interlaced; expected progressive frames — deinterlace it first, "
                "for example with: ffmpeg -i IN -vf bwdif -crf 12 OUT"
            )
        transfer = HDR_TRANSFER.get(int(frame.color_trc))
        # Asking for side data ties a frame into a reference cycle, 3 MB until the next collection: only once.
        if transfer is None and not self._looked_deeper and "DOVI_METADATA" in frame.side_data:
            transfer = "Dolby Vision"
        self._looked_deeper = True
        if transfer is not None:
            raise InputError(
                f"'{self.path}' is HDR, {transfer}; expected standard dynamic range — "
                "tone-map it to BT.709 first"
            )

    def _set_time(self, frame: VideoFrame) -> None:
        """Give `frame` a pts in the stream's time base that is later than the one before."""
        pts = frame.pts if frame.pts is not None else frame.dts
        step = max(1, round(1 / (self.frame_rate * self.time_base)))
        if pts is None:
            pts = 0 if self._last_pts is None else self._last_pts + step
        elif self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
        frame.pts, frame.time_base = pts, self.time_base
        self._last_pts = pts

    def _move(self, packet: Packet[Any]) -> None:
        """Put a packet behind what came before its clock started anew, by the same time in every stream."""
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is None or not packet.size:
            return
        time_s = float(ticks * packet.time_base)
        met, last_s = self._clocks.get(packet.stream_index, (0, time_s))
        if time_s < last_s - _RESTART_S:
            met += 1
            if met == len(self._moves_s):
                self.faults.restarts += 1
                start = packet.pts if packet.pts is not None else ticks
                self._moves_s.append(self._behind_s - float(start * packet.time_base))
        self._clocks[packet.stream_index] = met, time_s
        move = round(self._moves_s[met] / packet.time_base)
        if move:
            packet.dts = None if packet.dts is None else packet.dts + move
            packet.pts = None if packet.pts is None else packet.pts + move
        if packet.pts is not None:
            # MPEG-TS says no duration of a picture.
            step_s = float(1 / self.frame_rate) if packet.stream is self.video else 0.0
            end_s = float(packet.pts * packet.time_base) + (
                float((packet.duration or 0) * packet.time_base) or step_s
            )
            self._behind_s = max(self._behind_s, end_s)

    def _note_end(self, packet: Packet[Any]) -> None:
        if packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._end_s = max(self._end_s, end)
            if packet.stream is self.video:
                self._video_end_s = max(self._video_end_s, end)

    def _check_length(self) -> None:
        """Note in `faults` when the file holds less than its header promises."""
        video = self.video
        if self._packets < video.frames and video.duration is not None:
            # No damage in itself: MP4 counts what its edit list leaves out, AVI its empty chunks.
            end_s = self._video_end_s
            promised_s = float(((video.start_time or 0) + video.duration) * self.time_base)
            slack_s = float(1 / self.frame_rate / 2)
        elif "matroska" in self.container.format.name and self.container.duration:
            end_s, promised_s, slack_s = self._end_s, self.container.duration / av.time_base, _SHORT_S
        else:
            return
        if end_s < promised_s - slack_s:
            self.faults.messages.append(f"the file ends after {end_s:.1f} of {promised_s:.1f} seconds")

    def reopened(self) -> Source:
        """The same file from its beginning; this one is closed. InputError when it is there no longer."""
        self.close()
        again = Source(self.path, self._demuxer)
        # Already looked at: each look keeps a frame and its decoder until Python searches for cycles, a leak in a loop.
        again._looked_deeper = self._looked_deeper
        return again

    def close(self) -> None:
        """Close the file."""
        self.container.close()


def display_matrix(frame: VideoFrame) -> bytes | None:
    """Nine 32-bit numbers that say how `frame` is turned for display; None where it is shown as it is."""
    # Asking for side data ties a frame into a reference cycle: only for the first one.
    side_data: Any = frame.side_data
    matrix = side_data.get("DISPLAYMATRIX")
    return None if matrix is None else bytes(matrix)


def _codec(stream: Stream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else "(unknown codec)"
