"""The page of pictures, in a real browser."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from PIL import Image

from conftest import picture

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page


def png(height: int = 240, width: int = 320, alpha: bool = False) -> bytes:
    image = Image.fromarray(picture(height, width))
    if alpha:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def choose(page: Page, content: bytes, name: str = "photo.png") -> None:
    page.goto("/")
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})


def opened(page: Page, content: bytes, name: str = "photo.png") -> None:
    choose(page, content, name)
    expect(page.locator("#picture output").first).to_have_attribute("aria-busy", "false")


def files(content: bytes, name: str) -> str:
    """JavaScript of a DataTransfer with a file in it."""
    encoded = base64.b64encode(content).decode()
    return f"""(() => {{
      const bytes = Uint8Array.from(atob("{encoded}"), (c) => c.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], "{name}", {{ type: "image/png" }}));
      return data;
    }})()"""


def test_a_picture_from_choice_to_download(page: Page, url: str, tmp_path: Path) -> None:
    opened(page, png(), "Ferien é.png")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ferien é.png")
    expect(page.get_by_text("320 × 240 · PNG")).to_be_visible()
    page.get_by_role("slider", name="Strength").fill("1.5")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    download = waiting.value
    assert download.suggested_filename == "Ferien é-keenframe.png"
    saved = np.asarray(Image.open(download.path()))
    place = f"{url}/api/pictures"
    about = httpx.post(place, content=png(), timeout=60).json()
    asked = httpx.get(f"{place}/{about['id']}/result?strength=1.5", timeout=60).content
    assert np.array_equal(saved, np.asarray(Image.open(io.BytesIO(asked))))


def test_dropped_and_pasted(page: Page) -> None:
    page.goto("/")
    page.evaluate(
        f"document.body.dispatchEvent(new DragEvent('dragover', "
        f"{{ bubbles: true, cancelable: true, dataTransfer: {files(png(), 'a.png')} }}))"
    )
    expect(page.get_by_text("Drop it anywhere")).to_be_visible()
    page.evaluate(
        f"document.body.dispatchEvent(new DragEvent('drop', "
        f"{{ bubbles: true, cancelable: true, dataTransfer: {files(png(), 'dropped.png')} }}))"
    )
    expect(page.get_by_role("heading", name="dropped.png")).to_be_visible()
    expect(page.get_by_text("Drop it anywhere")).to_be_hidden()
    page.evaluate(
        f"document.body.dispatchEvent(new ClipboardEvent('paste', "
        f"{{ bubbles: true, clipboardData: {files(png(100, 90), 'pasted.png')} }}))"
    )
    expect(page.get_by_role("heading", name="pasted.png")).to_be_visible()
    expect(page.get_by_text("90 × 100 · PNG")).to_be_visible()


def test_of_several_files_the_first_is_taken_and_said(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(png())
    page.locator("input[type=file]").evaluate("input => (input.multiple = true)")
    page.locator("input[type=file]").set_input_files([tmp_path / "one.png", tmp_path / "two.png"])
    expect(page.get_by_role("heading", name="one.png")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("One file at a time: this is “one.png”.")


def test_the_samples(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Sample picture").click()
    expect(page.get_by_text("600 × 400 · JPEG · 58 kB")).to_be_visible()
    page.goto("/")
    page.get_by_role("button", name="Sample video").click()
    expect(page.get_by_text("320 × 240 · 4 s · 41 kB")).to_be_visible()


def seen(page: Page) -> np.ndarray:
    """The pixels of the picture on the screen, (H, W, 3), without those at its edge, which lie between two."""
    box = page.locator(".canvas").first.bounding_box()
    assert box is not None
    left, top = round(box["x"]), round(box["y"])
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    whole = image.crop((left, top, left + round(box["width"]), top + round(box["height"])))
    return np.asarray(whole).astype(np.float64)[1:-1, 1:-1]


@pytest.mark.parametrize("alpha", [False, True])
def test_what_is_shown_is_what_is_downloaded(page: Page, url: str, alpha: bool) -> None:
    """At 100 % and with the divider at the left end, the screen shows the file of that strength, to within what
    blending in 8 bits rounds."""
    content = png(alpha=alpha)
    opened(page, content)
    page.get_by_role("button", name="100 %").click()
    page.evaluate("""() => {
      for (const node of document.querySelectorAll(".divider, .chip")) node.style.opacity = 0;
      document.querySelector(".canvas").style.background = "#808080";
    }""")
    page.locator(".divider").first.focus()
    page.keyboard.press("Home")
    about = httpx.post(f"{url}/api/pictures", content=content, timeout=60).json()
    for strength in ("0", "0.4", "1", "1.5", "2"):
        page.get_by_role("slider", name="Strength").fill(strength)
        expect(page.locator("#picture output").first).to_have_attribute("aria-busy", "false")
        page.mouse.move(0, 0)
        answer = httpx.get(f"{url}/api/pictures/{about['id']}/result?strength={strength}", timeout=60)
        file = Image.open(io.BytesIO(answer.content)).convert("RGBA")
        gray = Image.new("RGBA", file.size, (128, 128, 128, 255))
        wanted = np.asarray(Image.alpha_composite(gray, file).convert("RGB")).astype(np.float64)
        wanted = wanted[1:-1, 1:-1]
        difference = np.abs(seen(page) - wanted)
        uncut = (wanted > 4) & (wanted < 251)
        assert difference[uncut].mean() < 1.0, strength
        assert np.percentile(difference[uncut], 99) <= 4, strength


def test_the_divider_moves_by_pointer_touch_and_keys(page: Page) -> None:
    opened(page, png())
    divider = page.get_by_role("slider", name="Divider between before and after")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    for key, value in (
        ("ArrowRight", 52),
        ("ArrowUp", 54),
        ("ArrowLeft", 52),
        ("ArrowDown", 50),
        ("PageUp", 60),
        ("PageDown", 50),
        ("Shift+ArrowRight", 60),
        ("End", 100),
        ("Home", 0),
        ("ArrowLeft", 0),
    ):
        divider.press(key)
        expect(divider).to_have_attribute("aria-valuenow", str(value))
    expect(divider).to_have_attribute("aria-valuetext", "0 % before, 100 % after")
    canvas = page.locator(".canvas").first.bounding_box()
    assert canvas is not None
    middle = canvas["y"] + canvas["height"] / 2
    # Anywhere on the picture, and then along with the pointer.
    page.mouse.move(canvas["x"] + canvas["width"] * 0.25, middle)
    page.mouse.down()
    expect(divider).to_have_attribute("aria-valuenow", "25")
    page.mouse.move(canvas["x"] + canvas["width"] * 0.75, middle + 300)
    expect(divider).to_have_attribute("aria-valuenow", "75")
    page.mouse.move(canvas["x"] - 500, middle)
    expect(divider).to_have_attribute("aria-valuenow", "0")
    page.mouse.up()
    page.mouse.move(canvas["x"] + canvas["width"] * 0.5, middle)
    expect(divider).to_have_attribute("aria-valuenow", "0")


def test_the_divider_follows_a_finger(page: Page) -> None:
    opened(page, png())
    canvas = page.locator(".canvas").first.bounding_box()
    assert canvas is not None
    session = page.context.new_cdp_session(page)
    y = canvas["y"] + canvas["height"] / 2

    def touch(kind: str, part: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": canvas["x"] + canvas["width"] * part, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.5)
    touch("touchMove", 0.6)
    touch("touchMove", 0.7)
    touch("touchEnd", 0.7)
    divider = page.get_by_role("slider", name="Divider between before and after")
    expect(divider).to_have_attribute("aria-valuenow", "70")


def test_zoom_pan_and_the_divider_that_stays(page: Page) -> None:
    opened(page, png(900, 1600))
    zoom = page.locator("#picture .zoom output")
    fit, full = page.get_by_role("button", name="Fit"), page.get_by_role("button", name="100 %")
    expect(fit).to_have_attribute("aria-pressed", "true")
    full.click()
    expect(zoom).to_have_text("100 %")
    expect(full).to_have_attribute("aria-pressed", "true")
    box = page.locator(".canvas").first.bounding_box()
    assert box is not None and (round(box["width"]), round(box["height"])) == (1600, 900)
    divider = page.locator(".divider").first
    before = divider.bounding_box()
    stage = page.locator(".stage").first
    area = stage.bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 600, area["y"] + 300)
    page.mouse.down()
    page.mouse.move(area["x"] + 500, area["y"] + 250)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "50")
    assert divider.bounding_box() == before
    page.get_by_role("button", name="Larger").click()
    expect(zoom).to_have_text("200 %")
    page.get_by_role("button", name="Smaller").click()
    page.get_by_role("button", name="Smaller").click()
    expect(zoom).to_have_text("50 %")
    stage.focus()
    page.keyboard.press("1")
    expect(zoom).to_have_text("100 %")
    page.keyboard.press("0")
    expect(fit).to_have_attribute("aria-pressed", "true")
    page.mouse.move(area["x"] + 300, area["y"] + 200)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -240)
    page.keyboard.up("Control")
    expect(fit).to_have_attribute("aria-pressed", "false")


def test_errors_are_shown_and_the_way_back_is_open(page: Page) -> None:
    choose(page, b"\0\0\0\x18ftypheic" + bytes(100), "IMG_1.HEIC")
    expect(page.get_by_role("alert")).to_contain_text("This is a HEIC picture")
    expect(page.get_by_role("button", name="Choose a file")).to_be_focused()
    page.get_by_role("button", name="Close the message").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    choose(page, png()[:500], "cut.png")
    expect(page.get_by_role("alert")).to_contain_text("“cut.png” is damaged or cut short")


def test_files_that_are_too_large_are_not_sent(page: Page) -> None:
    page.goto("/")
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": bytes(3_000_001)})
    expect(page.get_by_role("alert")).to_contain_text("“a.png” has 3.0 MB; expected at most 3.0 MB")
    assert "POST" not in sent


def test_a_server_that_is_gone(page: Page) -> None:
    opened(page, png())
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_role("alert")).to_contain_text("keenframe does not answer")
    expect(page.get_by_role("button", name="Download")).to_be_enabled()


def test_a_picture_that_was_removed(page: Page) -> None:
    opened(page, png())
    for _ in range(12):
        httpx.post(f"{page.url}api/pictures", content=png(40, 40), timeout=60)
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_role("alert")).to_contain_text("not kept any more")


def test_the_next_picture_takes_the_place_of_the_last(page: Page, url: str) -> None:
    opened(page, png())
    with (
        page.expect_request(lambda request: request.method == "DELETE"),
        page.expect_file_chooser() as chooser,
    ):
        page.get_by_role("button", name="Open another").click()
        chooser.value.set_files({"name": "b.png", "mimeType": "image/png", "buffer": png(80, 90)})
    expect(page.get_by_role("heading", name="b.png")).to_be_visible()
    expect(page.get_by_role("slider", name="Strength")).to_have_value("1")


def test_the_page_is_isolated_from_others(page: Page) -> None:
    for place in ("/", "/live"):
        page.goto(place)
        assert page.evaluate("crossOriginIsolated && typeof SharedArrayBuffer === 'function'")
