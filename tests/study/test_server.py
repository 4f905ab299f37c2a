"""The raters' API: what it tells, what it takes, and what it keeps out."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra 'web' is not installed")
import httpx
from starlette.testclient import TestClient

from keenframe.serving.buckets import Buckets
from keenframe.study.database import Database
from keenframe.study.design import Study
from keenframe.study.plan import session
from keenframe.study.server.app import STATIC, Api, create_app
from keenframe.study.server.limits import BODY_BYTES_MAX, HEADERS
from keenframe.study.steps import public
from raters import reply, serving, taste
from servers import running, talk

QUALITY = {"reference": 4.4, "unsharp:2": 3.4, "input": 2.4}


@pytest.fixture
def database(folder: Path, study: Study) -> Database:
    return Database(folder, study)


@pytest.fixture
def api(folder: Path, study: Study, database: Database) -> Iterator[Api]:
    made = Api(folder, study, database)
    yield made
    made.close()


@pytest.fixture
def client(api: Api) -> Iterator[TestClient]:
    with TestClient(create_app(api), base_url="http://127.0.0.1") as opened:
        yield opened


@pytest.fixture
def patient(api: Api) -> None:
    """No limit on one rater's requests: for tests that go through whole sessions at once."""
    api._raters = Buckets(1e6, 1e6)


class Visitor:
    """A rater's requests, one by one."""

    def __init__(self, client: TestClient, database: Database) -> None:
        self.client = client
        (self.token,) = database.invite(1, simulated=True)
        self.secret = secrets.token_hex(32)

    def start(self, **changes: Any) -> httpx.Response:
        body = {"token": self.token, "secret": self.secret, "agreed": True, **changes}
        return self.client.post("/api/start", json=body)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, headers=self.headers)

    def answer(self, **body: Any) -> httpx.Response:
        given = {"id": secrets.token_hex(16), "ms": 1000, **body}
        return self.client.post("/api/answers", json=given, headers=self.headers)


@pytest.fixture
def visitor(client: TestClient, database: Database) -> Visitor:
    return Visitor(client, database)


@pytest.mark.usefixtures("patient")
def test_a_whole_session(visitor: Visitor, study: Study, database: Database) -> None:
    state = visitor.start().json()
    steps = session(study, 0)
    own = taste(1, QUALITY)
    for number, step in enumerate(steps):
        assert (state["done"], state["total"], state["step"]["kind"]) == (number, len(steps), step["kind"])
        # A reload shows the same again.
        assert visitor.get("/api/state").json() == state
        state = visitor.answer(step=number, **reply(study, step, own)).json()
    assert state["step"] is None
    assert database.counts(simulated=True).finished == 1


def test_a_repeated_answer_is_acknowledged_again_and_kept_once(visitor: Visitor, database: Database) -> None:
    visitor.start()
    size = {"width": 800, "height": 600, "screen_width": 800, "screen_height": 600, "ratio": 1}
    body = {"id": "c" * 32, "step": 0, "value": size}
    first = visitor.answer(**body)
    again = visitor.answer(**body)
    assert first.json() == again.json() and again.status_code == 200
    other = visitor.answer(**{**body, "id": "d" * 32, "value": {**size, "width": 999}})
    assert other.json() == first.json()
    ((_, kept, _),) = database.records()[0].answers
    assert kept["value"]["width"] == 800


@pytest.mark.usefixtures("patient")
def test_nothing_tells_which_is_which(visitor: Visitor, study: Study, client: TestClient) -> None:
    """Everything that a rater's browser receives in a whole session, but for the pixels themselves."""
    page = "".join(client.get(f"/static/{path.name}").text for path in STATIC.iterdir())
    answers = [client.get("/api/welcome"), visitor.start()]
    fields: dict[str, set[Any]] = {"acr": set(), "ccr": set()}
    media_headers: dict[str, set[Any]] = {}
    own = taste(1, QUALITY)
    for number, step in enumerate(session(study, 0)):
        seen = answers[-1].json()["step"]
        if step["kind"] in fields and step["role"] != "training":
            fields[step["kind"]].add(tuple(sorted(seen)))
            assert seen["practice"] is False
        for name in seen["media"]:
            media = visitor.get(f"/media/{name}")
            if "items" in step:
                source = study.stimulus(step["items"][0]).source
                media_headers.setdefault(source, set()).add(tuple(sorted(media.headers.items())))
        answers.append(visitor.answer(step=number, **reply(study, step, own)))
    # Every rated item, trap, gold question and repeat has the same fields …
    assert all(len(kinds) == 1 for kinds in fields.values())
    # … and every file of a source the same headers, length included.
    assert len(media_headers) == len(study.sources)
    assert all(len(headers) == 1 for headers in media_headers.values())
    secrets_of_study = [
        *(name for name in study.condition_names if name != "input"),
        *(condition.what for condition in study.conditions),
        *(source.file for source in study.sources),
        *(item.id for item in study.stimuli),
        *("unsharp", "sharpen", "ruined", "reference", "swapped", "expects", study.id),
    ]
    told = "\n".join([response.text + str(response.headers) for response in answers])
    told += "".join(str(headers) for headers in media_headers.values())
    more = ["input", "instruction", "role", "gold", "trap", "repeat", "rated", "last-modified", "etag"]
    assert [word for word in [*secrets_of_study, *more] if word.lower() in told.lower()] == []
    assert [word for word in secrets_of_study if word.lower() in page.lower()] == []


