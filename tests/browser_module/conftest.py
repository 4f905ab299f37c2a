"""A page on a local server with keenframe.js, in a real Chromium."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import browser as chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODULE = ROOT / "src" / "keenframe" / "web" / "static" / "keenframe"
MODELS = ROOT / "src" / "keenframe" / "zoo" / "models"
ORT = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist"
# The first part of an address, and the folder it stands for.
FOLDERS = {"keenframe": MODULE, "onnx": MODELS, "ort": ORT, "pages": HERE / "pages"}


# Headers that pages of calls send, by the part of the address that asks for them.
HEADERS = {
    "isolated": {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"},
    "strict": {
        "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' "
        "'unsafe-inline'; frame-src 'none'; child-src 'none'; worker-src 'none'; object-src 'none'"
    },
}


class Handler(SimpleHTTPRequestHandler):
    """Files of FOLDERS and, under /files, of a test's own folder; /isolated/… and /strict/… are those with HEADERS."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm",
    }  # fmt: skip

    def translate_path(self, path: str) -> str:
        parts = path.partition("?")[0].strip("/").split("/")
        first, *others = parts[1:] if parts[0] in HEADERS else parts
        rest = "/".join(others)
        folder = self.server.folders.get(first)  # type: ignore[attr-defined]
        return str(folder / rest) if folder and ".." not in rest else str(HERE / "nothing")

    def end_headers(self) -> None:
        for name, value in HEADERS.get(self.path.split("/")[1], {}).items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the page sees as /files."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="package")
def site(files: Path) -> Iterator[str]:
    """Address of the server, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler))
    server.folders = {**FOLDERS, "files": files}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="package")
def driver() -> Iterator[Playwright]:
    """Playwright: one at a time, and no longer than these tests."""
    chromium.chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def started(driver: Playwright) -> Iterator[Browser]:
    arguments = [*chromium.ARGUMENTS, "--autoplay-policy=no-user-gesture-required"]
    running = driver.chromium.launch(executable_path=chromium.chromium(), args=arguments)
    yield running
    running.close()


@pytest.fixture
def page(started: Browser, site: str) -> Iterator[Page]:
    """A blank page of the site; what it logs as an error fails the test."""
    opened = started.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.set_default_timeout(60_000)
    opened.goto(f"{site}/pages/blank.html")
    yield opened
    opened.close()
    assert not problems
