"""What the web app is started with, and how much it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from keenframe.serving.access import Access


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is taken and kept. Sizes in bytes, times in seconds where no other unit is named.

    picture_pixels, video_pixels: of one picture or frame, read from its header before anything is decoded.
    pictures: kept at once, the oldest gives way. videos: kept at once, beside the one that runs.
    waiting: videos in the queue behind it. job_minutes: how long one video may take. slow_after,
    slow_rate: an upload that is slower than slow_rate bytes a second is ended after slow_after.
    idle: the longest pause within an upload. memory: of a worker process. free_disk: left alone.
    """

    picture_bytes: int = 64 * 1_000_000
    picture_pixels: int = 40_000_000
    pictures: int = 12
    video_bytes: int = 2000 * 1_000_000
    video_minutes: float = 30.0
    video_pixels: int = 4096 * 2304
    videos: int = 6
    waiting: int = 3
    job_minutes: float = 180.0
    picture_seconds: float = 120.0
    keep_minutes: float = 60.0
    keep_minutes_after_download: float = 10.0
    uploads: int = 3
    idle: float = 20.0
    slow_after: float = 30.0
    slow_rate: int = 16_000
    offer_seconds: float = 20.0
    memory: int = 4 << 30
    free_disk: int = 1 << 30
    changes_per_minute: int = 600
    connections: int = 100

    @property
    def video_frames(self) -> int:
        """The most frames of a video, whatever its header says of its length."""
        return round(self.video_minutes * 60 * 120)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the app is to run."""

    model: str = "keen"
    engine: str = "auto"
    threads: int | None = None
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)


class Relay(Protocol):
    """What takes a browser's video by WebRTC and sends it back sharpened; `keenframe.rtc.relay.Relay` is one.

    A KeenframeError says what went wrong, in words for the user.
    """

    async def connect(self, sdp: str) -> tuple[str, str]:
        """A name for the call that an SDP offer begins, and the SDP answer."""

    def set_strength(self, id: str, strength: float) -> bool:
        """Sharpen a call's video as strongly, 0..2; False when there is no such call."""

    def stats(self) -> dict[str, Any]:
        """Numbers: under "participants" those of each call, as `GovernedSharpener.stats` in keenframe.live has them."""

    async def disconnect(self, id: str) -> bool:
        """End a call; False when there is no such call."""

    async def close(self) -> None:
        """End all calls."""
