"""The extension on a page with two videos, in a real Chromium: what it covers, follows, leaves alone and says."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

import browser as chromium

from .conftest import ROOT
from .test_engine import SAMPLE

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

BUILD = ROOT / "web" / "build_extension.sh"
LOCAL = "http://127.0.0.1/*"
# Canvases that are seen.
SEEN = "[...document.querySelectorAll('canvas[data-keenframe]')].filter((c) => c.style.visibility === 'visible').length"
TWO = f"{SEEN} === 2"
COUNT = "document.querySelectorAll('canvas[data-keenframe]').length"
BOXES = """() => [...document.querySelectorAll('canvas[data-keenframe]')].map((canvas) => {
  const box = (element) => { const r = element.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; };
  return { id: canvas.previousSibling.id, canvas: box(canvas), video: box(canvas.previousSibling) };
})"""
# Mean absolute Laplacian of what a video and its canvas show, drawn at one size.
EDGES = """(id) => {
  const video = document.getElementById(id);
  return [video, video.nextSibling].map((source) => {
    const copy = new OffscreenCanvas(624, 468);
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(source, 0, 0, 624, 468);
    const { data } = context.getImageData(0, 0, 624, 468);
    let sum = 0;
    for (let y = 1; y < 467; y++) for (let x = 1; x < 623; x++) {
      const at = 4 * (y * 624 + x) + 1;
      sum += Math.abs(4 * data[at] - data[at - 4] - data[at + 4] - data[at - 2496] - data[at + 2496]);
    }
    return sum / (622 * 466);
  });
}"""


def build(folder: Path, **changes: Any) -> Path:
    """The extension, with changes to its manifest: it does not run on pages of this computer by itself."""
    done = subprocess.run([BUILD, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def identity(folder: Path) -> str:
    """The name that Chromium gives an unpacked extension: its path's hash in letters."""
    digits = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
    return "".join(chr(ord("a") + int(digit, 16)) for digit in digits)


class Loaded:
    """A browser with the extension in it."""

    def __init__(self, context: BrowserContext, folder: Path, site: str) -> None:
        self.context, self.site = context, site
        self.home = f"chrome-extension://{identity(folder)}"

    def set(self, **settings: Any) -> None:
        """Store settings as the popup does."""
        page = self.context.new_page()
        page.goto(f"{self.home}/popup/popup.html")
        page.evaluate("(settings) => chrome.storage.local.set(settings)", settings)
        page.close()

    def call(self, path: str = "pages") -> Page:
        """A page with two videos."""
        page = self.context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{self.site}/{path}/two-videos.html")
        return page

    def popup(self, page: Page) -> Page:
        """The popup as a page of its own, about that page's tab."""
        found = self.context.new_page()
        found.set_default_timeout(60_000)
        found.set_viewport_size({"width": 340, "height": 440})
        found.goto(f"{self.home}/popup/popup.html")
        found.evaluate("() => chrome.storage.local.get()")
        tabs = found.evaluate("() => chrome.tabs.query({})")
        tab = next(tab["id"] for tab in tabs if tab["index"] == self.context.pages.index(page))
        found.goto(f"{self.home}/popup/popup.html?tab={tab}")
        page.bring_to_front()
        return found


