"""Writing a video: the sharpened frames encoded, every other stream copied, and what describes them kept."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame

from keenframe.errors import InputError, OutputError
from keenframe.media.encoders import Encoder, encoder_options
from keenframe.media.files import reason
from keenframe.media.reencode import Reencoder, reencoder
from keenframe.media.scheduling import ordinary_scheduling
from keenframe.media.source import Source, display_matrix

_ENCODER_THREADS = 8
# Bytes of sound and subtitles that may wait for the first frame, by which the file is set up.
_WAITING_MAX = 256 << 20
# Tags that describe the old file's bytes, or that every muxer writes anew; "software" is AVI's name for "encoder".
_STALE_TAGS = {
    "encoder",
    "software",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "duration",
    "rotate",
}
# The mp4 demuxer gives a location a second time, with a language behind its name.
_STALE_PREFIXES = ("_statistics", "bps", "number_of_", "location-")
# What the mp4 and mov muxers store without being asked to keep foreign keys: asked for those, they store all tags
# in a way that most players do not look for.
_MP4_TAGS = {
    *(
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
    ),
    *(
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "track",
        "disc",
        "tmpo",
    ),
    *("season_number", "episode_sort", "media_type", "hd_video", "gapless_playback", "compilation"),
    *("creation_time", "language", "handler_name", "vendor_id", "timecode", "location"),
}
_MOV_TAGS = {
    *("title", "artist", "album", "date", "comment", "genre", "copyright", "make", "model"),
    *("creation_time", "language", "handler_name", "vendor_id", "timecode", "location"),
}
_MP4_FAMILY = {"mp4", "mov", "ipod", "3gp"}
# Containers that can say "the first 23 ms of sound are not to be heard" and so hold times before zero.
_HOLDS_NEGATIVE_TIMES = _MP4_FAMILY
_NO_TIMESTAMPS = "avi"
# A pause between two packets of sound that is no rounding of their times.
_GAP_S = Fraction(1, 10)
# Their muxers write a timecode track by the video's tag, and fail in the end where one is copied as well.
_TIMECODE_FROM_TAG = {"mp4", "mov"}
_ONE_FRAME_A_CHUNK = ("ac3", "aac")
# Where a cover picture is dropped at the end, or becomes a video of one frame or unknown data.
_NO_COVERS = {"mov", "avi", "mpegts"}
_KNOWN_IN_TS = {
    "dvbsub",
    "dvb_subtitle",
    "libzvbi_teletextdec",
    "dvb_teletext",
    "klv",
    "timed_id3",
    "scte_35",
}


class Target:
    """An output video that opens itself at the first frame, whose size, colours and rotation it takes over.

    path: where to write, with the suffix that chooses the container. Everything that did not fit is in
    `warnings`.
    """

    def __init__(
        self, path: Path, source: Source, encoder: Encoder, crf: int | None, preset: str | None
    ) -> None:
        self.warnings: list[str] = []
        self.frames = 0
        self._source = source
        self._encoder = encoder
        self._waiting: list[Packet[Any]] = []
        self._waiting_bytes = 0
        self._copied: dict[int, Stream] = {}
        self._reencoded: dict[int, Reencoder] = {}
        self._lost_packets: dict[int, int] = {}
        self._path = path
        self._container = self._open(path)
        self._format = self._container.format.name
        self._options = encoder_options(encoder, self._format, crf, preset)
        self._video: Any = None
        self._last_pts: int | None = None
        self._held: list[Packet[Any]] = []
        self._end_s = Fraction(0)
        # Stored without times, sound starts at once; so all else must be counted from the first packet, too.
        late_us = max(0, source.container.start_time or 0) if self._format == _NO_TIMESTAMPS else 0
        self._start_s = Fraction(late_us, av.time_base)
        self._sound_end_s: dict[int, Fraction] = {}
        self._pauses_s: dict[int, Fraction] = {}

    def _open(self, path: Path) -> OutputContainer:
        options = {}
        if path.suffix.lower() in (".mp4", ".m4v", ".mov", ".3gp"):
            # The offset of the first frame is stored in ticks of the movie, which are milliseconds by
            # default.
            options["movie_timescale"] = str(_fine_timescale(self._source.time_base))
            standard = _MOV_TAGS if path.suffix.lower() == ".mov" else _MP4_TAGS
            if {key.lower() for key in _kept(self._source.container.metadata)} - standard:
                options["movflags"] = "use_metadata_tags"
        if path.suffix.lower() in (".ts", ".mts", ".m2ts"):
            options["mpegts_copyts"] = "1"
        try:
            return av.open(f"file:{path}", "w", container_options=options, metadata_errors="surrogateescape")
        except (FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"'{path}' could not be opened for writing: {reason(error)}") from error

    def write(self, item: VideoFrame | Packet[Any], original: VideoFrame | None = None) -> None:
        """Encode a frame, or copy a packet. original: the decoded frame with the tags that the first frame
        sets."""
        if isinstance(item, Packet):
            if self._video is None:
                self._wait(item)
            else:
                self._copy(item)
            return
        with ordinary_scheduling():
            if self._video is None:
                self._start(item, original or item)
            self._fit_time(item)
            packets = self._video.encode(item)
        self._note_end(item)
        self._mux_held(packets)
        self.frames += 1

    def _wait(self, packet: Packet[Any]) -> None:
        self._waiting.append(packet)
        self._waiting_bytes += packet.size
        if self._waiting_bytes > _WAITING_MAX:
            damage = "; ".join(self._source.faults.describe()) or "its other streams are far ahead of it"
            raise InputError(
                f"'{self._source.path}' has a video stream, but no frame of it in its first "
                f"{_WAITING_MAX >> 20} MB: {damage}"
            )

    def _start(self, frame: VideoFrame, original: VideoFrame) -> None:
        """Set up all streams by the first frame, then copy what came before it."""
        source = self._source
        time_base = 1 / source.finest_rate if self._format == _NO_TIMESTAMPS else source.time_base
        try:
            stream: Any = self._container.add_stream(
                self._encoder.library, rate=source.frame_rate, options=self._options
            )
        except ValueError as error:
            raise OutputError(
                f"{self._format} cannot hold {self._encoder.library} video; choose another --codec or suffix"
            ) from error
        self._video = stream
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        stream.time_base = context.time_base = time_base
        context.thread_count = min(os.cpu_count() or 1, _ENCODER_THREADS)
        context.flags |= av.codec.context.Flags.frame_duration
        context.color_range, context.colorspace = frame.color_range, frame.colorspace
        context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
        if self._encoder.tag_in_mp4 and self._format in _MP4_FAMILY:
            context.codec_tag = self._encoder.tag_in_mp4
        self._keep_shape(original)
        stream.metadata.update(_titled(source.video.metadata))
        stream.disposition = source.video.disposition
        self._container.metadata.update(_kept(source.container.metadata))
        self._container.set_chapters(source.container.chapters())
        for other in source.others:
            self._add_copy(other)
        try:
            context.open()
        except (FFmpegError, ValueError) as error:
            given = " ".join(f"{key}={value}" for key, value in self._options.items())
            raise InputError(
                f"{self._encoder.library} refuses {frame.width}x{frame.height} {frame.format.name} "
                f"with {given}: {reason(error)} — try another --preset or --codec"
            ) from error
        try:
            self._container.start_encoding()
        except (FFmpegError, ValueError) as error:
            raise OutputError(f"{self._format} refuses these streams: {reason(error)} — try .mkv") from error
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            self._copy(packet)

    def _keep_shape(self, original: VideoFrame) -> None:
        """Carry over rotation and pixel shape."""
        matrix = display_matrix(original)
        if matrix is not None:
            self._video.set_display_matrix(np.frombuffer(matrix, "<i4").tolist())
            if self._format in ("avi", "mpegts", "flv"):
                self.warnings.append(
                    f"{self._format} cannot hold the rotation; choose .mp4 or .mkv to keep it"
                )
        ratio = self._source.video.sample_aspect_ratio
        if ratio is None or ratio in (0, 1):
            return
        self._video.codec_context.sample_aspect_ratio = ratio
        in_bitstream = self._encoder.library in ("libx264", "libx265")
        if not in_bitstream and self._format not in _MP4_FAMILY:
            self.warnings.append(
                f"{self._encoder.library} in {self._format} cannot hold the pixel shape "
                f"{ratio.numerator}:{ratio.denominator}, so the picture will look too narrow or too wide; "
                "choose --codec h264 and .mkv or .mp4"
            )

    def _add_copy(self, stream: Stream) -> None:
        if self._format in _TIMECODE_FROM_TAG and stream.type == "data" and "timecode" in stream.metadata:
            self._video.metadata.setdefault("timecode", stream.metadata["timecode"])
            return
        if _fits(self._format, stream):
            copy = _add_like(self._container, stream)
            self._copied[stream.index] = copy
        elif (other := reencoder(self._container, stream)) is not None:
            copy = other.stream
            self._reencoded[stream.index] = other
            self.warnings.append(
                f"{self._format} cannot hold {_describe(stream)}: encoded again as {other.kind}"
            )
        else:
            self.warnings.append(f"{self._format} cannot hold {_describe(stream)}: it is left out")
            return
        copy.metadata.update(_titled(stream.metadata))
        copy.disposition = stream.disposition

    def _copy(self, packet: Packet[Any]) -> None:
        index = packet.stream_index
        if self._format == _NO_TIMESTAMPS:
            self._leave_times(packet)
        if index in self._reencoded:
            self._mux(self._reencoded[index].feed(packet))
        copy = self._copied.get(index)
        if copy is None:
            return
        if packet.pts is None:
            packet.pts = packet.dts if packet.dts is not None else 0
        # Of video the muxer works it out, which knows by how many frames they are reordered.
        if packet.dts is None and packet.stream.type != "video":
            packet.dts = packet.pts
        if packet.is_discard and packet.pts < 0 and self._format not in _HOLDS_NEGATIVE_TIMES:
            return  # silence before the start that is never heard; kept, it would shift every stream
        packet.stream = copy
        try:
            self._container.mux(packet)
        except av.error.OSError as error:
            raise OutputError(f"writing failed: {reason(error)}") from error
        except (FFmpegError, ValueError):
            self._lost_packets[index] = self._lost_packets.get(index, 0) + 1

    def _leave_times(self, packet: Packet[Any]) -> None:
        """Count `packet`'s times from the start, and note the pauses in sound, which is stored without times."""
        if packet.pts is None or packet.time_base is None:
            return
        start = round(self._start_s / packet.time_base)
        packet.pts -= start
        if packet.dts is not None:
            packet.dts -= start
        if packet.stream.type == "audio":
            index, time_s = packet.stream_index, packet.pts * packet.time_base
            pause_s = time_s - self._sound_end_s.get(index, 0)
            if pause_s > _GAP_S:
                self._pauses_s[index] = self._pauses_s.get(index, Fraction(0)) + pause_s
            self._sound_end_s[index] = time_s + (packet.duration or 0) * packet.time_base

    def _fit_time(self, frame: VideoFrame) -> None:
        """Move the pts to the encoder's time base, exactly wherever the container stores times."""
        time_base = self._video.codec_context.time_base
        if frame.pts is None or frame.time_base is None:
            return
        if frame.time_base == time_base and not self._start_s:
            return
        time_s = frame.pts * frame.time_base - self._start_s
        frame.pts, frame.time_base, frame.duration = round(time_s / time_base), time_base, 1
        if self._last_pts is not None and frame.pts <= self._last_pts:
            raise OutputError(
                f"{self._format} stores one frame rate, and this video has frames closer than "
                f"1/{float(1 / time_base):g} s — choose .mp4 or .mkv"
            )
        if abs(time_s - frame.pts * time_base) > Fraction(1, 1000):
            note = f"{self._format} stores one frame rate and times are rounded to it; .mp4 keeps them"
            if note not in self.warnings:
                self.warnings.append(note)
        self._last_pts = frame.pts

    def _note_end(self, frame: VideoFrame) -> None:
        if frame.pts is not None and frame.time_base is not None:
            self._end_s = max(self._end_s, (frame.pts + frame.duration) * frame.time_base)

    def _let_end(self, packet: Packet[Any]) -> None:
        """Let `packet`, the last one stored, last to the end of the last frame shown, which may be another one."""
        if packet.pts is not None and packet.time_base is not None:
            packet.dts = packet.pts  # later than it need be: in MP4 a packet's length counts from here
            packet.duration = max(packet.duration or 0, round(self._end_s / packet.time_base) - packet.pts)

    def _mux_held(self, packets: list[Packet[Any]]) -> None:
        """Write packets of the video, but keep the last one until more of them come."""
        self._held += packets
        self._mux(self._held[:-1])
        del self._held[:-1]

    def _mux(self, packets: list[Packet[Any]]) -> None:
        try:
            self._container.mux(packets)
        except FFmpegError as error:
            raise OutputError(f"writing failed: {reason(error)}") from error

    def finish(self) -> None:
        """Write what the encoder still holds and the file's index. OutputError when that fails."""
        for reencoded in self._reencoded.values():
            self._mux(reencoded.feed(None))
        self._mux_held(self._video.encode(None))
        for last in self._held:
            if self._format in _MP4_FAMILY:
                self._let_end(last)
            self._mux([last])
        try:
            self._container.close()
        except FFmpegError as error:
            raise OutputError(f"writing failed: {reason(error)}") from error
        with suppress(FFmpegError, OSError, ValueError):
            self._check_description()
        for index, count in self._lost_packets.items():
            stream = self._source.container.streams[index]
            self.warnings.append(f"{count} packets of {_describe(stream)} do not fit and are left out")
        for index, pause_s in self._pauses_s.items():
            stream = self._source.container.streams[index]
            self.warnings.append(
                f"{self._format} cannot hold pauses: {_describe(stream)} ends {float(pause_s):.1f} s too early; "
                "choose .mp4 or .mkv"
            )

    def _check_description(self) -> None:
        """Name what describes the source and does not come back from the written file."""
        source, lost = self._source.container, []
        kept = {self._source.video.index: self._video, **self._copied}
        kept |= {index: other.stream for index, other in self._reencoded.items()}
        with av.open(f"file:{self._path}", "r", metadata_errors="surrogateescape") as written:
            if source.chapters() and not written.chapters():
                lost.append("the chapters")
            tags = {key.lower() for key in written.metadata}
            if missing := [key for key in _kept(source.metadata) if key.lower() not in tags]:
                lost.append(f"the tags {' '.join(missing)}")
            for index, copy in kept.items():
                stream = source.streams[index]
                there = copy.index < len(written.streams)
                tags = set(_titled(written.streams[copy.index].metadata)) if there else set()
                lost += [
                    f"the {key} of {stream.type} stream #{index}"
                    for key, value in _titled(stream.metadata).items()
                    if key in ("language", "title") and value != "und" and key not in tags
                ]
        if lost:
            self.warnings.append(f"{self._format} cannot hold {', '.join(lost)}; .mkv can")

    def discard(self) -> None:
        """Close without caring for the result."""
        with suppress(FFmpegError, ValueError):
            self._container.close()


