from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import av
import pytest

from clips import Clip, look, make
from commands import keenframe, start


@pytest.fixture
def options(unsharp_model: Path) -> list[object]:
    return ["--model", unsharp_model, "--engine", "onnxruntime", "--threads", 1]


def test_video(tmp_path: Path, options: list[object]) -> None:
    clip = make(tmp_path / "a.mp4", Clip(sound="aac"))
    done = keenframe("video", clip, tmp_path / "b.mp4", "--crf", 30, "--preset", "ultrafast", *options)
    assert (done.code, done.err) == (0, "") and "12 frames" in done.out
    assert look(tmp_path / "b.mp4").times_s == look(clip).times_s
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_warnings_go_to_stderr(tmp_path: Path, options: list[object]) -> None:
    clip = make(tmp_path / "a.mkv", Clip(attachment=b"hello"))
    done = keenframe("video", clip, tmp_path / "b.mp4", *options)
    assert done.code == 0 and "warning: mp4 cannot hold attachment" in done.err


def sound_only(path: Path) -> None:
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])


def no_frames(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.width, stream.height = 64, 48
        container.start_encoding()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.mp4", "b.mp4"], "does not exist"),
        (["empty.mp4", "b.mp4"], "empty"),
        (["text.mp4", "b.mp4"], "not a video"),
        (["text.txt", "b.mp4"], "not a video"),
        (["sound.mp4", "b.mp4"], "no video stream; found: audio aac"),
        (["nothing.mp4", "b.mp4"], "no frame could be decoded|no video stream"),
        (["head.mp4", "b.mp4"], "not a video"),
        (["a.mp4", "b.xyz"], r"\.xyz suffix; expected one of \.mp4"),
        (["a.mp4", "b"], "no suffix"),
        (["a.mp4", "a.mp4"], "both input and output"),
        (["a.mp4", "link.mp4"], "both input and output|--overwrite"),
        (["a.mp4", "there.mp4"], "--overwrite"),
        (["a.mp4", "nowhere/b.mp4"], "folder 'nowhere' does not exist"),
        (["a.mp4", "."], "is a folder"),
        ([".", "b.mp4"], "is a folder"),
        (["a.mp4", "b.mp4", "--codec", "divx"], "expected one of h264"),
        (["a.mp4", "b.webm", "--codec", "h264"], "webm cannot hold"),
        (["a.mp4", "b.mp4", "--preset", "warp"], "preset=warp"),
        (["a.mp4", "b.mkv", "--codec", "ffv1", "--crf", "3"], "lossless"),
        (["a.mp4", "b.mp4", "--crf", "60"], "expected 0 to 51"),
        (["picture.png", "b.mp4"], "keenframe image"),
        (["tiny.mkv", "b.mkv"], "16 to"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    tmp_path: Path, options: list[object], monkeypatch: Any, arguments: list[str], message: str
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    make(Path("a.mp4"), Clip())
    make(Path("tiny.mkv"), Clip(width=8, height=8, codec="ffv1"))
    Path("link.mp4").symlink_to("a.mp4")
    Path("there.mp4").write_bytes(b"precious")
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("this is no video " * 50)
    Path("text.txt").write_text("this is no video " * 50)
    Path("head.mp4").write_bytes(Path("a.mp4").read_bytes()[:700])
    Image.new("RGB", (64, 48)).save("picture.png")
    sound_only(Path("sound.mp4"))
    no_frames(Path("nothing.mp4"))
    before = sorted(p.name for p in tmp_path.iterdir())
    done = keenframe("video", *arguments, *options)
    assert done.code == 1 and "Traceback" not in done.err
    assert re.search(message, done.err), done.err
    assert done.err.startswith("keenframe: ") and done.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert Path("there.mp4").read_bytes() == b"precious"


def test_damage_exits_1_but_writes_what_there_is(tmp_path: Path, options: list[object]) -> None:
    clip = make(tmp_path / "a.mkv", Clip(times=[33 * i for i in range(90)], options={"g": "10"}))
    clip.write_bytes(clip.read_bytes()[:-3000])
    done = keenframe("video", clip, tmp_path / "b.mkv", *options)
    assert done.code == 1 and "is damaged" in done.err and "was written" in done.err
    assert len(look(tmp_path / "b.mkv").frames) > 10


def long_clip(path: Path) -> Path:
    """Long enough that it cannot be finished before a signal arrives."""
    return make(
        path,
        Clip(width=320, height=240, times=[33 * i for i in range(1200)], options={"preset": "ultrafast"}),
    )


def wait_for_part(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until the temporary file is there; fails when the process ends before."""
    while process.poll() is None:
        if any(folder.glob(".*.part.*")):
            return
        threading.Event().wait(0.01)
    raise AssertionError(process.communicate())


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_no_half_file(
    tmp_path: Path, options: list[object], number: signal.Signals, code: int
) -> None:
    clip = long_clip(tmp_path / "a.mkv")
    process = start(tmp_path, "video", clip, tmp_path / "b.mkv", "--preset", "veryslow", *options)
    wait_for_part(tmp_path, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err and ("keenframe: stopped" in err) == (number == signal.SIGINT)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, options: list[object]) -> None:
    clip = make(tmp_path / "a.mkv", Clip(width=320, height=240, times=[33 * i for i in range(60)]))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

    process = start(tmp_path, "video", clip, tmp_path / "b.mkv", "--codec", "ffv1", *options, before=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "too large" in err and "choose another disk" in err, err
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions stop")
def test_a_folder_without_permission(tmp_path: Path, options: list[object]) -> None:
    clip = make(tmp_path / "a.mp4", Clip())
    (tmp_path / "closed").mkdir(mode=0o500)
    done = keenframe("video", clip, tmp_path / "closed/b.mp4", *options)
    assert done.code == 1 and "permission denied" in done.err
