"""Where live frames go: a recording with true times, and a virtual camera through pyvirtualcam's own front."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from clips import look
from conftest import picture
from keenframe.errors import OutputError
from keenframe.frame import Frame
from keenframe.media import v4l2
from keenframe.media.record import Recorder
from keenframe.media.virtual_camera import VirtualCamera

MILLISECOND = Fraction(1, 1000)


def frame(pts: int | None = 0, width: int = 64, height: int = 48, format: str = "i420", **more: Any) -> Frame:
    time_base = None if pts is None else MILLISECOND
    rgb = picture(height, width)
    return Frame.from_rgb(rgb, format=format, pts=pts, time_base=time_base, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_recording_has_the_sources_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    times_ms = [500, 533, 570, 640, 641, 800]
    recorder = Recorder(path)
    for index, time_ms in enumerate(times_ms):
        recorder.write(frame(time_ms), came_s=7.0 + time_ms / 1000 + 0.01 * (index % 3))
        assert not path.exists()
    recorder.close()
    seen = look(path)
    got = [round(float(1000 * (time_s - seen.times_s[0]))) for time_s in seen.times_s]
    assert got == [time_ms - 500 for time_ms in times_ms]
    assert sorted(tmp_path.iterdir()) == [path]
    assert abs(seen.luma(0) - frame().planes[0].astype(int)).mean() < 6


def test_times_of_a_source_that_jumps_or_has_none_are_those_at_which_frames_came(tmp_path: Path) -> None:
    """A camera that was opened again counts from elsewhere."""
    path = tmp_path / "out.mkv"
    recorder = Recorder(path)
    for pts, came_s in [(0, 10.0), (40, 10.04), (99000, 15.0), (99040, 15.04), (None, 16.0), (99050, 15.9)]:
        recorder.write(frame(pts), came_s)
    recorder.close()
    times_s = [float(time_s) for time_s in look(path).times_s]
    assert times_s[:5] == pytest.approx([0, 0.04, 5.0, 5.04, 6.0], abs=0.002)
    assert times_s[5] > times_s[4]


def test_what_changes_on_the_way_is_brought_to_the_first_frames_size_and_format(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    recorder = Recorder(path)
    for index, kind in enumerate([("i420", 64, 48), ("nv12", 128, 96), ("rgb24", 64, 48), ("i422", 33, 25)]):
        recorder.write(frame(40 * index, kind[1], kind[2], kind[0]), 0.04 * index)
    recorder.close()
    seen = look(path)
    assert {(f.width, f.height, f.format.name) for f in seen.frames} == {(64, 48, "yuv420p")}
    for index in (1, 2):
        assert abs(seen.luma(index) - seen.luma(0)).mean() < 25


# Ways in which frames hold the same colours, and how they may change while a file or a device stays open.
COLOURS: list[dict[str, Any]] = [
    {"matrix": "bt601"},
    {"matrix": "bt709"},
    {"matrix": "bt601", "range": "full"},
    {"matrix": "bt709", "range": "full", "format": "nv12"},
    {"matrix": "bt709", "format": "i444"},
    {"format": "rgb24"},
]


def red(**more: Any) -> Frame:
    return Frame.from_rgb(np.full((48, 64, 3), (200, 60, 40), np.uint8), **more)


@pytest.mark.parametrize("first", range(len(COLOURS)))
def test_a_recording_keeps_its_colours_when_the_frames_change_theirs(tmp_path: Path, first: int) -> None:
    path = tmp_path / "out.mkv"
    recorder = Recorder(path)
    for index, colours in enumerate([COLOURS[first], *COLOURS]):
        recorder.write(red(**colours), 0.04 * index)
    recorder.close()
    seen = look(path)
    assert len({(f.colorspace, f.color_range) for f in seen.frames}) == 1
    for got in seen.frames:
        assert np.abs(Frame.from_av(got).to_rgb().astype(int) - (200, 60, 40)).mean() < 3


@pytest.mark.parametrize("format", ["i420", "nv12", "rgb24", "i422", "i444", "gray"])
def test_odd_sizes_are_recorded(tmp_path: Path, format: str) -> None:
    recorder = Recorder(tmp_path / "out.mp4")
    source = frame(0, 65, 49, format)
    recorder.write(source, 0.0)
    recorder.close()
    seen = look(tmp_path / "out.mp4")
    assert (seen.frames[0].width, seen.frames[0].height) == (66, 50)
    if format in ("i420", "nv12"):
        assert np.abs(seen.luma(0)[:49, :65] - source.planes[0]).mean() < 6


def test_a_recording_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    Recorder(tmp_path / "out.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_recorded_is_said_before_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_text("mine")
    for name, words in (("there.mp4", "exists already"), ("x.avi", "choose .mp4"), ("x.txt", "suffix")):
        with pytest.raises(OutputError, match=words):
            Recorder(tmp_path / name)
    with pytest.raises(OutputError, match="does not exist"):
        Recorder(tmp_path / "none" / "x.mp4")
    assert (tmp_path / "there.mp4").read_text() == "mine"
    recorder = Recorder(tmp_path / "there.mp4", overwrite=True)
    recorder.write(frame(), 0.0)
    recorder.close()
    assert look(tmp_path / "there.mp4").frames


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path / "out.mkv")
    recorder.write(frame(), 0.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    container = recorder._container
    recorder._container = type("Full", (), {"mux": full, "close": lambda self: container.close()})()
    with pytest.raises(OutputError, match="no space left on device — free some space"):
        recorder.write(frame(40), 0.04)
    with pytest.raises(OutputError, match="no space left"):
        recorder.close()
    assert list(tmp_path.iterdir()) == []


class Backend:
    """A backend of pyvirtualcam that keeps what it gets."""

    opened: ClassVar[list[Backend]] = []
    broken = False

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> None:
        if device == "busy":
            raise RuntimeError("Device busy is in use")
        self.size, self.fps, self.fourcc = (width, height), fps, fourcc
        self.name = device or "/dev/video10"
        self.frames: list[np.ndarray[Any, Any]] = []
        self.closed = False
        Backend.opened.append(self)

    def close(self) -> None:
        self.closed = True

    def send(self, frame: np.ndarray[Any, Any]) -> None:
        if Backend.broken:
            raise RuntimeError("error writing to the device")
        self.frames.append(frame.copy())

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> int:
        return self.fourcc


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Backend]]:
    module = pytest.importorskip("pyvirtualcam.camera", reason="pyvirtualcam is not installed")
    monkeypatch.setattr(module, "BACKENDS", {"test": Backend})
    Backend.opened, Backend.broken = [], False
    yield Backend


def i420_of(sent: np.ndarray[Any, Any], width: int, height: int) -> list[np.ndarray[Any, Any]]:
    luma, size = width * height, width * height // 4
    return [
        sent[:luma].reshape(height, width),
        sent[luma : luma + size].reshape(height // 2, -1),
        sent[luma + size :].reshape(height // 2, -1),
    ]


def test_i420_goes_to_the_virtual_camera_bit_for_bit(backend: type[Backend]) -> None:
    camera = VirtualCamera(None, 25)
    assert camera.name == "virtual camera"
    source = frame()
    camera.send(source)
    (opened,) = backend.opened
    assert (camera.name, opened.size, opened.fps) == ("/dev/video10", (64, 48), 25)
    assert all(
        np.array_equal(a, b) for a, b in zip(i420_of(opened.frames[0], 64, 48), source.planes, strict=True)
    )
    camera.close()
    assert opened.closed
    camera.close()


def test_nv12_stays_nv12(backend: type[Backend]) -> None:
    from pyvirtualcam.util import decode_fourcc

    camera = VirtualCamera()
    source = frame(format="nv12")
    camera.send(source)
    assert decode_fourcc(backend.opened[0].fourcc) == "NV12"
    expected = np.concatenate([plane.reshape(-1) for plane in source.planes])
    assert np.array_equal(backend.opened[0].frames[0], expected)


def test_odd_sizes_are_cut_to_even(backend: type[Backend]) -> None:
    camera = VirtualCamera()
    source = frame(0, 65, 49)
    camera.send(source)
    luma, blue, _ = i420_of(backend.opened[0].frames[0], 64, 48)
    assert np.array_equal(luma, source.planes[0][:48, :64])
    assert np.array_equal(blue, source.planes[1][:24, :32])


@pytest.mark.parametrize("format", ["i422", "i444", "rgb24", "gray"])
def test_other_formats_become_i420_of_the_same_colours(backend: type[Backend], format: str) -> None:
    gray = format == "gray"
    rgb = np.full((48, 64, 3), (128, 128, 128) if gray else (180, 60, 90), np.uint8)
    VirtualCamera().send(Frame.from_rgb(rgb, format=format))  # type: ignore[arg-type]
    expected = Frame.from_rgb(rgb)
    for got, plane in zip(i420_of(backend.opened[0].frames[0], 64, 48), expected.planes, strict=True):
        assert np.abs(got.astype(int) - plane).max() <= 2


def test_full_range_becomes_limited(backend: type[Backend]) -> None:
    rgb = np.full((48, 64, 3), 255, np.uint8)
    VirtualCamera().send(Frame.from_rgb(rgb, range="full"))
    assert np.abs(i420_of(backend.opened[0].frames[0], 64, 48)[0].astype(int) - 235).max() <= 1


def test_the_device_keeps_its_size(backend: type[Backend]) -> None:
    camera = VirtualCamera()
    for size in ((64, 48), (128, 96), (320, 180)):
        camera.send(frame(0, *size))
    (opened,) = backend.opened
    assert [len(sent) for sent in opened.frames] == [64 * 48 * 3 // 2] * 3
    assert abs(opened.frames[1].astype(int) - opened.frames[0]).mean() < 25


@pytest.mark.parametrize("first", range(len(COLOURS)))
def test_the_device_keeps_its_colours(backend: type[Backend], first: int) -> None:
    camera = VirtualCamera()
    start = red(**COLOURS[first])
    for colours in [COLOURS[first], *COLOURS]:
        camera.send(red(**colours))
    (opened,) = backend.opened
    format = "nv12" if start.format == "nv12" else "i420"
    expected = red(matrix=start.matrix, format=format)
    for sent in opened.frames:
        assert (
            np.abs(sent - np.concatenate([plane.ravel() for plane in expected.planes]).astype(int)).max() <= 3
        )


def test_a_device_that_fails_says_so_and_can_be_opened_again(backend: type[Backend]) -> None:
    camera = VirtualCamera()
    camera.send(frame())
    backend.broken = True
    with pytest.raises(OutputError, match="/dev/video10 takes no more frames: error writing"):
        camera.send(frame())
    camera.close()
    backend.broken = False
    camera.send(frame())
    assert len(backend.opened) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")
def test_a_loopback_device_that_was_left_behind_is_put_right(
    backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """v4l2loopback 0.12 forgets that a sender has gone; scripts/virtual-camera-guest tries the real one."""
    left = v4l2.VideoDevice("/dev/video8", "left", v4l2.LOOPBACK_DRIVER)
    used = v4l2.VideoDevice("/dev/video9", "used", v4l2.LOOPBACK_DRIVER, capture=True)
    revived: list[str] = []
    monkeypatch.setattr(v4l2, "video_devices", lambda: [left, used])
    monkeypatch.setattr(v4l2, "revive", revived.append)
    camera = VirtualCamera()
    camera.send(frame())
    assert revived == ["/dev/video8"]
    camera.close()
    assert revived == ["/dev/video8", "/dev/video10"]


@pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")
def test_other_devices_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(v4l2, "ask", lambda path: v4l2.VideoDevice(path, "Cam", "uvcvideo", capture=True))
    device = tmp_path / "device"
    device.write_bytes(b"")
    opened: list[str] = []
    with monkeypatch.context() as watched:
        watched.setattr(v4l2.os, "open", lambda path, *_: opened.append(path))
        v4l2.revive(str(device))
    assert opened == []


def test_a_device_that_cannot_be_opened_leads_to_the_doctor(backend: type[Backend]) -> None:
    with pytest.raises(
        OutputError, match=r"64x48 I420: 'test' backend: .*in use — see: keenframe doctor camera"
    ):
        VirtualCamera("busy").send(frame())


def test_without_pyvirtualcam_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(OutputError, match=r"pip install 'keenframe\[camera\]'"):
        VirtualCamera()
