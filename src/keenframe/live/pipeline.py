"""A live stream from its source through the sharpener to its sinks, started and stopped in one place.

    source ──newest──> sharpener ──newest──> each sink
    (thread)           (thread)              (thread)

Never more than one frame waits anywhere, so latency is bounded; what a newer frame replaced is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from keenframe.errors import KeenframeError, OutputError
from keenframe.live.capture import Capture, Captured, FrameSource
from keenframe.live.governed import GovernedSharpener
from keenframe.live.mailbox import Mailbox
from keenframe.live.sinks import Outlet, Shot, Sink
from keenframe.live.stats import Stats

# Seconds to wait for a source that hangs in its driver, and for a sink to finish what it is at, when stopping.
SOURCE_S, SINK_S = 3.0, 30.0
_NOTICED_S = 0.2


class Pipeline:
    """Runs until its source ends, a sink that cannot work at all stops it, or `stop` is called.

    open_source: opens the source, now and again after it was lost. sharpener: stays the caller's, who closes it after
    `stop`. sinks: where frames go; more may come and go while it runs. on_event: gets one line, from any thread, for
    everything a user should know of.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        sharpener: GovernedSharpener,
        sinks: Sequence[Sink] = (),
        on_event: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._open_source, self._sharpener = open_source, sharpener
        self._event = on_event
        self._incoming: Mailbox[Captured] = Mailbox()
        self._taps: list[Mailbox[Shot]] = []
        self._outlets: list[Outlet] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._capture: Capture | None = None
        self._error: KeenframeError | None = None
        self._removed_error: KeenframeError | None = None
        self._thread = threading.Thread(target=self._run, name="keenframe-sharpener", daemon=True)
        for sink in sinks:
            self._add(sink)

    @property
    def stats(self) -> Stats:
        """Where everything is counted."""
        return self._sharpener.numbers

    @property
    def error(self) -> KeenframeError | None:
        """What ended it, or what a sink could not finish, if anything."""
        of_source = None if self._capture is None else self._capture.error
        found = [self._error, of_source, *(outlet.error for outlet in self._outlets), self._removed_error]
        return next((error for error in found if error is not None), None)

    def start(self) -> None:
        """Open the source and go. KeenframeError when it cannot be opened."""
        self._capture = Capture(
            self._open_source, self._incoming, self.stats, lambda: self._sharpener.target_fps, self._event
        )
        for outlet in self._outlets:
            outlet.start()
        self._thread.start()
        self._capture.start()

    def stop(self) -> None:
        """Stop, let the sinks finish, and wait for all threads; also when it has ended by itself.

        One Ctrl-C meanwhile is not heeded; the next gives up, which `error` then says.
        """
        try:
            self._wind_up()
        except KeyboardInterrupt:
            # Impatience, and leaving now would lose a recording.
            try:
                self._event("still finishing; Ctrl-C once more gives up what is not finished")
                self._wind_up()
            except KeyboardInterrupt:
                if not self._over.is_set():
                    self._error = self._error or OutputError("given up before everything was finished")
                raise

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        return self._over.wait(timeout_s)

    def tap(self) -> Mailbox[Shot]:
        """A mailbox that gets every shot, for somebody who looks when there is time; closed at the end."""
        mailbox: Mailbox[Shot] = Mailbox()
        with self._lock:
            self._taps.append(mailbox)
        return mailbox

    def add_sink(self, sink: Sink) -> None:
        """Send frames to one more sink, from the next one on."""
        self._add(sink, optional=True).start()

    def remove_sink(self, sink: Sink) -> KeenframeError | None:
        """Let a sink finish and forget it; what it could not finish, if anything."""
        with self._lock:
            outlet = self._outlet(sink)
        # Still among the others until it has finished: a Ctrl-C meanwhile leaves it to `stop`.
        self._finish(outlet)
        with self._lock:
            self._outlets.remove(outlet)
            self._removed_error = self._removed_error or outlet.error
        return outlet.error

    def takes(self, sink: Sink) -> bool:
        """Whether a sink that was added still takes frames: not one that was given up."""
        with self._lock:
            return self._outlet(sink).state != "dead"

    def snapshot(self) -> dict[str, Any]:
        """`GovernedSharpener.stats` with the source and the sinks; ready for JSON."""
        with self._lock:
            sinks = {outlet.sink.name: outlet.snapshot() for outlet in self._outlets}
        capture = self._capture
        source = {"source": capture.name, "input": capture.kind} if capture is not None else {}
        return source | self._sharpener.stats() | {"sinks": sinks}

    def __enter__(self) -> Pipeline:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._over.set()

    def _work(self) -> None:
        try:
            while (got := self._incoming.get()) is not None:
                (frame, came_s), dropped = got
                self.stats.count("dropped", dropped)
                after = self._sharpener.sharpen(frame, dropped)
                now_s = time.perf_counter()
                self.stats.frame_out(now_s, now_s - came_s)
                self._deliver(Shot(frame, after, came_s))
        except Exception as error:
            self._stop_with(KeenframeError(f"sharpening failed: {type(error).__name__}: {error}"))
        with self._lock:
            outlets, taps = list(self._outlets), list(self._taps)
        for tap in taps:
            tap.close()
        for outlet in outlets:
            outlet.finish()
        for outlet in outlets:
            self._finish(outlet)

    def _deliver(self, shot: Shot) -> None:
        with self._lock:
            outlets, taps = list(self._outlets), list(self._taps)
        for outlet in outlets:
            outlet.offer(shot)
        for tap in taps:
            tap.put(shot)

    def _add(self, sink: Sink, optional: bool = False) -> Outlet:
        """optional: one whose failure does not end the stream, even if it never worked."""
        fatal = (lambda error: self._event(str(error))) if optional else self._stop_with
        outlet = Outlet(sink, self._event, fatal)
        with self._lock:
            self._outlets.append(outlet)
        return outlet

    def _finish(self, outlet: Outlet) -> None:
        outlet.finish()
        if not outlet.join(SINK_S):
            left = OutputError(f"{outlet.sink.name} does not answer; it is left behind")
            outlet.error = outlet.error or left
            self._event(str(left))

    def _outlet(self, sink: Sink) -> Outlet:
        return next(outlet for outlet in self._outlets if outlet.sink is sink)

    def _wind_up(self) -> None:
        if self._capture is None:
            return
        self._end()
        if not self._capture.join(SOURCE_S):
            self._event(f"{self._capture.name} does not answer; it is left behind")
        # Not the thread's own join alone: Python takes a thread for ended once Ctrl-C has broken that off. In short
        # waits, for a signal that strikes just before one is noticed only after it.
        while not self._over.wait(_NOTICED_S):
            pass
        self._thread.join()

    def _stop_with(self, error: KeenframeError) -> None:
        self._error = self._error or error
        self._end()

    def _end(self) -> None:
        if self._capture is not None:
            self._capture.stop()
        self._incoming.close()
