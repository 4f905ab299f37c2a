"""Sources and sinks that misbehave in the ways that cameras and programs do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from conftest import picture
from keenframe.errors import InputError, OutputError
from keenframe.frame import Frame
from keenframe.live.governed import GovernedSharpener
from keenframe.live.sinks import Shot

DEADLINE_S = 60.0


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait for a condition, not for luck."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"{what} never came"
        threading.Event().wait(0.005)


def frame(index: int = 0, width: int = 64, height: int = 48, format: str = "i420") -> Frame:
    return Frame.from_rgb(picture(height, width, index % 3), format=format, pts=index)  # type: ignore[arg-type]


def governed(model: Path, **options: object) -> GovernedSharpener:
    """Any frame is in time: these tests are not about speed."""
    options = {"target_fps": 240, "engine": "onnxruntime", "threads": 1} | options
    sharpener = GovernedSharpener([model], **options)  # type: ignore[arg-type]
    sharpener.pin(0)
    return sharpener


@dataclass
class Script:
    """A source that gives what it is told: a Frame, an exception to raise, or a callable to wait in."""

    steps: list[Frame | Exception | Callable[[], object]]
    reopens: bool = False
    name: str = "script"
    interval_s: float = 0.01
    closed: threading.Event = field(default_factory=threading.Event)

    def __iter__(self) -> Iterator[Frame]:
        for step in self.steps:
            if callable(step):
                step()
                continue
            if self.closed.wait(self.interval_s):
                return
            if isinstance(step, Exception):
                raise step
            yield step

    def close(self) -> None:
        self.closed.set()


def endless(**options: object) -> Script:
    script = Script([], **options)  # type: ignore[arg-type]

    class Forever(list[Frame]):
        def __iter__(self) -> Iterator[Frame]:
            index = 0
            while True:
                yield frame(index)
                index += 1

    script.steps = Forever()  # type: ignore[assignment]
    return script


@dataclass
class Collector:
    """A sink that keeps what it gets; `fails` and `hangs` make it misbehave."""

    name: str = "collector"
    retries: bool = False
    shots: list[Shot] = field(default_factory=list)
    fails: bool = False
    hangs: threading.Event | None = None
    closed: int = 0

    def write(self, shot: Shot) -> None:
        if self.hangs is not None:
            self.hangs.wait()
        if self.fails:
            raise OutputError("the window was closed")
        self.shots.append(shot)

    def close(self) -> None:
        self.closed += 1


def unplugged() -> InputError:
    return InputError("camera 'test' stopped: no such device")
