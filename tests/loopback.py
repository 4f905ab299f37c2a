"""A call of a real browser to the relay and back, over a network that may be bad, with every frame numbered.

Used by the relay's tests and by benchmarks/relay.py.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from keenframe.errors import KeenframeError
from keenframe.frame import Frame
from keenframe.metrics import psnr
from keenframe.rtc.relay import Relay
from keenframe.rtc.stream import LiveSharpener
from lossy import LossyNetwork
from servers import running

SAMPLE = Path(__file__).parents[1] / "src/keenframe/samples/call-reference.mp4"
NUMBERS = 4096
_BITS = 16
_PAGE = "<!doctype html><title>loopback</title><script src='/loopback.js'></script>"
_SCRIPT = Path(__file__).with_name("loopback.js").read_text(encoding="utf-8")

Luma = NDArray[np.uint8]
T = TypeVar("T")


def _barcode(number: int) -> int:
    gray = number ^ (number >> 1)
    return gray | ((gray ^ (gray >> 4) ^ (gray >> 8)) & 15) << 12


_NUMBER_OF = {_barcode(number): number for number in range(NUMBERS)}


def read_number(luma: Luma) -> int:
    """The number that loopback.js painted into a frame of any size; -1 where it cannot be read."""
    side = luma.shape[1] / 40
    code = 0
    for bit in range(_BITS):
        row, column = int(0.5 * side), int((bit + 0.5) * side)
        if luma[row - 1 : row + 2, column - 1 : column + 2].mean() > 125:
            code |= 1 << bit
    return _NUMBER_OF.get(code, -1)


def below_barcode(luma: Luma) -> Luma:
    """What of a frame is picture: the rows under the barcode and what a codec smears around it."""
    return luma[luma.shape[0] // 10 :]


@dataclass(frozen=True, slots=True)
class Source:
    """The pictures that are sent, forwards and backwards again and again: I420, each (height * 3 / 2, width)."""

    frames: Sequence[NDArray[np.uint8]]
    fps: float = 30.0

    @property
    def width(self) -> int:
        return int(self.frames[0].shape[1])

    @property
    def height(self) -> int:
        return int(self.frames[0].shape[0] * 2 // 3)

    def luma(self, number: int) -> Luma:
        """The luma plane of the frame with this number, without its barcode. Numbers must not have run around."""
        at = number % (2 * len(self.frames))
        return self.frames[min(at, 2 * len(self.frames) - 1 - at)][: self.height]


def source_from(path: Path, width: int, height: int, frames: int = 60, halve: bool = False) -> Source:
    """The first frames of a video file at the size that is wanted, for 30 frames a second.

    Never enlarged, so that every pixel is a real one: a larger size is filled with mirrored copies, a smaller one is
    cut out of the middle. halve: scale the file down first, where it is itself compressed.
    """
    made = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            size = (frame.width // 4 * 2, frame.height // 4 * 2) if halve else (frame.width, frame.height)
            small = frame.reformat(*size, format="yuv420p", interpolation=Interpolation.AREA)
            planes = [
                _filled(plane, height >> half, width >> half)
                for plane, half in zip(_planes(small), (0, 1, 1), strict=True)
            ]
            made.append(
                np.concatenate([plane.reshape(-1) for plane in planes]).reshape(height * 3 // 2, width)
            )
            if len(made) == frames:
                break
    return Source(made)


def _planes(frame: av.VideoFrame) -> tuple[Luma, ...]:
    return Frame.from_av(frame).planes


def _filled(plane: Luma, height: int, width: int) -> Luma:
    rows, columns = max(0, height - plane.shape[0]), max(0, width - plane.shape[1])
    if rows or columns:
        plane = np.pad(plane, ((0, rows), (0, columns)), mode="symmetric")
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    return np.ascontiguousarray(plane[top : top + height, left : left + width])


class Received(NamedTuple):
    """A frame that came back. number: -1 where the barcode was not readable."""

    number: int
    latency_ms: float
    width: int
    height: int
    at_ms: float


class Recorder:
    """Passes frames through another sharpener and keeps luma before and after of every `every`-th, by number."""

    def __init__(self, inner: LiveSharpener, every: int = 5, most: int = 200) -> None:
        self.frames = 0
        self._kept: dict[int, tuple[Luma, Luma]] = {}
        self._inner = inner
        self._every, self._most = every, most

    def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
        result = self._inner.sharpen(frame, dropped)
        self.frames += 1
        number = read_number(frame.planes[0])
        if number >= 0 and self.frames % self._every == 0 and len(self._kept) < self._most:
            self._kept[number] = frame.planes[0].copy(), result.planes[0].copy()
        return result

    def kept(self) -> tuple[dict[int, Luma], dict[int, Luma]]:
        """Luma before and after, of the same numbers."""
        kept = dict(self._kept)
        return {number: pair[0] for number, pair in kept.items()}, {
            number: pair[1] for number, pair in kept.items()
        }

    def clear(self) -> None:
        """Forget what was kept, as once a call has settled."""
        self._kept = {}

    def set(self, strength: float | None = None) -> None:
        self._inner.set(strength)

    def stats(self) -> dict[str, Any]:
        return self._inner.stats()

    def close(self) -> None:
        self._inner.close()


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Loopback:
    """A relay, a network and the page's server, around a page of a browser that Playwright drives.

    make_relay: called in the relay's event loop. Closing it closes all but the page.
    """

    def __init__(
        self, make_relay: Callable[[], Relay], source: Source, network: LossyNetwork | None = None
    ) -> None:
        self.network = network or LossyNetwork()
        self.source = source
        self._returned: dict[int, Luma] = {}
        self._relay_thread = LoopThread("test-relay")
        self.relay = self._relay_thread.run(_made(make_relay))
        routes = [
            Route("/", lambda request: HTMLResponse(_PAGE)),
            Route("/loopback.js", lambda request: Response(_SCRIPT, media_type="text/javascript")),
            Route("/source", lambda request: Response(b"".join(frame.tobytes() for frame in source.frames))),
            Route("/offer", self._offer, methods=["POST"]),
            Route("/frame", self._frame, methods=["POST"]),
        ]
        self._server = running(Starlette(routes=routes))
        # Where the page is.
        self.url = self._server.__enter__()

    def start(self, page: Any, **options: Any) -> None:
        """Open the page and call. options of loopback.js: codec, maxKbps, sampleEvery, sound, play."""
        page.goto(self.url)
        given = {"codec": "VP8", "sound": True, "sampleEvery": 0, "play": False, "maxKbps": 0} | options
        size = {"width": self.source.width, "height": self.source.height, "fps": self.source.fps}
        page.evaluate("options => loopback.start(options)", size | given)

    def received(self, page: Any, since: int = 0) -> list[Received]:
        """The frames that have come back, from the `since`-th on."""
        found = page.evaluate("since => loopback.received(since)", since)
        return [
            Received(int(n), float("nan") if ms is None else ms, int(w), int(h), at)
            for n, ms, w, h, at in found
        ]

    def returned(self) -> dict[int, Luma]:
        """Luma of the frames that came back and were sampled, by number."""
        return dict(self._returned)

    def forget(self) -> None:
        """Start sampling anew."""
        self._returned = {}

    def losses(self, planes: dict[int, Luma]) -> list[float]:
        """PSNR in dB of planes of full size against what was sent, without the barcode."""
        return [
            psnr(below_barcode(luma), below_barcode(self.source.luma(number)))
            for number, luma in planes.items()
            if luma.shape == (self.source.height, self.source.width)
        ]

    def wait(self, page: Any, frames: int, since: int = 0, timeout_s: float = 60.0) -> list[Received]:
        """Wait until `frames` have come back from the `since`-th on, and return them all. TimeoutError."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = self.received(page, since)
            if len(found) >= frames:
                return found
            if time.monotonic() > deadline_s:
                numbers = page.evaluate("loopback.statistics()")
                raise TimeoutError(
                    f"{len(found)} of {frames} frames came back in {timeout_s:g} s; browser: {numbers}; "
                    f"relay: {self.relay.stats()}"
                )
            page.wait_for_timeout(100)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        """Run a coroutine in the relay's event loop."""
        return self._relay_thread.run(work, timeout_s)

    def close(self) -> None:
        self._server.__exit__(None, None, None)
        self._relay_thread.run(self.relay.close())
        self._relay_thread.loop.call_soon_threadsafe(self.network.close)
        self._relay_thread.close()

    def __enter__(self) -> Loopback:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _offer(self, request: Request) -> Response:
        sdp = json.loads(await request.body())["sdp"]
        try:
            future = asyncio.run_coroutine_threadsafe(self._answer(sdp), self._relay_thread.loop)
            return JSONResponse({"sdp": await asyncio.wrap_future(future)})
        except KeenframeError as error:
            return JSONResponse({"error": str(error)}, 503)

    async def _answer(self, sdp: str) -> str:
        return await self.network.answer(await self.relay.answer(self.network.offer(sdp)))

    async def _frame(self, request: Request) -> Response:
        number, width, height = (int(request.query_params[name]) for name in ("number", "width", "height"))
        luma = np.frombuffer(await request.body(), np.uint8).reshape(height, width)
        if len(self._returned) < 1000:
            self._returned[number] = luma
        return Response(status_code=204)


async def _made(make: Callable[[], T]) -> T:
    return make()
