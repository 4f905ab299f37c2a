from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from commands import keenframe, start
from conftest import picture


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two pictures and their blurred twins."""
    pristine, degraded = tmp_path / "pristine", tmp_path / "degraded"
    for folder in (pristine, degraded):
        (folder / "faces").mkdir(parents=True)
    for index in range(2):
        image = Image.fromarray(picture(64, 96, index))
        image.save(pristine / "faces" / f"{index}.png")
        image.filter(ImageFilter.GaussianBlur(1)).save(degraded / "faces" / f"{index}.png")
    return pristine, degraded


def test_a_folder_is_measured_from_the_command_line(
    folders: tuple[Path, Path], tmp_path: Path, unsharp_model: Path
) -> None:
    pristine, degraded = folders
    (pristine / "faces" / "torn.png").write_bytes(b"nothing")
    (degraded / "faces" / "torn.png").write_bytes(b"nothing")
    speed = {
        "rows": [
            {"model": "m", "engine": "e", "width": 640, "height": 360, "median_ms": 1, "p95_ms": 2, "fps": 3}
        ]
    }
    (tmp_path / "bench.json").write_text(json.dumps(speed))
    words = (
        "evaluate", pristine, "-o", tmp_path / "run", "--degraded", degraded, "--engine", "onnxruntime",
        "--method", unsharp_model, "--method", "unsharp", "--speed", tmp_path / "bench.json",
    )  # fmt: skip
    done = keenframe(*words, "--fail-under", "edge_ratio=1.05", "--fail-over", "given unsharp overshoot=99")
    assert done.code == 0, done.err
    assert "given, 2 items" in done.out and "report: " in done.out
    assert done.err.count("\n") == 1 and "not measured: faces/torn.png" in done.err
    for name in ("report.html", "summary.json", "items.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 200
    again = keenframe(*words, "--fail-under", "psnr_gain=20")
    assert again.code == 1 and "limit not kept: given, " in again.err and "is below 20" in again.err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_not_utf_8_are_written_escaped(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    name = os.fsdecode(b"caf\xe9")
    for folder in folders:
        (folder / "faces").rename(folder / name)
        (folder / name / "0.png").rename(folder / name / f"{name}.png")
    run = tmp_path / name
    started = start(
        tmp_path, "evaluate", folders[0], "-o", run, "--degraded", folders[1], "--method", "unsharp"
    )
    out, err = started.communicate(timeout=120)
    assert started.returncode == 0, err
    assert f"{tmp_path}/caf\\udce9/report.html" in out
    items, report, summary = (
        (run / file).read_text(encoding="utf-8") for file in ("items.csv", "report.html", "summary.json")
    )
    assert "given,caf\\udce9,caf\\udce9/caf\\udce9.png,unsharp," in items
    assert "caf\\udce9/caf\\udce9.png, given" in report
    assert set(json.loads(summary)["results"]["given"]) == {"all", name}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "give one of them"),
        (["--degraded", "nowhere"], "'nowhere' does not exist; expected a folder"),
        (["--degraded", "DEGRADED", "--method", "nonesuch"], "there is no model 'nonesuch'"),
        (["--degraded", "DEGRADED", "--enlarge", "nearest"], "bilinear, bicubic, lanczos; got 'nearest'"),
        (["--degraded", "DEGRADED", "--fail-under", "beauty=1"], "expected [PRESET] [METHOD] MEASURE=VALUE"),
        (["--degraded", "DEGRADED", "--speed", "nowhere.json"], "is no file that keenframe bench"),
        (
            ["--degraded", "DEGRADED", "--history", "nowhere"],
            "expected a run's folder of keenframe-train fit",
        ),
    ],
)
def test_bad_arguments_are_one_clear_line(
    folders: tuple[Path, Path], tmp_path: Path, more: list[str], message: str
) -> None:
    pristine, degraded = folders
    words = [str(degraded) if word == "DEGRADED" else word for word in more]
    done = keenframe("evaluate", pristine, "-o", tmp_path / "run", *words)
    assert done.code == 1 and message in done.err and "Traceback" not in done.err
    assert not (tmp_path / "run").exists()
