"""The commands with RGB and enlarging models, and with research models on the shelf."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clips import Clip, look, make
from commands import keenframe
from conftest import picture
from keenframe import rgb
from keenframe.cli import bench
from keenframe.zoo import store
from models import build, build_rgb


def options(model: Path, engine: str = "onnxruntime") -> list[object]:
    return ["--model", model, "--engine", engine, "--threads", 1]


@pytest.fixture
def unsharp(tmp_path: Path) -> Path:
    return build_rgb(tmp_path / "unsharp.onnx", amount=0.5, size_multiple=4)


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return build_rgb(tmp_path / "four.onnx", amount=0.2, scale=4)


@pytest.mark.parametrize(("size", "suffix"), [((45, 27), "mp4"), ((45, 27), "webm"), ((64, 48), "mkv")])
def test_video_at_four_times_the_size(tmp_path: Path, four: Path, size: tuple[int, int], suffix: str) -> None:
    clip = make(
        tmp_path / "a.mkv", Clip(*size, times=[0, 40, 90], codec="ffv1", sound="aac", tags=(1, 1, 1, 1))
    )
    done = keenframe("video", clip, tmp_path / f"b.{suffix}", *options(four))
    assert done.code == 0 and "3 frames" in done.out, done.err
    after = look(tmp_path / f"b.{suffix}")
    assert after.times_s == look(clip).times_s
    assert {(frame.width, frame.height) for frame in after.frames} == {(4 * size[0], 4 * size[1])}
    assert {(int(f.colorspace), int(f.color_range)) for f in after.frames} == {(1, 1)}


def test_video_of_odd_size_through_an_rgb_model_is_padded_for_h264(tmp_path: Path, unsharp: Path) -> None:
    clip = make(tmp_path / "a.mkv", Clip(45, 27, times=[0, 40], codec="ffv1"))
    done = keenframe("video", clip, tmp_path / "b.mp4", "--compare", *options(unsharp))
    assert done.code == 0 and "45x27 becomes 46x28" in done.err
    assert {(f.width, f.height) for f in look(tmp_path / "b.mp4").frames} == {(46, 28)}


def test_video_without_a_residual_is_lossless(engine: str, tmp_path: Path) -> None:
    model = build_rgb(tmp_path / "neutral.onnx")
    clip = make(tmp_path / "a.mkv", Clip(times=[0, 40, 80], codec="ffv1"))
    done = keenframe("video", clip, tmp_path / "b.mkv", "--codec", "ffv1", *options(model, engine))
    assert done.code == 0, done.err
    with av.open(str(clip)) as before, av.open(str(tmp_path / "b.mkv")) as after:
        for old, new in zip(before.decode(video=0), after.decode(video=0), strict=True):
            np.testing.assert_array_equal(old.to_ndarray(), new.to_ndarray())


@pytest.mark.parametrize("compare", [False, True])
def test_image_at_four_times_the_size_with_alpha(tmp_path: Path, four: Path, compare: bool) -> None:
    pixels = np.dstack([picture(20, 30), np.full((20, 30), 128, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    flags = ["--compare"] if compare else []
    done = keenframe("image", tmp_path / "a.png", "-o", tmp_path / "b.png", *flags, *options(four))
    assert (done.code, done.err) == (0, "")
    result = np.asarray(Image.open(tmp_path / "b.png"))
    assert result.shape == (80, 244 if compare else 120, 4)
    assert (result[:, -120:, 3] == 128).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_images_of_every_kind(tmp_path: Path, engine: str, mode: str, unsharp: Path) -> None:
    pixels = picture(32, 40)
    array = {"L": pixels[:, :, 0], "RGB": pixels, "I;16": pixels[:, :, 0].astype(np.uint16) * 257}[mode]
    Image.fromarray(array).save(tmp_path / "a.png")
    done = keenframe("image", tmp_path / "a.png", "-o", tmp_path / "b.png", *options(unsharp, engine))
    assert (done.code, done.err) == (0, "")
    assert Image.open(tmp_path / "b.png").mode == mode
    off = keenframe(
        *("image", tmp_path / "a.png", "-o", tmp_path / "c.png", "--strength", 0), *options(unsharp, engine)
    )
    assert off.code == 0 and np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), array)


def test_a_luma_model_of_scale_four_does_pictures_and_videos(tmp_path: Path) -> None:
    model = build(tmp_path / "luma-four.onnx", amount=0.1, scale=4, size_multiple=1, radius=8)
    Image.fromarray(picture(20, 30)).save(tmp_path / "a.png")
    assert keenframe("image", tmp_path / "a.png", "-o", tmp_path / "b.png", *options(model)).code == 0
    assert Image.open(tmp_path / "b.png").size == (120, 80)
    clip = make(tmp_path / "a.mkv", Clip(45, 27, times=[0, 40], codec="ffv1"))
    assert keenframe("video", clip, tmp_path / "b.mp4", *options(model)).code == 0
    assert {(f.width, f.height) for f in look(tmp_path / "b.mp4").frames} == {(180, 108)}


def test_too_large_for_a_whole_picture_model_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rgb, "WHOLE_PIXELS", 1000)
    model = build_rgb(tmp_path / "whole.onnx", by_mean=0.1)
    Image.fromarray(picture(40, 60)).save(tmp_path / "a.png")
    clip = make(tmp_path / "a.mkv", Clip(times=[0, 40]))
    for command in (["image", "a.png", "-o", "b.png"], ["video", "a.mkv", "b.mkv"]):
        paths = [tmp_path / word if "." in word else word for word in command]
        done = keenframe(*paths, *options(model))
        assert done.code == 1 and "reads the whole picture at once" in done.err
        assert done.err.count("\n") == 1 and "Traceback" not in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mkv", "a.png", "whole.onnx"]
    assert clip.exists()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder with keen, and two research models."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    build(
        folder / "keen.onnx",
        measured={"steps": 3, "gain": {"r1": 2.8464, "r2": 3.0}},
        recipe='{"name": "keen"}',
    )
    build_rgb(folder / "edsr-plain.onnx", recipe="edsr-plain", measured={"Set5 PSNR-Y, dB": 37.0})
    build_rgb(folder / "unet-rrdb-x4.onnx", scale=4, recipe="unet-rrdb-x4")
    monkeypatch.setattr(store, "MODELS", folder)
    return folder


def test_models_lists_the_research_models_apart(shelf: Path) -> None:
    done = keenframe("models")
    assert done.code == 0
    own, _, research = done.out.partition("research")
    for word in ("name", "scale", "colour", "precision", "kB", "what for"):
        assert word in own
    line = next(line for line in own.splitlines() if line.startswith("keen"))
    assert "x1" in line and "luma" in line and "float32" in line
    assert "edsr-plain" not in own and "rgb" in research
    assert "x4" in research and "Set5 PSNR-Y, dB: 37" in keenframe("models", "edsr-plain").out
    listed = {spec["name"]: spec["role"] for spec in json.loads(keenframe("models", "--json").out)}
    assert listed == {"keen": "flagship", "edsr-plain": "research", "unet-rrdb-x4": "research"}


def test_models_of_two_experts_name_both(shelf: Path) -> None:
    build(
        shelf / "keen.onnx",
        route=(0.0,) * 129,
        recipe='{"experts": [{"name": "keen"}, {"name": "keen-full"}]}',
        measured={"experts": [{"gain": {"r1": 2.8464}, "steps": 3}, {"gain": {"call-full": 0.12}}]},
    )
    card = keenframe("models", "keen").out
    assert "recipe: keen + keen-full" in card
    assert "measured, expert 1:" in card and "    r1: 2.85" in card
    assert "measured, expert 2:" in card and "    call-full: 0.12" in card
    card = keenframe("models", "keen").out
    assert "route: a rule of 129 numbers" in card and "0.0, 0.0" not in card


def test_models_without_a_flagship(shelf: Path) -> None:
    (shelf / "keen.onnx").unlink()
    done = keenframe("models")
    assert done.code == 0 and "edsr-plain" in done.out


def test_doctor_lists_all(shelf: Path) -> None:
    done = keenframe("doctor")
    assert done.code == 0, done.out
    assert "✓ flagship, version 0, x1, luma" in done.out and "✓ research, version 0, x4, rgb" in done.out


def test_bench_measures_the_flagship_unless_asked(shelf: Path) -> None:
    assert bench._models() == ["keen-float"]
    done = keenframe(
        *("bench", "--model", "edsr-plain", "--model", "unet-rrdb-x4", "--engine", "onnxruntime"),
        *("--size", "96x64", "--frames", 3, "--threads", 1, "--json", shelf / "bench.json"),
    )
    assert done.code == 0, done.err
    rows = json.loads((shelf / "bench.json").read_text())["rows"]
    assert [(row["model"], row["scale"]) for row in rows] == [("edsr-plain", 1), ("unet-rrdb-x4", 4)]
    assert all(row["median_ms"] > 0 and row["network_median_ms"] > 0 for row in rows)
