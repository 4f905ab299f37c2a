"""One participant's pictures: decoded in one thread, sharpened in another, the newest first all the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from keenframe.frame import Frame
from keenframe.live.mailbox import Mailbox
from keenframe.live.stats import Stats
from keenframe.rtc.assembly import EncodedFrame
from keenframe.rtc.encoding import TIME_BASE, Decoder, Outgoing
from keenframe.rtc.view import Enlarger, View

if TYPE_CHECKING:
    import av

# Encoded frames that may wait for the decoder, a second's worth; behind that it goes on at the next key frame.
_ENCODED_MAX = 30


class LiveSharpener(Protocol):
    """What sharpens one stream; `keenframe.live.governed.GovernedSharpener` is one."""

    def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
        """The stream's next frame, of the same size, sharpened or as it is; `dropped` were given up before it."""

    def set(self, strength: float | None = None) -> None:
        """Another strength, 0..2, as soon as it is ready. InputError for any other."""

    def stats(self) -> dict[str, Any]:
        """What it does now, such as level_name; ready for JSON."""

    def close(self) -> None:
        """Free what it holds."""


class _Decoded(NamedTuple):
    picture: av.VideoFrame
    arrived_s: float


class PictureStream:
    """Encoded frames in, sharpened pictures out to `deliver`, each step in a thread that drops what is late.

    deliver: called from the sharpening thread. request_key_frame: called when frames had to be left out, or could
    not be decoded. The stream owns `sharpener` and closes it.
    """

    def __init__(
        self,
        sharpener: LiveSharpener,
        stats: Stats,
        view: View,
        deliver: Callable[[Outgoing], None],
        request_key_frame: Callable[[], None],
        name: str = "",
    ) -> None:
        self.sharpener = sharpener
        self._stats = stats
        self._deliver = deliver
        self._request_key_frame = request_key_frame
        self._enlarge = Enlarger(view)
        self._encoded: Queue[EncodedFrame | None] = Queue(_ENCODED_MAX)
        self._decoded: Mailbox[_Decoded] = Mailbox()
        self._closed = threading.Event()
        self.size_in: tuple[int, int] | None = None
        self.size_out: tuple[int, int] | None = None
        self._threads = [
            threading.Thread(target=work, name=f"keenframe-{role}-{name}", daemon=True)
            for role, work in (("decode", self._decode_all), ("sharpen", self._sharpen_all))
        ]
        for thread in self._threads:
            thread.start()

    def put(self, encoded: EncodedFrame) -> None:
        """Take the next frame; never waits."""
        if self._closed.is_set():
            return
        try:
            self._encoded.put_nowait(encoded)
        except Full:
            self._stats.count("dropped", 1 + self._clear())
            self._request_key_frame()

    def set_strength(self, strength: float) -> None:
        """As `LiveSharpener.set`."""
        self.sharpener.set(strength=strength)

    def close(self) -> None:
        """Stop both threads, wait for them, and free the sharpener."""
        self._closed.set()
        self._clear()
        self._encoded.put(None)
        self._decoded.close()
        for thread in self._threads:
            thread.join()
        self.sharpener.close()

    def _clear(self) -> int:
        cleared = 0
        # Not by asking whether it is empty: the decoder takes from it meanwhile.
        with suppress(Empty):
            while True:
                self._encoded.get_nowait()
                cleared += 1
        return cleared

    def _decode_all(self) -> None:
        decoder = Decoder()
        while (encoded := self._encoded.get()) is not None and not self._closed.is_set():
            try:
                pictures = decoder.decode(encoded)
            except Exception as error:
                self._stats.error(f"a frame could not be decoded: {error}")
                self._request_key_frame()
                continue
            for picture in pictures:
                self._stats.frame_in(time.perf_counter())
                self.size_in = picture.width, picture.height
                self._decoded.put(_Decoded(picture, encoded.arrived_s))

    def _sharpen_all(self) -> None:
        while (taken := self._decoded.get()) is not None and not self._closed.is_set():
            decoded, dropped = taken
            self._stats.count("dropped", dropped)
            self._deliver(Outgoing(self._sharpened(decoded.picture, dropped), decoded.arrived_s))

    def _sharpened(self, picture: av.VideoFrame, dropped: int) -> av.VideoFrame:
        large = self._enlarge(picture)
        self.size_out = large.width, large.height
        try:
            # Only what was enlarged here is known: a frame of full size may have been enlarged by the sender.
            frame = replace(Frame.from_av(large), enlarged=True if large is not picture else None)
            sharp = self.sharpener.sharpen(frame, dropped)
            # What passes is not copied, unless its range needs the tag that a copy gets.
            result = large if sharp is frame and large.format.name == "yuv420p" else sharp.to_av()
        except Exception as error:
            # A call goes on unsharpened rather than not at all.
            self._stats.error(f"a frame could not be sharpened: {error}")
            result = large
        result.pts, result.time_base = picture.pts, TIME_BASE
        return result
