"""The web app's door: who may come in, from which page, how often; and what every answer carries."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Scope

from keenframe.serving.access import SAFE
from keenframe.serving.buckets import Buckets
from keenframe.serving.guard import Guard, page_headers
from keenframe.serving.requests import Refused, client_address
from keenframe.web.settings import Settings

_HEADERS = page_headers(
    {
        "script-src": "'self' 'wasm-unsafe-eval'",
        "img-src": "'self' blob:",
        "media-src": "'self' blob:",
        "worker-src": "'self'",
    },
    features=("camera", "display-capture", "fullscreen"),
) | {
    # Isolated from other origins: only then do browsers allow shared memory, which threads in WASM need.
    "Cross-Origin-Embedder-Policy": "require-corp"
}
# Static files are asked about each time, and sent again only when they changed.
_STATIC_HEADERS = _HEADERS | {"Cache-Control": "no-cache"}
_ENTER = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>keenframe</title>
<meta http-equiv="refresh" content="0;url=/"></head><body><p><a href="/">Continue</a></p></body></html>"""
_REFUSED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>keenframe</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"></head>
<body><h1>Not this way</h1><p>{message}</p></body></html>"""


class WebGuard(Guard):
    """Lets requests through to `app`, or refuses them with a message."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        super().__init__(app, _HEADERS)
        self._access = settings.access
        per_minute = settings.limits.changes_per_minute
        self._changes = Buckets(per_minute / 60, per_minute / 4)

    def headers_for(self, scope: Scope) -> Mapping[str, str]:
        return _STATIC_HEADERS if scope["path"].startswith("/static/") else _HEADERS

    def check(self, scope: Scope) -> Response | None:
        """The page that hands out the cookie, or None to let the request in."""
        changes = scope["method"] not in SAFE
        host = self._access.check(scope, linkable=not scope["path"].startswith("/api/"))
        entered = self._check_token(scope, host)
        if changes and (wait_s := self._changes.take(client_address(scope))):
            message = "Too many requests within a minute. Wait a moment, then try again."
            raise Refused(429, "too-many", message, wait_s)
        return entered

    def refuse(self, scope: Scope, refusal: Refused) -> Response:
        return answer_refusal(scope, refusal)

    def _check_token(self, scope: Scope, host: str) -> Response | None:
        token = self._access.token
        if token is None:
            return None
        # Cookies do not tell ports apart: two servers on one machine must not overwrite each other's.
        cookie = f"keenframe-{urlsplit(f'//{host}').port or 80}"
        if self._access.admits(cookie_parser(Headers(scope=scope).get("cookie", "")).get(cookie, "")):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._access.admits(given):
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
        return JSONResponse(content, refusal.status, refusal.headers)
    return HTMLResponse(_REFUSED.format(message=escape(str(refusal))), refusal.status, refusal.headers)
