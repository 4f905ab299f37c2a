"""What the routes share: reading a request's values, and words of the media code put for a page."""

from __future__ import annotations

import math
import re
from pathlib import Path

from starlette.requests import Request

from keenframe.sharpener import STRENGTH_MAX
from keenframe.web.naming import HEAD_BYTES
from keenframe.web.settings import Refused

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
