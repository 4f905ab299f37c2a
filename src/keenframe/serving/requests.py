"""Requests: small bodies read within bounds, and refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from keenframe.errors import KeenframeError


class Refused(KeenframeError):
    """A request that is not served: the HTTP status, a word for programs, and a sentence for the user.

    wait_s: after how many seconds it may be tried again, where that can be told.
    """

    def __init__(self, status: int, code: str, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.wait_s = wait_s

    @property
    def headers(self) -> dict[str, str]:
        """What an answer that says so needs besides."""
        headers = {"Retry-After": str(max(1, round(self.wait_s)))} if self.wait_s else {}
        # Who sends too slowly is not waited for any longer.
        return headers | ({"Connection": "close"} if self.status == 408 else {})

    def answer(self) -> Response:
        """{"error": sentence}"""
        return JSONResponse({"error": str(self)}, self.status, self.headers)


async def refusal_response(request: Request, error: Exception) -> Response:
    """`Refused.answer` as an exception handler of Starlette."""
    assert isinstance(error, Refused)
    return error.answer()


async def read_body(request: Request, bytes_max: int, limit_s: float) -> bytes:
    """A small body. Refused when it is larger than `bytes_max`, not there within `limit_s`, or never whole."""
    body = bytearray()
    try:
        async with asyncio.timeout(limit_s):
            async for part in request.stream():
                body += part
                if len(body) > bytes_max:
                    raise Refused(
                        413, "too-large", f"The request is too long; expected at most {bytes_max:,} bytes."
                    )
    except TimeoutError:
        raise Refused(408, "slow", f"The request was not there within {limit_s:g} seconds.") from None
    except ClientDisconnect:
        raise gone() from None
    return bytes(body)


def gone() -> Refused:
    """For who has left in the middle: nobody is there to read this any more."""
    return Refused(400, "gone", "The request broke off.")


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that `body` is; None when it is none."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def client_address(scope: Scope) -> str:
    """The client's address, for counting."""
    client = scope.get("client")
    return str(client[0]) if client else ""
