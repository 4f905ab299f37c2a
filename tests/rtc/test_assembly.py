"""Packets to frames: whole ones at once, lost ones asked for, nothing broken handed out."""

from __future__ import annotations

import numpy as np
import pytest
from aiortc.codecs import depayload
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from keenframe.rtc.assembly import (
    GIVE_UP_S,
    KEY_RETRY_S,
    RETRY_S,
    EncodedFrame,
    FrameAssembler,
    Retransmissions,
)

CODECS = {96: "VP8", 98: "H264"}
KEY = b"\x10\x00\x00\x9d\x01\x2a"
DELTA = b"\x11\x00\x00"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Stream:
    """Makes the packets of a stream and feeds them to an assembler."""

    def __init__(self, codec: str = "VP8", sequence: int = 100) -> None:
        self.codec, self.sequence, self.frames = codec, sequence, 0
        self.clock = Clock()
        self.out: list[EncodedFrame] = []
        self.assembler = FrameAssembler(CODECS, self.out.append, self.clock)

    def frame(self, key: bool = False, size: int = 3000) -> list[RtpPacket]:
        """The packets of the next frame, whose data begin with its kind and hold its number."""
        self.frames += 1
        number = self.frames.to_bytes(2, "big")
        if self.codec == "VP8":
            data = (KEY if key else DELTA) + number + bytes(size)
            payloads = Vp8Encoder._packetize(data, self.frames)
        else:
            units = (
                [b"\x67" + number, b"\x68" + number, b"\x65" + number + bytes(size)]
                if key
                else [b"\x41" + number + bytes(size)]
            )
            payloads = H264Encoder._packetize(iter(units))
        packets = []
        for place, payload in enumerate(payloads):
            packet = RtpPacket(
                payload_type=96 if self.codec == "VP8" else 98,
                marker=int(place == len(payloads) - 1),
                sequence_number=self.sequence & 0xFFFF,
                timestamp=3000 * self.frames & 0xFFFFFFFF,
                payload=payload,
            )
            kind = RTCRtpCodecParameters(mimeType=f"video/{self.codec}", clockRate=90000)
            packet._data = depayload(kind, payload)  # type: ignore[attr-defined]
            packets.append(packet)
            self.sequence += 1
        return packets

    def feed(self, packets: list[RtpPacket]) -> int:
        """How often the packets made the assembler ask for a key frame."""
        return sum(self.assembler.add(packet)[0] for packet in packets)

    @property
    def numbers(self) -> list[int]:
        return [frame.timestamp // 3000 for frame in self.out]


@pytest.fixture(params=["VP8", "H264"])
def stream(request: pytest.FixtureRequest) -> Stream:
    return Stream(request.param)


def test_a_frame_is_handed_out_with_its_last_packet(stream: Stream) -> None:
    packets = stream.frame(key=True)
    assert len(packets) > 2
    stream.feed(packets[:-1])
    assert stream.out == []
    stream.feed(packets[-1:])
    (frame,) = stream.out
    assert frame.key and frame.codec == stream.codec and frame.timestamp == 3000
    assert frame.data == b"".join(packet._data for packet in packets)  # type: ignore[attr-defined]
    stream.feed(stream.frame(size=10))
    assert stream.numbers == [1, 2] and not stream.out[1].key


def test_reordered_packets_and_sequence_numbers_that_run_around(stream: Stream) -> None:
    stream.sequence = 65535
    stream.feed(stream.frame(key=True))
    random = np.random.default_rng(5)
    for _ in range(40):
        packets = stream.frame()
        random.shuffle(packets)  # type: ignore[arg-type]
        stream.feed(packets)
    assert stream.numbers == list(range(1, 42)) and stream.assembler.lost_frames == 0


def test_a_stream_begins_with_a_key_frame_which_is_asked_for_now_and_then(stream: Stream) -> None:
    assert stream.feed(stream.frame()) == 1
    assert stream.feed(stream.frame()) == 0
    stream.clock.now_s += 1.01 * KEY_RETRY_S
    assert stream.feed(stream.frame()) == 1
    assert stream.feed(stream.frame(key=True)) == 0
    assert stream.numbers == [4]


def test_a_retransmitted_packet_sets_what_waited_free(stream: Stream) -> None:
    stream.feed(stream.frame(key=True))
    packets = stream.frame()
    late = packets.pop(1)
    stream.feed([*packets, *stream.frame(), *stream.frame()])
    assert stream.numbers == [1]
    stream.clock.now_s += GIVE_UP_S / 2
    assert stream.feed([late]) == 0
    assert stream.numbers == [1, 2, 3, 4]


def test_after_a_loss_nothing_comes_until_the_next_key_frame(stream: Stream) -> None:
    stream.feed(stream.frame(key=True))
    asked = stream.feed(stream.frame()[1:])
    for _ in range(20):
        stream.clock.now_s += GIVE_UP_S / 10
        asked += stream.feed(stream.frame())
    assert stream.numbers == [1] and asked >= 2 and stream.assembler.lost_frames == 1
    assert stream.feed(stream.frame(key=True)) == 0
    stream.feed(stream.frame())
    assert stream.numbers == [1, 23, 24]


def test_a_key_frame_needs_nothing_that_is_missing_before_it(stream: Stream) -> None:
    stream.feed(stream.frame(key=True))
    late = stream.frame()
    stream.feed(late[1:])
    assert stream.feed(stream.frame(key=True)) == 0
    stream.feed(late[:1])
    assert stream.numbers == [1, 3]


def test_a_key_frame_that_stays_incomplete_is_given_up_and_asked_for_again(stream: Stream) -> None:
    packets = stream.frame(key=True)
    stream.feed([packets[0], *packets[2:]])
    stream.clock.now_s += GIVE_UP_S / 2
    stream.feed(stream.frame())
    stream.clock.now_s += GIVE_UP_S
    assert stream.feed(stream.frame()) == 1
    assert stream.out == []


def test_a_decoder_that_cannot_go_on_gets_a_key_frame(stream: Stream) -> None:
    stream.feed(stream.frame(key=True))
    stream.assembler.request_key_frame()
    assert stream.feed(stream.frame()) == 1
    stream.feed(stream.frame(key=True))
    assert stream.numbers == [1, 3]


def test_padding_and_duplicates_are_no_frames(stream: Stream) -> None:
    packets = stream.frame(key=True)
    stream.feed(packets + packets)
    padding = RtpPacket(payload_type=packets[0].payload_type, sequence_number=stream.sequence, timestamp=3000)
    padding._data = b""  # type: ignore[attr-defined]
    stream.sequence += 1
    stream.feed([padding, *stream.frame(), *packets])
    assert stream.numbers == [1, 2]


def test_a_frame_without_a_marker_ends_where_the_next_begins(stream: Stream) -> None:
    packets = stream.frame(key=True)
    packets[-1].marker = 0
    stream.feed(packets + stream.frame())
    assert stream.numbers == [1, 2]


def test_packets_that_lead_nowhere_are_bounded(stream: Stream) -> None:
    stream.feed(stream.frame(key=True))
    stream.frame()
    for _ in range(3000):
        stream.feed(stream.frame(size=10))
    assert stream.numbers == [1] and len(stream.assembler._packets) <= 1024
    waiting = Stream(stream.codec)
    for _ in range(3000):
        waiting.feed(waiting.frame(size=10))
    assert len(waiting.assembler._packets) <= 1024


def test_random_loss_and_reordering_never_hands_out_a_frame_that_builds_on_a_lost_one(stream: Stream) -> None:
    random = np.random.default_rng(11)
    lost: set[int] = set()
    wanted = True
    for index in range(600):
        packets = stream.frame(key=wanted or index % 97 == 0, size=int(random.integers(10, 6000)))
        wanted = False
        kept = [packet for packet in packets if random.random() > 0.03]
        if len(kept) < len(packets):
            lost.add(stream.frames)
        if random.random() < 0.2:
            kept.reverse()
        stream.clock.now_s += 1 / 30
        wanted = stream.feed(kept) > 0
    good = True
    keys = {frame.timestamp // 3000 for frame in stream.out if frame.key}
    shown = set(stream.numbers)
    for number in range(1, stream.frames + 1):
        if number in lost:
            good = False
        elif number in keys:
            good = True
        assert number not in shown or good, number
    assert stream.numbers == sorted(shown) and len(shown) > 100


def test_missing_packets_are_asked_for_at_once_again_and_not_for_ever() -> None:
    clock = Clock()
    wanted = Retransmissions(clock)

    def came(number: int) -> set[int]:
        packet = RtpPacket(sequence_number=number & 0xFFFF)
        return set(wanted.missing) if wanted.add(packet) else set()

    assert came(65533) == set()
    assert came(65535) == {65534}
    assert came(65536 + 2) == {0, 1}
    clock.now_s += 1.01 * RETRY_S
    assert came(65536 + 3) == {65534, 0, 1}
    assert came(65536 + 1) == set()
    clock.now_s += 1.01 * RETRY_S
    assert came(65536 + 4) == {65534, 0}
    clock.now_s += GIVE_UP_S
    assert came(65536 + 5) == set()
    assert wanted.asked == 8
    assert len(came(65536 + 5000)) <= 128
