"""Who may come in, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from keenframe.serving.access import Access
from keenframe.web.settings import Limits
from web_app import client

EVIL = "http://evil.example"
PLACES = [
    "/",
    "/live",
    "/static/style.css",
    "/api/about",
    "/samples/picture",
    "/nothing",
    "/api/nothing",
    "/static/",
]


@pytest.fixture(scope="module")
def here(identity_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    limits = Limits(free_disk=0, changes_per_minute=10_000)
    with client(identity_model, tmp_path_factory.mktemp("base"), limits) as caller:
        yield caller


@pytest.fixture(scope="module")
def shared(identity_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """As with --host: any address of this computer, and a token."""
    base = tmp_path_factory.mktemp("base")
    access = Access(any_address=True, token="t0ken-of-the-tests")
    with client(identity_model, base, access=access) as caller:
        yield caller


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:80", "[::1]:8765", "127.0.0.1:1", "127.9.9.9"]
)
def test_its_own_names_are_let_in(here: TestClient, host: str) -> None:
    assert here.get("/api/about", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "user@localhost",
        "localhost/x",
        "192.168.1.7",
        "[::1",
        "localhost:port",
        "",
    ],
)
def test_any_other_name_is_refused(here: TestClient, host: str) -> None:
    """DNS rebinding: the page's own name arrives as Host."""
    for place in ("/", "/api/about", "/static/style.css"):
        assert here.get(place, headers={"host": host}).status_code == 421
    assert here.post("/api/pictures", headers={"host": host}, content=b"x").status_code == 421


def test_two_hosts_are_refused(here: TestClient) -> None:
    headers = [("host", "localhost"), ("host", "localhost")]
    assert here.get("/api/about", headers=headers).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1"},
        {"origin": "http://localhost"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://127.0.0.1", "sec-fetch-site": "cross-site"},
    ],
)
def test_changes_from_other_pages_are_refused(here: TestClient, headers: dict[str, str]) -> None:
    for method, place in (
        ("POST", "/api/pictures"),
        ("POST", "/api/relay/offer"),
        ("DELETE", "/api/videos/x"),
    ):
        answer = here.request(method, place, headers=headers, content=b"x")
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "cross-site"


def test_changes_from_its_own_page_are_let_in(here: TestClient) -> None:
    headers = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert here.delete("/api/videos/x", headers=headers).status_code == 404


def test_other_pages_may_link_but_not_read(here: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert here.get("/", headers=headers).status_code == 200
    assert here.get("/api/about", headers=headers).status_code == 403


@pytest.mark.parametrize("place", PLACES)
def test_every_answer_carries_the_headers(here: TestClient, place: str) -> None:
    answers = [
        here.get(place),
        here.get(place, headers={"host": "evil.example"}),
        here.post(place, content=b""),
    ]
    for answer in answers:
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy and "http:" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == ("no-cache" if place.startswith("/static/") else "no-store")
        assert "access-control-allow-origin" not in headers and "server" not in headers


def test_a_failure_of_our_own_carries_them_too(
    identity_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret words")

    monkeypatch.setattr("keenframe.web.shelf.Shelf.get", broken)
    with client(identity_model, tmp_path) as caller:
        caller._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
        answer = caller.get("/api/videos/x")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.json()["error"]["code"] == "bug" and "content-security-policy" in answer.headers


def test_folders_are_not_listed_and_not_left(here: TestClient) -> None:
    for place in (
        "/static",
        "/static/",
        "/static/js/",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/samples/",
    ):
        assert here.get(place, follow_redirects=False).status_code in (307, 404), place
    assert here.get("/static/..%2fapp.py").status_code == 404
    assert here.get("/static/js/%2e%2e/%2e%2e/%2e%2e/app.py").status_code == 404


def test_scripts_have_a_type_that_browsers_run(here: TestClient) -> None:
    assert here.get("/static/js/files.js").headers["content-type"].startswith("text/javascript")


def test_websockets_are_refused(here: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), here.websocket_connect("/"):
        pass


def test_too_many_changes_within_a_minute(identity_model: Path, tmp_path: Path) -> None:
    limits = Limits(free_disk=0, changes_per_minute=8)
    with client(identity_model, tmp_path, limits) as caller:
        answers = [caller.delete("/api/videos/x").status_code for _ in range(4)]
        assert answers == [404, 404, 429, 429]
        assert caller.get("/api/about").status_code == 200


class TestToken:
    @pytest.mark.parametrize("place", PLACES)
    def test_nothing_without_it(self, shared: TestClient, place: str) -> None:
        answer = shared.get(place)
        assert answer.status_code == 401 and "t0ken" not in answer.text
        assert shared.post(place, content=b"x").status_code == 401

    @pytest.mark.parametrize("token", ["", "t0ken", "t0ken-of-the-testsx", "тест", "%ff"])
    def test_wrong_ones(self, shared: TestClient, token: str) -> None:
        answer = shared.get(f"/?token={token}")
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        raw = {"cookie": f"keenframe-80={token}".encode()}
        assert shared.get("/api/about", headers=raw).status_code == 401  # type: ignore[arg-type]

    def test_the_address_hands_out_a_cookie(self, shared: TestClient) -> None:
        answer = shared.get("/?token=t0ken-of-the-tests")
        cookie = answer.headers["set-cookie"].lower()
        assert answer.status_code == 200 and "t0ken" not in answer.text
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
        assert shared.get("/api/about").status_code == 200
        assert shared.get("/").status_code == 200
        shared.cookies.clear()
        assert shared.get("/").status_code == 401

    def test_only_the_first_page_takes_it(self, shared: TestClient) -> None:
        assert shared.get("/api/about?token=t0ken-of-the-tests").status_code == 401
        assert shared.post("/?token=t0ken-of-the-tests").status_code == 401

    def test_cookies_of_two_ports_do_not_mix(self, shared: TestClient) -> None:
        answer = shared.get("/?token=t0ken-of-the-tests", headers={"host": "192.168.1.7:8765"})
        assert answer.headers["set-cookie"].startswith("keenframe-8765=")
        shared.cookies.clear()

    def test_addresses_are_names_too_but_not_foreign_ones(self, shared: TestClient) -> None:
        assert shared.get("/", headers={"host": "192.168.1.7:8765"}).status_code == 401
        assert shared.get("/", headers={"host": "evil.example"}).status_code == 421
