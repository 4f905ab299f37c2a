"""The whole stream with sources and sinks that misbehave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keenframe.errors import InputError, OutputError
from keenframe.frame import Frame
from keenframe.live import capture, sinks
from keenframe.live.capture import FrameSource
from keenframe.live.governed import GovernedSharpener
from keenframe.live.mailbox import Mailbox
from keenframe.live.pipeline import Pipeline
from live.helpers import Collector, Script, endless, frame, governed, unplugged, wait_until


@pytest.fixture
def sharpener(unsharp_model: Path) -> Iterator[GovernedSharpener]:
    with governed(unsharp_model) as sharpener:
        sharpener.prepare(frame())
        yield sharpener


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (capture, sinks):
        monkeypatch.setattr(module, "AGAIN_S", 0.01)
        monkeypatch.setattr(module, "AGAIN_MAX_S", 0.02)


@pytest.fixture(autouse=True)
def no_thread_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "hangs" not in request.node.name:
        left = [t.name for t in threading.enumerate() if t.name.startswith(("keenframe-c", "keenframe-si"))]
        assert not left


def declared(pipeline: Pipeline) -> bool:
    """Whether every frame that came in went out or was counted."""
    numbers = pipeline.snapshot()["counters"]
    lost = numbers["dropped"] + numbers.get("skipped", 0)
    return bool(numbers["frames_in"] == numbers["frames_out"] + lost)


def test_a_source_that_ends_ends_the_stream_and_its_last_frame_arrives(sharpener: GovernedSharpener) -> None:
    sink = Collector()
    with Pipeline(lambda: Script([frame(i) for i in range(20)]), sharpener, [sink]) as pipeline:
        assert pipeline.wait(60)
    assert pipeline.error is None and declared(pipeline)
    assert sink.closed == 1
    last = sink.shots[-1]
    assert last.before.pts == last.after.pts == 19
    assert not np.array_equal(last.before.planes[0], last.after.planes[0])
    times = [shot.after.pts for shot in sink.shots]
    assert times == sorted(times)  # type: ignore[type-var]


def test_a_slow_sink_drops_its_own_frames_only(sharpener: GovernedSharpener) -> None:
    slow, fast = Collector("slow"), Collector("fast")
    gate = slow.hangs = threading.Event()
    with Pipeline(endless, sharpener, [slow, fast]) as pipeline:
        wait_until(lambda: len(fast.shots) >= 50, "the fast sink's frames")
        assert len(slow.shots) == 0
        numbers = pipeline.snapshot()["sinks"]
        assert numbers["slow"]["dropped"] >= 40 > numbers["fast"]["dropped"]
        gate.set()
        wait_until(lambda: len(slow.shots) > 1, "the slow sink's frames")
        newest = slow.shots[1].before.pts
        assert newest is not None and newest >= 40
    assert pipeline.error is None and declared(pipeline)


def test_while_the_sharpener_is_busy_only_the_newest_frame_waits(
    sharpener: GovernedSharpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, go = threading.Event(), threading.Event()
    plain = GovernedSharpener.sharpen

    def slow(self: GovernedSharpener, source: Frame, dropped: int = 0) -> Frame:
        busy.set()
        assert go.wait(60)
        return plain(self, source, dropped)

    monkeypatch.setattr(GovernedSharpener, "sharpen", slow)
    sink = Collector()
    steps = [frame(0), busy.wait, *(frame(i) for i in range(1, 10)), go.set]
    with Pipeline(lambda: Script(steps), sharpener, [sink]) as pipeline:
        assert pipeline.wait(60)
    numbers = pipeline.snapshot()["counters"]
    assert (numbers["frames_in"], numbers["frames_out"], numbers["dropped"]) == (10, 2, 8)
    assert sink.shots[-1].after.pts == 9


def test_resolution_and_format_may_change_in_the_middle(sharpener: GovernedSharpener) -> None:
    kinds = [(64, 48, "i420"), (96, 64, "nv12"), (128, 96, "i422"), (64, 48, "i420")]
    steps = [frame(50 * n + i, w, h, f) for n, (w, h, f) in enumerate(kinds) for i in range(50)]
    sink, events = Collector(), list[str]()
    with Pipeline(lambda: Script(steps), sharpener, [sink], events.append) as pipeline:
        assert pipeline.wait(60)
    assert pipeline.error is None and declared(pipeline)
    seen = [(shot.after.width, shot.after.height, shot.after.format) for shot in sink.shots]
    assert list(dict.fromkeys(seen)) == kinds[:3] and seen[-1] == kinds[3]
    assert all(shot.before.format == shot.after.format for shot in sink.shots)
    assert events == [f"frames are now {w}x{h} {f}" for w, h, f in kinds[1:]]
    assert pipeline.snapshot()["counters"]["changes"] == 3
    assert pipeline.snapshot()["counters"]["sharpened"] > 0


def test_colours_may_change_in_the_middle_and_are_announced(sharpener: GovernedSharpener) -> None:
    first = frame()
    steps = [first, replace(first, matrix="bt709"), replace(first, matrix="bt709", range="full")]
    events = list[str]()
    with Pipeline(lambda: Script(list(steps)), sharpener, [Collector()], events.append) as pipeline:
        assert pipeline.wait(60)
    assert events == ["frames are now 64x48 i420 bt709 limited", "frames are now 64x48 i420 bt709 full"]
    assert pipeline.snapshot()["input"] == "64x48 i420"


def test_a_camera_that_is_unplugged_is_opened_again(sharpener: GovernedSharpener) -> None:
    """It breaks off, is away for two tries, comes back, ends without a word, and comes back again."""
    first = Script([frame(i) for i in range(5)] + [unplugged()], reopens=True, name="camera")
    second = Script([frame(i) for i in range(5, 10)], reopens=True, name="camera")
    third = endless(reopens=True, name="camera")
    answers: list[Script | Exception] = [first, unplugged(), unplugged(), second, third]

    def open_source() -> FrameSource:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    sink, events = Collector(), list[str]()
    with Pipeline(open_source, sharpener, [sink], events.append) as pipeline:
        wait_until(lambda: not answers and len(sink.shots) > 20, "frames of the third opening")
        assert pipeline.snapshot()["counters"]["reopened"] == 2
    assert pipeline.error is None and declared(pipeline)
    assert events[0] == "camera 'test' stopped: no such device"
    assert events[1].startswith("waiting for it to come back")
    assert events.count("camera is back") == 2


def test_a_frame_that_comes_while_the_stream_is_being_stopped_is_counted(
    sharpener: GovernedSharpener,
) -> None:
    """Stopped just between the frame's counting and its handing on, where the target rate is asked for."""
    mailbox: Mailbox[capture.Captured] = Mailbox()

    def stop_then_answer() -> float:
        mailbox.close()
        return 30.0

    reader = capture.Capture(lambda: Script([frame()]), mailbox, sharpener.numbers, stop_then_answer, print)
    reader.start()
    assert reader.join(60) and mailbox.get() is None
    numbers = sharpener.numbers.snapshot()["counters"]
    assert (numbers["frames_in"], numbers["dropped"]) == (1, 1)


