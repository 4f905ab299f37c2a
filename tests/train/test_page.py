"""The results page, the charts and the model cards: up to date, whole, and honest about what is missing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from keenframe_train.errors import TrainError
from keenframe_train.page import own
from keenframe_train.page.cards import card_names, recipe_folder
from keenframe_train.page.claims import claims
from keenframe_train.page.sources import CROPS, EVALUATIONS, load
from keenframe_train.page.write import CARDS, CHARTS, PAGE, outdated, pages, write_pages

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The repository's results and what is made of them, in a folder of its own."""
    for folder in ("benchmarks/results", "docs/models", "docs/images/results"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / PAGE, tmp_path / PAGE)
    return tmp_path


def test_the_page_says_what_the_result_files_say() -> None:
    stale = [str(path) for path in outdated(ROOT)]
    assert not stale, "run: keenframe-train results-page"


def test_links_and_pictures_are_there() -> None:
    for page in (ROOT / PAGE, *(ROOT / CARDS).glob("*.md")):
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        assert links
        assert not [link for link in links if not (page.parent / link).exists()], page
    for chart in (ROOT / CHARTS).glob("*.svg"):
        ElementTree.parse(chart)


def test_every_model_has_its_card() -> None:
    sources = load(ROOT)
    assert {path.stem for path in (ROOT / CARDS).glob("*.md")} == set(card_names(sources))
    for name in card_names(sources):
        card = (ROOT / CARDS / f"{name}.md").read_text(encoding="utf-8")
        for heading in ("Intended use", "Limits", "The files", "Training", "Measured", "Licence"):
            assert f"## {heading}" in card
        assert sources.models[name].spec.sha256[:16] in card


@pytest.mark.parametrize(
    ("run", "folder"),
    [
        ("keen", "keen"),
        ("keen-control", "keen"),
        ("keen-full-p50", "keen-full"),
        ("keen-control-p75", "keen"),
        ("keen-full-p75-p50", "keen-full"),
        ("edsr-plain", "edsr-plain"),
    ],
)
def test_a_run_leads_to_its_recipe(run: str, folder: str) -> None:
    assert recipe_folder(run) == folder and (ROOT / "recipes" / folder).is_dir()


def test_all_five_reports_are_answered() -> None:
    rows = claims(load(ROOT))
    assert {row.report for row in rows} == {"R1", "R2", "R3", "R4", "R5"}
    assert all(row.note for row in rows if row.here == "—")
    by_said = {row.said: row.here for row in rows}
    assert by_said["student of 334,147 parameters"] == "334,147"
    assert next(here for said, here in by_said.items() if "opinion score" in said) == "—"


def test_only_our_own_pictures_are_shown() -> None:
    shown = json.loads((ROOT / CROPS).read_text())
    assert shown
    assert {entry["name"].split("/")[0] for entry in shown} <= {"call", "picture", "text"}
    files = {path.name for path in (ROOT / CHARTS).glob("*.webp")}
    assert files == {entry["file"] for entry in shown}


def test_what_is_changed_or_of_nothing_is_found_and_mended(checkout: Path) -> None:
    assert outdated(checkout) == []
    (checkout / PAGE).write_text("by hand")
    (checkout / CARDS / "gone.md").write_text("a model that there is no more")
    (checkout / CHARTS / "gain.svg").unlink()
    changed = write_pages(checkout)
    assert changed == [CHARTS / "gain.svg", CARDS / "gone.md", PAGE]
    assert not (checkout / CARDS / "gone.md").exists() and outdated(checkout) == []


def test_other_results_give_another_page(checkout: Path) -> None:
    path = checkout / EVALUATIONS / "pictures" / "summary.json"
    summary = json.loads(path.read_text())
    summary["results"]["r2"]["all"]["keen-int8"]["psnr_gain"] = 9.87
    summary["arguments"]["models"]["keen-int8"]["sha256"] = "0" * 64
    path.write_text(json.dumps(summary))
    text = pages(checkout)[PAGE]
    assert "+9.87" in text
    assert re.search(
        r"^\*\*Measured with earlier model files:\*\*.*\bpictures: keen-int8", text, re.MULTILINE
    )


def test_without_a_run_its_section_is_left_out(checkout: Path) -> None:
    shutil.rmtree(checkout / EVALUATIONS / "text")
    shutil.rmtree(checkout / EVALUATIONS / "pictures")
    made = pages(checkout)
    assert "## Readable text" not in made[PAGE] and "## Pictures" not in made[PAGE]
    assert "## What nobody has rated yet" in made[PAGE] and CHARTS / "text.svg" not in made
    assert "Nothing yet." in made[CARDS / "keen.md"]


def test_damaged_results_and_no_checkout(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="run this in a checkout"):
        pages(tmp_path / "nowhere")
    (checkout / EVALUATIONS / "pictures" / "summary.json").write_text("{")
    with pytest.raises(TrainError, match="cannot be read"):
        pages(checkout)


def test_the_own_material_is_whole(tmp_path: Path) -> None:
    own.write_material(tmp_path / "material")
    files = sorted((tmp_path / "material").rglob("*.png"))
    assert {path.parent.name for path in files} == {"call", "picture", "text"} and len(files) == 10
    assert all(np.asarray(Image.open(path)).shape[2] == 3 for path in files)
