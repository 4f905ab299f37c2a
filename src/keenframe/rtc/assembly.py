"""From packets to encoded frames: complete ones at once, and after a loss nothing until the next key frame.

`FrameAssembler` and `Retransmissions` take the places of aiortc's `JitterBuffer` and `NackGenerator`. Those hand a
frame out when the next one begins, a frame's time late; ask for a lost packet once; wait for it until 512 more have
come, which is 17 seconds of a poor call; and then decode on without it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from keenframe.rtc.numbering import Unwrapper

if TYPE_CHECKING:
    from aiortc.rtp import RtpPacket

# How long a frame may wait for a lost packet before the stream goes on at the next key frame.
GIVE_UP_S = 0.3
# How soon a lost packet, or a key frame, is asked for again.
RETRY_S, KEY_RETRY_S = 0.05, 0.3
# Packets kept at once, and asked for at once: half a second at 10 Mbit/s.
_PACKETS_MAX, _MISSING_MAX = 1024, 128


class EncodedFrame(NamedTuple):
    """One frame as it came: codec "VP8" or "H264", RTP timestamp of 32 bits, arrival by `time.perf_counter()`."""

    codec: str
    data: bytes
    timestamp: int
    key: bool
    arrived_s: float


class Retransmissions:
    """Which packets to ask for again. In place of aiortc's NackGenerator: `add`, then `missing` when it says so."""

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        self.asked = 0
        self.missing: set[int] = set()
        self._now_s = now_s
        self._numbers = Unwrapper(16)
        self._newest: int | None = None
        # When a packet was found missing, and when it was last asked for.
        self._wanted: dict[int, tuple[float, float | None]] = {}

    def add(self, packet: RtpPacket) -> bool:
        """Note a packet that came; whether others are to be asked for, which are in `missing` then."""
        now_s = self._now_s()
        number = self._numbers.unwrap(packet.sequence_number)
        if self._newest is None:
            self._newest = number
        self._wanted.pop(number, None)
        for lost in range(max(self._newest + 1, number - _MISSING_MAX), number):
            self._wanted[lost] = now_s, None
        self._newest = max(self._newest, number)
        overdue = [lost for lost, (since_s, _) in self._wanted.items() if now_s - since_s > GIVE_UP_S]
        for lost in [*overdue, *sorted(self._wanted)[:-_MISSING_MAX]]:
            self._wanted.pop(lost, None)
        due = [
            lost
            for lost, (_, asked_s) in self._wanted.items()
            if asked_s is None or now_s - asked_s >= RETRY_S
        ]
        for lost in due:
            self._wanted[lost] = self._wanted[lost][0], now_s
        self.missing = {lost & 0xFFFF for lost in due}
        self.asked += len(due)
        return bool(due)


class FrameAssembler:
    """Puts frames together and hands whole, decodable ones to `deliver`. In place of aiortc's JitterBuffer.

    codecs: codec name by payload type. `request_key_frame` may be called by any thread; the rest by one.
    """

    def __init__(
        self,
        codecs: Mapping[int, str],
        deliver: Callable[[EncodedFrame], None],
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.lost_frames = 0
        self.key_requests = 0
        self._codecs = codecs
        self._deliver = deliver
        self._now_s = now_s
        self._numbers = Unwrapper(16)
        self._packets: dict[int, RtpPacket] = {}
        # First packet of the frame in the making, and the first one behind it that has not come. None while a key
        # frame is awaited.
        self._first: int | None = None
        self._end = 0
        self._newest = 0
        self._blocked_s: float | None = None
        self._asked_s = -math.inf
        self._broken = False

    def request_key_frame(self) -> None:
        """Go on at the next key frame only: the decoder could not go on, or frames were left out."""
        self._broken = True

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet, without padding and with its payload in `_data`; whether to ask for a key frame.

        aiortc expects a frame too; there is never one, as they go to `deliver`.
        """
        now_s = self._now_s()
        number = self._numbers.unwrap(packet.sequence_number)
        if self._broken:
            self._broken = False
            if self._first is not None:
                self._lose(self._newest)
        if self._first is None or number >= self._first:
            self._keep(number, packet)
            if self._first is not None:
                self._emit(now_s)
        return self._ask(now_s), None

    def _keep(self, number: int, packet: RtpPacket) -> None:
        self._packets[number] = packet
        self._newest = max(self._newest, number) if len(self._packets) > 1 else number
        # A key frame needs nothing of what is missing before it.
        if self._starts_key(packet) and (self._first is None or number > self._end):
            if self._first is not None:
                self.lost_frames += 1
            self._begin(number)
        if len(self._packets) > _PACKETS_MAX:
            if self._first is None:
                self._packets.pop(min(self._packets))
            else:
                self._lose(self._first)

    def _emit(self, now_s: float) -> None:
        """Hand out the frames that are whole now, and see how long the next one has been waiting."""
        assert self._first is not None
        end = self._end
        while (packet := self._packets.get(self._end)) is not None:
            if packet.timestamp != self._packets[self._first].timestamp:
                self._hand_out(self._end, now_s)
            self._end += 1
            if packet.marker:
                self._hand_out(self._end, now_s)
        if self._end != end or self._newest < self._end:
            self._blocked_s = None
        if self._newest > self._end:
            if self._blocked_s is None:
                self._blocked_s = now_s
            elif now_s - self._blocked_s > GIVE_UP_S:
                self._lose(self._first)

    def _hand_out(self, end: int, now_s: float) -> None:
        assert self._first is not None
        packets = [self._packets.pop(number) for number in range(self._first, end)]
        self._first = end
        data = b"".join(packet._data for packet in packets)  # type: ignore[attr-defined]
        codec = self._codecs.get(packets[0].payload_type)
        if data and codec is not None:
            key = self._starts_key(packets[0])
            self._deliver(EncodedFrame(codec, data, packets[0].timestamp, key, now_s))

    def _begin(self, number: int) -> None:
        for old in [other for other in self._packets if other < number]:
            del self._packets[old]
        self._first = self._end = number
        self._blocked_s = None

    def _lose(self, last: int) -> None:
        """Give up on the frame in the making and on all that build on it; a key frame after `last` may be there."""
        self.lost_frames += 1
        self._first = self._blocked_s = None
        later = [number for number, packet in self._packets.items() if self._starts_key(packet)]
        later = [number for number in later if number > last]
        if later:
            self._begin(max(later))
        else:
            self._packets.clear()

    def _ask(self, now_s: float) -> bool:
        if self._first is not None or now_s - self._asked_s < KEY_RETRY_S:
            return False
        self._asked_s = now_s
        self.key_requests += 1
        return True

    def _starts_key(self, packet: RtpPacket) -> bool:
        data: bytes = packet._data  # type: ignore[attr-defined]
        codec = self._codecs.get(packet.payload_type)
        if codec == "VP8":
            # First packet of the first partition (RFC 7741), and the frame tag of a key frame (RFC 6386).
            first = len(packet.payload) > 0 and packet.payload[0] & 0x17 == 0x10
            return first and data[3:6] == b"\x9d\x01\x2a" and not data[0] & 1
        # A sequence parameter set stands before each key frame.
        return codec == "H264" and data[:4] == b"\0\0\0\1" and len(data) > 4 and data[4] & 0x1F == 7
