"""Which encoder, with which options, and the pixel format that it and the sharpener can both take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
from av.video.format import VideoFormat

from keenframe.errors import InputError, OutputError

# SVT-AV1 writes its banner to stderr unless told before it is loaded.
os.environ.setdefault("SVT_LOG", "1")


@dataclass(frozen=True, slots=True)
class Encoder:
    """One codec's encoder: library, defaults that look lossless at the usual distance, and its option
    names."""

    library: str
    crf: int | None
    crf_range: tuple[int, int]
    preset: str | None
    preset_option: str
    options: tuple[tuple[str, str], ...] = ()
    even_size: bool = True
    tag_in_mp4: str | None = None


ENCODERS = {
    # Presets with a short look-ahead: an encoder that looks sixty frames ahead holds 190 MB of them at 1080p.
    "h264": Encoder("libx264", 18, (0, 51), "veryfast", "preset"),
    "hevc": Encoder(
        "libx265",
        20,
        (0, 51),
        "fast",
        "preset",
        (("x265-params", "log-level=error"),),
        True,
        "hvc1",
    ),
    "vp9": Encoder(
        "libvpx-vp9",
        24,
        (0, 63),
        "6",
        "cpu-used",
        (("row-mt", "1"), ("tile-columns", "2"), ("deadline", "realtime")),
        False,
    ),
    "av1": Encoder("libsvtav1", 24, (0, 63), "9", "preset", (), False),
    "ffv1": Encoder("ffv1", None, (0, 0), None, "", (("level", "3"), ("slicecrc", "1")), False),
}
DEFAULT_CODEC = {
    ".mp4": "h264",
    ".m4v": "h264",
    ".mov": "h264",
    ".mkv": "h264",
    ".webm": "vp9",
    ".avi": "h264",
    ".ts": "h264",
    ".m2ts": "h264",
    ".mts": "h264",
    ".flv": "h264",
    ".3gp": "h264",
    ".nut": "ffv1",
}
# Containers whose packets are stored in decoding order without room for a negative start: no B-frames
# there, so that the first frame's time needs no shift.
_NO_REORDERING = {"mpegts", "avi", "flv"}


def choose_encoder(target: Path, codec: str | None) -> tuple[str, Encoder]:
    """Codec name and encoder for a target file; by default the usual codec of its container.

    OutputError for an unknown suffix, InputError for an unknown codec.
    """
    suffix = target.suffix.lower()
    if suffix not in DEFAULT_CODEC:
        known = " ".join(DEFAULT_CODEC)
        raise OutputError(f"'{target.name}' has {suffix or 'no'} suffix; expected one of {known}")
    codec = codec or DEFAULT_CODEC[suffix]
    if codec not in ENCODERS:
        raise InputError(f"codec '{codec}' is unknown; expected one of {', '.join(ENCODERS)}")
    return codec, ENCODERS[codec]


def encoder_options(encoder: Encoder, container: str, crf: int | None, preset: str | None) -> dict[str, str]:
    """FFmpeg options for `encoder`. InputError when a CRF or preset does not fit it."""
    options = dict(encoder.options)
    low, high = encoder.crf_range
    if encoder.crf is None and (crf is not None or preset is not None):
        raise InputError(f"{encoder.library} is lossless: it takes neither --crf nor --preset")
    if crf is not None and not low <= crf <= high:
        raise InputError(f"--crf {crf} is out of range for {encoder.library}; expected {low} to {high}")
    if encoder.crf is not None:
        options["crf"] = str(encoder.crf if crf is None else crf)
    if encoder.preset is not None:
        options[encoder.preset_option] = preset or encoder.preset
    if container in _NO_REORDERING:
        options["bf"] = "0"
        if "x265-params" in options:
            options["x265-params"] += ":bframes=0"
    return options


@dataclass(frozen=True, slots=True)
class WorkingFormat:
    """The planar format a video is sharpened and encoded in, and what of the input it cannot hold."""

    pix_fmt: str
    losses: tuple[str, ...]


def working_format(source: VideoFormat, encoder: Encoder) -> WorkingFormat:
    """The planar YUV or gray format, 8 or 10 bits, that is nearest to `source` and that `encoder` takes."""
    name = source.name
    losses = []
    bits = max(component.bits for component in source.components)
    colours = len(source.components) - _has_alpha(source)
    if _has_alpha(source):
        losses.append("the alpha channel is dropped")
    if bits > 10:
        losses.append(f"{bits} bits per sample become 10")
    deep = "10le" if bits > 8 else ""
    if colours == 1 and name != "pal8":
        wanted = "gray" if not deep else "yuv420p10le"
    elif source.is_rgb or name == "pal8":
        losses.append("RGB becomes YUV 4:2:0")
        wanted = "yuv420p" + deep
    else:
        wanted = f"yuv{_sampling(source)}p{deep}"
    offered = {f.name for f in av.Codec(encoder.library, "w").video_formats or ()}
    if wanted in offered:
        return WorkingFormat(wanted, tuple(losses))
    for pix_fmt in ("yuv420p" + deep, "yuv420p"):
        if pix_fmt in offered:
            if "4" in wanted and pix_fmt[:6] != wanted[:6]:
                losses.append(f"{encoder.library} takes 4:2:0 only: chroma is halved")
            if deep and not pix_fmt.endswith("10le"):
                losses.append(f"{encoder.library} takes 8 bits only: {bits} bits become 8")
            return WorkingFormat(pix_fmt, tuple(losses))
    raise OutputError(
        f"{encoder.library} takes none of the formats that fit '{name}'; choose another --codec"
    )


def _has_alpha(source: VideoFormat) -> bool:
    return any(component.is_alpha for component in source.components)


def _sampling(source: VideoFormat) -> str:
    """'420', '422' or '444': the sampling that loses no chroma of `source`."""
    across, down = 16 // source.chroma_width(16), 16 // source.chroma_height(16)
    if across == 1:
        return "444"
    if down == 1:
        return "422" if across == 2 else "420"
    return "420"
