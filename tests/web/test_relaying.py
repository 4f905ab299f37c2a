"""The door to the relay."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from keenframe.errors import EngineError, InputError
from keenframe.web.app import create_app
from keenframe.web.settings import Limits
from web_app import HERE, client, settings

OFFER = {"sdp": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"}


class FakeRelay:
    def __init__(self, error: Exception | None = None, slow_s: float = 0.0) -> None:
        self.error = error
        self.slow_s = slow_s
        self.strengths: list[tuple[str, float]] = []
        self.calls: set[str] = set()
        self.times_ms: dict[str, float] = {}
        self.closed = False

    async def connect(self, sdp: str) -> tuple[str, str]:
        await asyncio.sleep(self.slow_s)
        if self.error is not None:
            raise self.error
        self.calls.add("one")
        return "one", "v=0 answer to " + sdp[:3]

    def set_strength(self, id: str, strength: float) -> bool:
        self.strengths.append((id, strength))
        return id in self.calls

    def stats(self) -> dict[str, Any]:
        numbers = {"level_name": "keen", "ready": True, "processing_ms": self.times_ms, "size_in": (1, 1)}
        return {"peers": len(self.calls), "participants": dict.fromkeys(self.calls, numbers)}

    async def disconnect(self, id: str) -> bool:
        known = id in self.calls
        self.calls.discard(id)
        return known

    async def close(self) -> None:
        self.closed = True


def calling(model: Path, base: Path, relay: FakeRelay) -> TestClient:
    limits = Limits(free_disk=0, offer_seconds=0.3, changes_per_minute=10_000)
    return TestClient(create_app(settings(model, limits), relay, base=base), base_url=HERE)


def test_a_call(identity_model: Path, tmp_path: Path) -> None:
    relay = FakeRelay()
    with calling(identity_model, tmp_path, relay) as app:
        assert app.get("/api/about").json()["relay"] is True
        answer = app.post("/api/relay/offer", json=OFFER)
        assert answer.json() == {"id": "one", "sdp": "v=0 answer to v=0"}
        assert app.post("/api/relay/one/strength?strength=1.5").status_code == 204
        assert relay.strengths == [("one", 1.5)]
        assert app.post("/api/relay/one/strength?strength=3").status_code == 422
        assert app.get("/api/relay/one").json() == {"level": "keen", "ready": True, "processing_ms": None}
        relay.times_ms = {"p50": 7.5, "p95": 9}
        assert app.get("/api/relay/one").json() == {"level": "keen", "ready": True, "processing_ms": 7.5}
        assert app.get("/api/relay/two").status_code == 404
        assert app.delete("/api/relay/one").status_code == 204
        assert app.delete("/api/relay/one").status_code == 404
        assert app.post("/api/relay/two/strength?strength=1").status_code == 404
        assert not relay.closed
    assert relay.closed


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"v=0"', b"{}", b'{"sdp": 1}', b'{"sdp": "x"}', b"\xff", b"[" * 50_000]
)
def test_what_is_no_offer(identity_model: Path, tmp_path: Path, body: bytes) -> None:
    with calling(identity_model, tmp_path, FakeRelay()) as app:
        answer = app.post("/api/relay/offer", content=body)
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "offer"


def test_an_offer_that_is_too_large(identity_model: Path, tmp_path: Path) -> None:
    with calling(identity_model, tmp_path, FakeRelay()) as app:
        assert app.post("/api/relay/offer", json={"sdp": "v=0" + "x" * 200_000}).status_code == 413


@pytest.mark.parametrize(
    ("relay", "status", "message"),
    [
        (
            FakeRelay(InputError("the offer holds no video: offer one")),
            422,
            "The offer holds no video: offer one.",
        ),
        (
            FakeRelay(EngineError("it is full; wait, or start it with more (--peers)")),
            503,
            "It is full; wait.",
        ),
        (FakeRelay(slow_s=30), 504, "The relay did not answer in time. Try again."),
    ],
)
def test_refusals_are_passed_on(
    identity_model: Path, tmp_path: Path, relay: FakeRelay, status: int, message: str
) -> None:
    with calling(identity_model, tmp_path, relay) as app:
        answer = app.post("/api/relay/offer", json=OFFER)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, message)


def test_without_a_relay_it_says_how_to_get_one(identity_model: Path, tmp_path: Path) -> None:
    with client(identity_model, tmp_path) as app:
        assert app.get("/api/about").json()["relay"] is False
        answer = app.post("/api/relay/offer", json=OFFER)
        assert answer.status_code == 501
        assert app.delete("/api/relay/one").status_code == 501
