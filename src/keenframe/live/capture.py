"""The thread that reads a source: newest frame wins, and a camera that went away is opened again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from keenframe.errors import InputError, KeenframeError
from keenframe.frame import Frame
from keenframe.live.mailbox import Mailbox
from keenframe.live.stats import Stats

# Seconds before a lost source is tried again: doubled up to the second number, and anew once frames came.
AGAIN_S, AGAIN_MAX_S = 0.5, 8.0
# Sources up to so much faster than the target go through whole; above that what is too much is left out.
_FASTER = 1.05
# How much too early a frame may come, in intervals, before it is left out, and for how many that did not come in time
# others may come at once: a camera's hiccup is no higher rate.
_EARLY, _CREDIT = 0.4, 4


class FrameSource(Protocol):
    """Where frames come from. Iterating waits for each; it ends at the end and raises KeenframeError on failure."""

    name: str
    # Whether an end or a failure may be temporary: a camera's cable.
    reopens: bool

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """End the iteration, from any thread, at the next frame or before."""


class Captured(NamedTuple):
    """A frame and when it came, by `time.perf_counter`."""

    frame: Frame
    came_s: float


class Capture:
    """Reads what `open_source` gives and leaves each frame in `mailbox`, which it closes at the end.

    target_fps: asked for at each frame; of sources that are clearly faster frames are left out and counted as
    `skipped`. on_event gets one line for everything a user should know of. `error` says, at the end, what went wrong.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        mailbox: Mailbox[Captured],
        stats: Stats,
        target_fps: Callable[[], float],
        on_event: Callable[[str], None],
    ) -> None:
        self._open, self._mailbox, self._stats = open_source, mailbox, stats
        self._target_fps, self._event = target_fps, on_event
        self._stopped = threading.Event()
        self._kind: tuple[int, int, str, str, str] | None = None
        self._due_s = 0.0
        self._failures = 0
        self.error: KeenframeError | None = None
        # Opened by whoever starts, so that what cannot be opened at all is said at once.
        self._source = open_source()
        self._thread = threading.Thread(target=self._run, name="keenframe-capture", daemon=True)

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    @property
    def kind(self) -> str:
        """Size and format of the last frame; empty before the first."""
        return "" if self._kind is None else "{}x{} {}".format(*self._kind[:3])

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; `join` waits for it."""
        self._stopped.set()
        self._source.close()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended: a driver that holds it in a read cannot be interrupted."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set() and self._read() and self._again():
                pass
        except Exception as error:
            self.error = InputError(f"reading {self.name} failed: {type(error).__name__}: {error}")
        finally:
            self._mailbox.close()

    def _read(self) -> bool:
        """Read until the source ends; whether it is worth opening again."""
        try:
            for frame in self._source:
                if self._stopped.is_set():
                    return False
                self._failures = 0
                self._offer(frame)
        except KeenframeError as error:
            if not self._source.reopens:
                self.error = error
                return False
            if not self._stopped.is_set():
                self._stats.error(str(error))
                self._event(str(error))
        return self._source.reopens

    def _again(self) -> bool:
        """Open the source again, as soon as that works; False when there is no more time for it."""
        while not self._stopped.wait(min(AGAIN_S * 2**self._failures, AGAIN_MAX_S)):
            self._failures += 1
            try:
                self._source = self._open()
            except KeenframeError as error:
                if self._failures == 1:
                    self._event(f"waiting for it to come back: {error}")
                continue
            if self._stopped.is_set():
                self._source.close()
                return False
            self._stats.count("reopened")
            self._event(f"{self._source.name} is back")
            return True
        return False

    def _offer(self, frame: Frame) -> None:
        now_s = time.perf_counter()
        self._stats.frame_in(now_s)
        kind = (frame.width, frame.height, frame.format, frame.matrix, frame.range)
        if kind != self._kind:
            if self._kind is not None:
                # Colours are spoken of when it is they that change.
                words = kind[2:] if kind[3:] != self._kind[3:] else kind[2:3]
                self._event(f"frames are now {frame.width}x{frame.height} {' '.join(words)}")
                self._stats.count("changes")
            self._kind = kind
        interval_s = 1 / (_FASTER * self._target_fps())
        if now_s < self._due_s - _EARLY * interval_s:
            self._stats.count("skipped")
            return
        self._due_s = max(self._due_s, now_s - _CREDIT * interval_s) + interval_s
        if not self._mailbox.put(Captured(frame, now_s)):
            # Whoever stops the stream closes the mailbox, at any moment: the frame has been counted in by then.
            self._stats.count("dropped")
