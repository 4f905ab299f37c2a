"""The page with videos, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clips import Clip, look, make
from servers import until

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

SLOW_MS = 60_000
TIMES = "[...document.querySelectorAll('#video-done video')].map((v) => v.currentTime)"
# Presses a button when both have come so far, before they are at their end, however slow this side of the page is.
PAUSE_BEHIND = """(least_s) => new Promise((done) => {
  const look = () => {
    const videos = [...document.querySelectorAll("#video-done video")];
    if (!videos.every((video) => video.currentTime > least_s)) return setTimeout(look, 10);
    [...document.querySelectorAll("button")].find((button) => button.textContent === "Pause").click();
    done();
  };
  look();
})"""
STILL = "[...document.querySelectorAll('#video-done video')].every((v) => v.paused && !v.seeking)"


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds with sound, 160x120."""
    times = [40 * i for i in range(75)]
    return make(
        tmp_path_factory.mktemp("clip") / "three seconds.mp4", Clip(160, 120, times=times, sound="aac")
    )


def sharpen(page: Page, path: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", path)
    page.get_by_role("button", name="Sharpen the video").click()


def finished(page: Page, path: Path) -> None:
    sharpen(page, path)
    expect(page.locator("#video-done")).to_be_visible(timeout=SLOW_MS)


def test_a_video_from_choice_to_download(page: Page, seconds: Path, tmp_path: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", seconds)
    expect(page.get_by_role("heading", name="three seconds.mp4")).to_be_focused()
    expect(page.get_by_text("160 × 120 · 3 s")).to_be_visible()
    page.get_by_role("slider", name="Strength").fill("0.5")
    page.get_by_role("button", name="Sharpen the video").click()
    expect(page.locator("#video-done")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("75 frames in")).to_contain_text("strength 0.50")
    expect(page.get_by_text("Kept until")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "three seconds-keenframe.mp4"
    waiting.value.save_as(tmp_path / "b.mp4")
    before, after = look(seconds), look(tmp_path / "b.mp4")
    assert after.times_s == before.times_s and after.streams == before.streams


def test_before_and_after_play_as_one(page: Page, seconds: Path) -> None:
    finished(page, seconds)
    page.get_by_role("slider", name="Position").fill("0.5")
    until(lambda: all(abs(t - 1.5) < 0.1 for t in page.evaluate(TIMES)))
    expect(page.get_by_role("slider", name="Position")).to_have_attribute("aria-valuetext", "0:01 of 0:03")
    assert page.evaluate("[...document.querySelectorAll('#video-done video')].map((v) => v.muted)") == [
        True,
        False,
    ]
    page.get_by_role("button", name="Mute").click()
    assert page.evaluate("document.querySelector('.layer.after video').muted")
    page.get_by_role("button", name="Play").click()
    page.evaluate(PAUSE_BEHIND, 1.8)
    until(lambda: page.evaluate(STILL))
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    first, second = page.evaluate(TIMES)
    assert abs(first - second) < 0.005
    divider = page.get_by_role("slider", name="Divider between before and after")
    divider.press("End")
    expect(divider).to_have_attribute("aria-valuenow", "100")


def test_another_strength_is_another_run(page: Page, url: str, seconds: Path) -> None:
    finished(page, seconds)
    page.get_by_role("button", name="Change the strength").click()
    page.get_by_role("slider", name="Strength").fill("2")
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.get_by_role("button", name="Sharpen the video").click()
    expect(page.locator(".meta", has_text="strength 2.00")).to_be_visible(timeout=SLOW_MS)


def test_progress_cancel_and_what_a_screen_reader_hears(page: Page, long_clip: Path) -> None:
    sharpen(page, long_clip)
    expect(page.get_by_text("frames a second")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("of 6,000 frames")).to_be_visible()
    expect(page.get_by_text("left", exact=False).first).to_be_visible()
    bar = page.get_by_role("progressbar", name="long.mp4")
    expect(bar).to_be_visible()
    until(lambda: page.evaluate("document.querySelector('#busy-bar').value") > 0)
    expect(page).to_have_title(re.compile(r"^\d+ % – long.mp4$"))
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Sharpen the video")).to_be_visible()
    expect(page.locator("#news")).to_have_text("Cancelled.")
    expect(page).to_have_title("keenframe – pictures and videos")


def test_a_page_loaded_anew_goes_on(page: Page, long_clip: Path) -> None:
    sharpen(page, long_clip)
    expect(page.get_by_text("of 6,000 frames")).to_be_visible(timeout=SLOW_MS)
    page.reload()
    expect(page.get_by_role("heading", name="long.mp4")).to_be_visible()
    expect(page.get_by_text("of 6,000 frames")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Make it clear again")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Make it clear again")).to_be_visible()


def test_a_result_loaded_anew_has_one_side(page: Page, seconds: Path) -> None:
    finished(page, seconds)
    page.reload()
    expect(page.locator("#video-done")).to_be_visible()
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    expect(page.get_by_role("slider", name="Divider between before and after")).to_be_hidden()
    expect(page.get_by_role("button", name="Change the strength")).to_be_hidden()


def test_busy_and_waiting_are_said(page: Page, seconds: Path) -> None:
    """How long other videos take is not left to chance: the server's words are put in its mouth."""
    message = "keenframe works on one video at a time, and 1 more are waiting."
    busy = {"error": {"code": "busy", "message": message}}
    page.route("**/api/videos?*", lambda route: route.fulfill(status=503, json=busy))
    sharpen(page, seconds)
    expect(page.get_by_role("alert")).to_contain_text(message)
    page.unroute_all(behavior="wait")

    def behind(position: int) -> Callable[[Route], None]:
        return lambda route: route.fulfill(
            json={**route.fetch().json(), "state": "waiting", "position": position}
        )

    page.route("**/api/videos/*", behind(2))
    page.get_by_role("button", name="Sharpen the video").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_text("Waiting for another video: 1 before it")).to_be_visible(timeout=SLOW_MS)
    page.unroute_all(behavior="wait")
    page.route("**/api/videos/*", behind(1))
    expect(page.get_by_text("Waiting for another video: it is next")).to_be_visible(timeout=SLOW_MS)
    page.unroute_all(behavior="wait")
    expect(page.locator("#video-done")).to_be_visible(timeout=SLOW_MS)


def test_refusals_are_shown(page: Page, tmp_path: Path) -> None:
    sharpen(page, make(tmp_path / "small.mp4", Clip(24, 14)))
    expect(page.get_by_role("alert")).to_contain_text("24x14; expected 16 to 8192", timeout=SLOW_MS)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n")
    page.set_input_files("#file", tmp_path / "list.mp4")
    expect(page.get_by_text("This browser cannot play this kind of video")).to_be_visible()
    page.get_by_role("button", name="Sharpen the video").click()
    expect(page.get_by_role("alert")).to_contain_text("not a file that keenframe can read")


def test_a_kind_that_the_browser_cannot_play(page: Page, tmp_path: Path) -> None:
    clip = make(tmp_path / "a.avi", Clip(codec="mpeg4"))
    page.goto("/")
    page.set_input_files("#file", clip)
    expect(page.get_by_text("This browser cannot play this kind of video")).to_be_visible()
    page.get_by_role("button", name="Sharpen the video").click()
    expect(page.locator("#video-done")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("slider", name="Divider between before and after")).to_be_hidden()


def test_a_result_that_the_browser_cannot_play_can_be_saved(page: Page, seconds: Path) -> None:
    page.route(
        "**/api/videos/*/result", lambda route: route.fulfill(content_type="video/mp4", body="no video")
    )
    finished(page, seconds)
    expect(page.get_by_role("alert")).to_contain_text("this browser cannot play it. Download it to see it.")
    expect(page.locator("#video-done")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "three seconds-keenframe.mp4"
    page.unroute_all(behavior="wait")


def test_what_was_lost_is_said(page: Page, tmp_path: Path) -> None:
    finished(page, make(tmp_path / "a.mkv", Clip(attachment=b"hello")))
    expect(page.get_by_role("list", name="What to know about this file")).to_contain_text(
        "cannot hold attachment"
    )


def test_a_server_that_goes_away(page: Page, long_clip: Path) -> None:
    sharpen(page, long_clip)
    expect(page.get_by_text("of 6,000 frames")).to_be_visible(timeout=SLOW_MS)
    page.route("**/api/videos/*", lambda route: route.abort())
    expect(page.get_by_role("alert")).to_contain_text("keenframe does not answer", timeout=SLOW_MS)
    expect(page.get_by_role("button", name="Sharpen the video")).to_be_visible()
    page.unroute_all(behavior="wait")
    page.goto("/")


def test_a_strength_is_tried_on_a_frame(page: Page, seconds: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", seconds)
    page.get_by_role("slider", name="Strength").fill("0.5")
    page.get_by_role("button", name="Try this frame").click()
    heading = page.get_by_role("heading", name="three seconds.mp4, frame at 0.0 s.png")
    expect(heading).to_be_focused()
    expect(page.get_by_text("160 × 120 · PNG")).to_be_visible()
    slider = page.get_by_role("slider", name="Strength")
    expect(slider).to_have_value("0.5")
    slider.fill("1.7")
    page.get_by_role("button", name="Back to the video").click()
    expect(page.get_by_role("button", name="Try this frame")).to_be_focused()
    expect(slider).to_have_value("1.7")
    page.get_by_role("button", name="Sharpen the video").click()
    expect(page.locator(".meta", has_text="strength 1.70")).to_be_visible(timeout=SLOW_MS)
