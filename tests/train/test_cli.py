from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keenframe_train.cli import app, main
from keenframe_train.data.codecs import CodecSetting, luma_frame
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.clips import ClipScore, Sending, clips_table, evaluate_clips, read_luma, send
from keenframe_train.evaluate.report import BEGIN, END
from keenframe_train.evaluate.stills import means, unsharp_mask

from .conftest import drawing, picture

TINY = """
from keenframe_train.recipe import NetworkSpec, Recipe
TINY = NetworkSpec("keen", {"head": 8, "trunk": 8, "blocks": 1})
RECIPE = Recipe(name="tiny", network=TINY, batch=2, patch=64, bank_items=16, bank_size=96,
                steps=6, validate_every=3, save_every=3)
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process: a new one would load torch again, which takes longer than the command."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["keenframe-train", *arguments])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def test_from_pictures_to_a_measured_model(data: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text(TINY)
    (tmp_path / "README.md").write_text(f"# x\n{BEGIN}\nold\n{END}\nend\n")
    done = run("fit", "recipe.py", "--data", str(data), "--precision", "32-true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with drawing():
        done = run("fit", "recipe.py", "--data", str(data), "--control", "--steps", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/tiny-control/training.png").exists() and len(
        list((tmp_path / "banks").iterdir())
    ) == 1
    done = run(
        "export", "runs/tiny/best.pt", "--data", str(data), "--name", "tiny", "--frames", "4", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models/tiny.onnx").exists() and (tmp_path / "models/tiny-int8.onnx").exists()
    done = run(
        "evaluate", "--data", str(data), "--model", "models/tiny.onnx", "--kind", "r2", "--kind", "clean",
        "--limit", "1", "--workers", "1", "--engine", "onnxruntime", "--readme", "README.md", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = [json.loads(line) for line in (tmp_path / "results/stills.jsonl").read_text().splitlines()]
    assert {(s["kind"], s["method"]) for s in scores} >= {("r2", "input"), ("r2", "models/tiny.onnx")}
    text = (tmp_path / "README.md").read_text()
    assert "| r2 |" in text and "old" not in text and text.endswith("end\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nope", "--data", "."], "no recipe 'nope'"),
        (["bank", "keen", "--data", "missing"], "data folder 'missing' does not exist"),
        (
            ["reproduce", "keen", "--data", ".", "--precision", "f7"],
            "cannot train on 1 x auto in f7: Precision",
        ),
        (["reproduce", "keen", "--data", ".", "--device", "abacus"], "cannot train on 1 x abacus"),
        (["export", "none.pt", "--data", "."], "checkpoint 'none.pt' does not exist"),
        (["reproduce", "edsr-plain", "--data", "missing"], "data folder 'missing' does not exist"),
        (["evaluate", "--data", "missing"], "data folder 'missing' does not exist"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_package_is_a_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "keenframe_train", "bank", "keen", "--data", "missing"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("keenframe-train: data folder 'missing'") and "Traceback" not in done.stderr


def test_help_names_the_commands() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    commands = (
        "frames",
        "patches",
        "pairs",
        "render",
        "leaks",
        "bank",
        "fit",
        "int8",
        "reproduce",
        "export",
        "evaluate",
    )
    assert all(name in text for name in commands)


def test_unsharp_mask_sharpens_edges_and_leaves_flat() -> None:
    step = np.full((16, 16), 60, np.uint8)
    step[:, 8:] = 180
    sharp = unsharp_mask(step)
    assert sharp[8, 0] == 60 and sharp[8, 7] < 60 and sharp[8, 8] > 180


def write_clip(path: Path, frames: int = 36) -> None:
    import av

    plane = picture(40, 192, 256)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        stream.options = {"crf": "12", "preset": "ultrafast"}
        for index in range(frames):
            frame = luma_frame(np.roll(plane[..., 0], index % 3, axis=1).copy())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_clips_are_halved_sent_and_judged(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mkv")
    planes = read_luma(tmp_path / "a.mkv", 32)
    assert len(planes) == 32 and planes[0].shape == (96, 128)
    sending = Sending("H.264 half", CodecSetting("h264", 30), 2)
    assert send(planes, sending)[0].shape == (48, 64)
    scores = evaluate_clips([tmp_path / "a.mkv"], [], sendings=[sending], frames=32)
    assert [s.method for s in scores] == ["input", "unsharp mask"]
    assert all(s.flicker >= 0 and 10 < s.psnr < 60 for s in scores)
    assert "| H.264 half |" in clips_table(scores)
    with pytest.raises(TrainError, match="needs at least 30"):
        read_luma(tmp_path / "a.mkv", 20)
    (tmp_path / "b.mkv").write_bytes(b"no video")
    with pytest.raises(TrainError, match="cannot read a video"):
        read_luma(tmp_path / "b.mkv", 20)


def test_a_still_error_does_not_flicker() -> None:
    from keenframe_train.evaluate.clips import _flicker

    pristine = [picture(index, 32, 32)[..., 0] for index in range(3)]
    assert _flicker([p // 2 + 60 for p in pristine], [p // 2 for p in pristine]) == 0


def test_means_of_nothing_are_nan() -> None:
    assert all(np.isnan(means([], "r2", "input")))
    assert isinstance(ClipScore("a", "b", "c", 1.0, 1.0, 0.0), ClipScore)
