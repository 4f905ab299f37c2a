"""A virtual camera that other programs can choose: v4l2loopback, OBS, Unity Capture, through pyvirtualcam."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from keenframe.errors import OutputError
from keenframe.frame import AV_OF_MATRIX, AV_OF_RANGE, Frame, Matrix
from keenframe.media import v4l2
from keenframe.media.conform import conformed
from keenframe.pixels import LAYOUTS, plane_views

# Formats that virtual cameras take as they are, and pyvirtualcam's names for them.
_DIRECT = {"i420": "I420", "nv12": "NV12"}


class VirtualCamera:
    """Sends frames to a virtual camera, which opens with the first one and keeps its size.

    device: as pyvirtualcam takes it ("/dev/video10", "OBS Virtual Camera"); None takes the first one free. fps: what
    to announce. I420 and NV12 frames of limited range go through as they are, with odd sides cut to even; others,
    and frames of another size or matrix than the first one's, are converted. OutputError when pyvirtualcam is not
    installed.
    """

    def __init__(self, device: str | None = None, fps: float = 30.0) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise OutputError(
                "the virtual camera needs pyvirtualcam — pip install 'keenframe[camera]'"
            ) from error
        self._pyvirtualcam = pyvirtualcam
        self._wanted, self._fps = device, fps
        self._camera: Any = None
        self._format = "i420"
        self._matrix: Matrix = "bt709"
        self._buffer = np.empty(0, np.uint8)

    @property
    def name(self) -> str:
        """The device in use; the one that was asked for, or "virtual camera", before the first frame."""
        if self._camera is not None:
            return str(self._camera.device)
        return self._wanted or "virtual camera"

    def send(self, frame: Frame) -> None:
        """Show `frame`. OutputError, saying what was tried, when no virtual camera takes it."""
        width, height = frame.width // 2 * 2, frame.height // 2 * 2
        if self._camera is None:
            self._format = frame.format if frame.format in _DIRECT else "i420"
            self._matrix = frame.matrix
            self._camera = self._open(width, height)
            self._buffer = np.empty(width * height * 3 // 2, np.uint8)
        size = (self._camera.width, self._camera.height)
        try:
            self._fill(_suited(frame, self._format, self._matrix, size), size)
            self._camera.send(self._buffer)
        except (RuntimeError, OSError, ValueError) as error:
            raise OutputError(f"the virtual camera {self.name} takes no more frames: {error}") from error

    def close(self) -> None:
        """Give the device back; `send` would open it again."""
        if self._camera is not None:
            camera, self._camera = self._camera, None
            device = str(camera.device)
            camera.close()
            if sys.platform == "linux":
                v4l2.revive(device)

    def _open(self, width: int, height: int) -> Any:
        if sys.platform == "linux":
            for device in v4l2.video_devices():
                if device.stuck:
                    v4l2.revive(device.path)
        format = self._pyvirtualcam.PixelFormat[_DIRECT[self._format]]
        try:
            return self._pyvirtualcam.Camera(width, height, self._fps, fmt=format, device=self._wanted)
        except (RuntimeError, OSError, ValueError) as error:
            tried = "; ".join(str(error).split("\n"))
            raise OutputError(
                f"no virtual camera takes {width}x{height} {_DIRECT[self._format]}: {tried} — "
                "see: keenframe doctor camera"
            ) from error

    def _fill(self, planes: tuple[np.ndarray[Any, Any], ...], size: tuple[int, int]) -> None:
        """The planes one behind the other, as virtual cameras want them."""
        start = 0
        for plane, shape in zip(planes, LAYOUTS[self._format].shapes(*size), strict=True):
            end = start + int(np.prod(shape))
            np.copyto(self._buffer[start:end].reshape(shape), plane[: shape[0], : shape[1]])
            start = end


def _suited(
    frame: Frame, format: str, matrix: Matrix, size: tuple[int, int]
) -> tuple[np.ndarray[Any, Any], ...]:
    """Planes of `frame` in `format`, limited range, this matrix and this (width, height): its own where they are so
    already."""
    same_size = (frame.width // 2 * 2, frame.height // 2 * 2) == size
    if frame.format == format and (frame.matrix, frame.range) == (matrix, "limited") and same_size:
        return frame.planes
    layout = LAYOUTS[format]
    tags = AV_OF_MATRIX[matrix], AV_OF_RANGE["limited"]
    return plane_views(conformed(frame.to_av(), *size, layout.av_name, tags), layout)
