"""Where sharpened frames go: each sink has its own thread and its own one-frame mailbox, so none slows another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from keenframe.errors import KeenframeError, OutputError
from keenframe.frame import Frame
from keenframe.live.mailbox import Mailbox
from keenframe.media.compare import split_view
from keenframe.media.record import Recorder
from keenframe.media.virtual_camera import VirtualCamera

# Seconds before a lost sink is tried again: doubled up to the second number.
AGAIN_S, AGAIN_MAX_S = 1.0, 10.0


class Shot(NamedTuple):
    """One frame before and after, and when it came in, by `time.perf_counter`."""

    before: Frame
    after: Frame
    came_s: float


class Sink(Protocol):
    """Takes shots in its own thread. KeenframeError from `write` means that it is lost."""

    # Whether `write` may work again after `close`, when whatever was lost is back.
    retries: bool

    @property
    def name(self) -> str:
        """What people and numbers call it."""

    def write(self, shot: Shot) -> None: ...

    def close(self) -> None: ...


class NullSink:
    """Takes everything and does nothing: to measure."""

    name, retries = "null", False

    def write(self, shot: Shot) -> None:
        pass

    def close(self) -> None:
        pass


class RecordingSink:
    """A video file; with `compare` its left half is as it came."""

    retries = False

    def __init__(self, path: Path, overwrite: bool = False, compare: bool = False) -> None:
        self.name = str(path)
        self.compare = compare
        self._recorder = Recorder(path, overwrite)

    def write(self, shot: Shot) -> None:
        frame = split_view(shot.before, shot.after) if self.compare else shot.after
        self._recorder.write(frame, shot.came_s)

    def close(self) -> None:
        self._recorder.close()


class VirtualCameraSink:
    """A virtual camera; opened again when it was lost."""

    retries = True

    def __init__(self, device: str | None, fps: float) -> None:
        self._camera = VirtualCamera(device, fps)

    @property
    def name(self) -> str:
        return self._camera.name

    def write(self, shot: Shot) -> None:
        self._camera.send(shot.after)

    def close(self) -> None:
        self._camera.close()


class Outlet:
    """One sink at work. A sink that never took a frame is fatal; one that fails later is retried or given up.

    on_event gets one line for what a user should know; on_fatal the error of a sink that never worked.
    """

    def __init__(
        self, sink: Sink, on_event: Callable[[str], None], on_fatal: Callable[[KeenframeError], None]
    ) -> None:
        self.sink = sink
        self.state: Literal["new", "running", "lost", "dead", "done"] = "new"
        self.error: KeenframeError | None = None
        self._event, self._fatal = on_event, on_fatal
        self._mailbox: Mailbox[Shot] = Mailbox()
        self._stopped, self._over = threading.Event(), threading.Event()
        self._written = self._failures = self._failures_in_a_row = 0
        self._thread = threading.Thread(target=self._run, name=f"keenframe-sink-{sink.name}", daemon=True)

    def start(self) -> None:
        """Begin to wait for shots."""
        self._thread.start()

    def offer(self, shot: Shot) -> None:
        """Leave a shot; it takes the place of one that still waits."""
        self._mailbox.put(shot)

    def finish(self) -> None:
        """No more shots: the sink takes what waits and closes."""
        self._stopped.set()
        self._mailbox.close()

    def join(self, timeout_s: float) -> bool:
        """Whether the sink has closed; one that hangs in a write cannot be interrupted."""
        # Python takes a thread for ended once Ctrl-C has broken off its join.
        if not self._over.wait(timeout_s):
            return False
        self._thread.join()
        return True

    def snapshot(self) -> dict[str, Any]:
        """state, written, dropped and failures; ready for JSON."""
        return {
            "state": self.state,
            "written": self._written,
            "dropped": self._mailbox.dropped,
            "failures": self._failures,
        }

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._over.set()

    def _work(self) -> None:
        while (got := self._mailbox.get()) is not None:
            error = _attempt(partial(self.sink.write, got[0]), self.sink)
            if error is None:
                if self.state == "lost":
                    self._event(f"{self.sink.name} is back")
                self.state = "running"
                self._written += 1
                self._failures_in_a_row = 0
            elif not self._survives(error):
                return
        error = _attempt(self.sink.close, self.sink)
        self.state = "done" if error is None else "dead"
        if error is not None:
            self.error = error
            self._event(str(error))

    def _survives(self, error: KeenframeError) -> bool:
        """Deal with a failure; False when the sink is given up."""
        name = self.sink.name
        self._failures += 1
        _attempt(self.sink.close, self.sink)
        if self._written == 0 or not self.sink.retries:
            self.state, self.error = "dead", error
            self._mailbox.close()
            if self._written == 0:
                self._fatal(error)
            else:
                self._event(f"{error}; {name} is given up, the others go on")
            return False
        if self.state != "lost":
            self.state = "lost"
            self._event(f"{error}; trying again")
        wait_s = min(AGAIN_S * 2**self._failures_in_a_row, AGAIN_MAX_S)
        self._failures_in_a_row += 1
        self._stopped.wait(wait_s)
        return True


def _attempt(action: Callable[[], None], sink: Sink) -> KeenframeError | None:
    """What `action` failed with, whatever it was: a sink's bug must not take the others along."""
    try:
        action()
    except KeenframeError as error:
        return error
    except Exception as error:
        return OutputError(f"{sink.name} failed: {type(error).__name__}: {error}")
    return None
