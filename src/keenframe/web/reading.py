"""What the routes share: reading a request's values, and words of the media code put for a page."""

from __future__ import annotations

import asyncio
import math
import os
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from keenframe.serving.requests import Refused
from keenframe.sharpener import STRENGTH_MAX
from keenframe.web.guard import answer_refusal
from keenframe.web.naming import HEAD_BYTES

# Where a sentence can be cut, and what a page's reader has no use for: the command line's options and commands.
_JOINTS = re.compile(r"(; | — |, or |, for example )")
_FOR_THE_TERMINAL = re.compile(r"--[a-z]|\bkeenframe [a-z]|\bffmpeg\b")


def strength_of(request: Request) -> float:
    """The query's strength. Refused unless it is a number from 0 to 2."""
    given = request.query_params.get("strength", "1")
    try:
        strength = float(given)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= STRENGTH_MAX:
        raise Refused(422, "strength", f"The strength must be a number from 0 to {STRENGTH_MAX:g}.")
    return strength


def head_of(path: Path) -> bytes:
    """The bytes by which a file's kind is told."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


class StoredFile(FileResponse):
    """A file that someone else may remove before it is sent: the answer says so then."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.stat_result = await asyncio.to_thread(os.stat, self.path)
        except FileNotFoundError:
            gone = Refused(404, "gone", "This file is not kept any more. Open it again.")
            await answer_refusal(scope, gone)(scope, receive, send)
            return
        self.set_stat_headers(self.stat_result)
        await super().__call__(scope, receive, send)


def for_page(refusal: Refused, path: Path, name: str) -> Refused:
    """`refusal` of a worker with the user's file name in place of the server's path."""
    return Refused(refusal.status, refusal.code, sentence(about(str(refusal), path, name)))


def about(message: str, path: Path, name: str) -> str:
    """`message` with the user's file name in place of the server's path."""
    return message.replace(f"'{path}'", f"“{name}”" if name else "the file")


def sentence(message: str) -> str:
    """An error or warning of other rooms as a page shows it: a capital, a full stop, no option names."""
    first, *rest = _JOINTS.split(message)
    clauses = zip(rest[::2], rest[1::2], strict=True)
    message = first + "".join(a + b for a, b in clauses if not _FOR_THE_TERMINAL.search(b))
    message = message[:1].upper() + message[1:]
    return message if message.endswith((".", "”", "!")) else message + "."
