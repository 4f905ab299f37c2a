"""A recording of live frames: what came, at the times it came."""

from __future__ import annotations

import os
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from keenframe.errors import OutputError
from keenframe.frame import Frame
from keenframe.media.conform import conformed, padded_even
from keenframe.media.encoders import choose_encoder, encoder_options, working_format
from keenframe.media.files import check_output, reason, whole_file
from keenframe.media.scheduling import ordinary_scheduling

_TIME_BASE = Fraction(1, 90000)
# Between two frames: no container keeps less than a millisecond apart.
_STEP = 90
_NO_TIMESTAMPS = ".avi"
# How far the source's own times may be from those at which frames came before they count as a new beginning.
_JUMP_S = 0.25


class Recorder:
    """Writes frames into a video file that appears, whole, when it is closed.

    path: its suffix names the container. Frames of another size or other colours than the first one's are converted.
    OutputError for a path that cannot be written, or a container without times.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        _, self._encoder = choose_encoder(path, None)
        if path.suffix.lower() == _NO_TIMESTAMPS:
            raise OutputError(f"'{path.name}': {_NO_TIMESTAMPS} stores one frame rate; choose .mp4 or .mkv")
        check_output(path, overwrite)
        self.path = path
        self.frames = 0
        self._overwrite = overwrite
        self._stack = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._tags: tuple[int, int] | None = None
        self._clock = _Clock()
        self._last_pts = -_STEP

    def write(self, frame: Frame, came_s: float) -> None:
        """Add `frame`, which came at `came_s` of a steady clock. OutputError when it cannot be written."""
        try:
            if self._encoder.even_size:
                frame = padded_even(frame)
            picture = frame.to_av()
            with ordinary_scheduling():
                if self._stream is None:
                    self._open(frame, picture)
                stream = self._stream
                picture = conformed(picture, stream.width, stream.height, stream.pix_fmt, self._tags)
                pts = round(self._clock.time_s(frame, came_s) / _TIME_BASE)
                picture.pts = self._last_pts = max(pts, self._last_pts + _STEP)
                picture.time_base = _TIME_BASE
                self._container.mux(stream.encode(picture))
        except (FFmpegError, ValueError, OSError) as error:
            raise OutputError(f"recording to '{self.path}' failed: {reason(error)}") from error
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds and give the file its name; nothing is written without a frame.

        OutputError, and no file, when that fails.
        """
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            with self._stack:
                try:
                    container.mux(self._stream.encode(None))
                finally:
                    container.close()
        except (FFmpegError, ValueError) as error:
            raise OutputError(f"recording to '{self.path}' failed: {reason(error)}") from error

    def _open(self, frame: Frame, picture: av.VideoFrame) -> None:
        part = self._stack.enter_context(whole_file(self.path, self._overwrite))
        self._container = av.open(f"file:{part}", "w")
        options = encoder_options(self._encoder, self._container.format.name, None, None)
        stream: Any = self._container.add_stream(self._encoder.library, rate=30, options=options)
        stream.width, stream.height = frame.width, frame.height
        stream.pix_fmt = working_format(picture.format, self._encoder).pix_fmt
        stream.time_base = stream.codec_context.time_base = _TIME_BASE
        stream.codec_context.thread_count = min(os.cpu_count() or 1, 8)
        first = conformed(picture, stream.width, stream.height, stream.pix_fmt)
        stream.codec_context.color_range = first.color_range
        stream.codec_context.colorspace = first.colorspace
        self._tags = int(first.colorspace), int(first.color_range)
        self._stream = stream


class _Clock:
    """Times of frames from the first one on: the source's own, exact, as long as they agree with when frames came."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._offset_s = 0.0

    def time_s(self, frame: Frame, came_s: float) -> float:
        """Seconds since the first frame."""
        if self._start_s is None:
            self._start_s = came_s
            self._offset_s = -(_own_s(frame) or 0.0)
        elapsed_s = came_s - self._start_s
        own_s = _own_s(frame)
        if own_s is None:
            return elapsed_s
        if abs(own_s + self._offset_s - elapsed_s) > _JUMP_S:
            self._offset_s = elapsed_s - own_s
        return own_s + self._offset_s


def _own_s(frame: Frame) -> float | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return float(frame.pts * frame.time_base)
