"""The door: who may come in, by which name, from which page, and what every answer carries.

Wraps the whole app, so that no answer, errors included, leaves without its headers.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from secrets import compare_digest
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keenframe.web.settings import Refused, Settings

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Isolated from other origins: only then do browsers allow shared memory, which threads in WASM need.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), display-capture=(self), microphone=(), geolocation=(), usb=()",
}
_SAFE = ("GET", "HEAD")
# Addresses whose rate is remembered; the one not seen for longest gives way.
_ADDRESSES = 256
_ENTER = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>keenframe</title>
<meta http-equiv="refresh" content="0;url=/"></head><body><p><a href="/">Continue</a></p></body></html>"""
_REFUSED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>keenframe</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"></head>
<body><h1>{title}</h1><p>{message}</p></body></html>"""


class Guard:
    """Lets requests through to `app`, or refuses them with a message."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._rate = _Rate(settings.limits.changes_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # Static files are asked about each time, and sent again only when they changed.
                static = scope["path"].startswith("/static/")
                headers.setdefault("Cache-Control", "no-cache" if static else "no-store")
            await send(message)

        try:
            entered = self._check(scope)
        except Refused as refusal:
            await answer_refusal(scope, refusal)(scope, receive, send_guarded)
            return
        await (entered or self._app)(scope, receive, send_guarded)

    def _check(self, scope: Scope) -> Response | None:
        """Raise Refused, or return the page that hands out the cookie, or None to let the request in."""
        headers = Headers(scope=scope)
        host = self._check_host(headers)
        self._check_origin(scope, headers, host)
        entered = self._check_token(scope, headers, host)
        if scope["method"] not in _SAFE and not self._rate.allows((scope.get("client") or ("",))[0]):
            raise Refused(
                429, "too-many", "Too many requests within a minute. Wait a moment, then try again."
            )
        return entered

    def _check_host(self, headers: Headers) -> str:
        """The Host header, when it names this server.

        A page elsewhere can point a name of its own at this address (DNS rebinding), but it cannot choose what
        the browser sends as Host.
        """
        hosts = headers.getlist("host")
        if len(hosts) == 1 and self._is_ours(_name(hosts[0])):
            return hosts[0].lower()
        raise Refused(
            421,
            "wrong-host",
            "This server does not go by that name. Open the address that keenframe printed.",
        )

    def _is_ours(self, name: str) -> bool:
        if name in self._settings.hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._settings.any_address

    @staticmethod
    def _check_origin(scope: Scope, headers: Headers, host: str) -> None:
        """Refuse what a page of another origin makes a browser send."""
        site = headers.get("sec-fetch-site", "same-origin")
        changes = scope["method"] not in _SAFE
        if changes or scope["path"].startswith("/api/"):
            origin = headers.get("origin", f"{scope['scheme']}://{host}").lower()
            # A browser says "none" when the user opens an address by hand.
            sites = ("same-origin",) if changes else ("same-origin", "none")
            if origin != f"{scope['scheme']}://{host}" or site not in sites:
                raise Refused(403, "cross-site", "Requests from other websites are refused.")

    def _check_token(self, scope: Scope, headers: Headers, host: str) -> Response | None:
        token = self._settings.token
        if token is None:
            return None
        # Cookies do not tell ports apart: two servers on one machine must not overwrite each other's.
        cookie = f"keenframe-{urlsplit(f'//{host}').port or 80}"
        if _same(cookie_parser(headers.get("cookie", "")).get(cookie, ""), token):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and _same(given, token):
            # A page and no redirect: a SameSite=Strict cookie is not sent along a redirect from elsewhere.
            page = HTMLResponse(_ENTER)
            page.set_cookie(cookie, token, httponly=True, samesite="strict", path="/")
            return page
        raise Refused(
            401, "token", "Open the whole address that keenframe printed when it started, with its token."
        )


def answer_refusal(scope: Scope, refusal: Refused) -> Response:
    """JSON for programs, a page for people."""
    if scope["path"].startswith(("/api/", "/static/")):
        content = {"error": {"code": refusal.code, "message": str(refusal)}}
        return JSONResponse(content, refusal.status)
    return HTMLResponse(_REFUSED.format(title="Not this way", message=refusal), refusal.status)


class _Rate:
    """At most so many changes a minute from one address, a quarter of them at once."""

    def __init__(self, per_minute: int) -> None:
        self._per_second = per_minute / 60
        self._burst = per_minute / 4
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        now = time.monotonic()
        left, since = self._seen.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._seen[address] = (left - allowed, now)
        if len(self._seen) > _ADDRESSES:
            self._seen.popitem(last=False)
        return allowed


def _name(host: str) -> str:
    """The name in a Host header, in lower case, without port and brackets; "" when it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path else (parts.hostname or "")


def _same(given: str, token: str) -> bool:
    return compare_digest(given.encode(), token.encode())
