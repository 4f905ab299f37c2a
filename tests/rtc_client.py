"""A participant made of aiortc, in the test's own process, for what needs no browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.clock import current_ntp_time
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtcpSrPacket

from keenframe.frame import Frame
from keenframe.rtc import hooks
from keenframe.sharpener import check_strength


class PassThrough:
    """Sharpens nothing; counts what it gets."""

    def __init__(self) -> None:
        self.frames = 0
        self.strength = 1.0
        self.closed = False

    def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
        self.frames += 1
        return frame

    def set(self, strength: float | None = None) -> None:
        self.strength = self.strength if strength is None else check_strength(strength)

    def stats(self) -> dict[str, Any]:
        return {"strength": self.strength, "level_name": "pass", "ready": True}

    def close(self) -> None:
        self.closed = True


class Pace:
    """Ticks at a steady rate, from the first one on."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._ticks = 0

    @property
    def elapsed_s(self) -> float:
        """Since the first tick."""
        return 0.0 if self._start_s is None else asyncio.get_running_loop().time() - self._start_s

    async def tick(self, interval_s: float) -> None:
        """Wait until the next one is due."""
        now_s = asyncio.get_running_loop().time()
        if self._start_s is None:
            self._start_s = now_s
        await asyncio.sleep(max(0.0, self._start_s + self._ticks * interval_s - now_s))
        self._ticks += 1


class Report(NamedTuple):
    """A sender report. age_s: how long before it came its time was."""

    ntp_s: float
    timestamp: int
    age_s: float


class Pictures(MediaStreamTrack):
    """Gray pictures whose level rises by one a frame, up to 200, 30 a second; `size` may change on the way."""

    kind = "video"

    def __init__(self, size: tuple[int, int] = (320, 180)) -> None:
        super().__init__()
        self.size = size
        self.sent = 0
        self._pace = Pace()

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await self._pace.tick(1 / 30)
        width, height = self.size
        luma = np.full((height * 3 // 2, width), 128, np.uint8)
        luma[:height] = min(40 + self.sent, 200)
        frame = av.VideoFrame.from_ndarray(luma, "yuv420p")
        frame.pts, frame.time_base = round(90000 * self._pace.elapsed_s), Fraction(1, 90000)
        self.sent += 1
        return frame


class Sounds(MediaStreamTrack):
    """Packets of 20 ms that hold their own number instead of Opus: whoever decodes them is found out."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self._pace = Pace()

    async def recv(self) -> av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        await self._pace.tick(0.02)
        payload = b"not opus %06d" % len(self.sent)
        packet = av.Packet(payload)
        packet.pts, packet.time_base = 960 * len(self.sent), Fraction(1, 48000)
        self.sent.append(payload)
        return packet


class Client:
    """Calls a relay and notes what comes back. answer: takes an offer's SDP and returns the answer's."""

    def __init__(self, size: tuple[int, int] = (320, 180), sound: bool = True) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pictures, self.sounds = Pictures(size), Sounds()
        self.got: list[tuple[int, int, float]] = []
        self.heard: list[tuple[bytes, int]] = []
        self.reports: dict[str, list[Report]] = {"audio": [], "video": []}
        self._reader: asyncio.Task[None] | None = None
        self.connection.addTrack(self.pictures)
        if sound:
            self.connection.addTrack(self.sounds)
        self.connection.on("track", self._came)

    async def call(self, answer: Callable[[str], Any]) -> None:
        """Make the call, and wait until it is connected. ConnectionError when it does not come to that."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = await answer(self.connection.localDescription.sdp)
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        async with asyncio.timeout(60):
            while (state := self.connection.connectionState) != "connected":
                if state in ("failed", "closed"):
                    raise ConnectionError(state)
                await asyncio.sleep(0.02)

    async def pictures_back(self, count: int) -> None:
        """Wait until so many pictures have come back."""
        await until(lambda: len(self.got) >= count, f"{count} pictures back")

    async def close(self) -> None:
        """Hang up."""
        self.pictures.stop()
        self.sounds.stop()
        await self.connection.close()
        if self._reader is not None:
            self._reader.cancel()

    def _came(self, track: MediaStreamTrack) -> None:
        for transceiver in self.connection.getTransceivers():
            receiver = transceiver.receiver
            if receiver.track is not track:
                continue
            if track.kind == "audio":
                payload_type = transceiver._codecs[0].payloadType
                hooks.receive_sound(
                    receiver, hooks.SoundPackets(payload_type, lambda data, at: self.heard.append((data, at)))
                )
            self._watch_reports(receiver, track.kind)
        if track.kind == "video":
            self._reader = asyncio.ensure_future(self._read(track))

    def _watch_reports(self, receiver: Any, kind: str) -> None:
        handle = receiver._handle_rtcp_packet

        async def noted(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                ntp_s = packet.sender_info.ntp_timestamp / 2**32
                age_s = current_ntp_time() / 2**32 - ntp_s
                self.reports[kind].append(Report(ntp_s, packet.sender_info.rtp_timestamp, age_s))
            await handle(packet)

        receiver._handle_rtcp_packet = noted

    async def _read(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                level = float(np.mean(frame.to_ndarray()[: frame.height]))
                self.got.append((frame.width, frame.height, level))
        except MediaStreamError:
            pass


async def until(reached: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
    """Wait until `reached()` is true. AssertionError after `timeout_s`."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not reached():
        assert loop.time() < deadline_s, f"no {what} within {timeout_s:g} s"
        await asyncio.sleep(0.02)
