"""Calls of a real Chromium to the relay, over networks that lose packets. What took how long is for the benchmark."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from browser import browser
from keenframe.frame import Frame
from keenframe.live.stats import Stats
from keenframe.rtc.options import PeerOptions
from keenframe.rtc.relay import Relay
from keenframe.rtc.server import create_app
from keenframe.rtc.stream import LiveSharpener
from keenframe.rtc.view import View
from keenframe.serving.access import Access
from keenframe.sharpener import Sharpener
from loopback import SAMPLE, Loopback, Received, Recorder, Source, source_from
from lossy import LossyNetwork
from rtc_client import PassThrough
from servers import running

SIZES = {"360p": (640, 360), "720p": (1280, 720)}


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser(
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ) as started:
        yield started


@pytest.fixture
def page(chrome: Any) -> Iterator[Any]:
    opened = chrome.new_page()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return {name: source_from(SAMPLE, *size, frames=40) for name, size in SIZES.items()}


class Keen(PassThrough):
    """The embedded model, on every frame, however long it takes."""

    def __init__(self) -> None:
        super().__init__()
        self._sharpener = Sharpener("keen", threads=1)

    def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
        super().sharpen(frame)
        return self._sharpener.sharpen(frame, still=False)

    def close(self) -> None:
        super().close()
        self._sharpener.close()


class Recording:
    """Makes a relay of `Keen` that records, and gives the last recorder."""

    def __init__(self, every: int = 4, view: View | None = None) -> None:
        self.recorders: list[Recorder] = []
        self._every, self._view = every, view or View()

    def __call__(self) -> Relay:
        return Relay(make_sharpener=self._make, options=PeerOptions(view=self._view, silence_s=4.0))

    def _make(self, stats: Stats) -> LiveSharpener:
        self.recorders.append(Recorder(Keen(), self._every))
        return self.recorders[-1]


def in_order(frames: list[Received]) -> bool:
    """Whether all numbers could be read, and rise: none comes twice, none out of turn."""
    numbers = [frame.number for frame in frames]
    return all(early < late for early, late in itertools.pairwise(numbers)) and min(numbers) >= 0


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.15], ids=["no loss", "5 % lost", "15 % lost"])
@pytest.mark.parametrize("size", SIZES)
def test_a_call_goes_on_while_packets_are_lost_and_recovers(
    page: Any, sources: dict[str, Source], size: str, loss: float
) -> None:
    recording = Recording()
    with Loopback(recording, sources[size], LossyNetwork(delay_ms=5)) as call:
        call.start(page, sampleEvery=4)
        before = len(call.wait(page, 30))
        call.network.loss = loss
        lossy = call.wait(page, 90, before)
        assert in_order(lossy)
        if loss:
            assert call.network.dropped > 10
        call.network.loss = 0.0
        # What was on its way may still have to be asked for.
        since = before + len(call.wait(page, len(lossy) + 30, before))
        call.forget()
        after = call.wait(page, 90, since)
        assert in_order(after)
        numbers = page.evaluate("loopback.statistics()")
        assert numbers["connection"] == "connected" and numbers["error"] is None
        came, made = (call.losses(planes) for planes in recording.recorders[0].kept())
        assert min(came) > 24 and np.median(came) > 28, "dB of what the relay decoded: nothing is broken"
        assert np.median(made) > np.median(came) - 0.5, "sharpening does no harm"
        back = call.losses(call.returned())
        assert len(back) >= 5 and min(back) > 23 and np.median(back) > 27, "dB of what the browser got back"
        (participant,) = call.relay.stats()["participants"].values()
        assert participant["counters"]["errors"] == 0, participant["last_error"]
        assert (
            participant["counters"]["sounds_forwarded"] > 50
            and participant["counters"]["sounds_dropped"] == 0
        )


def test_h264_with_losses(page: Any, sources: dict[str, Source]) -> None:
    recording = Recording()
    with Loopback(recording, sources["360p"]) as call:
        call.start(page, codec="H264", sampleEvery=4)
        before = len(call.wait(page, 30))
        call.network.loss = 0.1
        assert in_order(call.wait(page, 60, before))
        call.network.loss = 0.0
        assert in_order(call.wait(page, 150, before))
        mime = page.evaluate(
            "async () => { const all = [...(await loopback.peer().getStats()).values()];"
            "const out = all.find(s => s.type === 'outbound-rtp' && s.kind === 'video');"
            "return all.find(s => s.id === out.codecId).mimeType }"
        )
        assert mime == "video/H264"
        assert (
            min(call.losses(recording.recorders[0].kept()[0])) > 24 and min(call.losses(call.returned())) > 22
        )


def test_a_browser_short_of_bitrate_sends_less_and_gets_back_its_own_size_sharpened(
    page: Any, sources: dict[str, Source]
) -> None:
    recording = Recording(every=1)
    with Loopback(recording, sources["360p"]) as call:
        call.start(page, maxKbps=120)
        deadline_s = time.monotonic() + 90
        while True:
            (participant,) = call.relay.stats()["participants"].values()
            if participant["size_in"] is not None and participant["size_in"][0] < 640:
                break
            assert time.monotonic() < deadline_s, participant
            page.wait_for_timeout(200)
        recorder = recording.recorders[0]
        recorder.clear()
        since = len(call.received(page))
        frames = call.wait(page, 60, since)
        assert {(frame.width, frame.height) for frame in frames} == {(640, 360)} and in_order(frames)
        before, after = (np.array(call.losses(planes)) for planes in recorder.kept())
        assert (after - before).mean() > 0.2, "dB over what a viewer's enlarging shows"


def test_sound_and_picture_are_of_one_time(page: Any, sources: dict[str, Source]) -> None:
    with Loopback(Recording(), sources["360p"]) as call:
        call.start(page, play=True)
        call.wait(page, 240)

        def apart_ms() -> float:
            numbers = page.evaluate("loopback.statistics()")
            return float(
                numbers["inbound"]["estimatedPlayoutTimestamp"]
                - numbers["sound"]["estimatedPlayoutTimestamp"]
            )

        # What a busy machine's player makes of it, in a while; times of another clock would be off by seconds and more
        # for ever.
        deadline_s = time.monotonic() + 60
        while abs(found_ms := apart_ms()) >= 400:
            assert time.monotonic() < deadline_s, found_ms
            page.wait_for_timeout(200)


def test_participants_that_leave_with_and_without_a_word(chrome: Any, sources: dict[str, Source]) -> None:
    with Loopback(Recording(), sources["360p"]) as call:
        page = chrome.new_page()
        call.start(page)
        call.wait(page, 10)
        page.evaluate("loopback.stop()")
        ends(call, {"the participant left": 1})
        call.start(page)
        call.wait(page, 10)
        page.close()
        deadline_s = time.monotonic() + 30
        while call.relay.stats()["peers"]:
            assert time.monotonic() < deadline_s, call.relay.stats()
            time.sleep(0.1)
        again = chrome.new_page()
        call.start(again)
        call.wait(again, 10)
        call.network.loss = 1.0
        deadline_s = time.monotonic() + 30
        while call.relay.stats()["peers"]:
            assert time.monotonic() < deadline_s, call.relay.stats()
            again.wait_for_timeout(100)
        assert call.relay.stats()["ended"]["nothing came for 4 s"] >= 1
        again.close()


def ends(call: Loopback, expected: dict[str, int]) -> None:
    deadline_s = time.monotonic() + 30
    while call.relay.stats()["ended"] != expected:
        assert time.monotonic() < deadline_s, call.relay.stats()
        time.sleep(0.1)


def test_two_browsers_at_once_and_the_third_is_told(chrome: Any, sources: dict[str, Source]) -> None:
    def make() -> Relay:
        return Relay(peers=2, make_sharpener=lambda stats: PassThrough())

    pages = [chrome.new_page() for _ in range(3)]
    with Loopback(make, sources["360p"]) as call:
        call.start(pages[0])
        call.start(pages[1])
        for one in pages[:2]:
            assert in_order(call.wait(one, 60))
        with pytest.raises(Exception, match=r"this relay is full \(2 of 2"):
            call.start(pages[2])
    for one in pages:
        one.close()


def test_a_call_that_is_stopped_before_it_is_answered_takes_no_place(page: Any) -> None:
    patient = PeerOptions(connect_s=3600, silence_s=3600)
    relay = Relay(make_sharpener=lambda stats: PassThrough(), options=patient)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def answer(route: Any) -> None:
        answered = route.fetch()
        assert relay.stats()["peers"] == 1
        page.evaluate("document.getElementById('stop').click()")
        route.fulfill(response=answered)

    with running(create_app(relay, Access(token="word"))) as url:
        page.goto(f"{url}/?token=word")
        page.route("**/offer", answer)
        page.get_by_role("button", name="Start the camera").click()
        page.get_by_role("status").filter(has_text="Stopped.").wait_for(timeout=60_000)
        deadline_s = time.monotonic() + 30
        while relay.stats()["peers"]:
            assert time.monotonic() < deadline_s
            page.wait_for_timeout(100)
    assert not errors


def test_the_relay_s_own_page_by_keyboard(page: Any) -> None:
    focus = "document.activeElement.id"
    with running(create_app(Relay(make_sharpener=lambda stats: PassThrough()), Access(token="word"))) as url:
        page.goto(f"{url}/?token=word")
        start, stop = (page.get_by_role("button", name=name) for name in ("Start the camera", "Stop"))
        page.wait_for_function("!document.getElementById('start').disabled")
        assert stop.is_disabled()
        start.focus()
        page.keyboard.press("Enter")
        page.get_by_role("status").filter(has_text="Connected.").wait_for(timeout=60_000)
        assert start.is_disabled() and page.evaluate(focus) == "start"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate(focus) == "stop"
        page.keyboard.press("Enter")
        page.get_by_role("status").filter(has_text="Stopped.").wait_for()
        assert stop.is_disabled() and start.is_enabled() and page.evaluate(focus) == "stop"


def test_the_relay_s_own_page(page: Any) -> None:
    relay = Relay(make_sharpener=lambda stats: PassThrough())
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with running(create_app(relay, Access(token="word"))) as url:
        page.goto(url)
        page.get_by_role("status").filter(has_text="token is missing or wrong").wait_for(timeout=30_000)
        assert page.get_by_role("button", name="Start the camera").is_disabled()
        page.goto(f"{url}/?token=word")
        page.get_by_label("Size").select_option("640x360")
        page.get_by_role("button", name="Start the camera").click()
        page.get_by_role("status").filter(has_text="Connected.").wait_for(timeout=60_000)
        page.get_by_role("group", name="What is measured").filter(has_text="640 × 360, ").wait_for()
        page.wait_for_function("document.getElementById('back').videoWidth === 640", timeout=30_000)
        assert relay.stats()["peers"] == 1
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("status").filter(has_text="Stopped.").wait_for()
        deadline_s = time.monotonic() + 30
        while relay.stats()["peers"]:
            assert time.monotonic() < deadline_s
            page.wait_for_timeout(100)
    assert not errors and relay._closed
