"""The relay's small parts: running numbers, the sender's clock, the viewer's size, bitrates, descriptions."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from keenframe.errors import InputError
from keenframe.rtc.clock import SenderClock, SentReports
from keenframe.rtc.numbering import Unwrapper
from keenframe.rtc.rate import DownlinkEstimate, LossReports, UplinkEstimate
from keenframe.rtc.sdp import Bitrates, check_offer, with_bitrates
from keenframe.rtc.view import Enlarger, View

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=video 9 UDP/TLS/RTP/SAVPF 96 97 98
a=mid:0
a=sendrecv
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:98 H264/90000
a=fmtp:98 packetization-mode=1;profile-level-id=42e01f
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:1
a=sendrecv
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10
""".replace("\n", "\r\n")


def test_numbers_run_on_past_their_period_and_back() -> None:
    numbers = Unwrapper(16)
    assert [numbers.unwrap(n) for n in (65530, 65535, 3, 65534, 40000, 5)] == [
        65530,
        65535,
        65539,
        65534,
        40000,
        65541,
    ]


def test_the_sender_s_clock_goes_on_between_its_reports_and_around() -> None:
    clock = SenderClock(90000)
    first = clock.unwrap(2**32 - 45000)
    assert clock.ntp(first) is None
    clock.report(1000 << 32, 2**32 - 45000)
    later = clock.unwrap(45000)
    assert clock.ntp(later) == 1001 << 32
    assert clock.ntp(first - 90000) == 999 << 32
    clock.report(0, 45000)
    assert clock.ntp(later) == 1001 << 32, "a report without a time says nothing"
    clock.report(1001 << 32 | 1 << 31, 45000)
    assert clock.ntp(later) == 1001 << 32 | 1 << 31


