"""Sources of live frames: cameras through a real FFmpeg input device, files played in time, the test picture."""

from __future__ import annotations

import gc
import struct
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from clips import Clip, make
from keenframe.errors import InputError
from keenframe.media import camera as camera_module
from keenframe.media import v4l2
from keenframe.media.camera import Camera, cameras, find_camera
from keenframe.media.pattern import Pattern, read_number, write_number
from keenframe.media.playback import Playback

LAVFI = "testsrc=size=320x240:rate=200"


def first(source: Any, count: int) -> list[Any]:
    """`count` frames of a source, which is closed then; none comes after that."""
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == count:
            source.close()
    return frames


def test_a_camera_gives_frames_with_rising_times_until_it_is_closed() -> None:
    frames = first(Camera(LAVFI, format="lavfi"), 10)
    assert len(frames) == 10
    assert {(frame.width, frame.height) for frame in frames} == {(320, 240)}
    times = [frame.pts * frame.time_base for frame in frames]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    "av_name, format", [("yuyv422", "i422"), ("nv12", "nv12"), ("yuv411p", "i420"), ("rgb565le", "i420")]
)
def test_a_camera_may_give_any_pixel_format(av_name: str, format: str) -> None:
    frames = first(Camera(f"{LAVFI},format={av_name}", format="lavfi"), 2)
    assert {frame.format for frame in frames} == {format}


def test_a_camera_that_ends_or_fails_says_so_and_gives_its_device_back() -> None:
    camera = Camera(f"{LAVFI}:duration=0.05", format="lavfi")
    # The frames that were read to find out the format are not given again.
    assert len(list(camera)) in (8, 9, 10)
    with pytest.raises(InputError, match="cannot be opened"):
        Camera("nonsense=1", format="lavfi")
    with pytest.raises(InputError, match="gives no pictures"):
        Camera("sine=frequency=440", format="lavfi")


def test_reading_errors_name_the_camera() -> None:
    camera = Camera(LAVFI, format="lavfi")

    def lost(*_: object) -> Iterator[object]:
        raise av.error.OSError(19, "No such device")
        yield

    camera._container = SimpleNamespace(demux=lost, close=camera._container.close)
    with pytest.raises(InputError, match=r"camera 'testsrc.*stopped: no such device"):
        list(camera)


def test_pictures_that_are_broken_for_good_end_it() -> None:
    camera = Camera(LAVFI, format="lavfi")

    def broken() -> list[object]:
        raise av.error.InvalidDataError(1, "Invalid data")

    packets = [SimpleNamespace(decode=broken)] * 50
    camera._container = SimpleNamespace(demux=lambda _: iter(packets), close=camera._container.close)
    with pytest.raises(InputError, match="only broken pictures"):
        list(camera)


@pytest.fixture
def three_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(format: str) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                name="/dev/video2", description="USB Cam", is_default=False, media_types=["video"]
            ),
            SimpleNamespace(name="mic", description="Mic", is_default=False, media_types=["audio"]),
            SimpleNamespace(name="/dev/video0", description="Built-in", is_default=True, media_types=[]),
        ]

    monkeypatch.setattr(av, "enumerate_input_devices", listed)


def test_cameras_are_found_by_device_number_or_name(
    three_cameras: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [camera.device for camera in cameras()] == ["/dev/video0", "/dev/video2"]
    assert find_camera(None).device == "/dev/video0"
    assert find_camera("usb").device == "/dev/video2"
    assert find_camera("Built-in").device == "/dev/video0"
    monkeypatch.setattr(sys, "platform", "linux")
    assert find_camera("7").device == "/dev/video7"
    assert find_camera("/dev/video9").device == "/dev/video9"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_camera("1").device == "/dev/video2"
    with pytest.raises(InputError, match=r"no camera 'x'; present: /dev/video0 \(Built-in\), /dev/video2"):
        find_camera("x")


def test_without_a_camera_the_error_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "enumerate_input_devices", lambda format: [])
    with pytest.raises(InputError, match="no camera was found; present: none — see: keenframe doctor camera"):
        find_camera(None)
    monkeypatch.setattr(sys, "platform", "sunos")
    assert cameras() == []
    with pytest.raises(InputError, match="cannot be read on sunos"):
        Camera()