def test_media_are_the_files_and_need_a_session(
    visitor: Visitor, study: Study, folder: Path, client: TestClient
) -> None:
    visitor.start()
    name = study.stimuli[0].file
    got = visitor.get(f"/media/{name}")
    assert got.content == (folder / "media" / name).read_bytes()
    assert got.headers["content-type"] == "image/png"
    assert client.get(f"/media/{name}").status_code == 401
    for path in ("study.json", "..%2fstudy.json", "%2e%2e/study.json", "answers.sqlite"):
        assert visitor.get(f"/media/{path}").status_code == 404
    for path in ("main.py", "..%2f..%2fdesign.py", "%2e%2e/design.py"):
        assert client.get(f"/static/{path}").status_code == 404


def test_no_way_of_asking_for_a_file_tells_more(visitor: Visitor, study: Study) -> None:
    """Conditional requests, parts and HEAD: the same answer for all files of a source, and never a time or a tag."""
    visitor.start()
    items = [item for item in study.stimuli if item.source == study.rated[0].id]
    asked = [
        ("GET", {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}),
        ("GET", {"If-None-Match": '"x"'}),
        ("GET", {"Range": "bytes=0-99"}),
        ("GET", {"Range": "bytes=0-99", "If-Range": '"x"'}),
        ("GET", {"Range": "bytes=0-99", "If-Range": "Sat, 01 Jan 2000 00:00:00 GMT"}),
        ("HEAD", {}),
    ]
    for verb, headers in asked:
        told = set()
        for item in items:
            url = f"/media/{item.file}"
            answer = visitor.client.request(verb, url, headers={**visitor.headers, **headers})
            told.add((answer.status_code, tuple(sorted(answer.headers.items()))))
        ((status, answered),) = told
        assert status == 200, headers
        assert not {"etag", "last-modified"} & {name for name, _ in answered}


def test_the_two_parts_are_numbered_where_there_are_two(study: Study) -> None:
    def intros(of: Study) -> list[tuple[int, int, bool, bool]]:
        steps = [public(of, step, 0) for step in session(of, 0) if step["kind"] == "intro"]
        return [(step["part"], step["parts"], step["moving"], step["still"]) for step in steps]

    assert intros(study) == [(1, 2, False, True), (2, 2, False, True)]
    assert intros(replace(study, methods=("ccr",))) == [(1, 1, False, True)]


def test_every_response_has_the_headers_of_a_strict_page(visitor: Visitor, client: TestClient) -> None:
    visitor.start()
    paths = [
        "/",
        "/static/main.js",
        "/api/welcome",
        "/api/state",
        "/media/none.png",
        "/nothing",
        "/api/start",
    ]
    for path in paths:
        for response in (client.get(path), visitor.get(path), client.post(path)):
            for name, value in HEADERS.items():
                if name != "Cache-Control":
                    assert response.headers[name] == value, path
            assert "cache-control" in response.headers
            assert "server" not in response.headers and "set-cookie" not in response.headers
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "//cdn" not in text, path.name
        assert "eval(" not in text and "innerHTML" not in text and "style=" not in text, path.name


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"agreed": False}, 400),
        ({"agreed": "yes"}, 400),
        ({"secret": "short"}, 400),
        ({"secret": 5}, 400),
        ({"token": ""}, 400),
        ({"token": "x" * 200}, 400),
        ({"token": "unheard-of"}, 403),
    ],
)
def test_starts_that_are_refused(visitor: Visitor, changes: dict[str, Any], status: int) -> None:
    response = visitor.start(**changes)
    assert response.status_code == status
    assert response.json()["error"]
    assert visitor.get("/api/state").status_code == 401


def test_a_link_works_in_one_browser(visitor: Visitor) -> None:
    assert visitor.start().status_code == 200
    assert visitor.start().status_code == 200
    assert visitor.start(secret=secrets.token_hex(32)).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"step": 0, "value": 3}, 400),
        ({"step": 0, "value": {"width": 1}}, 400),
        ({"step": 0, "value": {"width": True, "height": 1, "screen_width": 1, "screen_height": 1}}, 400),
        ({"step": 1, "value": "123456"}, 409),
        ({"step": 1, "value": "12345678"}, 400),
        ({"step": 1, "value": "<b>"}, 400),
        ({"step": 9999, "value": 1}, 400),
        ({"step": -1, "value": 1}, 400),
        ({"step": True, "value": 1}, 400),
        ({"step": 0, "id": "no", "value": 1}, 400),
        ({"step": 0, "id": None, "value": 1}, 400),
        ({"step": 0, "ms": -5, "value": {}}, 400),
        ({"step": 0, "ms": 1e300, "value": {}}, 400),
    ],
)
def test_answers_that_are_refused(
    visitor: Visitor, database: Database, body: dict[str, Any], status: int
) -> None:
    visitor.start()
    response = visitor.answer(**body)
    assert response.status_code == status, response.text
    assert response.json()["error"]
    assert database.records()[0].answers == []


