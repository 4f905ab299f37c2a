"""A video file as if it were a camera: its frames come when they are due."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from av.packet import Packet

from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.media.conform import live_frame
from keenframe.media.source import Source

# A file that cannot be decoded in time goes on from where it is rather than rush through what it missed.
_LATE_S = 0.5


class Playback:
    """The frames of a video file in real time, again and again with `loop`.

    Iterating waits until each frame is due; `close` from any thread ends it. pts rise on through repetitions.
    InputError for a file that is no progressive standard-range video, or holds no frame.
    """

    reopens = False

    def __init__(self, path: Path, loop: bool = False) -> None:
        Source(path).close()
        self.name = path.name
        self._path, self._loop = path, loop
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        start_s = time.perf_counter()
        first: int | None = None
        shift = last = 0
        source = Source(self._path)
        try:
            while not self._closed.is_set():
                given = 0
                for item in source:
                    if isinstance(item, Packet):
                        continue
                    frame = live_frame(item)
                    # Source gives every frame a time.
                    assert frame.pts is not None and frame.time_base is not None
                    if first is None:
                        first = frame.pts
                    last = frame.pts - first + shift
                    due_s = start_s + float(last * frame.time_base)
                    wait_s = due_s - time.perf_counter()
                    if wait_s < -_LATE_S:
                        start_s -= wait_s
                    if self._closed.wait(max(0.0, wait_s)):
                        return
                    given += 1
                    yield replace(frame, pts=last)
                if not given:
                    raise InputError(f"'{self._path}' has a video stream, but no frame of it can be decoded")
                if not self._loop:
                    return
                shift = last + max(1, round(1 / (source.frame_rate * source.time_base)))
                source = source.reopened()
        finally:
            source.close()

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()