@pytest.mark.parametrize("format", ["v4l2", "dshow", "avfoundation"])
def test_a_camera_is_asked_for_less_and_less(
    format: str, three_cameras: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []
    plain = av.open

    def opening(name: str, mode: str, format: str, options: dict[str, str]) -> object:
        asked.append(options)
        if len(options) > 1:
            raise av.error.OSError(22, "Invalid argument")
        assert name == ("video=/dev/video0" if format == "dshow" else "/dev/video0")
        return plain(LAVFI, "r", format="lavfi")

    monkeypatch.setattr(av, "open", opening)
    camera = Camera(size=(640, 360), fps=25, format=format)
    assert len(first(camera, 1)) == 1
    assert len(asked) >= 2 and asked[0]["video_size"] == "640x360" and asked[0]["framerate"] == "25"


def test_who_may_not_open_a_camera_is_told_what_to_do(
    three_cameras: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(av, "open", denied)
    with pytest.raises(InputError, match=r"permission denied.*usermod -aG video"):
        Camera(format="v4l2")

    def busy(*_: object, **__: object) -> None:
        raise av.error.OSError(16, "Device or resource busy")

    monkeypatch.setattr(av, "open", busy)
    with pytest.raises(InputError, match=r"busy.*close the program"):
        Camera(format="v4l2")


def test_a_v4l2_camera_is_asked_for_what_it_lists() -> None:
    wanted = {"video_size": "1280x720", "framerate": "30"}
    formats = {
        "YUYV": v4l2.Sizes([(640, 480), (320, 240)]),
        "MJPG": v4l2.Sizes([(1920, 1080), (1280, 800), (640, 480)]),
    }
    device = v4l2.VideoDevice("/dev/video0", "Cam", "uvcvideo", True, False, formats)
    asked = camera_module._v4l2_attempts(device, (1280, 720), wanted)
    assert asked[0] == {"video_size": "1280x800", "framerate": "30", "input_format": "mjpeg"}
    assert asked[1] == {"video_size": "640x480", "framerate": "30", "input_format": "yuyv422"}
    assert asked[2:] == [wanted, {}]
    stepwise = v4l2.VideoDevice(
        "/dev/video0", "Pi", "bm2835", True, False, {"YU12": v4l2.Sizes([(2592, 1944)], True)}
    )
    assert camera_module._v4l2_attempts(stepwise, (1280, 720), wanted)[0]["video_size"] == "1280x720"
    loopback = v4l2.VideoDevice("/dev/video9", "x", v4l2.LOOPBACK_DRIVER, True, False, formats)
    assert camera_module._v4l2_attempts(loopback, (1280, 720), wanted) == [{}]


def test_a_device_tells_what_it_is() -> None:
    def capability(whole: int, of_node: int, driver: bytes = b"uvcvideo") -> bytes:
        return struct.pack("=16s32s32s6I", driver, b"Cam", b"usb", 1, whole, of_node, 0, 0, 0)

    of_node = 0x80000000
    assert v4l2.read_capability(capability(1, 0)) == ("uvcvideo", "Cam", True, False)
    assert v4l2.read_capability(capability(of_node | 3, 1)) == ("uvcvideo", "Cam", True, False)
    # The second node of a webcam gives data and no pictures; a codec takes and gives.
    assert v4l2.read_capability(capability(of_node | 0x800001, 0x800000))[2:] == (False, False)
    assert v4l2.read_capability(capability(of_node | 0x8003, 0x8003))[2:] == (False, False)
    assert v4l2.read_capability(capability(2, 0, b"v4l2 loopback"))[2:] == (False, True)


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")
def test_what_is_no_device_says_so(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.write_bytes(b"")
    assert v4l2.ask(str(path)).error.startswith("is no video device")
    assert v4l2.ask(str(tmp_path / "none")).error == "no such file or directory"


def test_every_frame_of_the_pattern_carries_its_number() -> None:
    for size in ((64, 64), (320, 240), (1280, 720)):
        pattern = Pattern(*size)
        for index in (0, 1, 77, 40000):
            frame = pattern.frame(index)
            assert (frame.width, frame.height, frame.pts) == (*size, index)
            assert read_number(frame.luma) == index
    moved = np.abs(pattern.frame(1).luma.astype(int) - pattern.frame(9).luma)
    assert moved.max() > 50


def test_the_number_survives_a_codec_and_scaling() -> None:
    pattern = Pattern(320, 240)
    picture = pattern.frame(12345).to_av()
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 30), {"crf": "40"}
    picture.pts, picture.time_base = 0, Fraction(1, 30)
    packets = [*encoder.encode(picture), *encoder.encode(None)]
    decoder: Any = av.CodecContext.create("h264", "r")
    (decoded,) = [f for packet in [*packets, None] for f in decoder.decode(packet)]
    luma = np.array(decoded.to_ndarray()[:240])
    assert read_number(luma) == 12345
    assert read_number(decoded.reformat(640, 480).to_ndarray()[:480]) == 12345


def test_a_picture_without_a_number_has_none() -> None:
    assert read_number(np.full((64, 64), 100, np.uint8)) is None
    luma = np.zeros((64, 64), np.uint8)
    write_number(luma, 65536 + 3)
    assert read_number(luma) == 3


@pytest.mark.parametrize("size", [(32, 64), (641, 360), (64, 9000)])
def test_a_pattern_of_an_impossible_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="expected even sides"):
        Pattern(*size)


def test_the_pattern_comes_frame_by_frame() -> None:
    frames = first(Pattern(64, 64, 240), 5)
    assert len(frames) == 5
    numbers = [read_number(frame.luma) for frame in frames]
    assert numbers == sorted(numbers)  # type: ignore[type-var]
    assert frames[0].time_base == Fraction(1, 240)


def test_a_file_is_played_with_its_own_times(tmp_path: Path) -> None:
    times = [0, 10, 25, 26, 60]
    path = make(tmp_path / "clip.mkv", Clip(times=times, sound="aac"))
    frames = list(Playback(path))
    assert [frame.pts for frame in frames] == times
    assert all(frame.time_base == Fraction(1, 1000) for frame in frames)


def test_a_file_in_a_loop_goes_on_in_time(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mkv", Clip(times=[5, 15, 25]))
    frames = first(Playback(path, loop=True), 8)
    times = [frame.pts for frame in frames]
    assert times[:3] == [0, 10, 20]
    assert times == sorted(set(times)) and len(times) == 8
    assert np.array_equal(frames[0].luma, frames[3].luma)


def test_a_file_in_a_loop_leaves_nothing_in_memory(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mkv", Clip(times=[0, 1, 2]))
    gc.collect()
    gc.disable()
    try:
        first(Playback(path, loop=True), 30)
        left = sum(isinstance(thing, VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    # One frame is looked at closely, once, and that look is a reference cycle.
    assert left <= 1


def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(InputError, match="is not a video"):
        Playback(tmp_path / "text.mp4")
    with pytest.raises(InputError, match="does not exist"):
        Playback(tmp_path / "none.mp4")


def test_formats_of_this_system_are_known() -> None:
    assert sys.platform not in camera_module.FORMATS or camera_module.FORMATS[sys.platform] in (
        "v4l2",
        "avfoundation",
        "dshow",
    )
