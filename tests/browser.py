"""A real Chromium for tests: where it is, and how to start it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# No sandbox: containers give it no namespaces. Nothing may leave the machine or wait for a first run's questions.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Path of an installed Chromium or Chrome; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip("no Chromium on the path: install the package chromium to run this test")


@contextmanager
def browser(*more: str) -> Iterator[Browser]:
    """A headless Chromium with a fresh profile, driven by Playwright; `more` are further launch arguments."""
    path = chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    # Its own five seconds are too few for a busy machine; what is expected comes, or does not, all the same.
    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=[*ARGUMENTS, *more])
        try:
            yield started
        finally:
            started.close()
