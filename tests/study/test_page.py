"""The raters' page in a real Chromium: a whole session by keyboard, with a reload and a killed server in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("starlette", reason="the extra 'web' is not installed")

from browser import browser
from clips import Clip, make
from keenframe.study.database import Database, Record
from keenframe.study.design import Question, Study, read_study
from keenframe.study.plan import Step
from keenframe.study.prepare.folder import Preparation, prepare
from raters import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP = {"viewport": {"width": 1280, "height": 720}}
PHONE = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 3,
    "has_touch": True,
    "is_mobile": True,
}
SIDEWAYS = {**PHONE, "viewport": {"width": 780, "height": 360}}
# What the rater chooses: by step, so that neighbours differ.
ACR_KEYS, CCR_KEYS = "13524", "2461735"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser("--autoplay-policy=no-user-gesture-required") as started:
        yield started


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, pristine: Path) -> Path:
    """A short study with a question about the rater."""
    folder = tmp_path_factory.mktemp("small") / "study"
    question = Question("q0", "Do you wear glasses?", ("yes", "no"))
    wanted = Preparation(
        pristine,
        ["input", "unsharp:2", "reference"],
        count=1,
        size=(160, 120),
        traps=1,
        golds=1,
        repeats=1,
        questions=(question,),
    )
    prepare(folder, wanted)
    return folder


class Visit:
    """A rater in a browser window, who uses the keyboard, and what only an insider knows: the plan."""

    def __init__(self, chrome: Browser, server: Server, **device: Any) -> None:
        self.study: Study = read_study(server.folder)
        self.server = server
        database = Database(server.folder, self.study)
        (token,) = database.invite(1, simulated=True)
        database.close()
        self.link = f"{server.url}/#{token}"
        self.context = chrome.new_context(**device)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.given: dict[int, int] = {}

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text:
            self.errors.append(text)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []

    def record(self) -> Record:
        database = Database(self.server.folder, self.study)
        records = database.records()
        database.close()
        return records[-1]

    def consent(self) -> list[Step]:
        """Agree and start; returns the plan."""
        self.page.goto(self.link)
        self.page.locator(".agree").wait_for()
        self.press("Space", "Tab", "Enter")
        self.at(0)
        return self.record().steps

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, number: int) -> None:
        """Wait until the page is at a step."""
        self.page.locator("#place", has_text=f"{number + 1} of ").wait_for()

    def do(self, number: int, step: Step, confirm: bool = True) -> None:
        """Answer a step by keyboard."""
        self.at(number)
        kind, page = step["kind"], self.page
        if kind == "about":
            page.locator("fieldset").wait_for()
            self.press("Space", "Enter")
        elif kind == "screen":
            page.locator(".checks").wait_for()
            self.press("Enter")
        elif kind in ("ramp", "plate"):
            page.locator(f"img.sheet[width='{self.study.sheets[step['sheet']].width}']").wait_for()
            page.keyboard.type(self.study.sheets[step["sheet"]].answer)
            self.press("Enter")
        elif kind == "acuity":
            page.locator(".letter canvas").wait_for()
            self.press(*(f"Arrow{turn.capitalize()}" for turn in step["turns"]))
        elif kind in ("intro", "ready"):
            page.locator(".card .main").wait_for()
            self.press("Enter")
        else:
            self.rate(number, step, confirm)

    def rate(self, number: int, step: Step, confirm: bool = True) -> None:
        if step["kind"] == "ccr":
            second = self.page.locator(".tabs button:nth-child(2)")
            second.and_(self.page.locator(":enabled")).wait_for()
            self.press("ArrowRight")
        self.page.locator(".scale button:enabled").first.wait_for()
        keys = ACR_KEYS if step["kind"] == "acr" else CCR_KEYS
        key = keys[number % len(keys)]
        self.given[number] = int(key) if step["kind"] == "acr" else int(key) - 4
        self.press(key)
        if confirm:
            self.press("Enter")


@pytest.fixture
def server(small: Path) -> Iterator[Server]:
    """The short study's server; every test adds a rater of its own."""
    with serving(small) as running:
        yield running


