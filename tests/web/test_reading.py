"""Words of other rooms, put for a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from keenframe.web.reading import about, sentence


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("it is full", "It is full."),
        (
            "'x' is HDR, PQ; expected standard dynamic range — tone-map it to BT.709 first",
            "'x' is HDR, PQ; expected standard dynamic range — tone-map it to BT.709 first.",
        ),
        (
            "'x' is interlaced; expected progressive frames — deinterlace it first, for example with: ffmpeg -i IN -vf",
            "'x' is interlaced; expected progressive frames — deinterlace it first.",
        ),
        (
            "'x' is not a video (it reads as tty) — for pictures: keenframe image",
            "'x' is not a video (it reads as tty).",
        ),
        (
            "4 are there; wait until one leaves, or start it with more (--peers)",
            "4 are there; wait until one leaves.",
        ),
        (
            "a becomes b, its edge repeated; --codec vp9 or ffv1 keeps odd sizes",
            "A becomes b, its edge repeated.",
        ),
        ("Done already.", "Done already."),
    ],
)
def test_sentences(message: str, shown: str) -> None:
    assert sentence(message) == shown


def test_the_servers_paths_are_not_shown() -> None:
    path = Path("/tmp/x/source")
    assert about("'/tmp/x/source' is damaged", path, "a.png") == "“a.png” is damaged"
    assert about("'/tmp/x/source' is damaged", path, "") == "the file is damaged"
