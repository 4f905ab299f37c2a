"""Apps on real sockets, for tests of what only there can happen."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from keenframe.serving.listener import addresses, listen
from keenframe.serving.server import config

DEADLINE_S = 60.0


@contextmanager
def running(app: ASGIApp, connections: int = 100, **options: Any) -> Iterator[str]:
    """The app on a free port of this computer; gives its address, such as "http://127.0.0.1:8123".

    options: as `keenframe.serving.server.run` takes them.
    """
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(config(app, connections, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="test-server")
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            (url,) = addresses(listener)
            yield url.rstrip("/")
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)


def until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Wait for `condition` to give something, and give it back."""
    end = time.monotonic() + deadline_s
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return result


def connect(url: str) -> socket.socket:
    """A connection to the server at `url`."""
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), DEADLINE_S)


def talk(url: str, sent: bytes) -> bytes:
    """Send raw bytes and return all that comes until the other side closes."""
    with connect(url) as connection:
        connection.sendall(sent)
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
        return received
