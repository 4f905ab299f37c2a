"""uvicorn with bounds on connections, heads and times, and without a log of who came."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from keenframe.serving.listener import BACKLOG

HEAD_S = 15.0
# A browser reads no answer before it has sent its whole upload: what is refused is read on, and thrown away.
REFUSED_BODY_S = 300.0
_HEAD_BYTES_MAX = 32 << 10
_GRACE_S = 3


def run(
    app: ASGIApp,
    listener: socket.socket,
    connections: int,
    per_address: int | None = None,
    behind_proxy: bool = False,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve `app` until a signal ends it; what the signal does otherwise happens after the end.

    connections, per_address: at once, in all and from one address, which has no limit of its own by default.
    behind_proxy: believe a proxy on this machine about who comes. on_ready is called once a signal may come at any
    moment: whoever reads that the server is there may end it at once.
    """
    server = uvicorn.Server(config(app, connections, per_address, behind_proxy))
    with _signals_after(server):
        on_ready()
        server.run(sockets=[listener])


def config(
    app: ASGIApp, connections: int, per_address: int | None = None, behind_proxy: bool = False
) -> uvicorn.Config:
    """uvicorn's settings, as `run` takes them."""
    # To the outside all connections through a proxy are the proxy's.
    most = connections if per_address is None or behind_proxy else per_address
    return uvicorn.Config(
        app,
        http=_limited_protocol(most),
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=behind_proxy,
        forwarded_allow_ips="127.0.0.1,::1",
        limit_concurrency=connections,
        h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
        timeout_graceful_shutdown=_GRACE_S,
        backlog=BACKLOG,
    )


@contextlib.contextmanager
def _signals_after(server: uvicorn.Server) -> Iterator[None]:
    """Signals end the server and have their usual effect when it has ended.

    uvicorn does so once it runs. Before, an exception out of a handler would strike into asyncio's half-built loop,
    whose destructor then prints a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        server.should_exit = True
        if number == signal.SIGINT and len(seen) > 1:  # who asks again has waited long enough
            restore()
            signal.raise_signal(number)

    known = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    handled = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in handled}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in handled:
        signal.signal(number, note)
    try:
        yield
    finally:
        restore()
    if seen:
        signal.raise_signal(seen[0])


def _limited_protocol(per_address: int) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1 with limits that it lacks: connections of an address, and seconds for what is no part of a
    request being answered: heads, on new and on kept connections, and bodies of requests that were refused."""
    open_now: Counter[str] = Counter()

    class LimitedProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _address = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            open_now[self._address] += 1
            if open_now[self._address] > per_address or len(self.connections) > (self.limit_concurrency or 0):
                transport.abort()
            else:
                self._wait(HEAD_S)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and not self._busy():
                self._wait(HEAD_S if self.conn.their_state is h11.IDLE else REFUSED_BODY_S)
            super().data_received(data)
            if self._busy():
                self._stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            open_now[self._address] -= 1
            if open_now[self._address] <= 0:
                del open_now[self._address]
            super().connection_lost(exc)

        def _busy(self) -> bool:
            """Whether a request is being answered."""
            cycle: Any = self.cycle
            return cycle is not None and not cycle.response_complete

        def _wait(self, seconds: float) -> None:
            self._timer = self.loop.call_later(seconds, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return LimitedProtocol
