"""Media for the web app, and the app with a small model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from browser import browser
from clips import Clip, make
from keenframe.web.settings import Limits
from web_app import client, server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's app makes its folder."""
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def app(unsharp_model: Path, base: Path) -> Iterator[TestClient]:
    limits = Limits(free_disk=0, changes_per_minute=100_000, pictures=3, picture_pixels=1_000_000)
    with client(unsharp_model, base, limits) as caller:
        yield caller


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames of 64x48 with sound."""
    return make(tmp_path_factory.mktemp("clip") / "a.mp4", Clip(sound="aac"))


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute in 6,000 small frames, so that work on it can be broken off."""
    times = [10 * i for i in range(6000)]
    options = {"preset": "ultrafast"}
    return make(tmp_path_factory.mktemp("clip") / "long.mp4", Clip(128, 96, times=times, options=options))


@pytest.fixture(scope="module")
def url(unsharp_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server on a real socket."""
    limits = Limits(free_disk=0, changes_per_minute=100_000, waiting=1, picture_bytes=3_000_000)
    with server(unsharp_model, tmp_path_factory.mktemp("served"), limits) as address:
        yield address


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as started:
        yield started


@pytest.fixture
def page(chrome: Browser, url: str) -> Iterator[Page]:
    """A tab that has opened nothing yet. The test fails when the page throws, breaks its own policy or asks for
    anything from elsewhere."""
    context = chrome.new_context(base_url=url, viewport={"width": 1200, "height": 800}, accept_downloads=True)
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on(
        "console",
        lambda m: wrong.append(m.text) if m.type == "error" and "Failed to load" not in m.text else None,
    )
    tab.on("request", lambda r: None if r.url.startswith((url, "blob:")) else wrong.append(r.url))
    tab.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status == 500 else None)
    yield tab
    context.close()
    assert not wrong