def _add_like(container: OutputContainer, stream: Stream) -> Stream:
    copy: Any
    codec = _codec(stream)
    if container.format.name == _NO_TIMESTAMPS and codec is not None and codec in _ONE_FRAME_A_CHUNK:
        # A template from another AVI has a block size, by which the muxer would count time in bytes.
        sound: Any = stream
        copy = container.add_stream(codec, rate=sound.rate, layout=sound.layout.name)
        copy.codec_context.open()
        copy.codec_context.extradata = sound.codec_context.extradata
    else:
        copy = container.add_stream_from_template(stream, opaque=True)
    if stream.time_base is not None:
        copy.time_base = stream.time_base
    added: Stream = copy
    return added


def _fits(format: str, stream: Stream) -> bool:
    """Whether `format` takes a copy of `stream`: found out by writing the head of a file that has only
    that."""
    codec = _codec(stream)
    if stream.type == "attachment" and format != "matroska":
        return False
    if stream.disposition & Disposition.attached_pic and format in _NO_COVERS:
        return False
    if format == _NO_TIMESTAMPS and stream.type == "video" and codec in ("h264", "hevc"):
        return False  # the muxer fails over packets as other containers pack them, and over reordered frames
    if format == "mpegts" and stream.type in ("subtitle", "data") and codec not in _KNOWN_IN_TS:
        return False  # the muxer takes anything, and no player knows what it is
    try:
        with av.open(io.BytesIO(), "w", format=format) as probe:
            _add_like(probe, stream)
            probe.start_encoding()
    except (FFmpegError, ValueError, OSError):
        return False
    return True


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in _STALE_TAGS and not key.lower().startswith(_STALE_PREFIXES)
    }


def _titled(tags: dict[str, str]) -> dict[str, str]:
    """A stream's tags to keep; the mp4 demuxer reads a title as "name", which its muxer does not know."""
    kept = _kept(tags)
    name = kept.pop("name", kept.pop("NAME", None))
    return kept if name is None else {"title": name, **kept}


def _fine_timescale(time_base: Fraction) -> int:
    """The ticks per second that the mp4 muxer will use for a track of this time base."""
    ticks = time_base.denominator
    while ticks < 10000:
        ticks *= 2
    return ticks


def _describe(stream: Stream) -> str:
    language = f" ({stream.language})" if stream.language else ""
    return f"{stream.type} stream #{stream.index}{language} in {_codec(stream) or 'an unknown codec'}"


def _codec(stream: Stream) -> str | None:
    return stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None)
