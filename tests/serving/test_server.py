"""Slow and many clients, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from keenframe.serving import server
from keenframe.serving.guard import Guard, page_headers
from keenframe.serving.requests import Refused, read_body, refusal_response
from servers import connect, running, talk

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Door(Guard):
    def check(self, scope: Scope) -> Response | None:
        if scope["path"] == "/refused":
            raise Refused(403, "no", "not here", wait_s=2.4)
        return PlainTextResponse("of the door") if scope["path"] == "/door" else None


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello", headers={"Cache-Control": "private"})


async def body(request: Request) -> Response:
    return PlainTextResponse(await read_body(request, 1000, 0.3))


async def endless(request: Request) -> Response:
    await asyncio.sleep(3600)
    raise AssertionError


@pytest.fixture
def url() -> Iterator[str]:
    """A server for five connections of an address."""
    routes = [Route("/", hello), Route("/body", body, methods=["POST"]), Route("/endless", endless)]
    app = Starlette(routes=routes, exception_handlers={Refused: refusal_response})
    with running(Door(app, page_headers({}), limit_s=1.0), per_address=5) as address:
        yield address


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes its waits short, from the next one on: not before a test that a busy machine holds up has been heard."""

    def shorten() -> None:
        monkeypatch.setattr(server, "HEAD_S", 0.3)
        monkeypatch.setattr(server, "REFUSED_BODY_S", 0.4)

    return shorten


def post(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def test_every_answer_has_the_headers(url: str) -> None:
    with_close = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for path, status in (("/", 200), ("/door", 200), ("/refused", 403), ("/nothing", 404)):
        answer = talk(url, with_close.replace(b"/", path.encode(), 1)).decode().lower()
        assert answer.startswith(f"http/1.1 {status}")
        assert "default-src 'none'" in answer and "camera=()" in answer
        assert ("cache-control: private" in answer) == (path == "/") and "server:" not in answer
    refused = talk(url, with_close.replace(b"/", b"/refused", 1))
    assert b'{"error":"not here"}' in refused and b"retry-after: 2\r\n" in refused


def test_who_never_ends_his_head_is_cut_off(url: str, hasty: Callable[[], None]) -> None:
    # Also on a connection that has been answered once.
    with connect(url) as slow:
        slow.sendall(GET)
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        hasty()
        slow.sendall(b"GET / HT")
        assert b"HTTP/1.1" not in slow.recv(4096)
    assert talk(url, b"") == b""
    assert talk(url, b"GET / HTTP/1.1\r\nHost: x\r\n") == b""


def test_who_never_ends_his_body_is_cut_off(url: str) -> None:
    assert talk(url, post("/body", 50) + b"{").startswith(b"HTTP/1.1 408")
    assert b" 400 " in talk(url, post("/body", -1))


def test_what_is_sent_on_after_a_refusal_is_read_for_a_while(url: str, hasty: Callable[[], None]) -> None:
    """The answer arrives, however much is still coming, and who trickles on is cut off."""
    assert b" 413 " in talk(
        url, post("/body", 3000) + bytes(3000) + GET.replace(b"x", b"x\r\nConnection: close")
    )
    with connect(url) as slow:
        slow.sendall(post("/refused", 1_000_000) + b"x")
        assert slow.recv(4096).startswith(b"HTTP/1.1 403")
        hasty()
        with pytest.raises(OSError):
            for _ in range(1000):
                slow.sendall(b"x")
                slow.settimeout(0.05)
                try:
                    if not slow.recv(1):
                        raise ConnectionResetError
                except TimeoutError:
                    continue


def test_an_answer_that_takes_too_long_is_given_up(url: str) -> None:
    assert talk(url, GET.replace(b"/", b"/endless", 1)).startswith(b"HTTP/1.1 408")


def test_heads_are_bounded(url: str) -> None:
    assert b" 400 " in talk(url, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)


def test_connections_of_one_address_are_bounded(url: str) -> None:
    held = [connect(url) for _ in range(12)]
    closed = 0
    for connection in held:
        try:
            connection.sendall(GET)
            closed += not connection.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            closed += 1
    assert closed == 7
    for connection in held:
        connection.close()


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("named", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("when", ["ready", "loop", "app"])
def test_a_signal_waits_for_the_servers_end(when: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes as soon as the server is announced, or while asyncio's loop is being made: an exception
    there would leave half a loop."""
    number, happened = signal.Signals[named], []

    class Stopped(BaseException):
        pass

    def stop(number: int, frame: object) -> None:
        happened.append("signal")
        raise Stopped

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if when == "app":
            asyncio.get_running_loop().call_later(0.2, signal.raise_signal, number)
        yield
        happened.append("end")

    def factory(config: server.uvicorn.Config) -> Callable[[], asyncio.AbstractEventLoop]:
        def loop() -> asyncio.AbstractEventLoop:
            if when == "loop":
                signal.raise_signal(number)
            return asyncio.new_event_loop()

        return loop

    monkeypatch.setattr(server.uvicorn.Config, "get_loop_factory", factory)

    def ready() -> None:
        if when == "ready":
            signal.raise_signal(number)

    before = signal.signal(number, stop)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Stopped):
            server.run(Starlette(lifespan=lifespan), listener, 5, on_ready=ready)
    finally:
        signal.signal(number, before)
    assert happened == ["end", "signal"]


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_second_ctrl_c_does_not_wait() -> None:
    async def startup() -> None:
        signal.raise_signal(signal.SIGINT)
        happened.append("went on")
        signal.raise_signal(signal.SIGINT)
        happened.append("went on")

    happened: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield

    uvicorn_server = server.uvicorn.Server(server.config(Starlette(lifespan=lifespan), 5))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), server._signals_after(uvicorn_server):
            asyncio.run(startup())
        assert uvicorn_server.should_exit and happened == ["went on"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
