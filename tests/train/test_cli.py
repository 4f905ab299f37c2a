from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.cli import app, main
from keenframe_train.data.codecs import luma_frame
from keenframe_train.evaluate.report import BEGIN, END
from keenframe_train.recipe import Recipe

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
        done = run(
            "fit",
            "recipe.py",
            "--data",
            str(data),
            "--control",
            "--steps",
            "1",
            "--set",
            "rate=3e-4",
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    assert Recipe.from_json(load_checkpoint(tmp_path / "runs/tiny-control/best.pt")["recipe"]).rate == 3e-4
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
        "--clips", str(write_clip(tmp_path / "clips" / "a.mkv").parent), "--frames", "17",
        "--limit", "1", "--workers", "1", "--engine", "onnxruntime", "--readme", "README.md", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results/pictures/summary.json").read_text())["results"]
    assert {"input", "unsharp", "models/tiny.onnx"} <= set(found["r2"]["all"])
    text = (tmp_path / "README.md").read_text()
    assert "| r2 |" in text and "| HEVC QP 37 |" in text and "old" not in text and text.endswith("end\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nope", "--data", "."], "no recipe 'nope'"),
        (["fit", "keen", "--data", ".", "--set", "speed=1"], "cannot set 'speed=1'"),
        (["bank", "keen", "--data", "missing"], "data folder 'missing' does not exist"),
        (
            ["reproduce", "keen", "--data", ".", "--precision", "f7"],
            "cannot train on 1 x auto in f7: Precision",
        ),
        (["reproduce", "keen", "--data", ".", "--precision", "64-true"], "Precision is one of auto, 32-true"),
        (["fit", "keen", "--data", ".", "--set", "clip=-1"], "clip is -1.0; expected a number from 0 up"),
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
        "pages",
        "leaks",
        "bank",
        "fit",
        "int8",
        "reproduce",
        "export",
        "evaluate",
        "results-page",
    )
    assert all(name in text for name in commands)


def write_clip(path: Path, frames: int = 20) -> Path:
    path.parent.mkdir()
    plane = picture(40, 192, 256)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        stream.options = {"crf": "12", "preset": "ultrafast"}
        for index in range(frames):
            frame = luma_frame(np.roll(plane[..., 0], index % 3, axis=1).copy())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
