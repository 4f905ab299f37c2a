"""Videos: queued, watched, cancelled, kept and removed; and what must be refused."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
from starlette.testclient import TestClient

from clips import Clip, look, make
from commands import start
from keenframe.web.settings import Limits
from keenframe.web.workers import Worker
from servers import until
from web_app import client

ROOMY: dict[str, Any] = {"free_disk": 0, "changes_per_minute": 100_000}


@pytest.fixture(scope="module")
def app(unsharp_model: Path, base: Path) -> Iterator[TestClient]:
    limits = Limits(**ROOMY, waiting=1, video_minutes=1.5, video_pixels=100_000, videos=2)
    with client(unsharp_model, base, limits) as caller:
        yield caller


def sent(app: TestClient, path: Path, name: str = "my clip.mp4", strength: float = 1.0) -> dict[str, Any]:
    answer = app.post("/api/videos", params={"name": name, "strength": strength}, content=path.read_bytes())
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def state(app: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = app.get(f"/api/videos/{job['id']}").json()
    return answer


def ended(app: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    def seen() -> dict[str, Any] | None:
        now = state(app, job)
        return now if now["state"] in ("done", "failed") else None

    result: dict[str, Any] = until(seen)
    return result


def running(app: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """Its state once frames have been written."""

    def seen() -> dict[str, Any] | None:
        now = state(app, job)
        return now if now["state"] == "running" and now["fps"] else None

    result: dict[str, Any] = until(seen)
    return result


def held(app: TestClient, job: dict[str, Any]) -> None:
    """Let it run, and then stand still for as long as the test lasts."""
    running(app, job)
    # The process for videos is started after the one for pictures.
    max(workers_of(os.getpid()), key=psutil.Process.create_time).suspend()


def workers_of(pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # it may end in this moment
            if "keenframe.web.worker" in process.cmdline():
                found.append(process)
    return found


def ended_by_system(process: psutil.Process) -> bool:
    """Whether it has ended, be it that nobody has taken note of it yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def kept(base: Path) -> list[str]:
    (folder,) = (path for path in base.iterdir() if path.is_dir())
    return sorted(path.name for path in folder.iterdir())


def gone(app: TestClient, job: dict[str, Any]) -> bool:
    return app.delete(f"/api/videos/{job['id']}").status_code == 204


def test_a_video_from_upload_to_download(app: TestClient, clip: Path, base: Path, tmp_path: Path) -> None:
    job = sent(app, clip, strength=1.5)
    assert (job["width"], job["height"], job["strength"], job["name"]) == (64, 48, 1.5, "my clip.mp4")
    done = ended(app, job)
    assert (done["state"], done["frames"], done["warnings"]) == ("done", 12, [])
    assert done["saved_as"] == "my clip-keenframe.mp4"
    answer = app.get(f"/api/videos/{job['id']}/result?save=1")
    assert "attachment" in answer.headers["content-disposition"]
    assert len(answer.content) == done["bytes"]
    (tmp_path / "b.mp4").write_bytes(answer.content)
    before, after = look(clip), look(tmp_path / "b.mp4")
    assert after.times_s == before.times_s and after.streams == before.streams
    # The upload is removed as soon as it is not needed.
    assert sorted(path.name for path in next(base.glob(f"*/{job['id']}")).iterdir()) == ["result.mp4"]
    assert gone(app, job) and job["id"] not in kept(base)