def test_round_trips_are_counted_from_the_report_that_they_speak_of() -> None:
    now = [10.0]
    reports = SentReports(lambda: now[0])
    reports.sent(0x1111_2222_3333_4444)
    now[0] = 10.25
    assert reports.round_trip_ms(0x2222_3333, 65536 // 5) == pytest.approx(50, abs=0.1)
    assert reports.round_trip_ms(0x2222_3334, 0) is None
    for place in range(100):
        reports.sent(place << 32)
    assert reports.round_trip_ms(0x2222_3333, 0) is None


def picture(width: int, height: int) -> av.VideoFrame:
    luma = np.tile(np.arange(width, dtype=np.uint8), (height * 3 // 2, 1))
    frame = av.VideoFrame.from_ndarray(luma, "yuv420p")
    frame.pts, frame.time_base = 77, Fraction(1, 90000)
    return frame


def sizes(view: View, *given: tuple[int, int]) -> list[tuple[int, int]]:
    enlarge = Enlarger(view)
    made = [enlarge(picture(*size)) for size in given]
    assert all(frame.pts == 77 and frame.time_base == Fraction(1, 90000) for frame in made)
    return [(frame.width, frame.height) for frame in made]


def test_frames_are_enlarged_to_the_largest_of_their_shape() -> None:
    assert sizes(View(), (480, 270), (640, 360), (320, 180), (640, 360), (426, 240)) == [
        (480, 270),
        (640, 360),
        (640, 360),
        (640, 360),
        (640, 360),
    ]
    # A phone that was turned, and another shape.
    assert sizes(View(), (640, 360), (180, 320), (360, 640), (180, 320), (320, 240), (160, 120)) == [
        (640, 360),
        (180, 320),
        (360, 640),
        (360, 640),
        (320, 240),
        (320, 240),
    ]
    assert sizes(View(), (2560, 1440), (640, 360)) == [(2560, 1440), (1920, 1080)]


def test_frames_fit_into_a_fixed_size_and_are_never_made_smaller() -> None:
    fixed = View.parse("1280x720")
    assert sizes(fixed, (320, 180), (320, 240), (1280, 720), (1920, 1080)) == [
        (1280, 720),
        (960, 720),
        (1280, 720),
        (1920, 1080),
    ]
    assert sizes(View.parse("same"), (640, 360), (320, 180)) == [(640, 360), (320, 180)]
    assert View.parse("largest") == View()


@pytest.mark.parametrize(
    "text", ["", "big", "641x360", "1280x7200", "4000x3000", "8x8", "640×360", "-640x360"]
)
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected 'largest', 'same' or WIDTHxHEIGHT"):
        View.parse(text)


def test_an_answer_says_the_bitrates_for_each_video_codec_and_no_other() -> None:
    answer = with_bitrates(OFFER, Bitrates(100, 800, 2000))
    bounds = "x-google-start-bitrate=800;x-google-min-bitrate=100;x-google-max-bitrate=2000"
    lines = answer.splitlines()
    assert lines[lines.index("a=rtpmap:96 VP8/90000") + 1] == f"a=fmtp:96 {bounds}"
    assert f"a=fmtp:98 packetization-mode=1;profile-level-id=42e01f;{bounds}" in lines
    assert answer.count("x-google-start") == 2 and "a=fmtp:97 apt=96\r\n" in answer
    assert [line for line in lines if "x-google" not in line] == [
        line for line in OFFER.splitlines() if not line.startswith("a=fmtp:98")
    ]


def test_offers_are_checked() -> None:
    check_offer(OFFER)
    for bad, message in (
        ("hello", "does not start with 'v=0'"),
        (OFFER + "x" * 100_000, "expected at most 100000"),
        (OFFER.replace("m=video", "m=application"), "sound and picture only"),
        (OFFER.replace("a=sendrecv", "a=recvonly"), "offer it as sendrecv"),
        (OFFER[: OFFER.index("m=video")] + OFFER[OFFER.index("m=audio") :], "0 videos and 1 sounds"),
        (OFFER + OFFER[OFFER.index("m=video") :], "2 videos and 2 sounds"),
    ):
        with pytest.raises(InputError, match=message):
            check_offer(bad)
    with pytest.raises(InputError, match="type 'pranswer'"):
        check_offer(OFFER, "pranswer")


class Line:
    """A line of `limit_kbps` with a queue, in front of an uplink estimate, and a machine that stalls now and then."""

    def __init__(self, limit_kbps: float, stalls_ms: float) -> None:
        self.limit_kbps, self.stalls_ms = limit_kbps, stalls_ms
        self.uplink = UplinkEstimate(Bitrates(100, 1500, 3000))
        self.worst_ms = 0.0
        self._random = np.random.default_rng(2)
        self._now_ms = self._free_ms = 0.0

    def run(self, seconds: float) -> None:
        """Send what the estimate allows, in packets of 1200 bytes."""
        end_ms = self._now_ms + 1000 * seconds
        busy_ms = 0.0
        while self._now_ms < end_ms:
            self._now_ms += 1200 * 8 / self.uplink.target_kbps
            self._free_ms = max(self._free_ms, self._now_ms) + 1200 * 8 / self.limit_kbps
            self.worst_ms = max(self.worst_ms, self._free_ms - self._now_ms)
            if self._random.random() < 0.05:
                busy_ms = self._free_ms + self._random.uniform(0, self.stalls_ms)
            arrived_ms = max(self._free_ms, busy_ms) + 20
            self.uplink.add(int(arrived_ms), int(self._now_ms / 1000 * (1 << 18)) & 0xFFFFFF, 1200, 7)


def test_a_busy_machine_does_not_take_bitrate_from_a_free_line() -> None:
    line = Line(100_000, stalls_ms=80)
    line.run(30)
    assert line.uplink.target_kbps == 3000
    assert line.uplink.shown_loss(0.05) == 0.05 and line.uplink.shown_loss(0.3) == 0.3
    assert line.uplink.shown_loss(0.15) == 0.09, "browsers hold their bitrate"


def test_a_narrow_line_is_filled_and_not_flooded() -> None:
    line = Line(500, stalls_ms=5)
    line.run(20)
    line.worst_ms = 0.0
    line.run(60)
    assert 300 < line.uplink.target_kbps < 700
    assert line.worst_ms < 500
    line.limit_kbps = line.uplink.target_kbps / 2
    line.run(3)
    assert line.uplink.shown_loss(0.15) == 0.15, "the line is full"
    line.limit_kbps = 5000
    line.run(60)
    assert line.uplink.target_kbps == 3000


def test_losses_are_reported_as_their_sender_is_to_see_them() -> None:
    reports = LossReports(lambda lost: lost if lost > 0.25 else min(lost, 0.09))
    assert reports.report(65000, 7) == 0.0 and reports.total == 0
    assert reports.report(65100, 12) == 0.05 and reports.total == 5
    assert reports.report(65200, 27) == 0.09 and reports.total == 14, "15 of 100"
    assert reports.report(65300, 67) == 0.4 and reports.total == 54, "40 of 100"
    assert reports.report(65300, 60) == 0.0 and reports.total == 47, "seven came late"
    assert reports.report(464, 160) == pytest.approx(100 / 700, abs=0.06) and reports.highest == 65536 + 464
    assert reports.report(464, 160) == 0.0


def test_the_downlink_rises_while_all_is_well_and_gives_way_to_queues_and_losses() -> None:
    downlink = DownlinkEstimate(Bitrates(100, 1000, 3000))
    highest, lost = 65000, 0

    def reports(round_trip_ms: float, part: float, packets: int = 100) -> int:
        nonlocal highest, lost
        for _ in range(packets // 20):
            downlink.report(round_trip_ms, highest & 0xFFFF, lost)
            highest, lost = highest + 20, lost + round(20 * part)
        downlink.report(round_trip_ms, highest & 0xFFFF, lost)
        return downlink.target_bps

    assert downlink.take(500_000) == 500_000
    downlink.ask(300)
    assert reports(30, 0.0, 2000) == 1_000_000, "no further than what has been tried"
    downlink.take(2_000_000)
    assert reports(30, 0.0) == 1_080_000
    assert reports(30, 0.5, 20) == 1_080_000, "ten of twenty may be lost by chance"
    assert reports(30, 0.0, 80) == 1_080_000, "ten of a hundred: it stays"
    downlink.report(200, highest & 0xFFFF, lost)
    assert reports(30, 0.0) > 1_080_000, "one late report says nothing"
    downlink.ask(400_000)
    assert reports(180, 0.0) == 400_000
    before = reports(30, 0.0, 500)
    assert before > 500_000
    assert reports(30, 0.2) == before, "lost by radio"
    assert reports(30, 0.4) == pytest.approx(0.8 * before, rel=0.01)
    assert reports(30, 0.5, 5000) == 100_000
