"""One participant: a connection whose video goes through a `PictureStream` and whose sound passes by it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription

from keenframe.errors import InputError
from keenframe.live.stats import Stats
from keenframe.rtc import hooks
from keenframe.rtc.assembly import EncodedFrame, FrameAssembler, Retransmissions
from keenframe.rtc.clock import SenderClock
from keenframe.rtc.encoding import ForwardedSound, Outgoing, VideoEncoder
from keenframe.rtc.options import PeerOptions
from keenframe.rtc.rate import DownlinkEstimate, UplinkEstimate
from keenframe.rtc.sdp import with_bitrates
from keenframe.rtc.stream import LiveSharpener, PictureStream
from keenframe.rtc.tracks import PictureTrack, SoundTrack

log = logging.getLogger(__name__)

_WATCH_S = 0.5
# aiortc waits for the other side in places; it is not waited for longer.
_CLOSE_S = 5.0


class Peer:
    """A participant from offer to end. For one event loop; `on_end(peer)` is called once, when all is freed.

    The peer owns `sharpener`, from its construction on.
    """

    def __init__(
        self, sharpener: LiveSharpener, stats: Stats, options: PeerOptions, on_end: Callable[[Peer], None]
    ) -> None:
        self.id = secrets.token_hex(8)
        # Why it ended, in words, once it has.
        self.end: str | None = None
        self._options = options
        self._stats = stats
        self._on_end = on_end
        self._started_s = time.monotonic()
        # No STUN server: nobody else hears of a call.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._pictures = PictureTrack(self._sent)
        self._sounds = SoundTrack()
        self._encoder: VideoEncoder | None = None
        self._assembler: FrameAssembler | None = None
        self._asked: Retransmissions | None = None
        self._uplink = UplinkEstimate(options.bitrates)
        self._downlink = DownlinkEstimate(options.bitrates)
        self._loop = asyncio.get_running_loop()
        self._stream = PictureStream(
            sharpener, stats, options.view, self._from_thread, self._request_key_frame, self.id
        )
        self._watcher: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether pictures can come and go."""
        return self._connection.connectionState == "connected"

    async def answer(self, sdp: str) -> str:
        """The answer to a checked offer. InputError when the two have nothing in common; the peer is closed then."""
        try:
            await self._accept(sdp)
        except BaseException:
            # Not in the error's words: reasons are counted by name, and these may be the caller's.
            await self.close("the offer could not be answered")
            raise
        self._connection.on("connectionstatechange", self._state_changed)
        self._watcher = asyncio.create_task(self._watch(), name=f"keenframe-watch-{self.id}")
        return with_bitrates(self._connection.localDescription.sdp, self._options.bitrates)

    def set_strength(self, strength: float) -> None:
        """Sharpen as strongly from now on, 0..2. InputError for any other."""
        self._stream.set_strength(strength)

    async def close(self, why: str = "closed") -> None:
        """End the call, wait for its threads and free all it holds; again and again does no harm."""
        # Whoever waits may be cancelled; the closing goes on.
        await asyncio.shield(self._end(why))

    def stats(self) -> dict[str, Any]:
        """State, sizes and bitrates of the connection, the sharpener's stats, `Stats.snapshot`, what was lost."""
        assembler, encoder, asked = self._assembler, self._encoder, self._asked
        numbers: dict[str, Any] = {
            "state": self._connection.connectionState,
            "size_in": self._stream.size_in,
            "size_out": self._stream.size_out,
            "uplink_kbps": round(self._uplink.target_kbps),
            "downlink_kbps": round(self._downlink.target_bps / 1000),
            **self._stream.sharpener.stats(),
            **self._stats.snapshot(),
        }
        counters = numbers["counters"]
        counters["dropped"] += self._pictures.dropped
        counters |= {
            "frames_lost": assembler.lost_frames if assembler else 0,
            "key_frames_asked": assembler.key_requests if assembler else 0,
            "packets_asked_again": asked.asked if asked else 0,
            "key_frames_sent": encoder.key_frames if encoder else 0,
            "sounds_forwarded": self._sounds.forwarded,
            "sounds_dropped": self._sounds.dropped,
        }
        return numbers

    async def _accept(self, sdp: str) -> None:
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        except Exception as error:
            raise InputError(
                f"the offer cannot be used: {error or type(error).__name__}; expected VP8 or H.264 video, and sound "
                "as Opus, G.722 or G.711, all over DTLS-SRTP"
            ) from error
        for transceiver in self._connection.getTransceivers():
            transceiver.direction = "sendrecv"
            if transceiver.kind == "video":
                self._take_pictures(transceiver)
            else:
                self._take_sounds(transceiver)
            hooks.report_losses(transceiver.receiver, self._uplink)
        await self._connection.setLocalDescription(await self._connection.createAnswer())

    def _take_pictures(self, transceiver: RTCRtpTransceiver) -> None:
        # The first one is what is sent in either direction.
        codec = transceiver._codecs[0]
        codecs = {other.payloadType or 0: other.name for other in transceiver._codecs}
        clock = SenderClock(codec.clockRate)
        self._asked = Retransmissions()

        def deliver(encoded: EncodedFrame) -> None:
            self._stream.put(encoded._replace(timestamp=clock.unwrap(encoded.timestamp)))

        self._assembler = FrameAssembler(codecs, deliver)
        self._encoder = VideoEncoder(codec.name, self._downlink.take)
        hooks.receive_video(transceiver.receiver, self._assembler, self._asked, self._uplink)
        hooks.send_with(transceiver.sender, self._encoder)
        reports = hooks.keep_time(transceiver.receiver, transceiver.sender, clock)
        hooks.follow_reports(transceiver.sender, self._downlink, reports)
        transceiver.sender.replaceTrack(self._pictures)

    def _take_sounds(self, transceiver: RTCRtpTransceiver) -> None:
        codec = transceiver._codecs[0]
        clock = SenderClock(codec.clockRate)

        def deliver(payload: bytes, timestamp: int) -> None:
            self._sounds.offer(payload, clock.unwrap(timestamp))

        hooks.receive_sound(transceiver.receiver, hooks.SoundPackets(codec.payloadType or 0, deliver))
        hooks.send_with(transceiver.sender, ForwardedSound())
        hooks.keep_time(transceiver.receiver, transceiver.sender, clock)
        transceiver.sender.replaceTrack(self._sounds)

    def _from_thread(self, picture: Outgoing) -> None:
        # A loop that has been closed over our head has nobody to send to.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._pictures.offer, picture)

    def _request_key_frame(self) -> None:
        if self._assembler is not None:
            self._assembler.request_key_frame()

    def _sent(self, picture: Outgoing) -> None:
        now_s = time.perf_counter()
        self._stats.frame_out(now_s, now_s - picture.arrived_s)

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "failed":
            self._end("the connection failed")
        elif state == "closed":
            self._end("the participant left")

    def _end(self, why: str) -> asyncio.Task[None]:
        if self._closing is None:
            self.end = why
            log.info("participant %s: %s", self.id, why)
            self._closing = asyncio.create_task(self._close(), name=f"keenframe-close-{self.id}")
        return self._closing

    async def _watch(self) -> None:
        """End a connection that does not come up, or that has gone silent."""
        heard, heard_s = 0, time.monotonic()
        while self._closing is None:
            await asyncio.sleep(_WATCH_S)
            now_s = time.monotonic()
            packets = await self._packets()
            if packets != heard:
                heard, heard_s = packets, now_s
            if not self.connected and now_s - self._started_s > self._options.connect_s:
                self._end(f"not connected within {self._options.connect_s:g} s")
            if self.connected and now_s - heard_s > self._options.silence_s:
                self._end(f"nothing came for {self._options.silence_s:g} s")

    async def _packets(self) -> int:
        """Packets received so far, media and reports."""
        report = await self._connection.getReceivers()[0].getStats()
        return max(
            (entry.packetsReceived for entry in report.values() if entry.type == "transport"), default=0
        )

    async def _close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        self._pictures.stop()
        self._sounds.stop()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._connection.close()
        except Exception as error:
            log.warning("participant %s: closing: %r", self.id, error)
        await asyncio.to_thread(self._stream.close)
        if self._encoder is not None:
            self._encoder.close()
        self._on_end(self)
