"""Codecs and threads of one participant's pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from queue import Queue
from typing import Any

import av
import numpy as np
import pytest
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.live.stats import Stats
from keenframe.metrics import psnr
from keenframe.rtc.assembly import EncodedFrame
from keenframe.rtc.encoding import Decoder, Outgoing, VideoEncoder
from keenframe.rtc.stream import PictureStream
from keenframe.rtc.view import View
from loopback import SAMPLE, source_from
from rtc_client import PassThrough
from servers import until


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return list(source_from(SAMPLE, 320, 180, frames=40).frames)


def picture(planes: np.ndarray, pts: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
    frame.pts, frame.time_base = pts, Fraction(1, 90000)
    return frame


def joined(codec: str, payloads: list[bytes], timestamp: int) -> EncodedFrame:
    kind = RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=90000)
    data = b"".join(depayload(kind, payload) for payload in payloads)
    return EncodedFrame(codec, data, timestamp, False, time.perf_counter())


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_what_is_encoded_is_decoded_frame_by_frame(codec: str, pictures: list[np.ndarray]) -> None:
    encoder, decoder = VideoEncoder(codec, lambda useful: 600_000), Decoder()
    losses = []
    for index, planes in enumerate(pictures):
        payloads, timestamp = encoder.encode(picture(planes, 3000 * index), force_keyframe=index == 20)
        assert timestamp == 3000 * index and all(len(payload) <= 1300 for payload in payloads)
        (decoded,) = decoder.decode(joined(codec, payloads, timestamp))
        assert (decoded.pts, decoded.width, decoded.height) == (timestamp, 320, 180)
        losses.append(psnr(decoded.to_ndarray()[:180], planes[:180]))
    assert encoder.key_frames == 2 and encoder.frames == 40
    assert np.mean(losses) > 36, "dB at 600 kbit/s"


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_size_may_change_and_the_bitrate_is_followed_calmly(codec: str, pictures: list[np.ndarray]) -> None:
    target = [600_000]
    asked: list[int] = []

    def bitrate(useful: int) -> int:
        asked.append(useful)
        return target[0]

    encoder, decoder = VideoEncoder(codec, bitrate), Decoder()

    def send(planes: np.ndarray, index: int) -> av.VideoFrame:
        payloads, timestamp = encoder.encode(picture(planes, 3000 * index))
        return decoder.decode(joined(codec, payloads, timestamp))[0]

    for index in range(10):
        send(pictures[index], index)
        target[0] = round(target[0] * 0.985)
    assert encoder.key_frames == 1, "14 % less is within what is let be"
    target[0] //= 2
    send(pictures[10], 10)
    assert encoder.key_frames == 2, "half is followed at once"
    target[0] *= 4
    send(pictures[11], 11)
    assert encoder.key_frames == 2, "a rise waits"
    small = np.ascontiguousarray(pictures[0][:, :160].reshape(-1)[: 160 * 90 * 3 // 2].reshape(135, 160))
    back = send(small, 12)
    assert (back.width, back.height, encoder.key_frames) == (160, 90, 3)
    assert asked[0] == round(0.15 * 30 * 320 * 180) and asked[-1] == round(0.15 * 30 * 160 * 90)


def test_a_few_bytes_do_not_fill_the_memory() -> None:
    """Both codecs can say that a frame is of 16383x16383 pixels in a packet's time."""
    key = b"\x10\x02\x00\x9d\x01\x2a" + b"\xff\x3f\xff\x3f" + bytes(30)
    with pytest.raises(InputError, match="16383x16383"):
        Decoder().decode(EncodedFrame("VP8", key, 0, True, 0.0))
    encoder = VideoEncoder("H264", lambda useful: 600_000)
    payloads, _ = encoder.encode(picture(np.full((2320 * 3 // 2, 4112), 128, np.uint8), 0))
    decoder = Decoder()
    # Where one frame is refused, FFmpeg says so at it or at the next one; it gives out none.
    with pytest.raises(av.FFmpegError):
        for _ in range(3):
            assert decoder.decode(joined("H264", payloads, 0)) == []


class Bench:
    """A stream with what it is fed and what comes out."""

    def __init__(self, sharpener: PassThrough) -> None:
        self.sharpener = sharpener
        self.stats = Stats()
        self.out: list[Outgoing] = []
        self.requests = 0
        self.stream = PictureStream(sharpener, self.stats, View(), self.out.append, self.request, "bench")

    def request(self) -> None:
        self.requests += 1

    @property
    def counters(self) -> dict[str, int]:
        return self.stats.snapshot()["counters"]


@pytest.fixture
def bench() -> Callable[..., Bench]:
    made: list[Bench] = []

    def make(sharpener: PassThrough | None = None) -> Bench:
        made.append(Bench(sharpener or PassThrough()))
        return made[-1]

    yield make  # type: ignore[misc]
    for one in made:
        if not one.sharpener.closed:
            one.stream.close()


def encoded(pictures: list[np.ndarray]) -> list[EncodedFrame]:
    encoder = VideoEncoder("VP8", lambda useful: 600_000)
    return [joined("VP8", *encoder.encode(picture(planes, 3000 * at))) for at, planes in enumerate(pictures)]


def test_pictures_go_through_with_their_times(
    bench: Callable[..., Bench], pictures: list[np.ndarray]
) -> None:
    one = bench()
    for place, frame in enumerate(encoded(pictures[:10]), 1):
        one.stream.put(frame)
        until(lambda place=place: len(one.out) == place)
    assert [out.picture.pts for out in one.out] == [3000 * at for at in range(10)]
    assert one.stream.size_in == one.stream.size_out == (320, 180) and not one.requests
    assert psnr(one.out[-1].picture.to_ndarray()[:180], pictures[9][:180]) > 34


def test_a_slow_sharpener_gets_the_newest_and_the_rest_is_counted(
    bench: Callable[..., Bench], pictures: list[np.ndarray]
) -> None:
    taken, held = threading.Event(), threading.Event()

    class Slow(PassThrough):
        given_up = 0

        def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
            taken.set()
            held.wait()
            self.given_up += dropped
            return super().sharpen(frame, dropped)

    one = bench(Slow())
    frames = encoded(pictures[:20])
    one.stream.put(frames[0])
    assert taken.wait(60)
    for frame in frames[1:]:
        one.stream.put(frame)
    until(lambda: one.counters["frames_in"] == 20)
    held.set()
    until(lambda: len(one.out) >= 2 and one.out[-1].picture.pts == 19 * 3000)
    shown = len(one.out)
    assert shown <= 3 and one.counters["dropped"] == 20 - shown == one.sharpener.given_up  # type: ignore[attr-defined]


def test_more_than_the_decoder_takes_is_left_out_up_to_the_next_key_frame(
    bench: Callable[..., Bench], pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    decode = Decoder.decode
    monkeypatch.setattr(Decoder, "decode", lambda self, frame: (held.wait(), decode(self, frame))[1])
    one = bench()
    frame = encoded(pictures[:1])[0]
    for _ in range(200):
        one.stream.put(frame)
    assert one.requests >= 5 and one.counters["dropped"] >= 150
    held.set()
    until(lambda: one.out)


def test_the_decoder_may_take_what_is_being_given_up(
    bench: Callable[..., Bench], pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question whether something waits and the try to take it."""

    class Raced(Queue[Any]):
        def empty(self) -> bool:
            was = super().empty()
            while not super().empty():
                self.get_nowait()
            return was

    held = threading.Event()
    decode = Decoder.decode
    monkeypatch.setattr(Decoder, "decode", lambda self, frame: (held.wait(), decode(self, frame))[1])
    monkeypatch.setattr("keenframe.rtc.stream.Queue", Raced)
    one = bench()
    frame = encoded(pictures[:1])[0]
    for _ in range(100):
        one.stream.put(frame)
    assert one.requests >= 2
    held.set()
    until(lambda: one.out)


def test_damaged_data_ask_for_a_key_frame(bench: Callable[..., Bench], pictures: list[np.ndarray]) -> None:
    one = bench()
    good = encoded(pictures[:1])[0]
    one.stream.put(good._replace(data=b"\x00\x01\x02 this is no picture"))
    until(lambda: one.requests == 1)
    assert "could not be decoded" in one.stats.snapshot()["last_error"]
    one.stream.put(good)
    until(lambda: one.out)


def test_closing_ends_the_threads_whatever_they_are_at(
    bench: Callable[..., Bench], pictures: list[np.ndarray]
) -> None:
    one = bench()
    for frame in encoded(pictures[:20]):
        one.stream.put(frame)
    one.stream.close()
    assert one.sharpener.closed
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("-bench")]
    one.stream.put(encoded(pictures[:1])[0])
