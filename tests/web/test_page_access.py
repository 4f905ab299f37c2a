"""The pages for those who use a keyboard, a screen reader, large letters or a small screen."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from conftest import picture

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SLOW_MS = 60_000


def photo() -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(picture(240, 320)).save(buffer, "PNG")
    return {
        "name": "a photo with quite a long name that has to wrap somewhere.png",
        "mimeType": "image/png",
        "buffer": buffer.getvalue(),
    }


def empty(page: Page, clip: Path) -> None:
    page.goto("/")
    expect(page.get_by_text("up to 2,000 MB")).to_be_visible()


def failed(page: Page, clip: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"%PDF"})
    expect(page.get_by_role("alert")).to_be_visible()


def compared(page: Page, clip: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", photo())
    expect(page.locator("#picture output").first).to_have_attribute("aria-busy", "false")


def chosen(page: Page, clip: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", clip)
    expect(page.get_by_role("button", name="Sharpen the video")).to_be_visible()


def done(page: Page, clip: Path) -> None:
    chosen(page, clip)
    page.get_by_role("button", name="Sharpen the video").click()
    expect(page.locator("#video-done")).to_be_visible(timeout=SLOW_MS)


def live(page: Page, clip: Path) -> None:
    page.goto("/live")
    expect(page.get_by_text("no relay here")).to_be_visible()


STATES: list[Callable[[Page, Path], None]] = [empty, failed, compared, chosen, done, live]
states = pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)

AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")


@pytest.fixture(params=[("light", 1200), ("dark", 1200), ("light", 360)], ids=["light", "dark", "phone"])
def tab(request: pytest.FixtureRequest, chrome: Browser, url: str) -> Iterator[Page]:
    scheme, width = request.param
    context = chrome.new_context(base_url=url, color_scheme=scheme, viewport={"width": width, "height": 740})
    yield context.new_page()
    context.close()


@states
def test_names_roles_contrast_and_width(tab: Page, clip: Path, state: Callable[[Page, Path], None]) -> None:
    state(tab, clip)
    assert tab.evaluate(AUDIT) == []
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert tab.evaluate(wide) <= 0


def tab_order(page: Page, count: int) -> list[str]:
    """Names of what Tab reaches, from the start of the page."""
    names = []
    page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    page.locator("body").press("Tab")
    for _ in range(count):
        names.append(
            page.evaluate("""() => { const e = document.activeElement;
              return e.getAttribute("aria-label") || e.labels?.[0]?.innerText || e.innerText || e.tagName; }""")
        )
        outlined = """() => { const s = getComputedStyle(document.activeElement);
          const grip = document.activeElement.querySelector(".grip");
          return s.outlineStyle !== "none" || (grip && getComputedStyle(grip).outlineStyle !== "none"); }"""
        assert page.evaluate(outlined) or names[-1] in ("INPUT", "BODY"), (
            f"{names[-1]}: the focus cannot be seen"
        )
        page.keyboard.press("Tab")
    return names


def test_the_keyboard_reaches_everything_in_order(page: Page, clip: Path) -> None:
    start = ["Skip to the content", "keenframe", "Pictures and videos", "Live"]
    page.goto("/")
    assert tab_order(page, 7) == [*start, "Choose a file", "Sample picture", "Sample video"]
    compared(page, clip)
    # The focus is on the heading, so that what follows is read; from there it goes on to the picture.
    expect(page.locator("#picture h1")).to_be_focused()
    for name in ("Open another", "The picture, before and after", "Divider between before and after"):
        page.keyboard.press("Tab")
        assert (
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
            )
            == name
        )
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".divider").first).to_have_attribute("aria-valuenow", "48")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#picture output").first).to_have_text("1.05")
    for name in ("Fit", "100 %", "Smaller", "Larger", "Download"):
        page.keyboard.press("Tab")
        assert (
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
            )
            == name
        )
    with page.expect_download():
        page.keyboard.press("Enter")


def test_the_link_past_the_head(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_video_by_keyboard(page: Page, clip: Path) -> None:
    done(page, clip)
    expect(page.locator("#video h1")).to_be_focused()
    expect(page.locator("#news")).to_have_text("The video is sharpened.")
    names = []
    for _ in range(11):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
            )
        )
    assert names == [
        "Open another",
        "The video, before and after",
        "Divider between before and after",
        "Play",
        "Position",
        "Mute",
        "Fit",
        "100 %",
        "Smaller",
        "Larger",
        "Change the strength",
    ]


def test_the_keyboards_place_is_kept(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Sample picture").click()
    download = page.get_by_role("button", name="Download")
    expect(download).to_be_visible(timeout=SLOW_MS)
    download.focus()
    with page.expect_download():
        page.keyboard.press("Enter")
    expect(download).to_be_enabled()
    expect(download).to_be_focused()
    page.route("**/api/**", lambda route: route.abort())
    page.keyboard.press("Enter")
    close = page.get_by_role("button", name="Close the message")
    expect(close).to_be_visible()
    expect(download).to_be_focused()
    close.focus()
    page.keyboard.press("Enter")
    expect(download).to_be_focused()


def test_the_keyboards_place_is_kept_when_live_does_not_start(page: Page) -> None:
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotFoundError'))"
    )
    page.goto("/live")
    start = page.get_by_role("button", name="Start")
    expect(start).to_be_enabled()
    start.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("No camera was found")
    expect(start).to_be_enabled()
    expect(start).to_be_focused()
    # What had the focus may have gone.
    page.get_by_role("button", name="Close the message").focus()
    page.evaluate("document.getElementById('setup').hidden = true")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_large_letters_break_nothing(page: Page, clip: Path) -> None:
    """At twice the size of letters, on a small screen."""
    page.set_viewport_size({"width": 640, "height": 740})
    for state in (empty, compared):
        state(page, clip)
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0


def test_nothing_moves_for_those_who_do_not_want_it(chrome: Browser, url: str) -> None:
    context = chrome.new_context(base_url=url, reduced_motion="reduce")
    page = context.new_page()
    page.goto("/")
    durations = "getComputedStyle(document.querySelector('button')).transitionDuration"
    assert page.evaluate(durations) == "0s"
    context.close()
