"""The web app for tests: called in this process, or on a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from keenframe.web.app import create_app
from keenframe.web.settings import Limits, Relay, Settings

HERE = "http://127.0.0.1"
DEADLINE_S = 60.0


def settings(model: Path | str, limits: Limits | None = None, **more: Any) -> Settings:
    """A small model on the engine that starts fastest."""
    return Settings(str(model), "onnxruntime", 1, limits=limits or Limits(free_disk=0), **more)


@contextmanager
def client(model: Path | str, base: Path, limits: Limits | None = None, **more: Any) -> Iterator[TestClient]:
    """The app with its lifespan running; its folder is made in `base`."""
    app = create_app(settings(model, limits, **more), base=base)
    with TestClient(app, base_url=HERE) as caller:
        yield caller


@contextmanager
def server(
    model: Path | str,
    base: Path,
    limits: Limits | None = None,
    relay: Relay | None = None,
    no_relay: str = "no relay here",
    **more: Any,
) -> Iterator[str]:
    """The app on a free port of this computer; gives its address, such as "http://127.0.0.1:8123"."""
    import uvicorn

    from keenframe.web.server import config, listen

    limits = limits or Limits(free_disk=0)
    app = create_app(settings(model, limits, **more), relay, no_relay, base)
    listener = listen("127.0.0.1", 0)
    running = uvicorn.Server(config(app, limits))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: running.started or not thread.is_alive())
        yield f"{HERE}:{listener.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(DEADLINE_S)
        listener.close()


def until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Wait for `condition` to give something, and give it back."""
    end = time.monotonic() + deadline_s
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return result


def talk(url: str, sent: bytes, wait_s: float = 10.0) -> bytes:
    """Send raw bytes and return all that comes until the other side closes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), wait_s) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received
