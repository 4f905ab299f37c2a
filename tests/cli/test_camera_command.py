"""`keenframe camera` and `keenframe doctor camera` as a user runs them, without a camera."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clips import Clip, look, make
from commands import keenframe, start
from keenframe.cli import session

DEADLINE_S = 120


def live(model: Path, *arguments: object) -> list[object]:
    """Arguments of a run that is about anything but speed."""
    options = ["--model", model, "--engine", "onnxruntime", "--threads", 1, "--level", 0, "--size", "64x64"]
    return ["camera", "test", *options, *arguments]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_test_picture_without_a_display(unsharp_model: Path) -> None:
    done = keenframe(*live(unsharp_model, "--null", "--duration", 2, "--fps", 60))
    assert done.code == 0, done.err
    assert re.fullmatch(
        r"\d+ frames in [\d.]+ s .*; \d+ sharpened, \d+ passed.*, \d+ dropped; .*ms\n", done.out
    )


def test_json_lines_and_a_recording_with_true_times(
    unsharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that stands still for a moment is no source that begins anew.
    monkeypatch.setattr("keenframe.media.record._JUMP_S", 60.0)
    target = tmp_path / "out.mp4"
    done = keenframe(*live(unsharp_model, "--json", "--duration", 3, "--no-preview", "--record", target))
    assert done.code == 0, done.err
    numbers = lines(done.out)
    assert len(numbers) >= 2 and all("time" in line for line in numbers)
    last = numbers[-1]
    counters = last["counters"]
    assert counters["frames_in"] == counters["frames_out"] + counters["dropped"] + counters.get("skipped", 0)
    assert counters["sharpened"] > 0 and counters["errors"] == 0
    assert last["level_name"] == "unsharp" and last["input"] == "64x64 i420"
    written = last["sinks"][str(target)]["written"]
    times_s = look(target).times_s
    assert len(times_s) == written
    # The pattern's frames are a thirtieth of a second apart; dropped ones leave gaps.
    steps = [float((b - a) * 30) for a, b in pairwise(times_s)]
    assert all(abs(step - round(step)) < 0.01 and step > 0.9 for step in steps)


def test_a_file_ends_by_itself_and_may_be_repeated(unsharp_model: Path, tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mkv", Clip(times=[20 * i for i in range(10)]))
    options = ["--model", unsharp_model, "--engine", "onnxruntime", "--null", "--json", "--fps", 60]
    once = keenframe("camera", clip, *options)
    assert once.code == 0 and lines(once.out)[-1]["counters"]["frames_in"] == 10
    again = keenframe("camera", clip, "--loop", "--duration", 3, *options)
    assert again.code == 0 and lines(again.out)[-1]["counters"]["frames_in"] > 20


def test_ctrl_c_is_the_usual_end_and_leaves_a_whole_recording(unsharp_model: Path, tmp_path: Path) -> None:
    arguments = live(unsharp_model, "--json", "--no-preview", "--record", "out.mkv", "--metrics-port", 0)
    process = start(tmp_path, *arguments)
    assert process.stdout is not None
    port = int(re.search(r":(\d+)/metrics", json.loads(process.stdout.readline())["event"]).group(1))  # type: ignore[union-attr]
    for line in process.stdout:
        if json.loads(line)["sinks"]["out.mkv"]["written"] > 5:
            break
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    assert b"keenframe_frames_in_total" in connection.getresponse().read()
    connection.close()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert (
        len(look(tmp_path / "out.mkv").frames)
        == json.loads(out.splitlines()[-1])["sinks"]["out.mkv"]["written"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread here")
@pytest.mark.parametrize("times", [1, 2])
def test_more_of_ctrl_c_loses_no_recording_or_says_so(
    unsharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The recording, while it is being finished, sends the signals and waits for what comes of them."""
    from keenframe.live.sinks import RecordingSink

    plain, say = RecordingSink.close, session.Session.event
    told, over = threading.Event(), threading.Event()

    def event(self: session.Session, line: str) -> None:
        say(self, line)
        told.set()

    def close(self: RecordingSink) -> None:
        for _ in range(times):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert told.wait(DEADLINE_S)
        if times > 1:
            over.wait(DEADLINE_S)
        plain(self)

    monkeypatch.setattr(RecordingSink, "close", close)
    monkeypatch.setattr(session.Session, "event", event)
    target = tmp_path / "out.mkv"
    done = keenframe(*live(unsharp_model, "--no-preview", "--duration", 2, "--record", target))
    assert "still finishing" in done.err
    if times == 1:
        assert done.code == 0 and f"{target}: {len(look(target).frames)} written" in done.out
    else:
        assert done.code == 1 and "given up before everything was finished" in done.err
        assert f"{target}: not finished" in done.out and not target.exists()
    over.set()
    for thread in threading.enumerate():
        if thread.name.startswith("keenframe-"):
            thread.join(DEADLINE_S)


