"""Small real media made on the spot, and what of a video must survive."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet

MILLISECOND = Fraction(1, 1000)


@dataclass
class Clip:
    """What a test clip is made of. times: pts in `time_base`, one for each frame."""

    width: int = 64
    height: int = 48
    times: list[int] = field(default_factory=lambda: [33 * i for i in range(12)])
    time_base: Fraction = MILLISECOND
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    sound: str | None = None
    subtitles: str | None = None
    tags: tuple[int, int, int, int] | None = None  # range, matrix, primaries, transfer as FFmpeg numbers them
    rotation: int | None = None
    pixel_shape: Fraction | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    chapters: list[dict[str, Any]] = field(default_factory=list)
    attachment: bytes | None = None


def make(path: Path, clip: Clip) -> Path:
    """Write `clip`; every frame is a moving square on a gradient, with its index as the gray level of a
    corner."""
    # The offset of the first frame is stored in ticks of the movie: fine enough for every time base used
    # here.
    fine = {"movie_timescale": str(clip.time_base.denominator * 8)} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", container_options=fine) as container:
        container.metadata.update(clip.metadata)
        container.set_chapters(clip.chapters)
        video: Any = container.add_stream(clip.codec, rate=30, options=clip.options)
        video.width, video.height, video.pix_fmt = clip.width, clip.height, clip.pix_fmt
        video.time_base = video.codec_context.time_base = clip.time_base
        if clip.tags is not None:
            context = video.codec_context
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = clip.tags
        if clip.pixel_shape is not None:
            video.codec_context.sample_aspect_ratio = clip.pixel_shape
        if clip.rotation is not None:
            video.set_display_rotation(clip.rotation)
        sound: Any = container.add_stream(clip.sound, rate=48000) if clip.sound else None
        if sound is not None:
            sound.metadata["language"] = "fra"
        text: Any = _add_text(container, clip.subtitles) if clip.subtitles else None
        if clip.attachment is not None:
            container.add_attachment("note.txt", "text/plain", clip.attachment)
        for index, pts in enumerate(clip.times):
            frame = picture(clip, index)
            frame.pts, frame.time_base = pts, clip.time_base
            container.mux(video.encode(frame))
        if sound is not None:
            _add_sound(container, sound)
        if text is not None:
            for start_ms in (40, 200):
                packet = Packet(f"text at {start_ms}".encode())
                packet.pts = packet.dts = start_ms
                packet.duration, packet.time_base, packet.stream = 100, MILLISECOND, text
                container.mux(packet)
        container.mux(video.encode(None))
    return path


def picture(clip: Clip, index: int) -> av.VideoFrame:
    columns, rows = np.meshgrid(np.arange(clip.width), np.arange(clip.height))
    image = np.stack([(columns * 3) % 200, (rows * 4) % 200, (columns + rows) % 200], -1).astype(np.uint8)
    at = 3 * index % max(1, clip.width - 16)
    image[8:24, at : at + 16] = (230, 40, 40)
    image[:8, :8] = 16 * (index % 16)
    return av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=clip.pix_fmt)


def _add_text(container: Any, codec: str) -> Any:
    text = container.add_stream(codec)
    text.time_base = MILLISECOND
    text.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n"
    text.metadata["language"] = "eng"
    return text


def _add_sound(container: Any, sound: Any) -> None:
    wave = 0.1 * np.sin(np.arange(24000) / 20, dtype=np.float32)
    samples = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
    samples.sample_rate, samples.pts = 48000, 0
    resampler = av.AudioResampler(sound.format, "stereo", 48000, sound.codec_context.frame_size or None)
    for piece in [*resampler.resample(samples), *resampler.resample(None), None]:
        container.mux(sound.encode(piece))


@dataclass
class Seen:
    """What a reader sees of a video file."""

    times_s: list[Fraction]
    frames: list[av.VideoFrame]
    streams: list[tuple[str, str | None]]
    languages: list[str | None]
    metadata: dict[str, str]
    chapters: list[tuple[float, float, str]]
    pixel_shape: Fraction | None

    @property
    def tags(self) -> tuple[int, int, int, int]:
        first = self.frames[0]
        return first.color_range, first.colorspace, first.color_primaries, first.color_trc

    def luma(self, index: int) -> np.ndarray[Any, Any]:
        plane = self.frames[index].planes[0]
        sample = np.dtype("<u2" if "10le" in self.frames[index].format.name else "u1")
        rows = np.frombuffer(plane, sample).reshape(plane.height, -1)
        return rows[:, : plane.width].astype(np.int32)


def look(path: Path) -> Seen:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return Seen(
            [frame.pts * frame.time_base for frame in frames],
            frames,
            [(s.type, s.codec_context.name if s.codec_context else None) for s in container.streams],
            [s.language for s in container.streams],
            {key.lower(): value for key, value in container.metadata.items()},
            [
                (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"])
                for c in container.chapters()
            ],
            container.streams.video[0].sample_aspect_ratio,
        )


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """(time in s, data) of all packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]
