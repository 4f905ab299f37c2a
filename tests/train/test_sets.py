"""`keenframe-train sets`: models on the literature's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keenframe_train.errors import TrainError
from keenframe_train.reproduction.compare import set_scores

from .conftest import picture
from .test_cli import run


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder whose Set5 holds two pictures, of odd sides."""
    folder = tmp_path / "data" / "sets" / "Set5"
    folder.mkdir(parents=True)
    for seed in range(2):
        Image.fromarray(picture(seed, 97, 121)).save(folder / f"{seed}.png")
    return tmp_path / "data"


def test_models_are_measured_as_the_literature_does(sets: Path, tmp_path: Path) -> None:
    done = run("sets", "keen", "keen-x2", "edsr-plain", "--data", str(sets), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [line.split("|")[2].strip() for line in lines[:1]] == ["Set5"]
    found = {line.split("|")[1].strip(): float(line.split("|")[2].split()[0]) for line in lines[2:]}
    assert list(found) == ["bicubic", "unsharp mask", "keen", "keen-x2", "edsr-plain"]
    assert all(10 < value < 60 for value in found.values())


def test_the_border_and_odd_rows_do_not_count(sets: Path) -> None:
    seen = []

    def spoilt(small: np.ndarray, shown: np.ndarray) -> np.ndarray:
        seen.append((small.shape, shown.shape))
        marked = shown.copy()
        marked[:2], marked[-2:], marked[:, :2], marked[:, -2:] = 0, 0, 0, 0
        return marked

    scores = {
        (score.name, score.method): score.psnr
        for score in set_scores({"spoilt": spoilt}, sets / "sets" / "Set5")
    }
    assert seen == [((48, 60, 3), (96, 120, 3))] * 2
    for name in ("0.png", "1.png"):
        assert scores[name, "spoilt"] == scores[name, "bicubic"]


def test_what_cannot_be_measured_is_refused(sets: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    done = run("sets", "keen", "--data", str(nothing), cwd=tmp_path)
    assert done.returncode == 1 and "has neither Set5 nor Set14" in done.stderr
    done = run("sets", "keen-x4", "--data", str(sets), cwd=tmp_path)
    assert done.returncode == 1 and "'keen-x4' enlarges x4" in done.stderr
    done = run("sets", "no-such", "--data", str(sets), cwd=tmp_path)
    assert done.returncode == 1 and "no-such" in done.stderr
    (nothing / "Set5").mkdir()
    with pytest.raises(TrainError, match="no picture in"):
        set_scores({}, nothing / "Set5")
