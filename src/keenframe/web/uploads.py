"""A request's body written to disk: bounded in size, in time and in how many come at once."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from keenframe.web.settings import Limits, Refused

# Written at once, in a thread, so that a slow disk does not hold up the event loop.
_PIECE = 1 << 20
# A refused body is read on for so long, and thrown away: a browser whose connection is closed while it
# still sends shows its own error instead of our message.
_DRAINED_BYTES, _DRAINED_S = 1 << 30, 5.0


class Uploads:
    """Takes uploads, a few at a time, for one server."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among the uploads that run at once. Refused when there is none."""
        if self._running >= self._limits.uploads:
            raise Refused(
                503, "busy", f"{self._running} uploads are running already. Try again when one is done."
            )
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def save(self, request: Request, target: Path, bytes_max: int) -> int:
        """Write the body of `request` to the new file `target`; returns its size.

        Refused when it is empty, larger than `bytes_max`, too slow, or when the disk is too full.
        """
        # h11 lets no malformed or second length through.
        declared = int(request.headers.get("content-length", 0))
        _check_size(declared, bytes_max)
        room = shutil.disk_usage(target.parent).free - self._limits.free_disk
        if max(declared, 1) > room:
            raise Refused(507, "disk-full", "The disk of the computer that runs keenframe is nearly full.")
        bytes_max = min(bytes_max, room)
        size = 0
        with target.open("xb") as file:
            waiting = bytearray()
            async for piece in self._pieces(request):
                size += len(piece)
                _check_size(size, bytes_max)
                waiting += piece
                if len(waiting) >= _PIECE:
                    await asyncio.to_thread(file.write, waiting)
                    waiting = bytearray()
            await asyncio.to_thread(file.write, waiting)
        if size == 0:
            raise Refused(422, "empty", "The file is empty.")
        return size

    async def read(self, request: Request, bytes_max: int) -> bytes:
        """A small body in memory. Refused when it is larger than `bytes_max` or too slow."""
        body = b""
        async for piece in self._pieces(request):
            body += piece
            _check_size(len(body), bytes_max)
        return body

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it comes; Refused when it comes too slowly."""
        limits = self._limits
        started, size, more = time.monotonic(), 0, True
        while more:
            try:
                message = await asyncio.wait_for(request.receive(), limits.idle)
            except TimeoutError:
                raise Refused(
                    408, "stalled", f"The upload stood still for {limits.idle:g} seconds."
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            request.state.read = not more
            size += len(piece)
            passed = time.monotonic() - started
            if passed > limits.slow_after and size < passed * limits.slow_rate:
                raise Refused(408, "slow", "The upload is too slow to be finished in reasonable time.")
            yield piece


async def drain(request: Request) -> None:
    """Read on what is left of a refused body, within bounds, so that the answer arrives."""
    size, more = 0, not getattr(request.state, "read", False)
    try:
        async with asyncio.timeout(_DRAINED_S):
            while more and size < _DRAINED_BYTES:
                message = await request.receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        return


def _check_size(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise Refused(
            413, "too-large", f"The file is larger than {megabytes(bytes_max)}, the limit of this server."
        )


def megabytes(size: int) -> str:
    """A size in words: "64 MB"."""
    return f"{size / 1_000_000:,.0f} MB"