def test_a_session_by_keyboard_with_reload_pause_and_kill(chrome: Browser, server: Server) -> None:
    visit = Visit(chrome, server, **DESKTOP)
    steps = visit.consent()
    rated = [number for number, step in enumerate(steps) if step["role"] == "rated"]
    reload_at, pause_at, kill_at = rated[1], rated[2], rated[-1]
    for number, step in enumerate(steps):
        if number == reload_at:
            shown = visit.page.locator(".stimulus")
            visit.do(number, step, confirm=False)
            before = [shown.nth(index).get_attribute("src") for index in range(shown.count())]
            visit.page.reload()
            assert before  # blobs of the old page: the same step must come back
        if number == pause_at:
            visit.at(number)
            visit.page.locator(".rating").wait_for()
            visit.press("p")
            visit.page.locator(".veil").wait_for()
            visit.press("Enter")
            visit.page.locator(".veil").wait_for(state="detached")
        if number == kill_at:
            visit.do(number, step, confirm=False)
            server.kill()
            visit.press("Enter")
            visit.page.locator("#notice", has_text="Your answer is kept").wait_for()
            server.start()
            visit.page.locator("#notice").wait_for(state="hidden")
            continue
        visit.do(number, step)
    visit.page.locator("h1", has_text="Thank you").wait_for()
    visit.close()

    record = visit.record()
    answers = {number: body for number, body, _ in record.answers}
    assert list(answers) == list(range(len(steps)))
    assert {number: answers[number]["value"] for number in visit.given} == visit.given
    for number, step in enumerate(steps):
        if step["kind"] in ("ramp", "plate"):
            assert answers[number]["value"] == visit.study.sheets[step["sheet"]].answer
        if step["kind"] == "acuity":
            assert answers[number]["value"] == step["turns"]
        if step["kind"] == "about":
            assert answers[number]["value"] == {"q0": "yes"}
        if step["kind"] in ("acr", "ccr"):
            # Each was on the screen for as long as the page makes raters look.
            assert answers[number]["ms"] >= 700 * len(step["items"])
            assert answers[number]["first_ms"] <= answers[number]["ms"]
            # Whole screen pixels for each pixel of the stimulus.
            assert answers[number]["scale"] == 1
    assert answers[pause_at]["hidden_ms"] > 0


def test_looking_again_is_counted(chrome: Browser, server: Server) -> None:
    visit = Visit(chrome, server, **DESKTOP)
    steps = visit.consent()
    last = next(number for number, step in enumerate(steps) if step["kind"] == "ccr")
    for number in range(last):
        visit.do(number, steps[number])
    visit.do(last, steps[last], confirm=False)
    first, second = (visit.page.locator(".stimulus").nth(index) for index in (0, 1))
    for key, seen in (("ArrowLeft", first), ("ArrowRight", second), ("ArrowLeft", first)):
        visit.press(key)
        visit.page.locator(".stimulus.on").wait_for()
        seen.and_(visit.page.locator(".on")).wait_for()
    visit.press("Enter")
    visit.at(last + 1)
    assert visit.record().answers[-1][1]["replays"] == 3
    visit.close()


def test_a_link_is_for_one_browser_and_reading_comes_first(chrome: Browser, server: Server) -> None:
    visit = Visit(chrome, server, **DESKTOP)
    visit.page.goto(visit.link)
    visit.page.locator(".agree").wait_for()
    assert visit.page.locator("button.main").is_disabled()
    assert "Not stored are your name" in visit.page.locator(".card").inner_text()
    database = Database(server.folder, visit.study)
    started = database.counts(simulated=True).started
    database.close()
    visit.consent()
    # The link is gone from the address, so it is neither shown nor kept in the history.
    assert "#" not in visit.page.url
    other = chrome.new_context().new_page()
    other.goto(visit.link)
    other.locator(".agree input").check()
    other.locator("button.main").click()
    other.locator("h1", has_text="This link does not work here").wait_for()
    other.goto("about:blank")
    other.goto(server.url)
    other.locator("h1", has_text="An invitation is needed").wait_for()
    other.context.close()
    database = Database(server.folder, visit.study)
    assert database.counts(simulated=True).started == started + 1
    database.close()
    # The link opened again in its own browser goes on where it was.
    visit.do(0, visit.record().steps[0])
    visit.at(1)
    visit.page.goto("about:blank")
    visit.page.goto(visit.link)
    visit.at(1)
    visit.close()


