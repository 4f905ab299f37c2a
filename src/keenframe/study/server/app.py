"""The raters' page and its API as a Starlette application.

    GET  /                 the page; the invitation is in the fragment of its link, which no server ever sees
    GET  /api/welcome      title and consent text
    POST /api/start        {token, secret, agreed}: binds the invitation to the secret that the browser made
    GET  /api/state        the next step; Authorization: Bearer SECRET, as for the two below
    POST /api/answers      {id, step, value, ms, …}: acknowledged when it is on the disk; may be repeated
    GET  /media/NAME       a stimulus

No cookies: nothing acts in a rater's name but the page that holds the secret.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from keenframe.errors import InputError, KeenframeError
from keenframe.serving.buckets import Buckets
from keenframe.serving.requests import Refused, client_address, json_object, read_body, refusal_response
from keenframe.study.database import Database, OutOfOrderError, RefusedError, Session
from keenframe.study.design import MEDIA_FOLDER, Study
from keenframe.study.server.limits import (
    BODY_BYTES_MAX,
    BODY_S,
    RATER_BURST,
    RATER_RATE,
    REFUSED_BURST,
    REFUSED_RATE,
    StudyGuard,
)
from keenframe.study.steps import ID_PATTERN, checked, state

STATIC = Path(__file__).parents[1] / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".mp4": "video/mp4",
}
_SECRET = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")
_log = logging.getLogger("keenframe.study")


class MediaResponse(FileResponse):
    """A whole file, without its time and without a tag made from it: neither may tell stimuli apart.

    Parts are not served: the page fetches files whole, and a part is asked for by time or tag.
    """

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        self.headers["content-length"] = str(stat_result.st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = [(name, value) for name, value in scope["headers"] if name not in (b"range", b"if-range")]
        await super().__call__({**scope, "headers": whole}, receive, send)


class Api:
    """The handlers of one study. Everything that touches the disk runs in one thread beside the event loop."""

    def __init__(self, folder: Path, study: Study, database: Database) -> None:
        self._study = study
        self._database = database
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._media = {
            name: folder / MEDIA_FOLDER / name
            for name in [item.file for item in study.stimuli] + [sheet.file for sheet in study.sheets]
        }
        self._raters = Buckets(RATER_RATE, RATER_BURST)
        self._refused = Buckets(REFUSED_RATE, REFUSED_BURST)
        self._static = {
            path.name: (path.read_bytes(), _TYPES[path.suffix])
            for path in STATIC.iterdir()
            if path.suffix in _TYPES
        }

    def close(self) -> None:
        """Wait for what is being written."""
        self._disk.shutdown(wait=True)
        self._database.close()

    async def page(self, request: Request) -> Response:
        return self._file("index.html")

    async def static(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        if name not in self._static:
            raise HTTPException(404, "there is nothing here")
        body, media_type = self._static[name]
        return Response(body, media_type=media_type, headers={"Cache-Control": "no-cache"})

    async def welcome(self, request: Request) -> Response:
        study = self._study
        return JSONResponse({"title": study.title, "consent": list(study.consent), "minutes": study.minutes})

    async def start(self, request: Request) -> Response:
        given = await _json(request)
        token, secret = given.get("token"), given.get("secret")
        if not isinstance(token, str) or not 0 < len(token) <= 100 or not _is_secret(secret):
            raise HTTPException(400, "expected token and secret")
        if given.get("agreed") is not True:
            raise HTTPException(400, "expected agreement to the consent text")
        try:
            session = await self._on_disk(lambda: self._database.start(token, secret))
        except RefusedError as error:
            self._count_guess(request)
            raise HTTPException(403, str(error)) from error
        return self._state(session)

    async def state(self, request: Request) -> Response:
        return self._state(await self._session(request))

    async def answer(self, request: Request) -> Response:
        session = await self._session(request)
        given = await _json(request)
        id, number = given.get("id"), given.get("step")
        if not isinstance(id, str) or not ID_PATTERN.fullmatch(id):
            raise HTTPException(400, "expected id as 32 hexadecimal digits")
        if type(number) is not int or not 0 <= number < len(session.steps):
            raise HTTPException(400, f"expected step from 0 to {len(session.steps) - 1}")
        try:
            body = checked(self._study, session.steps[number], given)
            done = await self._on_disk(lambda: self._database.answer(session.rater, number, id, body))
        except InputError as error:
            raise HTTPException(400, str(error)) from error
        except OutOfOrderError as error:
            raise HTTPException(409, str(error)) from error
        return self._state(Session(session.rater, session.steps, done))

    async def media(self, request: Request) -> Response:
        await self._session(request)
        path = self._media.get(request.path_params["name"])
        if path is None or not path.is_file():
            raise HTTPException(404, "there is nothing here")
        headers = {"Cache-Control": "private, max-age=3600", "Accept-Ranges": "none"}
        return MediaResponse(path, media_type=_TYPES[path.suffix], headers=headers)

    def _state(self, session: Session) -> Response:
        return JSONResponse(state(self._study, session.steps, session.done))

    async def _session(self, request: Request) -> Session:
        """The rater who asks, within his rate."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not _is_secret(secret):
            raise HTTPException(401, "expected the secret of a session")
        session = await self._on_disk(lambda: self._database.session(secret))
        if session is None:
            self._count_guess(request)
            raise HTTPException(401, "this session is not known here")
        if wait_s := self._raters.take(session.rater):
            raise Refused(429, "too-many", "too many requests", wait_s)
        return session

    def _count_guess(self, request: Request) -> None:
        """Wrong links slow down those who send them, and nobody else at that address."""
        if wait_s := self._refused.take(client_address(request.scope)):
            raise Refused(429, "too-many", "too many wrong links from this network", wait_s)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)


def _is_secret(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _SECRET.fullmatch(value) is not None


async def _json(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HTTPException(415, "expected application/json")
    given = json_object(await read_body(request, BODY_BYTES_MAX, BODY_S))
    if given is None:
        raise HTTPException(400, "expected a JSON object")
    return given


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _unable(request: Request, error: Exception) -> Response:
    """The disk is full or the file damaged: the page tries again, and whoever runs the server is told."""
    _log.error("%s", error)
    return JSONResponse({"error": "answers cannot be stored just now"}, 503, {"Retry-After": "5"})


async def _broken(request: Request, error: Exception) -> Response:
    """A bug; uvicorn logs it."""
    return JSONResponse({"error": "the server failed"}, 500)


def create_app(api: Api) -> ASGIApp:
    """The application around the handlers."""
    app = Starlette(
        routes=[
            Route("/", api.page),
            Route("/static/{name}", api.static),
            Route("/api/welcome", api.welcome),
            Route("/api/start", api.start, methods=["POST"]),
            Route("/api/state", api.state),
            Route("/api/answers", api.answer, methods=["POST"]),
            Route("/media/{name}", api.media),
        ],
        exception_handlers={
            HTTPException: _http_error,
            Refused: refusal_response,
            KeenframeError: _unable,
            Exception: _broken,
        },
    )
    return StudyGuard(app)