def test_stopping_while_the_camera_is_away_takes_no_waiting(
    sharpener: GovernedSharpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "AGAIN_S", 3600)
    monkeypatch.setattr(capture, "AGAIN_MAX_S", 3600)
    events: list[str] = []
    with Pipeline(lambda: Script([unplugged()], reopens=True), sharpener, [], events.append):
        wait_until(lambda: events, "the report")


def test_a_source_that_cannot_be_opened_is_said_at_once(sharpener: GovernedSharpener) -> None:
    def missing() -> FrameSource:
        raise InputError("there is no camera 'x'")

    sink = Collector()
    with pytest.raises(InputError, match="no camera 'x'"):
        Pipeline(missing, sharpener, [sink]).start()
    assert sink.closed == 0


def test_a_file_that_breaks_off_ends_the_stream_with_its_error(sharpener: GovernedSharpener) -> None:
    sink = Collector()
    steps = [frame(0), frame(1), InputError("the file is damaged")]
    with Pipeline(lambda: Script(steps), sharpener, [sink]) as pipeline:
        assert pipeline.wait(60)
    assert str(pipeline.error) == "the file is damaged"
    assert sink.closed == 1 and sink.shots


def test_a_sink_that_never_worked_ends_the_stream(sharpener: GovernedSharpener) -> None:
    bad, good = Collector("bad", fails=True, retries=True), Collector("good")
    with Pipeline(endless, sharpener, [bad, good]) as pipeline:
        assert pipeline.wait(60)
    assert isinstance(pipeline.error, OutputError) and good.closed == 1


def test_a_sink_that_dies_is_given_up_and_the_others_go_on(sharpener: GovernedSharpener) -> None:
    bad, good, events = Collector("bad"), Collector("good"), list[str]()
    with Pipeline(endless, sharpener, [bad, good], events.append) as pipeline:
        wait_until(lambda: bad.shots)
        bad.fails = True
        wait_until(lambda: events, "the report")
        count = len(good.shots)
        wait_until(lambda: len(good.shots) > count + 10, "the others' frames")
        assert pipeline.snapshot()["sinks"]["bad"]["state"] == "dead"
    assert events == ["the window was closed; bad is given up, the others go on"]
    assert str(pipeline.error) == "the window was closed"


def test_a_sink_that_can_come_back_does(sharpener: GovernedSharpener) -> None:
    sink, events = Collector("virtual", retries=True), list[str]()
    with Pipeline(endless, sharpener, [sink], events.append) as pipeline:
        wait_until(lambda: sink.shots)
        sink.fails = True
        wait_until(lambda: pipeline.snapshot()["sinks"]["virtual"]["failures"] >= 3, "three tries")
        sink.fails = False
        count = len(sink.shots)
        wait_until(lambda: len(sink.shots) > count + 3, "frames")
    assert events == ["the window was closed; trying again", "virtual is back"]
    assert pipeline.error is None and declared(pipeline)


