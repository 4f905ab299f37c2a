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
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODULE = ROOT / "src" / "keenframe" / "web" / "static" / "keenframe"
MODELS = ROOT / "src" / "keenframe" / "zoo" / "models"
ORT = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist"
# The first part of an address, and the folder it stands for.
FOLDERS = {"keenframe": MODULE, "onnx": MODELS, "ort": ORT, "pages": HERE / "pages"}


class Handler(SimpleHTTPRequestHandler):
    """Files of FOLDERS and, under /files, of a test's own folder; /isolated/… is the same with isolating headers."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm",
    }  # fmt: skip

    def translate_path(self, path: str) -> str:
        first, _, rest = path.removeprefix("/isolated").lstrip("/").partition("?")[0].partition("/")
        folder = self.server.folders.get(first)  # type: ignore[attr-defined]
        return str(folder / rest) if folder and ".." not in rest else str(HERE / "nothing")

    def end_headers(self) -> None:
        if self.path.startswith("/isolated/"):
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the page sees as /files."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def started() -> Iterator[Browser]:
    with chromium.browser("--autoplay-policy=no-user-gesture-required") as running:
        yield running


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