def test_termination_keeps_the_recording_too(unsharp_model: Path, tmp_path: Path) -> None:
    process = start(tmp_path, *live(unsharp_model, "--json", "--no-preview", "--record", "out.mkv"))
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["sinks"]["out.mkv"]["written"] > 5:
            break
    process.terminate()
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert look(tmp_path / "out.mkv").frames


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["test"], "no display for a window"),
        (["nowhere.mp4", "--null"], "'nowhere.mp4' does not exist"),
        ([".", "--null"], "is a folder"),
        (["test", "--null", "--loop"], "--loop is for video files"),
        (["test", "--null", "--size", "63x64"], "expected even sides"),
        (["test", "--null", "--level", "9"], r"expected auto or one of 0 (keen"),
        (["test", "--null", "--model", "keen-x2"], "keeps the size"),
        (["test", "--null", "--model", "keenest"], "there is no model 'keenest'"),
        (["test", "--record", "x.avi"], "choose .mp4 or .mkv"),
        (["test", "--record", "none/x.mp4"], "create it first"),
        (["no such camera", "--null"], "there is no camera 'no such camera'"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "linux" and arguments == ["test"]:
        pytest.skip("there is always a display here")
    monkeypatch.chdir(tmp_path)
    done = keenframe("camera", *arguments)
    assert done.code == 1
    assert done.err.startswith("keenframe: ") and words in done.err and done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_is_told_apart() -> None:
    assert keenframe("camera", "test", "--size", "big").code == 2
    assert keenframe("camera", "test", "--fps", "0").code == 2
    assert keenframe("doctor", "cameras").code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="where OBS is installed this would work")
def test_without_a_virtual_camera_it_ends_with_the_way_to_one(unsharp_model: Path) -> None:
    pytest.importorskip("pyvirtualcam", reason="pyvirtualcam is not installed")
    if Path("/sys/module/v4l2loopback").exists():
        pytest.skip("v4l2loopback is loaded here")
    done = keenframe(*live(unsharp_model, "--virtual", "--no-preview"))
    assert done.code == 1 and done.out == ""
    assert "modprobe v4l2loopback" in done.err and "keenframe doctor camera" in done.err


