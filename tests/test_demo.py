"""The demo on models made here: what it writes, what it returns, what it says when something is wrong."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import models
from keenframe import demo


@pytest.fixture(scope="module")
def call() -> demo.Call:
    return demo.Call.load()


def test_the_sample_is_a_bad_call(call: demo.Call) -> None:
    assert len(call.received) == len(call.shown) == len(call.reference) == 80
    assert {(frame.width, frame.height) for frame in call.received} == {(320, 240)}
    assert {(frame.width, frame.height, frame.matrix, frame.range) for frame in call.shown} == {
        (640, 480, "bt601", "limited")
    }
    row = call.measure("as shown", call.shown)
    # The bundled decoders are bit-exact; the enlarging may differ by a code value between swscale builds.
    assert row.psnr_db == pytest.approx(24.75, abs=0.05)
    assert row.ssim == pytest.approx(0.808, abs=0.005)
    itself = [
        frame.with_planes((plane, *frame.chroma))
        for frame, plane in zip(call.shown, call.reference, strict=True)
    ]
    assert call.measure("itself", itself).ssim == pytest.approx(1.0, abs=1e-9)


def test_demo_writes_clips_pictures_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = models.build(tmp_path / "same.onnx", amount=1.0, conditioned=False)
    twice = models.build(tmp_path / "twice.onnx", amount=0.5, scale=2, conditioned=False)
    out = tmp_path / "a" / "demo-output"
    arguments = ["-o", str(out), "--model", str(same), "--model", str(twice), "--engine", "onnxruntime"]
    assert demo.main(arguments) == 0
    assert {path.name for path in out.iterdir()} == {
        "before-after.png",
        "call-same.mp4",
        "call-same-before-after.mp4",
        "still-same.png",
        "call-twice.mp4",
        "call-twice-before-after.mp4",
    }
    with av.open(str(out / "call-twice.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 80
    assert (frames[0].width, frames[0].height, int(frames[0].colorspace)) == (640, 480, 6)
    printed = capsys.readouterr().out
    for words in ("call, same on onnxruntime", "still, same on onnxruntime", "call, twice", "frames/s"):
        assert words in printed


def test_a_model_that_adds_nothing_changes_no_number(tmp_path: Path) -> None:
    nothing = models.build(tmp_path / "nothing.onnx", amount=0.0, conditioned=False)
    rows = demo.run_demo(tmp_path / "out", [str(nothing)], engine="onnxruntime")
    shown_call, shown_still, call_row, still_row = rows
    assert call_row.psnr_db == pytest.approx(shown_call.psnr_db, abs=1e-9)
    assert still_row.ssim == pytest.approx(shown_still.ssim, abs=1e-9)
    sheet = np.asarray(Image.open(tmp_path / "out" / "before-after.png"))
    assert sheet.shape == (804, 1284, 3)
    # Equal before and after, below the two titles.
    assert np.array_equal(sheet[40:, :640], sheet[40:, 644:])


def test_an_unknown_model_is_an_error_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["-o", str(tmp_path), "--model", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err