def test_the_result_plays_by_parts(app: TestClient, clip: Path) -> None:
    job = ended(app, sent(app, clip))
    place = f"/api/videos/{job['id']}/result"
    whole = app.get(place)
    assert whole.headers["content-type"] == "video/mp4" and "content-disposition" not in whole.headers
    part = app.get(place, headers={"range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    assert app.get(place, headers={"range": f"bytes={10**9}-"}).status_code == 416


def test_a_download_shortens_what_is_left(app: TestClient, clip: Path) -> None:
    job = ended(app, sent(app, clip))
    place = f"/api/videos/{job['id']}/result"
    app.head(place + "?save=1")
    app.get(place)
    assert state(app, job)["expires"] == job["expires"]
    app.get(place + "?save=1")
    soon = state(app, job)["expires"]
    assert soon < job["expires"] - 600
    app.get(place + "?save=1")
    assert state(app, job)["expires"] <= soon + 1


def test_progress_and_cancel(app: TestClient, long_clip: Path, clip: Path, base: Path) -> None:
    job = sent(app, long_clip)
    now = running(app, job)
    assert 0 < now["frames"] < now["expected"] == 6000
    assert now["eta_s"] > 0 and now["fps"] > 0
    assert app.get(f"/api/videos/{job['id']}/result").status_code == 409
    assert gone(app, job)
    assert state(app, job)["error"]["code"] == "gone" and job["id"] not in kept(base)
    # The next one finds the way free.
    assert ended(app, sent(app, clip))["state"] == "done"


def test_one_at_a_time_some_waiting_the_rest_refused(app: TestClient, long_clip: Path, clip: Path) -> None:
    first = sent(app, long_clip)
    held(app, first)
    second = sent(app, clip)
    assert state(app, second)["state"] == "waiting" and state(app, second)["position"] == 1
    refused = app.post("/api/videos", content=clip.read_bytes())
    assert refused.status_code == 503
    assert "one video at a time, and 1 more are waiting" in refused.json()["error"]["message"]
    # Pictures do not wait for videos.
    assert app.post("/api/pictures", content=b"x").status_code == 415
    assert gone(app, first)
    assert ended(app, second)["state"] == "done"


def test_cancelling_one_that_waits(app: TestClient, long_clip: Path, clip: Path) -> None:
    first = sent(app, long_clip)
    held(app, first)
    second = sent(app, clip)
    assert gone(app, second) and state(app, second)["error"]["code"] == "gone"
    assert state(app, first)["state"] == "running"
    assert gone(app, first)


def test_kept_results_give_way(app: TestClient, clip: Path, base: Path) -> None:
    jobs = [ended(app, sent(app, clip)) for _ in range(6)]
    there = [job["id"] in kept(base) for job in jobs]
    assert there[-2:] == [True, True] and not there[0]
    for job in jobs:
        app.delete(f"/api/videos/{job['id']}")


def sound(folder: Path) -> Path:
    import numpy as np

    with av.open(str(folder / "a.mp4"), "w") as container:
        stream: Any = container.add_stream("aac", rate=48000)
        samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        samples.sample_rate, samples.pts = 48000, 0
        container.mux([*stream.encode(samples), *stream.encode(None)])
    return folder / "a.mp4"


def text(folder: Path, content: str) -> Path:
    (folder / "a.mp4").write_text(content)
    return folder / "a.mp4"


def cut(folder: Path) -> Path:
    path = make(folder / "a.mp4", Clip())
    path.write_bytes(path.read_bytes()[:300])
    return path


@pytest.mark.parametrize(
    ("build", "status", "message"),
    [
        (
            lambda f: text(f, "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"),
            415,
            "not a file",
        ),
        (lambda f: text(f, "ffconcat version 1.0\nfile '/etc/passwd'\n"), 415, "not a file"),
        (lambda f: text(f, "\x89PNG"), 415, "not a file"),
        (sound, 422, "“clip.mp4” has no video stream; found: audio aac"),
        (cut, 422, "“clip.mp4” is not a video that can be read"),
        (lambda f: make(f / "a.mp4", Clip(512, 256)), 422, "512x256; expected at most 0.1 megapixels"),
        (
            lambda f: make(f / "a.mp4", Clip(times=[0, 100_000])),
            422,
            "lasts 1.7 minutes; expected at most 1.5",
        ),
        (lambda f: make(f / "a.mkv", Clip(times=[0, 3_600_000])), 422, "lasts 60.0 minutes"),
    ],
    ids=["playlist", "concat", "text", "sound", "cut", "large", "long", "very-long"],
)
def test_what_is_refused_and_leaves_nothing(
    app: TestClient, base: Path, tmp_path: Path, build: Any, status: int, message: str
) -> None:
    before = kept(base)
    answer = app.post("/api/videos?name=clip.mp4", content=build(tmp_path).read_bytes())
    error = answer.json()["error"]
    assert answer.status_code == status and re.search(message, error["message"]), error
    assert str(base) not in error["message"] and "--" not in error["message"]
    assert kept(base) == before


def test_a_picture_sent_as_a_video_and_the_other_way_round(app: TestClient, clip: Path) -> None:
    picture = app.post("/api/videos", content=b"\x89PNG\r\n\x1a\n")
    video = app.post("/api/pictures", content=clip.read_bytes())
    assert "This is a picture" in picture.json()["error"]["message"]
    assert "This is a video" in video.json()["error"]["message"]


def test_a_small_video_is_told_its_reason(app: TestClient, tmp_path: Path) -> None:
    job = ended(app, sent(app, make(tmp_path / "a.mp4", Clip(24, 14))))
    assert job["state"] == "failed" and "24x14; expected 16 to 8192" in job["message"]
    assert gone(app, job)


def test_a_playlist_in_disguise_is_not_followed(app: TestClient, tmp_path: Path) -> None:
    """A file that begins as Matroska and goes on as something that names other files: the demuxer is set."""
    path = tmp_path / "a.mkv"
    path.write_bytes(
        b"\x1aE\xdf\xa3" + b"\n#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n<MPD profiles='dash:profile'>" * 20
    )
    answer = app.post("/api/videos?name=a.mkv", content=path.read_bytes())
    assert answer.status_code == 422 and "not a video that can be read" in answer.json()["error"]["message"]


def test_a_length_that_no_header_tells(unsharp_model: Path, tmp_path: Path, long_clip: Path) -> None:
    """Frames are counted as they come."""
    stream = tmp_path / "stream.mkv"
    with av.open(str(long_clip)) as source, av.open(str(stream), "w", options={"live": "1"}) as target:
        copy: Any = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    limits = Limits(**ROOMY, video_minutes=0.01)
    with client(unsharp_model, tmp_path, limits) as app:
        job = ended(app, sent(app, stream))
    assert job["state"] == "failed" and "goes on for more than 0.01 minutes" in job["message"]


def test_damage_is_told(app: TestClient, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", Clip(times=[33 * i for i in range(90)]))
    path.write_bytes(path.read_bytes()[:-4000])
    job = ended(app, sent(app, path))
    assert job["state"] == "done" and job["frames"] > 0
    assert any("the file ends after" in text.lower() for text in job["warnings"])
    assert gone(app, job)


def test_warnings_do_not_speak_of_options(app: TestClient, tmp_path: Path) -> None:
    options = {"crf": "10"}
    path = make(
        tmp_path / "a.mkv", Clip(65, 49, codec="libvpx-vp9", options=options, time_base=Fraction(1, 1000))
    )
    job = ended(app, sent(app, path))
    assert job["state"] == "done"
    assert job["warnings"] == ["Libx264 needs even sizes: 65x49 becomes 66x50, its edge repeated."]


def test_a_job_that_takes_too_long(unsharp_model: Path, tmp_path: Path, long_clip: Path) -> None:
    with client(unsharp_model, tmp_path, Limits(**ROOMY, job_minutes=0.01)) as app:
        job = ended(app, sent(app, long_clip))
    assert job["state"] == "failed" and "longer than 0.6 seconds" in job["message"]


def test_a_job_that_takes_too_much_memory(
    unsharp_model: Path, tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Memory is looked at while the video is worked on, not at the look at it before, however long that takes.
    plain = Worker._attend

    async def attend(self: Worker, task: Mapping[str, object], *more: Any) -> dict[str, Any]:
        every_s = 0.05 if task["task"] == "video" else 3600.0
        monkeypatch.setattr("keenframe.web.workers._WATCH_EVERY_S", every_s)
        return await plain(self, task, *more)

    monkeypatch.setattr(Worker, "_attend", attend)
    with client(unsharp_model, tmp_path, Limits(**ROOMY, memory=1 << 20)) as app:
        job = ended(app, sent(app, long_clip))
    assert job["state"] == "failed" and "of memory and was stopped" in job["message"]


def test_a_worker_that_breaks_down(app: TestClient, long_clip: Path, clip: Path) -> None:
    job = sent(app, long_clip)
    running(app, job)
    workers = workers_of(os.getpid())
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    # The one that was idle, too: a process that is just about to end would be given the next upload.
    until(lambda: all(map(ended_by_system, workers)))
    failed = ended(app, job)
    assert failed["state"] == "failed" and "broke down" in failed["message"]
    assert ended(app, sent(app, clip))["state"] == "done"


def test_a_server_that_is_killed_leaves_no_process_and_its_folder_to_the_next(
    tmp_path: Path, unsharp_model: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    base = tmp_path / "base"
    base.mkdir()
    monkeypatch.setenv("TMPDIR", str(base))
    options = ("serve", "--port", 0, "--model", unsharp_model, "--engine", "onnxruntime", "--threads", 1)
    server = start(tmp_path, *options)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        assert url.startswith("http://127.0.0.1:")
        job = httpx.post(f"{url}api/videos", content=long_clip.read_bytes(), timeout=60).json()
        until(lambda: httpx.get(f"{url}api/videos/{job['id']}", timeout=60).json()["fps"])
        workers = workers_of(server.pid)
        assert len(workers) == 2
    finally:
        server.kill()
        server.communicate()
    until(lambda: all(map(ended_by_system, workers)))
    (left,) = (path for path in base.iterdir() if path.is_dir())
    assert any(left.iterdir())
    with client(unsharp_model, base):
        assert not left.exists()
    assert list(base.glob("keenframe-web-*")) == []
