"""A request's body written to disk: bounded in size, in time and in how many come at once."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.requests import Request

from keenframe.serving.requests import Refused, gone
from keenframe.web.settings import Limits

# Written at once, in a thread, so that a slow disk does not hold up the event loop.
_PIECE = 1 << 20


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

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it comes; Refused when it comes too slowly, or breaks off."""
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
                raise gone()
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(piece)
            passed = time.monotonic() - started
            if passed > limits.slow_after and size < passed * limits.slow_rate:
                raise Refused(408, "slow", "The upload is too slow to be finished in reasonable time.")
            yield piece


def _check_size(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise Refused(
            413, "too-large", f"The file is larger than {megabytes(bytes_max)}, the limit of this server."
        )


def megabytes(size: int) -> str:
    """A size in words: "64 MB"."""
    return f"{size / 1_000_000:,.0f} MB"
