"""Cameras through FFmpeg's devices: V4L2 on Linux, AVFoundation on macOS, DirectShow on Windows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
from av.error import FFmpegError

from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.media import v4l2
from keenframe.media.conform import live_frame
from keenframe.media.files import reason

FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
# What is asked for when nobody says: what most cameras can, as compressed pictures where USB would be too slow.
DEFAULT_SIZE = (1280, 720)
# Pictures in a row that cannot be decoded before the camera counts as broken.
_BROKEN_MAX = 30


class CameraInfo(NamedTuple):
    """A camera that the system lists. device: what to open it by. description: its name for people."""

    device: str
    description: str


def cameras() -> list[CameraInfo]:
    """The cameras there are, the system's default first; empty where the system cannot tell."""
    format = FORMATS.get(sys.platform)
    if format is None:
        return []
    try:
        found = av.enumerate_input_devices(format)
    except (FFmpegError, OSError, ValueError):
        return []
    pictures = [device for device in found if not device.media_types or "video" in device.media_types]
    pictures.sort(key=lambda device: not device.is_default)
    return [CameraInfo(device.name, device.description or device.name) for device in pictures]


def find_camera(wanted: str | None) -> CameraInfo:
    """The camera called so: a device, a number, or a part of a description; None takes the first one.

    InputError, listing what is there, when there is none.
    """
    present = cameras()
    if wanted is None:
        if present:
            return present[0]
        raise InputError(f"no camera was found{_listed(present)}; `keenframe camera test` needs none")
    for camera in present:
        if wanted == camera.device or wanted.lower() == camera.description.lower():
            return camera
    if wanted.isdigit():
        if sys.platform == "linux":
            return CameraInfo(f"/dev/video{wanted}", f"/dev/video{wanted}")
        if int(wanted) < len(present):
            return present[int(wanted)]
    elif matching := [camera for camera in present if wanted.lower() in camera.description.lower()]:
        return matching[0]
    elif wanted.startswith("/dev/"):
        return CameraInfo(wanted, wanted)
    raise InputError(f"there is no camera {wanted!r}{_listed(present)}")


def _listed(present: list[CameraInfo]) -> str:
    names = ", ".join(f"{camera.device} ({camera.description})" for camera in present)
    return f"; present: {names or 'none'} — see: keenframe doctor camera"


class Camera:
    """An open camera. Iterating gives its frames as they come, and raises InputError when it stops giving them.

    device: as `find_camera` takes it. size: (width, height) and fps: what to ask for; cameras that cannot do it give
    what they have. format: FFmpeg's input format, by default the system's. `close`, from any thread, ends the
    iteration at the next frame.
    """

    reopens = True

    def __init__(
        self,
        device: str | None = None,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        format: str | None = None,
    ) -> None:
        format = format or FORMATS.get(sys.platform)
        if format is None:
            raise InputError(f"cameras cannot be read on {sys.platform}; give a video file instead")
        found = CameraInfo(device, device) if device and format == "lavfi" else find_camera(device)
        self.name = found.description
        self._closed = threading.Event()
        self._container = _open(found, format, size, fps)
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"camera {found.device!r} gives no pictures")
        self._video = self._container.streams.video[0]
        # Threads that decode whole frames side by side would each hold one back.
        self._video.codec_context.thread_type = "SLICE"

    def __iter__(self) -> Iterator[Frame]:
        broken = 0
        try:
            for packet in self._container.demux(self._video):
                try:
                    frames = packet.decode()
                except FFmpegError as error:
                    broken += 1
                    if broken >= _BROKEN_MAX:
                        raise InputError(
                            f"camera '{self.name}' gives only broken pictures: {error}"
                        ) from error
                    continue
                for frame in frames:
                    broken = 0
                    if self._closed.is_set():
                        return
                    yield live_frame(frame)
        except (FFmpegError, OSError) as error:
            raise InputError(f"camera '{self.name}' stopped: {reason(error)}") from error
        finally:
            self._container.close()

    def close(self) -> None:
        """End the iteration at the next frame."""
        self._closed.set()


def _open(camera: CameraInfo, format: str, size: tuple[int, int] | None, fps: float | None) -> Any:
    """The device, opened with what was asked for, or with as much of it as it can do."""
    attempts = _attempts(camera, format, size, fps)
    name = f"video={camera.device}" if format == "dshow" else camera.device
    error: Exception | None = None
    for options in attempts:
        try:
            return av.open(name, "r", format=format, options={"fflags": "nobuffer", **options})
        except (FFmpegError, OSError, ValueError) as failure:
            error = failure
            if isinstance(failure, PermissionError | FileNotFoundError):
                break
    assert error is not None
    hint = "keenframe doctor camera"
    if isinstance(error, PermissionError):
        hint = f"let this user read it (on Linux: sudo usermod -aG video $USER, then log in again); {hint}"
    elif getattr(error, "errno", None) == 16:
        hint = f"close the program that uses it; {hint}"
    raise InputError(f"camera {camera.device!r} cannot be opened: {reason(error)} — {hint}") from error


def _attempts(
    camera: CameraInfo, format: str, size: tuple[int, int] | None, fps: float | None
) -> list[dict[str, str]]:
    """Options to try in turn, from what was asked for to what the camera does by itself."""
    if format == "lavfi":
        return [{}]
    width, height = size or DEFAULT_SIZE
    wanted = {"video_size": f"{width}x{height}", "framerate": f"{fps or 30:g}"}
    if format == "v4l2":
        return _v4l2_attempts(v4l2.ask(camera.device), (width, height), wanted)
    compressed = {"dshow": {"vcodec": "mjpeg"}, "avfoundation": {"pixel_format": "nv12"}}[format]
    return [wanted | compressed, wanted, {"video_size": wanted["video_size"]}, {}]


def _v4l2_attempts(
    device: v4l2.VideoDevice, size: tuple[int, int], wanted: dict[str, str]
) -> list[dict[str, str]]:
    if device.loopback:
        # It agrees to every size and then gives its own.
        return [{}]
    attempts = []
    # Compressed first: uncompressed pictures of that size come slowly over USB.
    for letters, name in (("MJPG", "mjpeg"), ("NV12", "nv12"), ("YU12", "yuv420p"), ("YUYV", "yuyv422")):
        if letters in device.formats:
            width, height = device.formats[letters].nearest(*size)
            attempts.append(wanted | {"input_format": name, "video_size": f"{width}x{height}"})
    return [*attempts, wanted, {}]
