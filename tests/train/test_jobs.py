"""Where the data tools run, and what they remember."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from keenframe_train.data import jobs
from keenframe_train.data.images import find_images
from keenframe_train.data.manifest import NAME, Manifest
from keenframe_train.data.pairs import Making, make_pairs
from keenframe_train.data.render import render_pictures
from keenframe_train.errors import TrainError


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def scaled(factor: int, item: int) -> int:
    if item == 13:
        raise TrainError("thirteen")
    return factor * item


def killed(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_comes_back_with_its_result(workers: int) -> None:
    assert sorted(jobs.run(partial(scaled, 3), range(12), workers)) == [(i, 3 * i) for i in range(12)]
    assert list(jobs.run(partial(scaled, 3), [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_function_is_raised_here(workers: int) -> None:
    with pytest.raises(TrainError, match="thirteen"):
        list(jobs.run(partial(scaled, 1), range(20), workers))


def test_a_killed_worker_is_noticed() -> None:
    with pytest.raises(TrainError, match="a worker process died"):
        list(jobs.run(killed, range(8), 2))
    with pytest.raises(TrainError, match="at least 1 worker"):
        list(jobs.run(killed, range(8), 0))


def test_a_caller_that_leaves_early_stops_the_workers() -> None:
    before = set(psutil.Process().children(recursive=True))
    results = jobs.run(partial(scaled, 1), range(10**6, 10**6 + 200), 2)
    next(results)
    workers = set(psutil.Process().children(recursive=True)) - before
    results.close()  # type: ignore[attr-defined]
    assert len(workers) == 2
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left


def test_a_killed_run_leaves_no_worker_and_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "keenframe_train", "render", "text", "-o", "out", "--size", "160x160"]
    process = subprocess.Popen([*command, "--count", "100000"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    manifest = tmp_path / "out" / NAME
    wait_for(lambda: manifest.exists() and len(manifest.read_text().splitlines()) > 4)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert len(workers) == 2
    wait_for(lambda: all(map(ended, workers)))
    done = len(manifest.read_text().splitlines())
    subprocess.run([*command, "--count", str(done + 6)], cwd=tmp_path, check=True, capture_output=True)
    assert len(list((tmp_path / "out" / "text").glob("*.png"))) >= done + 6
    render_pictures("text", tmp_path / "whole", done + 6, (160, 160))
    made, whole = content(tmp_path / "out"), content(tmp_path / "whole")
    assert all(made[name] == whole[name] for name in whole if name.endswith("05.png"))


def ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ray_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TrainError, match=r"pip install 'keenframe\[cluster\]'"):
        list(jobs.run(partial(scaled, 1), range(3), 1, "local"))


def test_ray_gives_the_same_folders_as_one_process(data: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        files = find_images(data / "train-0")
        for where, address in (("one", None), ("ray", "auto")):
            render_pictures("all", tmp_path / where / "r", 6, (200, 160), ray_address=address)
            making = Making("r3", 64)
            make_pairs(files, tmp_path / where / "p", making, 6, exclude=[data / "val"], ray_address=address)
        assert content(tmp_path / "one") == content(tmp_path / "ray")
        with pytest.raises(TrainError, match="is not an image"):
            broken = tmp_path / "broken.png"
            broken.write_bytes(b"no picture")
            (image,) = find_images(tmp_path)[:1]
            assert image.path == broken
            make_pairs([image], tmp_path / "none", making, 1, ray_address="auto")
    finally:
        ray.shutdown()


def test_ray_that_cannot_be_reached_is_said() -> None:
    pytest.importorskip("ray")
    with pytest.raises(TrainError, match="cannot reach a Ray cluster at 'nowhere"):
        list(jobs.run(partial(scaled, 1), range(3), 1, "nowhere"))


def test_a_manifest_goes_on_after_a_kill(tmp_path: Path) -> None:
    with Manifest(tmp_path / "out", "tool", {"seed": 1}, "index") as manifest:
        manifest.add({"index": 2, "file": "ü"})
        manifest.add({"index": 0, "file": "b"})
    path = tmp_path / "out" / NAME
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == [0, 2]
    path.write_text(path.read_text() + '{"index": 5, "fi')
    with Manifest(tmp_path / "out", "tool", {"seed": 1}, "index") as manifest:
        assert sorted(manifest.records) == [0, 2]
    assert "5" not in path.read_text()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with Manifest(tmp_path / "out", "tool", {"seed": 1, "size": 2}, "index"):
        pass
    with pytest.raises(TrainError, match=r"other settings: seed 1 \(now 2\); pass a new --out"):
        Manifest(tmp_path / "out", "tool", {"seed": 2, "size": 2}, "index")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(TrainError, match="holds other files"):
        Manifest(tmp_path / "mine", "tool", {}, "index")
    with pytest.raises(TrainError, match="cannot write to"):
        Manifest(tmp_path / "mine" / "letter.txt" / "below", "tool", {}, "index")
    with pytest.raises(TrainError, match="cannot write to"):
        Manifest(tmp_path / "mine" / "letter.txt", "tool", {}, "index")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TrainError, match="cannot write to"):
            Manifest(tmp_path / "out", "tool", {}, "index")
    finally:
        tmp_path.chmod(0o700)


def test_settings_with_numpy_free_values_only(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Manifest(tmp_path / "out", "tool", {"seed": np.int64(1)}, "index")
    assert not (tmp_path / "out").exists()
