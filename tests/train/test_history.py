from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import Quality, gains, score
from keenframe_train.figures import write_figures
from keenframe_train.history import FILE, Journal, Means, read_history
from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(name="tiny", network=NetworkSpec("light"), mix="r2", schedule="plateau")
SHEET = np.zeros((8, 8, 3), np.uint8)


def write(folder: Path, last: int, step: int = 0) -> None:
    """A run of `last` steps with a validation at every fifth, from `step` on."""
    journal = Journal(folder, step, active=True)
    for now in range(step + 1, last + 1):
        run = {"loss": 1 / now, "grad_norm": 0.5, "rate": 1e-3, "seconds": float(now), "steps_per_s": 2.0}
        journal.train(now, run, {"l1": 0.5 / now, "ssim": 0.1})
        if now % 5 == 0:
            kinds = {
                "r2": Quality(27 + now / 10, 0.88 + now / 1000, 26.5, 0.87),
                "clean": Quality(50, 1, 50, 1),
            }
            journal.validation(now, kinds, Quality(28, 0.9, 26, 0.86), SHEET)
    journal.close()


def test_history_is_kept_up_to_the_step_that_a_run_goes_on_from(tmp_path: Path) -> None:
    write(tmp_path, 12)
    with (tmp_path / FILE).open("a") as file:
        file.write('{"event": "train", "st')  # what a crash leaves
    assert [r["step"] for r in read_history(tmp_path)][-1] == 12
    write(tmp_path, 15, step=8)
    steps = [r["step"] for r in read_history(tmp_path)]
    assert steps == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 15, 15]
    write(tmp_path, 3)
    assert len(read_history(tmp_path)) == 3


def test_missing_and_damaged_history_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"no history\.jsonl in"):
        read_history(tmp_path)
    (tmp_path / FILE).write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(TrainError, match="line 2 of"):
        read_history(tmp_path)


def test_only_one_process_writes(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, active=False)
    journal.train(1, {"loss": 1.0}, {})
    journal.close()
    assert not list(tmp_path.iterdir())


def test_means_start_anew() -> None:
    means = Means()
    for value in (1.0, 3.0):
        means.add({"a": torch.tensor(value), "b": torch.tensor(0.0)})
    assert list(means.sums) == ["a", "b"] and means.take().tolist() == [2.0, 0.0]
    means.add({"a": torch.tensor(5.0), "b": torch.tensor(1.0)})
    assert means.take().tolist() == [5.0, 1.0]


def test_the_figures_show_something(tmp_path: Path) -> None:
    write(tmp_path, 40)
    assert [path.name for path in write_figures(tmp_path, RECIPE)] == ["training.png", "ssim.png"]
    for name, colors in (("training.png", 200), ("ssim.png", 50)):
        picture = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert min(picture.shape[:2]) > 600
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > colors
    assert not list(tmp_path.glob("*.part"))


def test_a_run_without_a_validation_has_one_figure(tmp_path: Path) -> None:
    write(tmp_path, 3)
    assert [path.name for path in write_figures(tmp_path, RECIPE)] == ["training.png"]
    (tmp_path / FILE).write_text("")
    assert write_figures(tmp_path, RECIPE) == []


def test_clean_pictures_do_not_choose_the_best() -> None:
    quality: dict[str, Any] = {"r2": Quality(28, 0.9, 26.5, 0.87), "clean": Quality(49, 1, 50, 1)}
    assert gains(quality) == {"r2": 1.5, "clean": 49} and score(quality) == 1.5
    assert json.loads(json.dumps(quality["r2"].to_dict())) == {
        "psnr": 28, "ssim": 0.9, "base_psnr": 26.5, "base_ssim": 0.87,
    }  # fmt: skip
