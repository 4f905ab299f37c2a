"""Bodies: bounded in size, in time, in number. Over a real socket, as only there bytes come late."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from keenframe.web.settings import Limits
from servers import connect, talk, until
from web_app import client, server

SMALL = Limits(
    free_disk=0, picture_bytes=10_000, video_bytes=20_000, uploads=2, idle=0.3, changes_per_minute=100_000
)


@pytest.fixture(scope="module")
def small(identity_model: Path, base: Path) -> Iterator[TestClient]:
    with client(identity_model, base, SMALL) as caller:
        yield caller


@pytest.fixture(scope="module")
def url(identity_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(identity_model, tmp_path_factory.mktemp("socket"), SMALL) as address:
        yield address


def post(url: str, path: str, length: object) -> bytes:
    host = url.removeprefix("http://")
    return f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode()


@contextmanager
def begun(url: str, path: str, length: int) -> Iterator[socket.socket]:
    """A connection with the head of a request and the first byte of its body sent."""
    with connect(url) as connection:
        connection.sendall(post(url, path, length) + b"x")
        yield connection


@pytest.mark.parametrize(("path", "limit"), [("/api/pictures", 10_000), ("/api/videos", 20_000)])
def test_too_large_by_its_own_word_and_by_what_comes(
    small: TestClient, base: Path, path: str, limit: int
) -> None:
    declared = small.post(path, content=b"x" * (limit + 1))
    counted = small.post(path, content=(b"x" * 1000 for _ in range(limit // 1000 + 1)))
    for answer in (declared, counted):
        assert answer.status_code == 413 and "larger than" in answer.json()["error"]["message"]
    (folder,) = (path for path in base.iterdir() if path.is_dir())
    assert list(folder.iterdir()) == []


def test_a_browser_hears_why_before_it_has_sent_everything(url: str) -> None:
    """The rest of a refused body is read on: a connection closed on a sender loses the answer."""
    with httpx.Client(base_url=url, timeout=60) as sender:
        answer = sender.post("/api/pictures", content=bytes(30_000_000))
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "5, 6", "99999999999999999999999"])
def test_lengths_that_are_none(url: str, length: str) -> None:
    received = talk(url, post(url, "/api/pictures", length) + b"x" * 100)
    assert received.split(b" ", 2)[1] in (b"400", b"413")


def test_a_body_that_stands_still_is_given_up(url: str) -> None:
    assert b" 408 " in talk(url, post(url, "/api/pictures", 5000) + b"\x89PNG")
    assert b" 408 " in talk(url, post(url, "/api/relay/offer", 5000) + b"{")


def test_a_body_that_trickles_is_given_up(identity_model: Path, tmp_path: Path) -> None:
    limits = Limits(free_disk=0, slow_after=0.2, slow_rate=1_000_000)
    with server(identity_model, tmp_path, limits) as url, begun(url, "/api/pictures", 5000) as connection:

        def trickle() -> bytes:
            connection.settimeout(0.05)
            try:
                return connection.recv(100)
            except TimeoutError:
                connection.sendall(b"x")
                return b""

        assert b" 408 " in until(trickle)


def test_so_many_uploads_at_once(identity_model: Path, tmp_path: Path) -> None:
    # Those that stand still are not given up meanwhile.
    limits = replace(SMALL, idle=600)
    with server(identity_model, tmp_path, limits) as url, httpx.Client(base_url=url, timeout=60) as sender:

        def answer() -> httpx.Response:
            return sender.post("/api/pictures", content=b"x")

        with begun(url, "/api/pictures", 5000), begun(url, "/api/pictures", 5000):
            refused = until(lambda: a if (a := answer()).status_code == 503 else None)
        assert refused.json()["error"]["code"] == "busy"
        # Those who leave make room.
        until(lambda: answer().status_code == 415)


def test_so_many_connections_at_once(identity_model: Path, tmp_path: Path) -> None:
    def status(url: str) -> int:
        try:
            return httpx.get(f"{url}/api/about", timeout=60).status_code
        except httpx.TransportError:
            # It has not noticed yet that the one before has gone, and this one is cut off as one too many.
            return 0

    limits = Limits(free_disk=0, connections=3, idle=600, slow_after=600)
    with server(identity_model, tmp_path, limits) as url:
        with begun(url, "/api/pictures", 5000), begun(url, "/api/pictures", 5000):
            until(lambda: status(url) == 503)
        until(lambda: status(url) == 200)


def test_who_leaves_in_the_middle_leaves_nothing(identity_model: Path, tmp_path: Path) -> None:
    with server(identity_model, tmp_path) as url:
        (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
        with begun(url, "/api/videos", 5000):
            until(lambda: list(folder.iterdir()))
        until(lambda: not list(folder.iterdir()))


def test_a_disk_that_is_nearly_full(identity_model: Path, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with client(identity_model, tmp_path, Limits(free_disk=2 * free)) as app:
        answer = app.post("/api/pictures", content=b"x")
    assert answer.status_code == 507 and "nearly full" in answer.json()["error"]["message"]
