"""What a file is by its first bytes, and what a download may be called."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keenframe.serving.requests import Refused
from keenframe.web.naming import HEAD_BYTES, display_name, download_name, picture_or_demuxer

TS = (b"\x47" + bytes(187)) * 5


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", None),
        (b"\xff\xd8\xff\xe0..JFIF", None),
        (b"RIFF\x10\0\0\0WEBPVP8 ", None),
        (b"II*\0....", None),
        (b"MM\0*....", None),
        (b"BM......", None),
        (b"\0\0\0\x18ftypmp42", "mov"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1aE\xdf\xa3\x01", "matroska"),
        (b"RIFF\x10\0\0\0AVI LIST", "avi"),
        (TS, "mpegts"),
        (b"....".join(b"\x47" + bytes(187) for _ in range(5)).rjust(5 * 192, b"."), "mpegts"),
        (b"\0\0\1\xba\x44", "mpeg"),
        (b"FLV\x01\x05", "flv"),
        (b"OggS\0\2", "ogg"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "asf"),
    ],
)
def test_kinds(head: bytes, kind: str | None) -> None:
    assert picture_or_demuxer(head) == kind


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypmif1", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"GIF89a", "GIF"),
        (b"%PDF-1.7", "PDF"),
        (b"<?xml version='1.0'?><svg>", "SVG"),
        (b"ID3\4", "sound"),
        (b"RIFF\x10\0\0\0WAVE", "sound"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd", "MP4"),
        (b"ffconcat version 1.0\nfile /etc/passwd", "MP4"),
        (b"<?xml version='1.0'?><MPD>", "MP4"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1", "MP4"),
        (b"YUV4MPEG2 W64 H48", "MP4"),
        (b"MZ\x90\0", "MP4"),
        (b"hello", "MP4"),
        (b"", "MP4"),
    ],
)
def test_what_is_refused_says_what_to_do(head: bytes, word: str) -> None:
    with pytest.raises(Refused, match=word) as caught:
        picture_or_demuxer(head)
    assert caught.value.status == 415


@given(st.binary(max_size=HEAD_BYTES))
def test_no_bytes_break_it(head: bytes) -> None:
    try:
        picture_or_demuxer(head)
    except Refused as refusal:
        assert str(refusal)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\photo.jpg", "photo.jpg"),
        ("a\0b\r\nSet-Cookie: x.png", "abSet-Cookie_ x.png"),
        ("\u202egpj.exe", "gpj.exe"),
        ("Прогулка é 図.png", "Прогулка é 図.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("...", ""),
        ("", ""),
        ('a"b<c>.png', "a_b_c_.png"),
        ("x" * 300 + ".png", "x" * 80 + ".png"),
        ("x." + "y" * 300, "x." + "y" * 78),
    ],
)
def test_display_names(given_name: str, kept: str) -> None:
    assert display_name(given_name) == kept


@pytest.mark.parametrize(
    ("name", "suffix", "saved"),
    [
        ("photo.heic.jpg", ".jpg", "photo.heic-keenframe.jpg"),
        ("photo", ".png", "photo-keenframe.png"),
        ("", ".mp4", "untitled-keenframe.mp4"),
        ("CON.png", ".png", "_CON-keenframe.png"),
        (".png", ".png", ".png-keenframe.png"),
    ],
)
def test_download_names(name: str, suffix: str, saved: str) -> None:
    assert download_name(name, suffix) == saved


@given(st.text())
def test_no_name_leaves_its_folder(name: str) -> None:
    kept = display_name(name)
    assert not set(kept) & set('/\\<>:"|?*') and len(kept) < 100
    assert all(unicodedata.category(c)[0] != "C" for c in kept)
    assert not kept.startswith(".") and not kept.endswith((".", " "))
    assert download_name(kept, ".png") not in ("", ".", "..")