@contextmanager
def launch(driver: Playwright, folder: Path, profile: Path, site: str) -> Iterator[Loaded]:
    arguments = [
        *chromium.ARGUMENTS, f"--disable-extensions-except={folder}", f"--load-extension={folder}",
        "--autoplay-policy=no-user-gesture-required", "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]  # fmt: skip
    context = driver.chromium.launch_persistent_context(
        profile, executable_path=chromium.chromium(), args=arguments, viewport={"width": 1280, "height": 720}
    )
    try:
        loaded = Loaded(context, folder, site)
        # Whatever else this machine does, the largest model works.
        loaded.set(level=0)
        yield loaded
    finally:
        context.close()


@pytest.fixture(scope="module")
def received(files: Path) -> Path:
    """The embedded call as it was received, I420."""
    with av.open(str(SAMPLE)) as container:
        frames = [frame.to_ndarray(format="yuv420p").tobytes() for frame in container.decode(video=0)]
    (files / "received.y").write_bytes(b"".join(frames))
    return files


@pytest.fixture(scope="module")
def loaded(
    driver: Playwright, tmp_path_factory: pytest.TempPathFactory, site: str, received: Path
) -> Iterator[Loaded]:
    folder = build(tmp_path_factory.mktemp("extension"))
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["content_scripts"][0]["matches"].append(LOCAL)
    path.write_text(json.dumps(manifest))
    with launch(driver, folder, tmp_path_factory.mktemp("profile"), site) as started:
        yield started


@pytest.fixture
def call(loaded: Loaded) -> Iterator[Page]:
    """A page with two videos, both covered."""
    page = loaded.call()
    page.wait_for_function(TWO)
    yield page
    page.close()


def covered(page: Page) -> None:
    """Every canvas lies on its video, to a hundredth of a pixel."""
    page.wait_for_function(
        f"""() => ({BOXES})().every(({{ canvas, video }}) =>
        canvas.every((value, i) => Math.abs(value - video[i]) < 0.01))"""
    )


def test_two_videos_are_covered_by_sharper_pictures(call: Page, tmp_path: Path) -> None:
    covered(call)
    assert [box["id"] for box in call.evaluate(BOXES)] == ["first", "second"]
    for name in ("first", "second"):
        before, after = call.evaluate(EDGES, name)
        assert after > 1.05 * before
    # What the page shows over its videos stays over them, and takes the clicks.
    top = "() => document.elementFromPoint(40, 455).textContent + document.elementFromPoint(300, 200).tagName"
    assert call.evaluate(top) == "AdaVIDEO"
    call.screenshot(path=tmp_path / "two-videos.png")


def test_the_layout_is_followed(call: Page) -> None:
    call.evaluate("document.querySelector('main').style.padding = '70.5px 33.25px'")
    covered(call)
    call.set_viewport_size({"width": 1000, "height": 700})
    covered(call)
    call.evaluate(
        "document.getElementById('first').parentElement.before(document.getElementById('second').parentElement)"
    )
    covered(call)
    # Framework code that puts a video elsewhere takes no care of what lies beside it.
    call.evaluate("document.body.append(document.getElementById('first'))")
    call.wait_for_function("document.getElementById('first').nextSibling?.dataset?.keenframe === ''")
    covered(call)
    call.set_viewport_size({"width": 1280, "height": 720})


def test_a_turned_video_is_covered_alike(call: Page) -> None:
    call.evaluate("document.getElementById('first').style.transform = 'scaleX(-1)'")
    call.wait_for_function(
        "getComputedStyle(document.querySelector('#first + canvas')).transform === 'matrix(-1, 0, 0, 1, 0, 0)'"
    )
    boxes = call.evaluate(BOXES)[0]
    assert max(abs(a - b) for a, b in zip(boxes["canvas"], boxes["video"], strict=True)) <= 1


def test_a_video_that_is_too_small_is_left_alone(call: Page) -> None:
    call.evaluate("document.querySelector('main').className = 'stage'")
    call.wait_for_function(
        f"{COUNT} === 1 && document.querySelector('canvas').previousSibling.id === 'first'"
    )
    covered(call)
    call.evaluate("document.querySelector('main').className = ''")
    call.wait_for_function(TWO)


@pytest.mark.parametrize(
    "change",
    [
        "second.style.display = 'none'",
        "second.style.visibility = 'hidden'",
        "second.parentElement.style.opacity = 0",
        "second.srcObject = null",
        "second.srcObject.getTracks()[0].stop()",
        "second.remove()",
        "second.parentElement.style.marginTop = '3000px'",
    ],
)
def test_what_is_not_seen_is_not_worked_on(call: Page, change: str) -> None:
    call.evaluate(f"const second = document.getElementById('second'); {change};")
    call.wait_for_function(f"{COUNT} === 1")


def test_a_video_that_stops_shows_itself(call: Page) -> None:
    call.evaluate("document.getElementById('second').pause()")
    call.wait_for_function("document.querySelector('#second + canvas')?.style.visibility !== 'visible'")


def test_ones_own_camera_is_left_alone(call: Page) -> None:
    call.evaluate("""async () => {
      const video = document.createElement('video');
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
      Object.assign(video, { id: 'own', muted: true });
      document.querySelector('main').append(video);
      await video.play();
      document.getElementById('second').remove();
    }""")
    # The page was looked at: the other video's canvas has gone.
    call.wait_for_function(f"{COUNT} === 1")
    assert call.evaluate("document.querySelector('#own + canvas')") is None


def test_the_popup_switches_and_compares(loaded: Loaded, call: Page, tmp_path: Path) -> None:
    popup = loaded.popup(call)
    popup.get_by_text("2 videos sharpened.").wait_for()
    # A video is counted from its first frame on, and listed once it has numbers.
    popup.get_by_role("listitem").nth(1).wait_for()
    lines = popup.get_by_role("listitem").all_inner_texts()
    assert len(lines) == 2 and all(line.startswith("320×240 → 624×468 · ") for line in lines)
    popup.screenshot(path=tmp_path / "popup.png")
    popup.get_by_role("checkbox", name="Compare: the left half as received").check()
    light = """() => [...document.querySelectorAll('canvas[data-keenframe]')].every((canvas) =>
      canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 4, 1, 1).data[1] > 240)"""
    call.wait_for_function(light)
    call.screenshot(path=tmp_path / "compare.png")
    popup.get_by_role("checkbox", name="Compare: the left half as received").uncheck()
    # By keyboard alone.
    popup.get_by_role("slider", name="Strength").focus()
    popup.keyboard.press("ArrowRight")
    assert popup.get_by_role("slider", name="Strength").input_value() == "1.1"
    popup.keyboard.press("Home")
    popup.get_by_text("Strength 0: the videos show as they arrive.").wait_for()
    popup.get_by_role("switch", name="Sharpen").press("Space")
    call.wait_for_function(f"{COUNT} === 0 && !document.querySelector('iframe')")
    popup.get_by_text("Switched off.").wait_for()
    assert popup.get_by_role("slider", name="Strength").is_disabled()
    popup.get_by_role("switch", name="Sharpen").press("Space")
    call.wait_for_function(TWO)
    loaded.set(strength=1)
    popup.close()


@pytest.mark.parametrize("path", ["isolated/pages", "strict/pages"])
def test_strict_pages_let_it_in(loaded: Loaded, path: str) -> None:
    """Cross-origin isolation, or a policy that forbids frames and workers: an extension's own are let in."""
    page = loaded.call(path)
    # What waits in the page itself needs what the policy forbids.
    deadline = time.monotonic() + 60
    while not page.evaluate(TWO):
        assert time.monotonic() < deadline, "the videos were not covered"
        page.wait_for_timeout(50)
    assert page.evaluate("crossOriginIsolated") == path.startswith("isolated")
    page.close()


def test_a_page_without_a_call_is_left_alone(loaded: Loaded) -> None:
    page = loaded.context.new_page()
    page.goto(f"{loaded.site}/pages/blank.html")
    popup = loaded.popup(page)
    popup.get_by_text("No video on this page.").wait_for()
    assert page.evaluate("document.querySelectorAll('iframe, canvas').length") == 0
    popup.close()
    page.close()


def test_a_call_in_a_frame_of_the_page_is_told_of(loaded: Loaded, files: Path) -> None:
    (files / "framed.html").write_text(
        '<!doctype html><title>Framed</title><iframe src="/pages/two-videos.html" width="1200" height="700"></iframe>'
    )
    page = loaded.context.new_page()
    page.goto(f"{loaded.site}/files/framed.html")
    inner = page.frame_locator("iframe").locator("video").first.element_handle().owner_frame()
    assert inner is not None
    inner.wait_for_function(TWO)
    popup = loaded.popup(page)
    popup.get_by_text("2 videos sharpened.").wait_for()
    tab = int(popup.url.rpartition("=")[2])
    for _ in range(20):
        found = popup.evaluate("(tab) => chrome.tabs.sendMessage(tab, 'status')", tab)
        assert found["sharpened"] == 2
    popup.close()
    page.close()


def test_a_page_is_added_by_hand(driver: Playwright, tmp_path: Path, site: str, received: Path) -> None:
    """Here by a permission in the manifest; in use by a click on the extension's button."""
    folder = build(tmp_path / "extension", host_permissions=[LOCAL])
    with launch(driver, folder, tmp_path / "profile", site) as loaded:
        page = loaded.call()
        popup = loaded.popup(page)
        popup.get_by_text("keenframe is not on this page yet.").wait_for()
        assert page.evaluate("document.querySelectorAll('iframe').length") == 0
        popup.get_by_role("button", name="Sharpen this page").click()
        page.wait_for_function(TWO)
        popup.get_by_text("2 videos sharpened.").wait_for()
        # Once more changes nothing.
        popup.evaluate("document.getElementById('once').click()")
        popup.get_by_text("2 videos sharpened.").wait_for()
        assert page.evaluate("document.querySelectorAll('iframe').length") == 1
        closed = loaded.context.new_page()
        popup = loaded.popup(closed)
        popup.get_by_role("button", name="Sharpen this page").click()
        popup.get_by_text("The browser lets no extension work on this page.").wait_for()


def test_a_site_is_added_once_for_all_its_tabs(
    driver: Playwright, tmp_path: Path, site: str, received: Path
) -> None:
    folder = build(tmp_path / "extension", host_permissions=[LOCAL])
    with launch(driver, folder, tmp_path / "profile", site) as loaded:
        pages = [loaded.call(), loaded.call()]
        for page in pages:
            popup = loaded.popup(page)
            wrong: list[str] = []
            popup.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
            popup.get_by_text("keenframe is not on this page yet.").wait_for()
            popup.evaluate("document.getElementById('always').click()")
            page.wait_for_function(TWO)
            popup.get_by_text("2 videos sharpened.").wait_for()
            assert not wrong
            popup.close()
            page.close()


def test_the_extension_asks_for_little_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    folder = build(tmp_path / "extension")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["permissions"]) == ["activeTab", "scripting", "storage"]
    assert "host_permissions" not in manifest and "background" not in manifest
    policy = manifest["content_security_policy"]["extension_pages"]
    assert "default-src 'none'" in policy and "http" not in policy and "'unsafe-eval'" not in policy
    named = [
        *manifest["icons"].values(),
        manifest["action"]["default_popup"],
        *manifest["content_scripts"][0]["js"],
    ]
    assert all((folder / name).is_file() for name in named)
    scripts = [path for path in folder.rglob("*") if path.suffix in (".js", ".html", ".css")]
    assert len(scripts) > 12
    assert not [
        path.name for path in scripts if "https://" in path.read_text() or "http://" in path.read_text()
    ]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2_000_000


def test_no_folder_of_something_else_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    done = subprocess.run([BUILD, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "is no extension" in done.stderr
    assert (tmp_path / "precious").read_text() == "kept"
