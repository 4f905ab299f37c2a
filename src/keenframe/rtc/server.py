"""The relay on HTTP: offers in, answers out, numbers, and a page to try it with.

POST /offer          {"type": "offer", "sdp": …} -> {"type": "answer", "sdp": …, "id": …}
DELETE /peers/{id}   ends a call
GET /metrics         Prometheus; GET /stats.json: the same and more, by participant
GET /                the page
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files

from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from keenframe.errors import InputError, KeenframeError
from keenframe.live.stats import prometheus
from keenframe.rtc.relay import Relay, RelayFull
from keenframe.rtc.sdp import OFFER_BYTES_MAX
from keenframe.serving.access import SAFE, Access
from keenframe.serving.guard import Guard, page_headers
from keenframe.serving.requests import Refused, json_object, read_body, refusal_response

CONNECTIONS = 64
# In JSON a line's end takes four bytes.
_BODY_BYTES_MAX = OFFER_BYTES_MAX + (OFFER_BYTES_MAX >> 2)
_BODY_S, _ANSWER_S = 10.0, 30.0
_STATIC = {
    "/": ("rtc", "relay.html", "text/html"),
    "/relay.css": ("rtc", "relay.css", "text/css"),
    "/relay.js": ("rtc", "relay.js", "text/javascript"),
    "/icon.svg": ("serving", "icon.svg", "image/svg+xml"),
}
_HEADERS = page_headers(
    {"media-src": "'self' blob: mediastream:"}, features=("camera", "fullscreen", "microphone")
)


def create_app(relay: Relay, access: Access | None = None) -> ASGIApp:
    """The ASGI app around `relay`, which it closes at the end.

    access: who is let in; the token is asked for everywhere but for the page itself. None: this computer.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await relay.close()

    async def offer(request: Request) -> Response:
        given = json_object(await read_body(request, _BODY_BYTES_MAX, _BODY_S)) or {}
        if not isinstance(given.get("sdp"), str):
            raise InputError('expected JSON, {"type": "offer", "sdp": "v=0…"}')
        async with asyncio.timeout(_ANSWER_S):
            id, answer = await relay.connect(given["sdp"], str(given.get("type", "offer")))
        return JSONResponse({"type": "answer", "sdp": answer, "id": id})

    async def leave(request: Request) -> Response:
        found = await relay.disconnect(request.path_params["id"])
        return Response(status_code=204 if found else 404)

    async def stats(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(relay.stats))

    async def metrics(request: Request) -> Response:
        numbers = await asyncio.to_thread(relay.stats)
        text = prometheus({name: numbers[name] for name in ("peers", "peers_limit", "fps_out", "counters")})
        return PlainTextResponse(text.replace("keenframe_", "keenframe_relay_"))

    routes = [
        Route("/offer", offer, methods=["POST"]),
        Route("/peers/{id}", leave, methods=["DELETE"]),
        Route("/stats.json", stats),
        Route("/metrics", metrics),
        *(Route(path, _static(*content)) for path, content in _STATIC.items()),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={Refused: refusal_response, KeenframeError: _refuse, TimeoutError: _refuse},
    )
    return _RelayGuard(app, access or Access())


class _RelayGuard(Guard):
    """Lets in who calls this server by its name, from its own page, with the token."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        super().__init__(app, _HEADERS)
        self._access = access

    def check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        page = scope["method"] in SAFE and scope["path"] in _STATIC
        # A proxy with TLS may stand in front.
        self._access.check(scope, linkable=page, schemes=("http", "https"))
        given = headers.get("authorization", "").removeprefix("Bearer ")
        given = given or QueryParams(scope["query_string"]).get("token", "")
        if not page and not self._access.admits(given):
            raise Refused(
                401, "token", "The token is missing or wrong. Open the whole address that keenframe printed."
            )


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, TimeoutError):
        return JSONResponse({"error": "this took too long; try again"}, 504)
    status = 400 if isinstance(error, InputError) else 503 if isinstance(error, RelayFull) else 500
    return JSONResponse({"error": str(error)}, status)


def _static(package: str, name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = files(f"keenframe.{package}").joinpath("static", name).read_bytes()

    async def page(request: Request) -> Response:
        return Response(content, media_type=kind)

    return page
