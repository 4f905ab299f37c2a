"""The door of a server: who is refused, and what every answer carries."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keenframe.serving.requests import Refused

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_FEATURES = ("camera", "display-capture", "fullscreen", "geolocation", "microphone", "payment", "usb")


def page_headers(sources: Mapping[str, str], features: Collection[str] = ()) -> dict[str, str]:
    """Headers for all answers of a server whose pages take nothing from elsewhere.

    sources: directives of the Content-Security-Policy beyond scripts, styles and requests of its own. features: what
    its pages may use of the browser's.
    """
    policy = _POLICY | dict(sources)
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": ", ".join(
            f"{name}={'(self)' if name in features else '()'}" for name in _FEATURES
        ),
        "Cache-Control": "no-store",
    }


class Guard(ABC):
    """Wraps a whole app, so that no answer, errors included, leaves without `headers`.

    limit_s: how long a request may take with its answer; None: as long as it takes.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str], limit_s: float | None = None) -> None:
        self._app = app
        self._headers = headers
        self._limit_s = limit_s

    @abstractmethod
    def check(self, scope: Scope) -> Response | None:
        """None lets a request in, a response answers it here. Refused."""

    def refuse(self, scope: Scope, refusal: Refused) -> Response:
        """How a refusal is said."""
        return refusal.answer()

    def headers_for(self, scope: Scope) -> Mapping[str, str]:
        """What the answer gets unless it has its own."""
        return self._headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in self.headers_for(scope).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            answer = self.check(scope) or self._app
        except Refused as refusal:
            answer = self.refuse(scope, refusal)
        try:
            async with asyncio.timeout(self._limit_s) as limit:
                await answer(scope, receive, send_guarded)
        except TimeoutError:
            if not limit.expired():
                raise
            if not started:
                late = Refused(408, "slow", "The request took too long.")
                await self.refuse(scope, late)(scope, receive, send_guarded)
