"""Limits against floods: requests per address and per rater, size and time of requests, connections."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

# A rater's page makes a request or two per answer, and fetches some media ahead.
RATER_RATE, RATER_BURST = 20.0, 80.0
# A laboratory or an office may have fifty raters behind one address.
ADDRESS_RATE, ADDRESS_BURST = 400.0, 1200.0
# Wrong links and secrets from one address: enough for typing errors, too few for guessing.
REFUSED_RATE, REFUSED_BURST = 0.5, 20.0
BODY_BYTES_MAX = 16 * 1024
BODY_S, REQUEST_S, HEADER_S = 15.0, 300.0, 15.0
CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS = 1000, 400
_KEYS_MAX = 10_000


class Buckets:
    """Token buckets by key, in memory only: `rate` per second, up to `burst` at once.

    At most `_KEYS_MAX` keys are remembered; the one unused for longest is forgotten first.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """Count a request. 0 when it may pass, else the seconds to wait."""
        now = self._clock()
        level, since = self._levels.get(key, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        if level < 1:
            return (1 - level) / self._rate
        self._levels[key] = (level - 1, now)
        self._levels.move_to_end(key)
        if len(self._levels) > _KEYS_MAX:
            self._levels.popitem(last=False)
        return 0.0


class BodyTooLargeError(Exception):
    """The request's body is larger than any answer."""


class Guard:
    """ASGI middleware: limits on every request, and the headers of a strict page on every response."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._addresses = Buckets(ADDRESS_RATE, ADDRESS_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in self._headers if header[0] not in present),
                ]
            await send(message)

        wait_s = self._addresses.take(address(scope))
        if wait_s:
            await _refuse(send_guarded, 429, "too many requests from this network", wait_s)
            return
        try:
            async with asyncio.timeout(REQUEST_S):
                await self._app(scope, _limited(receive), send_guarded)
        except BodyTooLargeError:
            await _refuse(send_guarded, 413, f"expected at most {BODY_BYTES_MAX} bytes")
        except TimeoutError:
            if not started:
                await _refuse(send_guarded, 408, "the request took too long")


def _limited(receive: Receive) -> Receive:
    """`receive` that gives up on bodies that are too large or too slow."""
    size, whole = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_S

    async def limited() -> Message:
        nonlocal size, whole
        if whole:  # what comes now is the news that the client has gone, however late
            return await receive()
        async with asyncio.timeout_at(deadline):
            message = await receive()
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
        if size > BODY_BYTES_MAX:
            raise BodyTooLargeError
        return message

    return limited


async def _refuse(send: Send, status: int, message: str, wait_s: float = 0.0) -> None:
    body = f'{{"error": "{message}"}}'.encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if wait_s:
        headers.append((b"retry-after", str(max(1, round(wait_s))).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def address(scope: Scope) -> str:
    """The client's address, held in memory for counting and stored nowhere."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def limited_protocol(behind_proxy: bool = False) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1 with limits it lacks: connections per address, and seconds until a request's headers
    are complete, on new and on kept connections. behind_proxy: all connections are the proxy's."""
    open_now: Counter[str] = Counter()
    most = CONNECTIONS_MAX if behind_proxy else CONNECTIONS_PER_ADDRESS

    class LimitedProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _address = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            open_now[self._address] += 1
            if open_now[self._address] > most or len(self.connections) > CONNECTIONS_MAX:
                transport.abort()
            else:
                self._wait_for_headers()

        def data_received(self, data: bytes) -> None:
            if self._timer is None and not self._busy():
                self._wait_for_headers()
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

        def _wait_for_headers(self) -> None:
            self._timer = self.loop.call_later(HEADER_S, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return LimitedProtocol
