"""The live page, in a real browser with a made-up camera."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

from keenframe.errors import EngineError
from keenframe.web.app import STATIC
from servers import until
from web_app import server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from keenframe.web.settings import Relay

SLOW_MS = 60_000
# How much of the last second's pictures differ from each other: a video that runs.
FRAMES = "document.querySelector('.layer.after video').getVideoPlaybackQuality().totalVideoFrames"


class Refusing:
    """A relay that takes nobody."""

    async def connect(self, sdp: str) -> tuple[str, str]:
        raise EngineError("this relay is full (4 of 4 participants); wait until one leaves")

    def set_strength(self, id: str, strength: float) -> bool:
        return False

    def stats(self) -> dict[str, Any]:
        return {"participants": {}}

    async def disconnect(self, id: str) -> bool:
        return False

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def relayed(unsharp_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Relay]]:
    """The address of a server with a real relay, and the relay."""
    pytest.importorskip("aiortc", reason="aiortc is not installed")
    from keenframe.rtc.relay import Relay

    relay = Relay(unsharp_model, "onnxruntime", 1)
    with server(unsharp_model, tmp_path_factory.mktemp("relayed"), relay=relay) as url:
        yield url, relay


@pytest.fixture
def tab(chrome: Browser) -> Iterator[Page]:
    context = chrome.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status == 500 else None)
    yield page
    context.close()
    assert not wrong


def start(page: Page, url: str, way: str) -> None:
    page.goto(f"{url}/live")
    page.get_by_role("radio", name=re.compile(way)).check()
    page.get_by_role("button", name="Start").click()


def runs(page: Page) -> None:
    expect(page.locator("#show")).to_be_visible(timeout=SLOW_MS)
    first = page.evaluate(FRAMES)
    until(lambda: page.evaluate(FRAMES) > first + 5)


def test_through_the_relay(tab: Page, relayed: tuple[str, Relay]) -> None:
    url, relay = relayed

    def strengths() -> list[float]:
        return [numbers["strength"] for numbers in relay.stats()["participants"].values()]

    start(tab, url, "keenframe on this computer")
    runs(tab)
    expect(tab.get_by_role("heading", level=1)).to_have_text(re.compile("fake"))
    expect(tab.get_by_role("group", name="What is measured")).to_contain_text(
        "frames a second", timeout=SLOW_MS
    )
    expect(tab.get_by_role("group", name="What is measured")).to_contain_text(
        re.compile("ms a frame|pass as they are")
    )
    assert strengths() == [1]
    tab.get_by_role("slider", name="Strength").fill("1.5")
    until(lambda: strengths() == [1.5])
    tab.get_by_role("slider", name="Divider between before and after").press("Home")
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_role("button", name="Start")).to_be_focused()
    until(lambda: strengths() == [])
    # And once more, with the strength that was chosen.
    start_again = tab.get_by_role("button", name="Start")
    start_again.click()
    runs(tab)
    until(lambda: strengths() == [1.5])
    tab.goto("about:blank")
    until(lambda: strengths() == [])


def test_a_call_that_the_relay_ends(tab: Page, relayed: tuple[str, Relay]) -> None:
    url, relay = relayed
    start(tab, url, "keenframe on this computer")
    runs(tab)
    (call,) = relay.stats()["participants"]
    tab.evaluate("call => fetch(`/api/relay/${call}`, { method: 'DELETE' })", call)
    expect(tab.get_by_role("alert")).to_contain_text("The relay ended the call", timeout=SLOW_MS)
    expect(tab.get_by_role("button", name="Start")).to_be_visible()


@pytest.mark.skipif(not list(STATIC.glob("keenframe/models/*.kfm")), reason="the browser's part is not there")
def test_within_the_browser(page: Page) -> None:
    page.goto("/live")
    expect(page.get_by_role("radio", name=re.compile("This browser"))).to_be_checked()
    page.get_by_role("button", name="Start").click()
    runs(page)
    page.get_by_role("slider", name="Strength").fill("0")
    page.get_by_role("slider", name="Strength").fill("2")
    expect(page.get_by_role("group", name="What is measured")).to_contain_text(
        "frames a second", timeout=SLOW_MS
    )
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()


def test_what_is_not_there_says_why(page: Page) -> None:
    page.route(
        "**/api/about",
        lambda route: route.fulfill(json={"relay": False, "no_relay": "Run: pip", "browser": []}),
    )
    page.goto("/live")
    relay, browser = (
        page.get_by_role("radio", name=re.compile(n)) for n in ("keenframe on this", "This browser")
    )
    expect(relay).to_be_disabled()
    expect(browser).to_be_disabled()
    expect(page.get_by_text("Run: pip")).to_be_visible()
    expect(page.get_by_text("not part of this installation")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()


def test_a_relay_that_is_full(tab: Page, unsharp_model: Path, tmp_path: Path) -> None:
    with server(unsharp_model, tmp_path, relay=Refusing()) as url:
        start(tab, url, "keenframe on this computer")
        expect(tab.get_by_role("alert")).to_contain_text("This relay is full (4 of 4", timeout=SLOW_MS)
        expect(tab.get_by_role("button", name="Start")).to_be_enabled()
        # The camera is let go.
        assert tab.evaluate("document.querySelectorAll('video').length") == 0


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("new DOMException('no', 'NotAllowedError')", "Allow it beside the address"),
        ("new DOMException('no', 'NotFoundError')", "No camera was found"),
        ("new DOMException('no', 'NotReadableError')", "in use by another program"),
    ],
)
def test_cameras_that_cannot_be_had(page: Page, failure: str, message: str) -> None:
    page.add_init_script(f"navigator.mediaDevices.getUserMedia = () => Promise.reject({failure})")
    page.goto("/live")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text(message)


def test_a_page_without_https_elsewhere(page: Page) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.goto("/live")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("only for pages on their own computer")


def test_a_source_that_ends(page: Page) -> None:
    """As when the user ends the sharing of a window."""
    page.add_init_script("""
      const take = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wish) => (globalThis.taken = await take(wish));
    """)
    page.goto("/live")
    page.get_by_role("button", name="Start").click()
    runs(page)
    page.evaluate("taken.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.get_by_role("alert")).to_contain_text("The camera is gone")
    expect(page.get_by_role("button", name="Start")).to_be_visible()


def test_a_source_that_ends_before_the_first_picture(tab: Page, url: str) -> None:
    tab.add_init_script("""
      const take = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wish) => (globalThis.taken = await take(wish));
      const create = document.createElement.bind(document);
      document.createElement = (name) => {
        if (name === "video") taken.getVideoTracks()[0].dispatchEvent(new Event("ended"));
        return create(name);
      };
    """)
    start(tab, url, "This browser")
    expect(tab.get_by_role("alert")).to_contain_text("The camera is gone", timeout=SLOW_MS)
    expect(tab.get_by_role("button", name="Start")).to_be_enabled()
    expect(tab.locator("#show")).to_be_hidden()
    expect(tab.get_by_role("alert")).to_contain_text("The camera is gone")
