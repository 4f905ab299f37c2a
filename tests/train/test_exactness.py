"""A run that is killed, and a run of two processes, end where a quiet run of one process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.data.bank import build_bank, open_bank
from keenframe_train.data.images import find_images
from keenframe_train.data.presets import mix
from keenframe_train.data.validation import validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.history import read_history
from keenframe_train.loop import fit
from keenframe_train.nets.registry import build
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec
from keenframe_train.start import check_fit

from .fit_child import first_gradients

TEACHER = NetworkSpec("nafnet", {"width": 4, "encoder": [1, 1], "decoder": [1, 1]})
RECIPE = Recipe(
    name="tiny", network=NetworkSpec("light", {"features": 8, "blocks": 1}), losses={"l1": 0.7, "ssim": 0.1},
    teachers=(TeacherSpec(TEACHER),), distill={"response-mse": 0.3, "features": 0.1}, color="rgb", mix="r2",
    bank_items=12, bank_size=96, batch=4, patch=48, steps=20, rate=3e-3, warmup=3, schedule="plateau", patience=1,
    validate_every=4, save_every=6,
)  # fmt: skip
CHILD = Path(__file__).with_name("fit_child.py")
SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def pairs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    build_bank(folder, find_images(data / "train-0"), mix("r2"), 12, size=96, color="rgb", workers=1)
    return folder


def child(
    pairs: Path, data: Path, out: Path, recipe: Recipe, processes: int, wait_at: int
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(pairs), str(data), str(out), recipe.to_json(), str(processes), str(wait_at)],
        env={**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def alone(recipe: Recipe, pairs: Path, data: Path, out: Path) -> dict[str, Any]:
    """The same run in this process, without any mishap; its last checkpoint."""
    bank = open_bank(pairs)
    samples = validation_samples(find_images(data / "val"), mix(recipe.mix).validation, 1, 96, color="rgb")
    fit(
        recipe,
        bank,
        samples,
        out,
        fabric=Fabric(accelerator="cpu", devices=1, precision="32-true"),
        workers=0,
    )
    return load_checkpoint(out / "last.pt")


def lasting(folder: Path) -> list[dict[str, Any]]:
    """History without what a clock decides."""
    timed = ("seconds", "steps_per_s")
    return [{key: v for key, v in record.items() if key not in timed} for record in read_history(folder)]


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def test_a_killed_run_goes_on_as_if_nothing_had_been(pairs: Path, data: Path, tmp_path: Path) -> None:
    process = child(pairs, data, tmp_path / "killed", RECIPE, 1, wait_at=10)
    assert process.stdout is not None and process.stdout.readline() == "waiting\n", process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert load_checkpoint(tmp_path / "killed" / "last.pt")["step"] == 6
    assert read_history(tmp_path / "killed")[-1]["step"] == 10
    resumed = alone(RECIPE, pairs, data, tmp_path / "killed")
    whole = alone(RECIPE, pairs, data, tmp_path / "whole")
    for part in ("model", "ema", "adapters", "optimizer", "standing", "quality", "step"):
        assert same(whole[part], resumed[part]), part
    assert whole["adapters"]
    best = [load_checkpoint(tmp_path / name / "best.pt") for name in ("whole", "killed")]
    assert same(*best)
    assert lasting(tmp_path / "killed") == lasting(tmp_path / "whole")


def test_two_processes_do_what_one_does(pairs: Path, data: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=8)
    process = child(pairs, data, tmp_path / "two", recipe, 2, wait_at=-1)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    with first_gradients() as expected:
        one = alone(recipe, pairs, data, tmp_path / "one")
    for rank in range(2):
        gradients = torch.load(tmp_path / "two" / f"gradients-{rank}.pt")
        for gradient, wanted in zip(gradients, expected, strict=True):
            assert torch.allclose(gradient, wanted, rtol=1e-3, atol=1e-6)
    two = load_checkpoint(tmp_path / "two" / "last.pt")
    # Adam divides by the gradient's size, so single weights whose gradient is nearly zero may move either way.
    for part in ("model", "ema", "adapters"):
        for name, value in one[part].items():
            assert (value - two[part][name]).norm() <= 0.01 * value.norm() + 1e-6, name
    ranks = [json.loads((tmp_path / "two" / f"rank-{rank}.json").read_text()) for rank in range(2)]
    # Windows and training crops, at two validations, in the first process alone.
    assert [rank["measured"] for rank in ranks] == [4, 0]
    assert ranks[0]["quality"] == ranks[1]["quality"] == two["quality"]
    for kind, quality in one["quality"].items():
        assert ranks[1]["quality"][kind] == pytest.approx(quality, abs=1e-3)
    for alike, together in zip(lasting(tmp_path / "one"), lasting(tmp_path / "two"), strict=True):
        if alike["event"] == "train":
            assert together["loss"] == pytest.approx(alike["loss"], rel=1e-4)
            assert together["grad_norm"] == pytest.approx(alike["grad_norm"], rel=1e-3)
            assert together["terms"] == pytest.approx(alike["terms"], rel=1e-3, abs=1e-9)


def test_a_batch_that_does_not_split_is_refused(pairs: Path) -> None:
    recipe = replace(RECIPE, batch=3)
    model = build(recipe.network.name, **recipe.network.options)
    check_fit(recipe, model, open_bank(pairs), processes=3)
    with pytest.raises(TrainError, match="a batch of 3 does not split among 2 processes"):
        check_fit(recipe, model, open_bank(pairs), processes=2)
