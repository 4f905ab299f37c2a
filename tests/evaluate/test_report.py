from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from browser import browser
from evaluate_tools import SIZES
from keenframe.errors import InputError
from keenframe.evaluate.crops import HEIGHT, WIDTH, choose, choose_failures
from keenframe.evaluate.curves import curves, read_history
from keenframe.evaluate.evaluation import Evaluation, Request, evaluate
from keenframe.evaluate.report import REPORT, Report
from keenframe.evaluate.svg import COLOURS

VOID = {"meta", "img", "br"}
SPEED = [
    {"model": "m", "engine": "e", "width": 1280, "height": 720, "median_ms": 6.7, "p95_ms": 8.9, "fps": 149.0}
]


class Page(HTMLParser):
    """Reads a page, checks that every element is closed, and keeps links, pictures, headings and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in ("script", "link", "iframe")
        if tag not in VOID:
            self.stack.append(tag)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag == "img":
            self.pictures.append(str(given["src"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.stack and self.stack[-1] in ("h1", "h2"):
            self.headings.append(data)


@pytest.fixture
def measured(pristine: Path, degraded: Path, unsharp_model: Path, tmp_path: Path) -> Evaluation:
    (pristine / "text" / "<b>.png").write_bytes(b"nothing")
    (degraded / "text" / "<b>.png").write_bytes(b"nothing")
    return evaluate(
        Request(
            pristine, tmp_path / "run", degraded=degraded, methods=["unsharp", str(unsharp_model)], engine="onnxruntime"
        )
    )  # fmt: skip


def history(folder: Path) -> Path:
    folder.mkdir()
    quality = {"psnr": 28.0, "ssim": 0.8, "base_psnr": 26.0, "base_ssim": 0.7}
    records = [
        {"event": "train", "step": 10, "loss": 0.5},
        {"event": "validation", "step": 10, "quality": {"r2": quality, "clean": quality}},
        {"event": "train", "step": 20, "loss": 0.4},
        {"event": "validation", "step": 20, "quality": {"r2": quality | {"psnr": 29.0}}},
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + '{"ev')
    return folder


def test_the_page_is_whole_and_needs_nothing_else(measured: Evaluation, tmp_path: Path) -> None:
    records = read_history(history(tmp_path / "keen-run"))
    Report(measured, SPEED, [("keen-run", records)]).write()
    text = (measured.folder / REPORT).read_text(encoding="utf-8")
    page = Page(text)
    assert page.headings[0] == "keenframe on pristine"
    assert {
        "Overview",
        "given",
        "Where it fails",
        "Speed of whole frames",
        "Training",
        "Not measured: 1",
    } <= set(page.headings)
    assert all(link.removeprefix("#") in page.anchors for link in page.links) and page.links
    addresses = re.findall(r"https?://[^\"' )<]+", text)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}
    assert "<b>.png" in page.text and "149" in page.text and "SSIM > 0.9" in page.text
    # Best, median and worst: input, unsharp, the model and the pristine one each.
    shown = [p for p in page.pictures if p.startswith("data:image/webp;base64,")]
    assert len(shown) == len(page.pictures) >= 12
    sizes = {Image.open(io.BytesIO(base64.b64decode(p.split(",")[1]))).size for p in shown}
    assert all(width <= WIDTH and height <= HEIGHT for width, height in sizes)
    for chart in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(chart)


def test_the_page_can_be_made_again_and_is_the_same(measured: Evaluation) -> None:
    Report(measured).write()
    first = (measured.folder / REPORT).read_bytes()
    Report(measured).write()
    assert (measured.folder / REPORT).read_bytes() == first


def test_the_page_fits_a_phone_and_a_method_has_one_colour(measured: Evaluation, tmp_path: Path) -> None:
    Report(measured, SPEED, [("keen-run", read_history(history(tmp_path / "keen-run")))]).write()
    path = measured.folder / REPORT
    with browser() as chrome:
        page = chrome.new_page(viewport={"width": 390, "height": 780})
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    gains = re.findall(r"<svg.*?</svg>", path.read_text(encoding="utf-8"), re.DOTALL)[0]
    # The first colour is the input's in the chart beside it, and the input has no gain.
    assert COLOURS[0] not in gains and COLOURS[1] in gains


def scored(name: str, gain: float, before: float = 30.0) -> dict[str, object]:
    scores = {"input": {"psnr_y": before}, "keen": {"psnr_y": before + gain}}
    return {"preset": "soft", "name": name, "scores": scores}


def test_what_is_shown_is_chosen_by_gain_alone() -> None:
    records = [scored(f"{i}", i - 2.0) for i in range(9)] + [scored("clean", -9.0, before=60.0)]
    records += [{"preset": "soft", "name": "torn", "error": "damaged"}]
    assert [(pick.why, pick.record["name"], pick.better) for pick in choose(records, "keen")] == [
        ("best", "8", True), ("median", "4", True), ("worst", "0", False),
    ]  # fmt: skip
    assert [pick.record["name"] for pick in choose_failures(records, "keen")] == ["0", "1"]
    assert [pick.why for pick in choose(records[:1], "keen")] == ["best"]
    assert choose([], "keen") == []


def test_clips_show_a_frame(clip_folder: Path, tmp_path: Path, plugin: None) -> None:
    found = evaluate(
        Request(clip_folder, tmp_path / "run", presets=["dim"], methods=["unsharp"], engine="onnxruntime")
    )
    Report(found).write()
    text = (found.folder / REPORT).read_text(encoding="utf-8")
    assert re.search(r"a\.mkv, dim, frame \d+", text)
    assert len(Page(text).pictures) >= 3


def test_an_item_that_is_gone_is_left_out(measured: Evaluation) -> None:
    for name in SIZES:
        (measured.request.material / name).unlink()
    Report(measured).write()
    assert not Page((measured.folder / REPORT).read_text(encoding="utf-8")).pictures


def test_curves_and_what_is_no_history(tmp_path: Path) -> None:
    charts = curves(read_history(history(tmp_path / "run")))
    assert len(charts) == 3
    for chart in charts:
        ElementTree.fromstring(chart)
    with pytest.raises(InputError, match="cannot be read; expected a run's folder"):
        read_history(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"event": "other", "step": 1}\n')
    with pytest.raises(InputError, match="no training and no validation"):
        read_history(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text('no\n{"event": "train", "step": 1}\n')
    with pytest.raises(InputError, match="line 1 is damaged"):
        read_history(tmp_path / "a.jsonl")


def test_windows_are_where_the_error_changes_most() -> None:
    from keenframe.evaluate.crops import _window

    pristine = np.full((240, 300), 100, np.uint8)
    shown, output = pristine.copy(), pristine.copy()
    shown[130:160, 150:180] = 120  # mended
    output[10:20, 10:20] = 140  # spoilt
    left, top = _window(shown, output, pristine, better=True)
    assert left <= 150 and left + WIDTH >= 180 and top <= 130 and top + HEIGHT >= 160
    left, top = _window(shown, output, pristine, better=False)
    assert left <= 10 and top <= 10
    assert _window(shown[:90, :100], output[:90, :100], pristine[:90, :100], better=True) == (0, 0)
