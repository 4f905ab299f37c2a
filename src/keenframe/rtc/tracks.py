"""What a peer gets back, as aiortc's senders ask for it: the newest sharpened picture, and the sound as it came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from keenframe.rtc.encoding import Outgoing

if TYPE_CHECKING:
    import av

# A second of sound, in packets of 20 ms. A sender that is further behind is not connected.
_SOUNDS_MAX = 50


class _Track(MediaStreamTrack):
    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    async def _wait(self, there: Callable[[], bool]) -> None:
        """Wait until something is there. MediaStreamError when the track has ended."""
        while self.readyState == "live" and not there():
            await self._changed.wait()
            self._changed.clear()
        if self.readyState != "live":
            raise MediaStreamError

    def stop(self) -> None:
        """End the track and wake who waits for it."""
        super().stop()
        self._changed.set()


class PictureTrack(_Track):
    """Holds the newest picture until the sender has encoded the one before. For one event loop's thread."""

    kind = "video"

    def __init__(self, on_sent: Callable[[Outgoing], None]) -> None:
        super().__init__()
        self.dropped = 0
        self._newest: Outgoing | None = None
        self._on_sent = on_sent
        self._sending: Outgoing | None = None

    def offer(self, picture: Outgoing) -> None:
        """Put `picture` in the place of one that waits."""
        self.dropped += self._newest is not None
        self._newest = picture
        self._changed.set()

    async def recv(self) -> av.VideoFrame:
        """The next picture; asking for it says that the one before is encoded and sent."""
        if self._sending is not None:
            self._on_sent(self._sending)
            self._sending = None
        await self._wait(lambda: self._newest is not None)
        assert self._newest is not None
        self._sending, self._newest = self._newest, None
        return self._sending.picture


class SoundTrack(_Track):
    """Packets of sound on their way through, at most a second of them. For one event loop's thread."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.forwarded = 0
        self.dropped = 0
        self._sounds: deque[tuple[bytes, int]] = deque()

    def offer(self, payload: bytes, timestamp: int) -> None:
        """Add a payload with its unwrapped RTP timestamp; the oldest gives way."""
        if len(self._sounds) >= _SOUNDS_MAX:
            self._sounds.popleft()
            self.dropped += 1
        self._sounds.append((payload, timestamp))
        self._changed.set()

    async def recv(self) -> tuple[bytes, int]:  # type: ignore[override]
        """The next payload and its timestamp: what `ForwardedSound` packs."""
        await self._wait(lambda: bool(self._sounds))
        self.forwarded += 1
        return self._sounds.popleft()