def test_a_bug_in_a_sink_is_reported_as_its_own(sharpener: GovernedSharpener) -> None:
    sink = Collector("odd")
    sink.write = lambda shot: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with Pipeline(endless, sharpener, [sink]) as pipeline:
        assert pipeline.wait(60)
    assert "odd failed: ZeroDivisionError" in str(pipeline.error)


def test_a_sink_that_hangs_for_good_is_left_behind(
    sharpener: GovernedSharpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, good, events = Collector("stuck", hangs=threading.Event()), Collector("good"), list[str]()
    join = sinks.Outlet.join
    # The other one gets the time that a busy machine needs.
    patience_s = {"stuck": 0.05, "good": 60.0}
    monkeypatch.setattr(sinks.Outlet, "join", lambda self, _: join(self, patience_s[self.sink.name]))
    with Pipeline(endless, sharpener, [stuck, good], events.append) as pipeline:
        wait_until(lambda: good.shots)
    assert events == ["stuck does not answer; it is left behind"] and str(pipeline.error) == events[0]
    assert good.closed == 1 and stuck.hangs is not None
    stuck.hangs.set()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread here")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_it_finishes_is_heeded_the_second_time(sharpener: GovernedSharpener, times: int) -> None:
    """The sink finishes only when it has seen what became of the signals that it sends."""
    sink, events, over, ended = Collector("recording"), list[str](), threading.Event(), threading.Event()

    def close() -> None:
        for count in range(times):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            wait_until(lambda count=count: len(events) > count or over.is_set())
        if times > 1:
            over.wait(60)
        sink.closed += 1
        ended.set()

    sink.close = close  # type: ignore[method-assign]
    pipeline = Pipeline(endless, sharpener, [sink], events.append)
    pipeline.start()
    wait_until(lambda: sink.shots)
    if times == 1:
        pipeline.stop()
        assert (
            sink.closed == 1
            and pipeline.error is None
            and pipeline.snapshot()["sinks"]["recording"]["state"] == "done"
        )
    else:
        with pytest.raises(KeyboardInterrupt):
            pipeline.stop()
        assert sink.closed == 0 and "given up before everything was finished" in str(pipeline.error)
    assert events == ["still finishing; Ctrl-C once more gives up what is not finished"]
    over.set()
    assert ended.wait(60)
    pipeline.stop()


def test_a_source_that_hangs_in_its_driver_is_left_behind(
    sharpener: GovernedSharpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keenframe.live.pipeline.SOURCE_S", 0.05)
    reached, driver = threading.Event(), threading.Event()
    events = list[str]()
    steps = [frame(), reached.set, driver.wait]
    with Pipeline(lambda: Script(steps, interval_s=0), sharpener, [], events.append):
        assert reached.wait(60)
    assert events == ["script does not answer; it is left behind"]
    driver.set()


def test_sinks_come_and_go_while_it_runs(sharpener: GovernedSharpener) -> None:
    first, second = Collector("first"), Collector("second")
    with Pipeline(endless, sharpener, [first]) as pipeline:
        wait_until(lambda: first.shots)
        pipeline.add_sink(second)
        wait_until(lambda: second.shots)
        assert pipeline.takes(second) and pipeline.remove_sink(second) is None
        assert second.closed == 1
        count = len(first.shots)
        wait_until(lambda: len(first.shots) > count + 5)
        assert "second" not in pipeline.snapshot()["sinks"]


def test_what_a_sink_failed_with_is_known_when_it_has_been_removed(sharpener: GovernedSharpener) -> None:
    first, second = Collector("first"), Collector("second")
    with Pipeline(endless, sharpener, [first]) as pipeline:
        pipeline.add_sink(second)
        wait_until(lambda: second.shots)
        second.fails = True
        wait_until(lambda: not pipeline.takes(second), "its end")
        assert isinstance(pipeline.remove_sink(second), OutputError)
    assert str(pipeline.error) == "the window was closed"


def test_a_tap_gets_the_newest_frame_and_the_end(sharpener: GovernedSharpener) -> None:
    pipeline = Pipeline(lambda: Script([frame(i) for i in range(10)]), sharpener)
    tap = pipeline.tap()
    with pipeline:
        assert pipeline.wait(60)
        got = tap.get()
        assert got is not None and got[0].after.pts == 9
        assert tap.get() is None and tap.closed


def test_a_source_faster_than_the_target_is_thinned_out(unsharp_model: Path) -> None:
    with governed(unsharp_model, target_fps=20) as sharpener:
        script = Script([frame(i) for i in range(100)], interval_s=0.002)
        with Pipeline(lambda: script, sharpener, [Collector()]) as pipeline:
            assert pipeline.wait(60)
        assert declared(pipeline)
        assert pipeline.snapshot()["counters"]["skipped"] > 0


def test_it_can_be_stopped_twice_and_before_it_began(sharpener: GovernedSharpener) -> None:
    pipeline = Pipeline(endless, sharpener)
    pipeline.stop()
    pipeline.start()
    pipeline.stop()
    pipeline.stop()
    assert pipeline.wait(0)