def test_keys_steer_a_running_stream(
    unsharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window on SDL's dummy display; keys come as SDL's events, one every few frames."""
    pygame = pytest.importorskip("pygame", reason="pygame is not installed")
    from keenframe.live.preview import Preview

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    keys = [
        pygame.K_UP,
        pygame.K_UP,
        pygame.K_DOWN,
        pygame.K_c,
        pygame.K_r,
        pygame.K_m,
        pygame.K_m,
        pygame.K_a,
    ]
    keys += [pygame.K_r, pygame.K_q]
    seen: list[tuple[tuple[str, ...], bool, bool]] = []
    plain = Preview.show

    def show(self: Preview, shot: Any, text: list[str], compare: bool, recording: bool) -> None:
        plain(self, shot, text, compare, recording)
        seen.append((tuple(text), compare, recording))
        if len(seen) % 8 == 0 and keys:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=keys.pop(0)))

    monkeypatch.setattr(Preview, "show", show)
    monkeypatch.setattr(session, "STATUS_S", 0.0)
    done = keenframe(*live(unsharp_model))
    assert done.code == 0, done.err
    text = "\n".join(line for lines, _, _ in seen for line in lines)
    for part in ("strength 1.2", "strength 1.1", "unsharp (pinned)", "pass (pinned)", "left half as it came"):
        assert part in text, text
    assert any(compare for _, compare, _ in seen) and any(recording for _, _, recording in seen)
    (recorded,) = tmp_path.glob("keenframe-*.mp4")
    assert look(recorded).frames and f"recorded {recorded.name}" in done.err


def test_a_recording_that_has_died_shows_no_dot_and_r_begins_another(
    unsharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pygame = pytest.importorskip("pygame", reason="pygame is not installed")
    from keenframe.errors import OutputError
    from keenframe.live.preview import Preview
    from keenframe.live.sinks import RecordingSink

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    begun: list[RecordingSink] = []
    plain = Preview.show
    dots: list[bool] = []
    keys = [pygame.K_r, pygame.K_r, pygame.K_q]

    def failing(self: RecordingSink, shot: Any) -> None:
        if self not in begun:
            begun.append(self)
        elif len(begun) == 1 and len(dots) == 2:
            raise OutputError("the disk is full")

    def press(key: int) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))

    def show(self: Preview, shot: Any, text: list[str], compare: bool, recording: bool) -> None:
        plain(self, shot, text, compare, recording)
        if not dots or dots[-1] != recording:
            dots.append(recording)
            if len(dots) in (1, 3):
                press(keys.pop(0))
        # The window may show a frame that came before the second recording began; that takes the next one.
        if len(dots) == 4 and len(begun) == 2 and keys:
            press(keys.pop(0))

    monkeypatch.setattr(Preview, "show", show)
    monkeypatch.setattr(RecordingSink, "write", failing)
    done = keenframe(*live(unsharp_model, "--duration", DEADLINE_S))
    assert dots == [False, True, False, True] and len(begun) == 2
    assert done.code == 1 and done.err.endswith("keenframe: the disk is full\n"), done.err


def test_the_status_line_says_what_matters() -> None:
    snapshot = {
        "input": "1280x720 nv12",
        "fps_in": 30.0,
        "fps_out": 29.5,
        "level_name": "keen",
        "ready": True,
        "pinned": 0,
        "strength": 1.2,
        "latency_ms": {"p50": 12.3, "p95": 20.1, "p99": 25.0},
        "counters": {"dropped": 4, "sharpened": 90, "passed": 10, "frames_out": 100},
        "cpu_percent": 80.0,
        "sinks": {"/dev/video9": {"state": "lost", "written": 3, "dropped": 0}},
    }
    assert session.status(snapshot, 200) == (
        "1280x720 nv12  30.0 → 29.5 FPS  keen (pinned)  strength 1.2  latency 12 / 20 / 25 ms  4 dropped  CPU 80 %"
        "  /dev/video9: lost"
    )
    narrow = session.status(snapshot, 80)
    assert "4 dropped" in narrow and all(len(line) <= 80 for line in narrow.splitlines()), narrow
    early = {**snapshot, "ready": False}
    assert "keen (passes until it is ready)" in session.status(early, 200)
    assert session.overlay(early)[1] == "keen (passes until it is ready)   strength 1.2"
    assert session.summary(snapshot, 4.0).startswith(
        "100 frames in 4.0 s (25.0 FPS); 90 sharpened, 10 passed, 4"
    )
    snapshot["sinks"]["/dev/video9"]["state"] = "running"
    assert session.summary(snapshot, 4.0).endswith("/dev/video9: not finished")
    snapshot["counters"]["warming"] = 7
    assert "10 passed (7 of them before the model was ready)" in session.summary(snapshot, 4.0)


def test_the_status_line_is_drawn_on_a_terminal(unsharp_model: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="no terminals here")
    import os

    ours, theirs = pty.openpty()
    arguments = live(unsharp_model, "--null", "--duration", 2)
    command = [sys.executable, "-c", "from keenframe.cli import main; main()", *map(str, arguments)]
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, env=environment, cwd=tmp_path)
    os.close(theirs)
    said, end_s = b"", time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        said += piece
    os.close(ours)
    assert process.wait(DEADLINE_S) == 0
    assert re.search(r"64x64 i420  [\d.]+ → [\d.]+ FPS  unsharp", said.decode())


def test_the_doctor_looks_at_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    from keenframe.cli import doctor_camera
    from keenframe.media import v4l2

    if sys.platform != "linux":
        pytest.skip("elsewhere the doctor asks the system")
    devices = [
        v4l2.VideoDevice(
            "/dev/video0",
            "Built-in",
            "uvcvideo",
            True,
            False,
            {"MJPG": v4l2.Sizes([(1920, 1080), (1280, 720), (640, 480), (320, 240)])},
        ),
        v4l2.VideoDevice("/dev/video9", "keenframe", v4l2.LOOPBACK_DRIVER, False, True, {}),
        v4l2.VideoDevice("/dev/video3", error="permission denied"),
    ]
    monkeypatch.setattr(v4l2, "video_devices", lambda: devices)
    done = keenframe("doctor", "camera")
    assert done.code == 0
    said = re.sub(" +", " ", done.out)
    assert "/dev/video0 ✓ Built-in (uvcvideo): MJPG 1920x1080, 1280x720, 640x480 …" in said
    assert "/dev/video9 ✓ keenframe" in said
    assert "✗ permission denied" in done.out and "usermod -aG video" in done.out
    monkeypatch.setattr(v4l2, "video_devices", list)
    monkeypatch.setattr(doctor_camera, "_MODULE", Path("/nowhere"))
    bare = keenframe("doctor", "camera")
    assert bare.code == 1
    assert "modprobe v4l2loopback exclusive_caps=1" in bare.out and "✗ not loaded" in bare.out


def test_the_doctor_warns_of_a_module_that_browsers_do_not_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keenframe.cli import doctor_camera
    from keenframe.media import v4l2

    if sys.platform != "linux":
        pytest.skip("v4l2loopback is Linux's")
    (tmp_path / "parameters").mkdir()
    (tmp_path / "parameters" / "exclusive_caps").write_text("N,N,N,N\n")
    device = v4l2.VideoDevice(
        "/dev/video9", "Dummy", v4l2.LOOPBACK_DRIVER, True, True, {"YU12": v4l2.Sizes([(640, 480)])}
    )
    monkeypatch.setattr(v4l2, "video_devices", lambda: [device])
    monkeypatch.setattr(doctor_camera, "_MODULE", tmp_path)
    done = keenframe("doctor", "camera")
    assert "exclusive_caps=N" in done.out and "gives and takes at once" in done.out
    assert "modprobe -r v4l2loopback" in done.out
