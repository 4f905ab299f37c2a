"""Drawn screens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keenframe_train.data.images import find_images, read_rgb
from keenframe_train.data.render import KINDS, draw, fonts, parse_size, render_pictures
from keenframe_train.data.render.screen import Screen, wrapped
from keenframe_train.data.render.sources import LANGUAGES, write
from keenframe_train.data.render.words import SCRIPTS, Language, scripts_of
from keenframe_train.errors import TrainError

from .test_jobs import content


@pytest.mark.parametrize("kind", list(KINDS))
def test_pictures_are_detailed_and_repeat_with_seed_and_index(kind: str) -> None:
    pictures = [draw(kind, index, seed=2) for index in range(4)]
    for index, image in enumerate(pictures):
        assert image.shape == (648, 864, 3) and image.dtype == np.uint8
        packed = image.astype(int) @ np.array([65536, 256, 1])
        assert len(np.unique(packed)) > 40  # edges are anti-aliased
        steps = np.abs(np.diff(image.astype(int), axis=1)).max(-1)
        assert 0.004 < (steps > 40).mean() < 0.5
        assert index > 1 or np.array_equal(image, draw(kind, index, seed=2))
    assert not np.array_equal(pictures[0], draw(kind, 0, seed=3))


@pytest.mark.parametrize("size", [(128, 128), (1280, 720), (360, 780)])
def test_any_size(size: tuple[int, int]) -> None:
    for kind in KINDS:
        for index in range(4):
            assert draw(kind, index, size=size).shape == (size[1], size[0], 3)


def test_a_folder_of_screens_is_a_data_folder(tmp_path: Path) -> None:
    render_pictures("all", tmp_path / "a", 4, (200, 160))
    render_pictures("all", tmp_path / "a", 9, (200, 160), workers=2)
    render_pictures("all", tmp_path / "b", 9, (200, 160))
    assert content(tmp_path / "a") == content(tmp_path / "b")
    files = find_images(tmp_path / "a")
    assert len(files) == 9 and {file.category for file in files} == set(KINDS)
    records, left_out = render_pictures("all", tmp_path / "c", 9, (200, 160), exclude=[tmp_path / "a"])
    assert left_out == 9 and all("excluded" in record for record in records)
    with pytest.raises(TrainError, match="other settings: seed 0"):
        render_pictures("all", tmp_path / "a", 9, (200, 160), seed=1)


def test_every_script_is_written_with_glyphs_that_exist() -> None:
    for family in fonts.families():
        for name in scripts_of(family):
            language = Language(name, np.random.default_rng(1))
            text = " ".join([language.paragraph(), language.phrase(2, 9), language.name()])
            assert family.regular.writes(text) and family.bold.writes(text), (family.name, name)


def test_languages_are_prose_like() -> None:
    for name in SCRIPTS:
        language = Language(name, np.random.default_rng(3))
        words = [language.word() for _ in range(400)]
        assert 40 < len(set(words)) < 260
        sentence = language.sentence()
        assert sentence[-1] in (SCRIPTS[name].stop, "?", "!")


def test_pillows_own_font_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = fonts.Face(None)
    only = (fonts.Family("Pillow", "sans", own, own, own),)
    monkeypatch.setattr(fonts, "families", lambda: only)
    for kind in KINDS:
        assert draw(kind, 1).std() > 5
    assert scripts_of(only[0]) == ["latin"]


def test_fonts_are_found_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.font_manager", None)
    assert [family.name for family in fonts.families.__wrapped__()] == ["Pillow"]


def test_sub_pixel_text_has_coloured_rims_and_gray_text_has_none() -> None:
    font = fonts.of_look("sans")[0].regular.at(16)
    made = {}
    for smoothing in ("gray", "lcd"):
        screen = Screen(120, 40, "#ffffff", smoothing)
        screen.text(8, 26, "Hamburg", font, "#000000")
        made[smoothing] = screen.pixels().astype(int)
    assert np.ptp(made["gray"], axis=-1).max() == 0 and np.ptp(made["lcd"], axis=-1).max() > 60
    gray, lcd = (np.asarray(255 - image.mean(-1)) for image in made.values())
    assert abs(gray.sum() / lcd.sum() - 1) < 0.2  # as much ink
    columns = np.arange(120)
    assert abs((gray.sum(0) * columns).sum() / gray.sum() - (lcd.sum(0) * columns).sum() / lcd.sum()) < 1


def test_lines_are_no_wider_than_asked() -> None:
    font = fonts.of_look("serif")[0].regular.at(14)
    words = [
        "some",
        "words",
        "of",
        "which",
        "several",
        "go",
        "on",
        "a",
        "line",
        "and",
        "incomprehensibilities",
    ]
    lines = wrapped(words, font, 90)
    assert " ".join(lines) == " ".join(words)
    assert all(font.getlength(line) <= 90 for line in lines if " " in line)


def test_source_code_parses() -> None:
    import ast
    import json

    for seed in range(3):
        ast.parse(write("python", 60, np.random.default_rng(seed)))
        text = write("json", 40, np.random.default_rng(seed))
        json.loads(text.rstrip(",") + "}")
    for name in LANGUAGES:
        assert len(write(name, 50, np.random.default_rng(0)).splitlines()) >= 50


def test_sizes_are_checked() -> None:
    assert parse_size("864x648") == (864, 648) and parse_size("200X160") == (200, 160)
    for text in ("864", "864x", "0x10", "100x9000", "-8x8", "axb"):
        with pytest.raises(TrainError, match="WIDTHxHEIGHT"):
            parse_size(text)
    with pytest.raises(TrainError, match="unknown kind"):
        draw("poem", 0)


def test_pictures_are_written_as_rgb(tmp_path: Path) -> None:
    (record,) = render_pictures("chat", tmp_path, 1, (200, 160))[0]
    path = tmp_path / record["file"]
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.format == "PNG"
    assert np.array_equal(read_rgb(path), draw("chat", 0, size=(200, 160)))
