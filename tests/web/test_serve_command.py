"""`keenframe serve` as a user starts it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from commands import keenframe, start, url_of


@contextmanager
def served(
    folder: Path, model: Path, *more: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    monkeypatch.setenv("TMPDIR", str(folder))
    options = ("--port", 0, "--model", model, "--engine", "onnxruntime", "--threads", 1)
    process = start(folder, "serve", *options, *more)
    try:
        yield url_of(process), process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(
    tmp_path: Path, unsharp_model: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with served(tmp_path, unsharp_model, monkeypatch=monkeypatch) as (url, process):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        assert "keenframe" in httpx.get(url, timeout=60).text
        assert any(tmp_path.iterdir())
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (130 if number == signal.SIGINT else 143)
        assert "Traceback" not in errors
    assert not list(tmp_path.glob("keenframe-web-*"))


def test_others_need_the_token(tmp_path: Path, unsharp_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ("--host", "0.0.0.0")
    with served(tmp_path, unsharp_model, *more, monkeypatch=monkeypatch) as (url, process):
        match = re.fullmatch(r"http://[\d.]+:(\d+)/\?token=([\w-]{32})", url)
        assert match, url
        here = f"http://127.0.0.1:{match[1]}"
        assert httpx.get(here, timeout=60).status_code == 401
        with httpx.Client(base_url=here, timeout=60) as user:
            assert user.get("/", params={"token": match[2]}).status_code == 200
            assert user.get("/api/about").status_code == 200
        process.terminate()
        assert "others on your network" in process.communicate(timeout=60)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--host", "nowhere.invalid"), "no address of a computer"),
        (("--host", "192.0.2.1"), "--host takes an address of this computer"),
        (("--model", "nothing"), "there is no model 'nothing'"),
        (("--engine", "nothing"), "engine 'nothing' is not available on this machine"),
    ],
)
def test_wrong_options(options: tuple[str, ...], message: str) -> None:
    done = keenframe("serve", "--port", 0, *options)
    assert done.code == 1 and message in done.err and done.out == ""


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = keenframe("serve", "--port", port)
    assert done.code == 1 and f"cannot listen on 127.0.0.1 port {port}" in done.err and "--port" in done.err


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("keenframe.web.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "starlette.types", None)  # type: ignore[arg-type]
    done = keenframe("serve", "--port", 0)
    assert done.code == 1 and "pip install 'keenframe[web]'" in done.err
