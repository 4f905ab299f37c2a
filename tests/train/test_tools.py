"""Patches, pairs, leaks and frames, on small media made here."""

from __future__ import annotations

import io
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from keenframe_train.cli import app
from keenframe_train.data import degradations as d
from keenframe_train.data.fingerprint import DISTANCE, alike, find_leaks, fingerprint
from keenframe_train.data.images import find_images, read_rgb
from keenframe_train.data.pairs import Making, make_pairs, make_triplet
from keenframe_train.data.patches import Cutting, cut_patches
from keenframe_train.errors import TrainError

from .conftest import picture
from .test_cli import run
from .test_jobs import content


def save(path: Path, image: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def video(path: Path, scenes: list[np.ndarray], frames: int = 10, rotation: int | None = None) -> Path:
    """A clip at 10 frames a second that shows each scene for `frames` frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10", "preset": "ultrafast"})
        stream.height, stream.width = scenes[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for scene in scenes:
            for _ in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(scene, "rgb24")))
        container.mux(stream.encode(None))
    return path


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


# Perceptual hash


@pytest.mark.parametrize(("scale", "quality"), [(1.0, 20), (0.5, 60), (1.7, 40)])
def test_a_picture_is_known_at_another_size_and_quality(scale: float, quality: int) -> None:
    for seed in range(4):
        image = picture(seed)
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        buffer = io.BytesIO()
        Image.fromarray(image).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
        bits, correlation = alike(fingerprint(image), fingerprint(np.asarray(Image.open(buffer))))
        assert bits <= 6 and correlation > 0.98
        bits, correlation = alike(fingerprint(image), fingerprint(picture(seed + 100)))
        assert bits > DISTANCE


def test_flat_pictures_have_a_fingerprint() -> None:
    black, noise = np.zeros((40, 60), np.uint8), picture(1, 64, 64)
    assert fingerprint(black).phash >> 63 == 0
    assert alike(fingerprint(black), fingerprint(noise))[1] == pytest.approx(0, abs=1e-6)


def test_leaks_are_found_and_listed(data: Path, tmp_path: Path) -> None:
    assert find_leaks([data / "train-0"], [data / "val"]) == []
    known = find_images(data / "val")[1]
    image = Image.open(known.path)
    copy = tmp_path / "train" / "copy.jpg"
    copy.parent.mkdir()
    image.resize((120, 100)).save(copy, quality=40)
    save(tmp_path / "train" / "other.png", picture(77))
    (leak,) = find_leaks([tmp_path / "train"], [data / "val"], workers=2)
    assert (leak.train, leak.val) == (str(copy), str(known.path)) and leak.bits <= DISTANCE
    done = run("leaks", "--train", "train", "--val", str(data / "val"), cwd=tmp_path)
    assert done.returncode == 1 and "train/copy.jpg = " in done.stdout and "1 near-identical" in done.stdout
    done = run("leaks", "--train", str(data / "train-0"), "--val", str(data / "val"), cwd=tmp_path)
    assert done.returncode == 0 and "0 near-identical pairs" in done.stdout


# R1's patches


def test_patches_are_r1s_pair_folders(data: Path, tmp_path: Path) -> None:
    files = find_images(data / "train-0")
    cutting = Cutting(64, per_picture=3, seed=4, min_detail=1.0)
    made, left_out = cut_patches(files, tmp_path / "a", cutting)
    cut_patches(files, tmp_path / "b", cutting, workers=2)
    assert content(tmp_path / "a") == content(tmp_path / "b") and left_out == 0
    names = [sorted(p.name for p in (tmp_path / "a" / folder).iterdir()) for folder in ("HR_patches", "LR")]
    assert names[0] == names[1] and len(names[0]) == 3 * len(files)
    for record in made:
        whole = read_rgb(Path(record["source"]))
        for patch in record["patches"]:
            window = np.s_[patch["top"] : patch["top"] + 64, patch["left"] : patch["left"] + 64]
            kernel = patch["kernel"]
            blurred = d.DownUp(down=(kernel,), up=(kernel,))(whole, np.random.default_rng(0))
            for folder, expected in (("HR_patches", whole), ("LR", blurred)):
                assert np.array_equal(read_rgb(tmp_path / "a" / folder / patch["file"]), expected[window])


def test_a_grid_leaves_out_what_is_flat_and_small(tmp_path: Path) -> None:
    half = picture(3, 128, 128)
    half[:, 64:] = 90
    save(tmp_path / "data" / "a.png", half)
    save(tmp_path / "data" / "b.png", picture(4, 40, 200))
    made, _ = cut_patches(find_images(tmp_path / "data"), tmp_path / "out", Cutting(64, stride=64))
    assert [(p["top"], p["left"]) for p in made[0]["patches"]] == [(0, 0), (64, 0)]
    assert made[1]["error"] == "smaller than 64 pixels" and not made[1]["patches"]


# Pairs and triplets


def test_pairs_are_a_function_of_seed_and_index(data: Path, tmp_path: Path) -> None:
    files = find_images(data / "train-0")
    made, _ = make_pairs(files, tmp_path / "a", Making("r2", 64, seed=3), 5)
    make_pairs(files, tmp_path / "b", Making("r2", 64, seed=3), 2)
    make_pairs(files, tmp_path / "b", Making("r2", 64, seed=3), 5, workers=2)  # goes on
    assert content(tmp_path / "a") == content(tmp_path / "b")
    for record in made:
        degraded, pristine = (read_rgb(tmp_path / "a" / record["files"][r]) for r in ("degraded", "pristine"))
        crop = record["crop"]
        window = np.s_[crop["top"] : crop["top"] + 64, crop["left"] : crop["left"] + 64]
        assert np.array_equal(read_rgb(Path(record["source"]))[window], pristine)
        assert degraded.shape == pristine.shape == (64, 64, 3) and 10 < record["psnr_y"] < 60
    assert [r["index"] for r in records(tmp_path / "a")] == list(range(5))
    other, _ = make_pairs(files, tmp_path / "c", Making("r2", 64, seed=4), 5)
    assert [r["crop"] for r in other] != [r["crop"] for r in made]


def test_presets_that_shrink_and_pictures_that_are_small(tmp_path: Path) -> None:
    save(tmp_path / "data" / "a.png", picture(5, 50, 90))
    made, _ = make_pairs(find_images(tmp_path / "data"), tmp_path / "out", Making("x2", 64), 1)
    assert read_rgb(tmp_path / "out" / made[0]["files"]["degraded"]).shape == (32, 32, 3)
    assert read_rgb(tmp_path / "out" / made[0]["files"]["pristine"]).shape == (64, 64, 3)


def test_r4s_triplets_are_aligned() -> None:
    whole = picture(6, 240, 320)
    augmented = 0
    for seed in range(12):
        triplet, (top, left) = make_triplet(whole, 128, np.random.default_rng(seed))
        assert triplet.hr.shape == triplet.teacher.shape == (128, 128, 3)
        assert triplet.student.shape == (32, 32, 3) and top % 4 == left % 4 == 0
        # Inside, the teacher's input is the student's enlarged; at the rim it knows what lies beyond.
        enlarged = d.resize(triplet.student, 128, 128, "bicubic").astype(int)
        off = np.abs(enlarged - triplet.teacher)[12:-12, 12:-12]
        assert off.max() <= 6 and off.mean() < 0.5  # Pillow rounds between its passes, which a turn swaps
        turned = not np.array_equal(triplet.hr, whole[top : top + 128, left : left + 128])
        augmented += turned
        # Whatever the turn, input and target show the same: their coarse structure agrees.
        coarse = [
            d.resize(image, 16, 16, "bilinear").astype(float).ravel()
            for image in (triplet.hr, triplet.teacher)
        ]
        assert np.corrcoef(*coarse)[0, 1] > 0.8
    assert 2 <= augmented <= 10


def test_excluded_pictures_are_left_out_and_counted(data: Path, tmp_path: Path) -> None:
    image = Image.open(find_images(data / "val")[0].path)
    image.resize((180, 150)).save(save(tmp_path / "data" / "leak.png", picture(8)))
    save(tmp_path / "data" / "fair.png", picture(9))
    done = run(
        "pairs", "--data", "data", "-o", "out", "--count", "4", "--preset", "r1", "--size", "64",
        "--exclude", str(data / "val"), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 pairs in out" in done.stdout and "1 pictures left out" in done.stdout
    assert {Path(str(r["source"])).name for r in records(tmp_path / "out")} == {"fair.png"}
    done = run(
        "patches", "--data", "data", "-o", "cut", "--size", "32", "--exclude", str(data / "val"), cwd=tmp_path
    )
    assert "from 1 pictures" in done.stdout and "1 pictures left out" in done.stdout
    (tmp_path / "data" / "fair.png").unlink()
    done = run(
        "pairs", "--data", "data", "-o", "n", "--count", "1", "--exclude", str(data / "val"), cwd=tmp_path
    )
    assert done.returncode == 1 and "all 1 pictures show what --exclude holds" in done.stderr
    assert not (tmp_path / "n").exists()


def test_validation_pictures_of_a_data_folder_are_not_taken(data: Path, tmp_path: Path) -> None:
    done = run(
        "pairs",
        "--data",
        str(data),
        "-o",
        "o",
        "--count",
        "8",
        "--preset",
        "r1",
        "--size",
        "64",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert all("/train-0/" in str(r["source"]) for r in records(tmp_path / "o"))


# Frames of videos


def blurred(image: np.ndarray) -> np.ndarray:
    return d.GaussianBlur((6, 6), (31,))(image, np.random.default_rng(0))


def test_frames_are_taken_at_intervals_and_sorted_out(data: Path, tmp_path: Path) -> None:
    known = read_rgb(find_images(data / "val")[0].path)
    scenes = [picture(11), picture(12), picture(12), known, blurred(picture(14)), picture(15)]
    video(tmp_path / "a.mp4", scenes)
    arguments = ["frames", ".", "-o", "out", "--every", "1", "--exclude", str(data / "val")]
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 frames of 1 videos" in done.stdout and "1 repeated, 1 blurred; 1 frames left" in done.stdout
    (record,) = records(tmp_path / "out")
    assert [frame["time_s"] for frame in record["frames"]][::2] == [0.0, 5.0]
    first = find_images(tmp_path / "out")[0]
    assert np.abs(read_rgb(first.path).astype(int) - picture(11)).mean() < 12  # 4:2:0 colour
    before = content(tmp_path / "out")
    video(tmp_path / "b.mp4", [picture(16), picture(17)])
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and "5 frames of 2 videos" in done.stdout
    after = content(tmp_path / "out")
    assert {k: v for k, v in after.items() if k in before and k != "manifest.jsonl"} == {
        k: v for k, v in before.items() if k != "manifest.jsonl"
    }


def test_a_changed_video_is_taken_anew(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", [picture(18)])
    run("frames", "a.mp4", "-o", "out", "--format", "webp", cwd=tmp_path)
    video(tmp_path / "a.mp4", [picture(19), picture(20)])
    done = run("frames", "a.mp4", "-o", "out", "--format", "webp", "--every", "1", cwd=tmp_path)
    assert done.returncode == 1 and "other settings: every_s 2.0 (now 1.0)" in done.stderr
    done = run("frames", "a.mp4", "-o", "out", "--format", "webp", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (image,) = find_images(tmp_path / "out")
    assert image.path.suffix == ".webp" and len(records(tmp_path / "out")) == 1
    assert np.abs(read_rgb(image.path).astype(int) - picture(19)).mean() < 12


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_is_honoured(rotation: int, turns: int, tmp_path: Path) -> None:
    image = picture(21, 96, 160)
    video(tmp_path / "a.mp4", [image], rotation=rotation)
    done = run("frames", "a.mp4", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    taken = read_rgb(find_images(tmp_path / "out")[0].path)
    expected = np.rot90(image, turns)
    assert taken.shape == expected.shape and np.abs(taken.astype(int) - expected).mean() < 12


def test_damaged_videos_are_named_and_skipped(tmp_path: Path) -> None:
    video(tmp_path / "good.mp4", [picture(22)])
    content = video(tmp_path / "cut.mkv", [picture(23, 480, 640)] * 3).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_bytes(b"no video at all" * 99)
    done = run("frames", ".", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "1 frames of 1 videos" in done.stdout
    for name in ("cut.mkv", "empty.mp4", "text.mp4"):
        assert name in done.stderr
    assert len([p for p in (tmp_path / "out").iterdir() if p.is_dir()]) == 1


def test_links_without_yt_dlp_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from keenframe_train.data.frames import Extraction, extract_frames

    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    made, failed = extract_frames(["https://localhost/a.mp4"], tmp_path / "out", Extraction())
    assert made == [] and "pip install 'keenframe[links]'" in failed[0]["error"]


def test_links_are_fetched(tmp_path: Path) -> None:
    pytest.importorskip("yt_dlp")
    (tmp_path / "site").mkdir()
    video(tmp_path / "site" / "a.mp4", [picture(24)])
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        link = f"http://127.0.0.1:{server.server_port}"
        done = run("frames", f"{link}/a.mp4", f"{link}/none.mp4", "-o", "out", cwd=tmp_path)
        server.shutdown()
    assert done.returncode == 1 and "1 frames of 1 videos" in done.stdout, done.stderr
    assert "cannot fetch" in done.stderr and "none.mp4" in done.stderr
    assert len(find_images(tmp_path / "out")) == 1 and not list((tmp_path / "out").rglob("*.mp4"))


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frames", "empty", "-o", "o"], "no video below empty"),
        (["frames", "missing.mp4", "-o", "o"], "'missing.mp4' does not exist"),
        (["frames", "empty", "-o", "o", "--every", "0"], "--every needs a number of seconds above 0"),
        (["frames", "empty", "-o", "o", "--format", "gif"], "unknown format 'gif'; expected png or webp"),
        (["frames", "empty", "-o", "o", "--distance", "65"], "0 to 64; got 65"),
        (["frames", "empty", "-o", "o", "--blur", "1"], "from 0 to below 1"),
        (["patches", "--data", "empty", "-o", "o"], "no image found below"),
        (["patches", "--data", "missing", "-o", "o"], "data folder 'missing' does not exist"),
        (["patches", "--data", "some", "-o", "o", "--size", "33"], "even number of pixels"),
        (["patches", "--data", "some", "-o", "o", "--per-picture", "0"], "--per-picture is at least 1"),
        (["patches", "--data", "some", "-o", "o", "--stride", "3"], "--stride is an even number"),
        (["patches", "--data", "some", "-o", "file"], "cannot write to 'file'"),
        (["patches", "--data", "some", "-o", "some"], "'some' holds other files"),
        (["pairs", "--data", "some", "-o", "o", "--count", "0"], "--count is at least 1; got 0"),
        (
            ["pairs", "--data", "some", "-o", "o", "--count", "1", "--preset", "rain"],
            "unknown degradation 'rain'",
        ),
        (["pairs", "--data", "some", "-o", "o", "--count", "1", "--size", "100"], "a multiple of 16"),
        (
            ["pairs", "--data", "some", "-o", "o", "--count", "1", "--triplets", "--preset", "r2"],
            "triplets are R4's",
        ),
        (
            ["pairs", "--data", "some", "-o", "o", "--count", "1", "--exclude", "gone"],
            "'gone' does not exist",
        ),
        (["leaks", "--train", "empty", "--val", "some"], "no image found below empty"),
        (["leaks", "--train", "some", "--val", "some", "--distance", "-1"], "0 to 64; got -1"),
        (["render", "text", "-o", "o", "--count", "0"], "--count is at least 1; got 0"),
        (["render", "poem", "-o", "o", "--count", "1"], "unknown kind of screen 'poem'"),
        (["render", "text", "-o", "o", "--count", "1", "--size", "big"], "--size is WIDTHxHEIGHT"),
        (["render", "text", "-o", "file/below", "--count", "1"], "cannot write to 'file/below'"),
    ],
)
def test_bad_input_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    save(tmp_path / "some" / "a.png", picture(30))
    before = content(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, TrainError), result.output
    assert message in str(result.exception)
    assert content(tmp_path) == before and not (tmp_path / "o").exists()
