"""Sound and text subtitles in codecs that the new container does not take, turned into ones that it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from fractions import Fraction
from typing import Any

from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.subtitles.subtitle import SubtitleSet

_SOUND = {"webm": "libopus"}
_DEFAULT_SOUND = "aac"
_OPUS_RATE = 48000
_TEXT = {
    "mp4": "mov_text",
    "mov": "mov_text",
    "ipod": "mov_text",
    "3gp": "mov_text",
    "matroska": "srt",
    "webm": "webvtt",
}
_TEXT_CODECS = {"mov_text", "subrip", "srt", "webvtt", "ass", "ssa", "text"}


class Reencoder(ABC):
    """Packets of one input stream in, packets of one output stream out.

    kind: the output's codec, and its channels where they are others.
    """

    stream: Stream
    kind: str

    @abstractmethod
    def feed(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """Output packets for an input packet; None at the end. Damaged packets give none."""


def reencoder(container: OutputContainer, source: Stream) -> Reencoder | None:
    """A Reencoder with its stream added to `container`; None when there is no way for this stream."""
    name = container.format.name
    if source.codec_context is None:
        return None
    try:
        if source.type == "audio":
            return _Sound(container, source, _SOUND.get(name, _DEFAULT_SOUND))
        if source.type == "subtitle" and source.codec_context.name in _TEXT_CODECS and name in _TEXT:
            return _Text(container, source, _TEXT[name])
    except (FFmpegError, ValueError):
        pass
    return None


class _Sound(Reencoder):
    def __init__(self, container: OutputContainer, source: Any, codec: str) -> None:
        self._source = source
        rate = _OPUS_RATE if codec == "libopus" else source.rate
        layout = _layout(codec, rate, source.layout)
        self.kind = codec if layout == source.layout.name else f"{codec}, {layout}"
        self.stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        self.stream.codec_context.open()
        context: Any = self.stream.codec_context
        self._resampler = AudioResampler(context.format, context.layout, rate, context.frame_size or None)

    def feed(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        try:
            decoded = self._source.codec_context.decode(packet)
        except FFmpegError:
            decoded = []
        frames: list[Any] = [piece for frame in decoded for piece in self._resampler.resample(frame)]
        if packet is None:
            frames += [*self._resampler.resample(None), None]
        return [out for frame in frames for out in self.stream.encode(frame)]


class _Text(Reencoder):
    def __init__(self, container: OutputContainer, source: Any, codec: str) -> None:
        self._source, self.kind = source, codec
        self.stream: Any = container.add_stream(codec)
        self.stream.time_base = self.stream.codec_context.time_base = Fraction(1, 1000)
        source.codec_context.open(strict=False)
        context: Any = self.stream.codec_context
        context.subtitle_header = source.codec_context.subtitle_header

    def feed(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        if packet is None or packet.pts is None:
            return []
        try:
            texts = [rect for rect in self._source.codec_context.decode(packet) if hasattr(rect, "ass")]
        except FFmpegError:
            return []
        made = []
        for text in texts:
            start_ms = round(packet.pts * packet.time_base * 1000)
            length_ms = round((packet.duration or 0) * packet.time_base * 1000)
            event = SubtitleSet.create(text.ass, start=0, end=length_ms, pts=start_ms)
            out = self.stream.codec_context.encode_subtitle(event)
            out.stream, out.time_base = self.stream, Fraction(1, 1000)
            out.pts = out.dts = start_ms
            out.duration = length_ms
            made.append(out)
        return made


def _layout(codec: str, rate: int, source: Any) -> str:
    """The layout nearest to the AudioLayout `source` that the encoder takes; FFmpegError when there is none."""
    # A trial for each: a stream, once added, cannot be taken back. "6c" is FFmpeg's usual layout of six channels.
    for layout in (source.name, AudioLayout(f"{source.nb_channels}c").name):
        with suppress(FFmpegError, ValueError):
            open_sound_encoder(codec, rate, layout)
            return layout
    open_sound_encoder(codec, rate, "stereo")
    return "stereo"


def open_sound_encoder(codec: str, rate: int, layout: str) -> None:
    """Open an encoder with these settings and drop it: FFmpegError or ValueError when it does not take
    them."""
    from av.codec import CodecContext

    context: Any = CodecContext.create(codec, "w")
    context.sample_rate, context.layout = rate, layout
    context.format = context.codec.audio_formats[0]
    context.open()