@pytest.mark.parametrize("device", [DESKTOP, PHONE, SIDEWAYS], ids=["desktop", "phone", "sideways"])
def test_every_page_fits_its_window(chrome: Browser, server: Server, device: dict[str, Any]) -> None:
    visit = Visit(chrome, server, **device)
    steps = visit.consent()
    width, height = device["viewport"]["width"], device["viewport"]["height"]
    kinds = set()
    for number, step in enumerate(steps):
        if {"acr", "ccr"} <= kinds:
            break
        rating = step["kind"] in ("acr", "ccr")
        if rating:
            visit.at(number)
            visit.page.locator(".rating").wait_for()
            visit.do(number, step, confirm=False)
            parts = [*visit.page.locator(".scale button, .below .go, .stimulus.on").all()]
            for part in parts:
                box = part.bounding_box()
                assert box is not None
                assert box["x"] >= -0.5 and box["x"] + box["width"] <= width + 0.5
                assert box["y"] >= -0.5 and box["y"] + box["height"] <= height + 0.5
            kinds.add(step["kind"])
            visit.press("Enter")
        else:
            visit.at(number)
            visit.page.locator(".card").wait_for()
            box = visit.page.locator(".card").bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
            visit.do(number, step)
    assert kinds == {"acr", "ccr"}
    visit.close()


GROUND = "button => getComputedStyle(button).backgroundColor"


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["mouse", "finger"])
def test_no_grade_looks_chosen_but_the_chosen_one(
    chrome: Browser, server: Server, device: dict[str, Any]
) -> None:
    """A finger leaves no button lit for the next question, and a mouse over the chosen grade does not hide it."""
    visit = Visit(chrome, server, **device)
    steps = visit.consent()
    first = next(number for number, step in enumerate(steps) if step["kind"] == "acr")
    for number in range(first):
        visit.do(number, steps[number])
    grades = visit.page.locator(".scale button")
    point = "tap" if device is PHONE else "click"
    visit.at(first)
    grades.locator(":scope:enabled").first.wait_for()
    getattr(grades.nth(3), point)()
    over_chosen = grades.nth(3).evaluate(GROUND)
    getattr(visit.page.locator(".go"), point)()
    visit.at(first + 1)
    grades.locator(":scope:enabled").first.wait_for()
    if device is PHONE:
        assert len({grade.evaluate(GROUND) for grade in grades.all()}) == 1
    getattr(grades.nth(0), point)()
    visit.page.locator("#title").hover()
    assert grades.nth(0).evaluate(GROUND) == over_chosen != grades.nth(1).evaluate(GROUND)
    visit.close()


def test_clips_play_and_are_played_again(chrome: Browser, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("one", "two"):
        make(data / f"{name}.mp4", Clip(160, 120, [40 * index for index in range(30)], options={"crf": "12"}))
    wanted = Preparation(
        data, ["input", "reference"], count=1, size=(160, 120), damage="blur", traps=0, golds=0, repeats=0
    )
    prepare(tmp_path / "study", wanted)
    with serving(tmp_path / "study") as server:
        visit = Visit(chrome, server, **DESKTOP)
        steps = visit.consent()
        for number, step in enumerate(steps):
            if step["role"] == "rated" and step["kind"] == "acr":
                visit.do(number, step, confirm=False)
                visit.press("r")
                visit.page.locator(".stimulus.on").wait_for()
                visit.page.locator(".stimulus.on").wait_for(state="detached")
                visit.press("Enter")
            elif step["kind"] == "ccr":
                # Both play by themselves, one after the other.
                visit.at(number)
                visit.page.locator(".tabs").wait_for()
                visit.page.locator(".scale button:enabled").first.wait_for()
                visit.press("4", "Enter")
            else:
                visit.do(number, step)
        visit.page.locator("h1", has_text="Thank you").wait_for()
        visit.close()
        for number, body, _ in visit.record().answers:
            step = steps[number]
            if step["kind"] in ("acr", "ccr"):
                # 30 frames at 25 a second are on the screen for 1.16 s at least.
                assert body["ms"] >= 1100 * len(step["items"])
                assert body["replays"] == (step["role"] == "rated" and step["kind"] == "acr")
