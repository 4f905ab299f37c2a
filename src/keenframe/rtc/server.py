"""The relay on HTTP: offers in, answers out, numbers, and a page to try it with.

POST /offer          {"type": "offer", "sdp": …} -> {"type": "answer", "sdp": …, "id": …}
DELETE /peers/{id}   ends a call
GET /metrics         Prometheus; GET /stats.json: the same and more, by participant
GET /                the page
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from secrets import compare_digest, token_urlsafe
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from keenframe.errors import InputError, KeenframeError, OutputError
from keenframe.live.stats import prometheus
from keenframe.rtc.relay import Relay, RelayFull
from keenframe.rtc.sdp import OFFER_BYTES_MAX

# In JSON a line's end takes four bytes.
_BODY_BYTES_MAX = OFFER_BYTES_MAX + (OFFER_BYTES_MAX >> 2)
_BODY_S, _ANSWER_S = 10.0, 30.0
_CONNECTIONS_MAX = 64
_STATIC = {"/": ("relay.html", "text/html"), "/relay.js": ("relay.js", "text/javascript")}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; media-src 'self' "
        "blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(relay: Relay, token: str | None = None, hosts: frozenset[str] | None = None) -> ASGIApp:
    """The ASGI app around `relay`, which it closes at the end.

    token: what everyone has to show, but for the page itself; None lets in everyone who gets here. hosts: names by
    which it may be called besides IP addresses; None: this computer's own names only.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await relay.close()

    async def offer(request: Request) -> Response:
        given = _description(await _body(request))
        async with asyncio.timeout(_ANSWER_S):
            id, answer = await relay.connect(**given)
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
        exception_handlers={KeenframeError: _refuse, TimeoutError: _refuse, ClientDisconnect: _refuse},
    )
    return _Door(app, token, hosts)


class _Door:
    """Lets in who calls this server by its name, from its own page, with the token."""

    def __init__(self, app: ASGIApp, token: str | None, hosts: frozenset[str] | None) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refused(scope) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if not self._is_ours(host):
            # Another site's name can be pointed at this address; the browser then sends that name.
            return _error(
                "this server does not go by that name; open the address that keenframe printed", 421
            )
        if headers.get("origin", f"http://{host}").lower() not in (f"http://{host}", f"https://{host}"):
            return _error("requests from other websites are refused", 403)
        given = headers.get("authorization", "").removeprefix("Bearer ")
        given = given or QueryParams(scope["query_string"]).get("token", "")
        open_to_all = self._token is None or (scope["method"] == "GET" and scope["path"] in _STATIC)
        if not open_to_all and not compare_digest(given.encode(), (self._token or "").encode()):
            return _error("the token is missing or wrong; open the whole address that keenframe printed", 401)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name == "localhost" or (self._hosts is not None and name in self._hosts)
        return address.is_loopback or self._hosts is not None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`, 0 for a free one. InputError or OutputError when it cannot."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_CONNECTIONS_MAX)
    except socket.gaierror as error:
        raise InputError(f"host {host!r} is no address of this computer: {error.strerror}") from error
    except OSError as error:
        raise OutputError(
            f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()} — choose another port"
        ) from error


def is_private(listener: socket.socket) -> bool:
    """Whether only this computer can reach the socket."""
    return _bound(listener).is_loopback


def addresses(listener: socket.socket, token: str | None) -> list[str]:
    """URLs that lead to the page: one, or one for each address of this computer where it listens on all."""
    bound, port = _bound(listener), listener.getsockname()[1]
    names = [str(bound)]
    if bound.is_unspecified:
        import psutil

        found = [each for every in psutil.net_if_addrs().values() for each in every]
        names = [each.address for each in found if each.family == listener.family and "%" not in each.address]
    query = f"?token={token}" if token else ""
    return [f"http://{f'[{name}]' if ':' in name else name}:{port}/{query}" for name in names]


def _bound(listener: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listener.getsockname()[0].split("%")[0])


def new_token() -> str:
    """A token that nobody guesses."""
    return token_urlsafe(24)


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until a signal ends it."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])


async def _body(request: Request) -> bytes:
    body = bytearray()
    async with asyncio.timeout(_BODY_S):
        async for part in request.stream():
            body += part
            if len(body) > _BODY_BYTES_MAX:
                raise InputError(f"the request is too long; expected at most {_BODY_BYTES_MAX} bytes")
    return bytes(body)


def _description(body: bytes) -> dict[str, str]:
    try:
        given: Any = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not isinstance(given.get("sdp"), str):
        raise InputError('expected JSON, {"type": "offer", "sdp": "v=0…"}')
    return {"sdp": given["sdp"], "type": str(given.get("type", "offer"))}


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, TimeoutError):
        return _error("this took too long; try again", 504)
    status = 400 if isinstance(error, InputError) else 503 if isinstance(error, RelayFull) else 500
    return _error(str(error), status)


def _error(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status, headers=_HEADERS)


def _static(name: str, kind: str) -> Any:
    content = files("keenframe.rtc").joinpath("static", name).read_bytes()

    async def page(request: Request) -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return page
