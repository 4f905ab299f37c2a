"""What an uploaded file is, by its first bytes, and what a download may be called, by its given name."""

from __future__ import annotations

import re
import unicodedata

from keenframe.serving.requests import Refused

# As many bytes as any of the checks below looks at.
HEAD_BYTES = 1024
PICTURES = "PNG, JPEG, WebP, TIFF, BMP"
VIDEOS = "MP4, MOV, MKV, WebM, AVI, TS, MPEG, FLV, OGV, WMV"
_NAME_LENGTH = 80
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_STILL_BRANDS = dict.fromkeys(_HEIC_BRANDS, "HEIC") | dict.fromkeys((b"avif", b"avis"), "AVIF")
_ADVICE = {
    "HEIC": "This is a HEIC picture, which keenframe cannot read. Save it as JPEG first: on an iPhone, share it "
    "with “Most Compatible”; on a computer, export it as JPEG.",
    "AVIF": "This is an AVIF picture, which keenframe cannot read. Save it as PNG or JPEG first.",
    "GIF": "This is a GIF, which keenframe cannot read. Save a still one as PNG, a moving one as MP4.",
    "PDF": "This is a PDF document. Save the page or the picture in it as PNG or JPEG first.",
    "SVG": "This is an SVG drawing, which is sharp at any size: it needs no sharpening.",
    "sound": "This is a sound file. keenframe sharpens pictures and videos.",
}


def picture_or_demuxer(head: bytes) -> str | None:
    """None for a picture, FFmpeg's name of the demuxer for a video, going by the first HEAD_BYTES bytes.

    The demuxer is then given to FFmpeg by name: left to guess, it would take a playlist for a video, and a
    playlist can name any file of this computer. Refused, with what to do, for anything else.
    """
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM")):
        return None
    if head.startswith(b"RIFF"):
        kind = {b"WEBP": "", b"AVI ": "avi", b"WAVE": "sound"}.get(head[8:12], "unknown")
        if kind in ("", "avi"):
            return kind or None
        raise _unusable(kind)
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        raise _unusable(_STILL_BRANDS[head[8:12]])
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
        return "mov"
    for start, demuxer in (
        (b"\x1aE\xdf\xa3", "matroska"),
        (b"FLV\x01", "flv"),
        (b"OggS", "ogg"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
        (b"\0\0\1\xba", "mpeg"),
    ):
        if head.startswith(start):
            return demuxer
    if any(all(head[at + n * size : at + n * size + 1] == b"G" for n in range(3)) for at, size in _TS):
        return "mpegts"
    raise _unusable(_foreign(head))


# Where the first sync byte of a transport stream is, and how long its packets are.
_TS = ((0, 188), (4, 192))


def _foreign(head: bytes) -> str:
    if head.startswith(b"GIF8"):
        return "GIF"
    if head.startswith(b"%PDF"):
        return "PDF"
    if b"<svg" in head:
        return "SVG"
    if head.startswith((b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3")):
        return "sound"
    return "unknown"


def _unusable(kind: str) -> Refused:
    unknown = f"This is not a file that keenframe can read. Pictures: {PICTURES}. Videos: {VIDEOS}."
    return Refused(415, "unusable", _ADVICE.get(kind, unknown))


def display_name(given: str) -> str:
    """A file name from elsewhere made harmless: no folders, no control or invisible characters; may be ""."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", given)[-1])
    name = "".join("_" if c in '<>:"|?*' else c for c in name if unicodedata.category(c)[0] != "C")
    name = name.strip(" .")
    stem, dot, suffix = name.rpartition(".")
    # Cut the stem, not the suffix.
    if dot and len(suffix) < 8:
        return stem[:_NAME_LENGTH] + dot + suffix
    return name[:_NAME_LENGTH]


def download_name(name: str, suffix: str) -> str:
    """What the result of the file `name` is saved as; suffix: with its dot."""
    stem = name.rpartition(".")[0] or name or "untitled"
    stem = "_" + stem if _RESERVED.fullmatch(stem) else stem
    return f"{stem}-keenframe{suffix}"
