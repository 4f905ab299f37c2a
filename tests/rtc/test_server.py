"""The relay on HTTP: who is let in, what is taken, what it says."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

import commands
from keenframe.rtc.relay import Relay
from keenframe.rtc.server import create_app
from keenframe.serving.access import Access
from rtc_client import PassThrough

TOKEN = "a token"


def client(access: Access | None = None) -> TestClient:
    relay = Relay(make_sharpener=lambda stats: PassThrough(), peers=1)
    return TestClient(create_app(relay, access), base_url="http://127.0.0.1:8770")


@pytest.fixture
def door() -> Iterator[TestClient]:
    with client() as made:
        yield made


def test_the_page_and_the_numbers(door: TestClient) -> None:
    page = door.get("/")
    assert page.status_code == 200 and "keenframe relay" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "javascript" in door.get("/relay.js").headers["content-type"]
    numbers = door.get("/stats.json").json()
    assert numbers["peers"] == 0 and numbers["peers_limit"] == 1 and numbers["participants"] == {}
    metrics = door.get("/metrics").text
    assert "keenframe_relay_peers 0\n" in metrics and "keenframe_relay_peers_answered_total 0\n" in metrics
    assert door.get("/nothing").status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b'{"sdp": 5}', "expected JSON"),
        (b'{"sdp": "hello"}', "does not start with 'v=0'"),
        (b'{"sdp": "v=0", "type": "answer"}', "expected 'offer'"),
        (b'{"sdp": "v=0\\r\\nm=video 9 X 1\\r\\na=sendrecv"}', "the offer cannot be used"),
    ],
)
def test_what_is_no_offer_is_refused_with_a_message(door: TestClient, body: bytes, message: str) -> None:
    answer = door.post("/offer", content=body)
    assert answer.status_code == 400 and message in answer.json()["error"]
    assert door.get("/stats.json").json()["peers"] == 0


def test_what_is_too_long_is_not_read(door: TestClient) -> None:
    answer = door.post("/offer", content=b"x" * 200_000)
    assert answer.status_code == 413 and "too long" in answer.json()["error"]


def test_leaving_a_call_that_is_not_there(door: TestClient) -> None:
    assert door.delete("/peers/nobody").status_code == 404


def test_other_names_and_other_sites_are_refused(door: TestClient) -> None:
    for host in ("evil.example", "evil.example:8770", "192.0.2.7", "", "[", "127.0.0.1.evil.example"):
        refused = door.get("/", headers={"Host": host})
        assert refused.status_code == 421, host
    for host in ("localhost:8770", "[::1]:8770", "127.0.0.1"):
        assert door.get("/", headers={"Host": host}).status_code == 200, host
    crossing = door.post("/offer", content=b"{}", headers={"Origin": "https://evil.example"})
    assert crossing.status_code == 403 and "other websites" in crossing.json()["error"]
    assert door.post("/offer", content=b"{}", headers={"Origin": "null"}).status_code == 403
    own = door.post("/offer", content=b"{}", headers={"Origin": "http://127.0.0.1:8770"})
    assert own.status_code == 400


def test_a_token_is_asked_for_where_there_is_one() -> None:
    with client(Access(frozenset({"relay.example"}), any_address=True, token=TOKEN)) as door:
        assert all(
            door.get(path).status_code == 200 for path in ("/", "/relay.css", "/relay.js", "/icon.svg")
        )
        for path in ("/stats.json", "/metrics", "/stats.json?token=wrong", "/metrics?token="):
            refused = door.get(path)
            assert refused.status_code == 401 and "token" in refused.json()["error"]
        assert door.post("/offer", content=b"{}").status_code == 401
        assert door.delete("/peers/nobody").status_code == 401
        assert door.get("/metrics", params={"token": TOKEN}).status_code == 200
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert door.get("/stats.json", headers=bearer).status_code == 200
        assert door.get("/stats.json", headers=bearer | {"Host": "relay.example:1"}).status_code == 200
        assert door.get("/stats.json", headers=bearer | {"Host": "192.0.2.7"}).status_code == 200
        assert door.get("/stats.json", headers=bearer | {"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "huge"), "expected 'largest', 'same' or WIDTHxHEIGHT"),
        (("--bitrate", "1:2"), "expected MIN:START:MAX"),
        (("--bitrate", "500:300:900"), "min <= start <= max"),
        (("--model", "nosuch"), "there is no model 'nosuch'"),
        (("--model", "keen-x2"), "keeps the size"),
        (("--host", "nowhere.invalid"), "no address of a computer"),
        (("--engine", "nosuch"), "nosuch"),
    ],
)
def test_wrong_options_of_the_command_end_it_with_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = commands.keenframe("relay", "--port", "0", *arguments)
    assert result.code == 1 and message in result.err and len(result.err.splitlines()) == 1


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path, identity_model: Path) -> None:
    process = commands.start(
        tmp_path, "relay", "--port", 0, "--model", identity_model, "--engine", "onnxruntime"
    )
    try:
        url = commands.url_of(process)
        # It listens already; until it is there, who comes waits.
        numbers = httpx.get(f"{url}stats.json", timeout=60).json()
        assert numbers["peers"] == 0
        refused = httpx.post(f"{url}offer", content=json.dumps({"sdp": "no"}), timeout=60)
        assert refused.status_code == 400
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0 and "Traceback" not in err, err
    finally:
        process.kill()
        process.communicate()