@pytest.mark.usefixtures("patient")
def test_grades_must_be_on_their_scale(visitor: Visitor, study: Study, database: Database) -> None:
    visitor.start()
    steps = session(study, 0)
    own = taste(1, QUALITY)
    tried = set()
    for number, step in enumerate(steps):
        good = reply(study, step, own)
        if step["kind"] in ("acr", "ccr") and step["kind"] not in tried:
            tried.add(step["kind"])
            wrong = (0, 6, 2.0, "3", None, True) if step["kind"] == "acr" else (-4, 4, 1.0, "0", None, True)
            for value in wrong:
                assert visitor.answer(step=number, **{**good, "value": value}).status_code == 400
        if step["kind"] == "acuity":
            for value in (["up"], ["sideways"] * 10, "up"):
                assert visitor.answer(step=number, **{**good, "value": value}).status_code == 400
        assert visitor.answer(step=number, **good).status_code == 200
    assert tried == {"acr", "ccr"}


def test_what_is_not_asked_for_is_not_kept(visitor: Visitor, database: Database) -> None:
    visitor.start()
    size = {"width": 800, "height": 600, "screen_width": 800, "screen_height": 600, "ratio": 1}
    extra = {"name": "somebody", "agent": "browser"}
    visitor.answer(step=0, value={**size, **extra}, **extra)
    stored = json.dumps(database.records()[0].answers)
    assert "somebody" not in stored and "browser" not in stored


def test_bodies_are_small_json(visitor: Visitor, client: TestClient) -> None:
    visitor.start()
    big = client.post(
        "/api/answers", content=b"x" * (BODY_BYTES_MAX + 1), headers={**visitor.headers, **JSON}
    )
    assert big.status_code == 413
    for content, kind, status in (
        (b"{}", "text/plain", 415),
        (b"{}", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 15000, "application/json", 400),
    ):
        headers = {**visitor.headers, "Content-Type": kind}
        assert client.post("/api/answers", content=content, headers=headers).status_code == status


JSON = {"Content-Type": "application/json"}


def test_guessing_is_slowed_down_and_harms_nobody_else(visitor: Visitor, client: TestClient) -> None:
    visitor.start()
    statuses = [
        client.get("/api/state", headers={"Authorization": f"Bearer {secrets.token_hex(32)}"}).status_code
        for _ in range(30)
    ]
    # On a busy machine one more may be free again in between.
    assert statuses[:20] == [401] * 20 and statuses.count(429) >= 5
    assert visitor.get("/api/state").status_code == 200
    assert client.get("/api/state", headers={"Authorization": "Basic eDp5"}).status_code == 401


@pytest.mark.parametrize("options", [(), ("--behind-proxy",)])
def test_a_proxy_is_believed_only_when_told(folder: Path, options: tuple[str, ...]) -> None:
    """Clients that a proxy names are told apart; without the option whoever claims to be one is not heard."""

    def ask(url: str, client: str) -> int:
        headers = {"Authorization": f"Bearer {secrets.token_hex(32)}", "X-Forwarded-For": client}
        return visitor.get(f"{url}/api/state", headers=headers).status_code

    with serving(folder, *options) as server, httpx.Client(timeout=60) as visitor:
        while ask(server.url, "192.0.2.1") == 401:
            pass
        if options:
            assert ask(server.url, "192.0.2.2") == 401
        else:
            # Since then one more may be free again, but not the twenty of an address of its own.
            assert 429 in [ask(server.url, "192.0.2.2") for _ in range(5)]


@pytest.fixture
def hardly_refilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rater's allowance grows so slowly that a busy machine's requests use it up as well."""
    monkeypatch.setattr("keenframe.study.server.app.RATER_RATE", 0.01)


def test_one_rater_cannot_flood(
    hardly_refilled: None, visitor: Visitor, client: TestClient, database: Database
) -> None:
    visitor.start()
    answers = [visitor.get("/api/state") for _ in range(120)]
    assert answers[0].status_code == 200
    late = [response for response in answers if response.status_code == 429]
    assert late and all(int(response.headers["Retry-After"]) >= 1 for response in late)
    other = Visitor(client, database)
    assert other.start().status_code == 200


def test_a_disk_that_is_full_asks_the_page_to_try_again(
    visitor: Visitor, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.start()
    database._connection.execute("PRAGMA query_only = ON")
    size = {"width": 800, "height": 600, "screen_width": 800, "screen_height": 600, "ratio": 1}
    response = visitor.answer(step=0, value=size)
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert "cannot be used" in caplog.text
    database._connection.execute("PRAGMA query_only = OFF")
    assert visitor.answer(step=0, value=size).status_code == 200


def test_who_never_ends_his_body_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keenframe.study.server.app.BODY_S", 0.3)
    head = b"POST /api/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with running(create_app(api)) as url:
        assert talk(url, head + b'Content-Length: 50\r\n\r\n{"token"').startswith(b"HTTP/1.1 408")
