"""Networks of the lab in the loop: RGB, x4, teachers, controls, early ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from keenframe_train.checkpoint import load_checkpoint, save_checkpoint
from keenframe_train.data.bank import Bank, build_bank
from keenframe_train.data.images import find_images
from keenframe_train.data.presets import mix
from keenframe_train.data.validation import Sample, validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import measure
from keenframe_train.export.package import load_network
from keenframe_train.history import read_history
from keenframe_train.loop import fit
from keenframe_train.nets.load import load_any
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec

from .conftest import drawing

TEACHER = Recipe(
    name="teacher", network=NetworkSpec("edsr", {"features": 8, "blocks": 1}), losses={"l1": 1.0}, color="rgb",
    mix="r2", bank_items=8, bank_size=96, batch=2, patch=48, steps=4, rate=1e-3, warmup=1, validate_every=2,
    save_every=4, ema=0,
)  # fmt: skip
STUDENT = NetworkSpec("plain", {"features": 8, "blocks": 1})


def cpu() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def pairs(data: Path, folder: Path, recipe: Recipe) -> Bank:
    files = find_images(data / "train-0")
    return build_bank(
        folder, files, mix(recipe.mix), recipe.bank_items, size=recipe.bank_size, color="rgb", workers=1
    )


def windows(data: Path, recipe: Recipe) -> list[Sample]:
    return validation_samples(find_images(data / "val"), mix(recipe.mix).validation, 1, 96, color="rgb")


@pytest.fixture(scope="module")
def rgb(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return pairs(data, tmp_path_factory.mktemp("rgb"), TEACHER)


@pytest.fixture(scope="module")
def samples(data: Path) -> list[Sample]:
    return windows(data, TEACHER)


@pytest.fixture(scope="module")
def teacher(rgb: Bank, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    with drawing():
        fit(TEACHER, rgb, samples, folder, fabric=cpu(), workers=0)
    return folder


def test_a_run_leaves_weights_history_and_figures(teacher: Path, samples: list[Sample]) -> None:
    names = {path.name for path in teacher.iterdir()}
    assert names >= {
        "best.pt",
        "last.pt",
        "history.jsonl",
        "samples.png",
        "training.png",
        "ssim.png",
        "tensorboard",
    }
    network, state = load_any(teacher)
    assert type(network).__name__ == "EDSR" and not network.training
    reached = measure(network, samples)["r2"].to_dict()
    assert reached == pytest.approx(state["quality"]["r2"], abs=1e-4)
    lines = read_history(teacher)
    assert [line["step"] for line in lines if line["event"] == "validation"] == [2, 4]
    assert {"loss", "terms", "rate", "grad_norm", "seconds", "steps_per_s"} <= lines[0].keys()
    with pytest.raises(TrainError, match="holds no keen network but EDSR"):
        load_network(teacher / "best.pt")


def test_teachers_teach_and_the_control_sees_the_same_pairs(
    teacher: Path, rgb: Bank, samples: list[Sample], tmp_path: Path
) -> None:
    recipe = replace(
        TEACHER, name="student", network=STUDENT, optimizer="adam",
        teachers=(TeacherSpec(TEACHER.network, str(teacher)),), distill={"response-mse": 0.3, "features": 0.1},
    )  # fmt: skip
    fit(recipe, rgb, samples, tmp_path / "student", fabric=cpu(), workers=0)
    fit(recipe.control(), rgb, samples, tmp_path / "control", fabric=cpu(), workers=0)
    first, alone = (read_history(tmp_path / name)[0]["terms"] for name in ("student", "control"))
    assert first["l1"] == alone["l1"] and set(first) == {"l1", "response-mse", "features"}
    state = load_checkpoint(tmp_path / "student" / "last.pt")
    assert state["adapters"] and not any("teacher" in name for name in [*state["model"], *state["adapters"]])
    weights = [load_checkpoint(tmp_path / name / "last.pt")["model"] for name in ("student", "control")]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with pytest.raises(TrainError, match="holds network 'edsr', the recipe's teacher is 'unet'"):
        wrong = replace(recipe, teachers=(TeacherSpec(NetworkSpec("unet"), str(teacher)),))
        fit(wrong, rgb, samples, tmp_path / "wrong", fabric=cpu(), workers=0)


def test_a_cache_of_the_teacher_serves_outputs(
    teacher: Path, rgb: Bank, samples: list[Sample], tmp_path: Path
) -> None:
    recipe = replace(
        TEACHER, name="student", network=STUDENT, steps=2,
        teachers=(TeacherSpec(TEACHER.network, str(teacher)),), distill={"response-l1": 0.3},
    )  # fmt: skip
    for name, cache in (("live", None), ("cached", tmp_path / "cache")):
        fit(recipe, rgb, samples, tmp_path / name, fabric=cpu(), workers=0, teacher_cache=cache)
    live, cached = (read_history(tmp_path / name)[0]["terms"] for name in ("live", "cached"))
    assert cached["l1"] == live["l1"] and cached["response-l1"] == pytest.approx(live["response-l1"], rel=0.2)
    with pytest.raises(TrainError, match="a teacher cache needs a recipe with teachers"):
        fit(recipe.control(), rgb, samples, tmp_path / "c", fabric=cpu(), workers=0, teacher_cache=tmp_path)
    turned = replace(recipe, teachers=(replace(recipe.teachers[0], turned=True),))
    for changed, message in ((turned, "another answer"), (replace(recipe, jitter=0.5), "colour jitter")):
        with pytest.raises(TrainError, match=message):
            fit(
                changed,
                rgb,
                samples,
                tmp_path / "d",
                fabric=cpu(),
                workers=0,
                teacher_cache=tmp_path / "none",
            )
    assert not (tmp_path / "none").exists() and not (tmp_path / "d").exists()


def test_a_x4_student_learns_from_a_teacher_of_the_full_size(data: Path, tmp_path: Path) -> None:
    recipe = replace(
        TEACHER, name="x4", network=NetworkSpec("rrdbnet-lite", {"features": 8, "blocks": 1, "growth": 4}), mix="r4",
        teachers=(TeacherSpec(NetworkSpec("unet", {"features": 8})),), distill={"response-l1": 0.3}, jitter=0.5,
    )  # fmt: skip
    bank, samples = pairs(data, tmp_path / "bank", recipe), windows(data, recipe)
    assert bank.degraded.shape == (8, 24, 24, 3) and bank.scale == 4 and bank.color == "rgb"
    assert samples[0].degraded.shape == (24, 24, 3)
    result = fit(recipe, bank, samples, tmp_path / "run", fabric=cpu(), workers=0)
    assert set(result.quality) == {"r4-small"}


def test_a_run_that_gains_nothing_ends_early_and_stays_ended(
    rgb: Bank, samples: list[Sample], tmp_path: Path
) -> None:
    # A rate of nearly nothing: the first validation is the best, or a tie.
    recipe = replace(TEACHER, rate=1e-30, final_rate=0.0, steps=40, validate_every=1, early_stopping=3)
    for _ in range(2):
        fit(recipe, rgb, samples, tmp_path, fabric=cpu(), workers=0)
        assert load_checkpoint(tmp_path / "last.pt")["step"] == 4
        assert load_checkpoint(tmp_path / "best.pt")["step"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"color": "luma"}, "says luma, its network takes 3 channels and the bank holds rgb"),
        ({"network": NetworkSpec("keen")}, "its network takes 1 channels"),
        ({"network": NetworkSpec("rrdbnet-lite")}, "enlarges x4, the bank's pairs x1"),
        ({"network": NetworkSpec("unet"), "patch": 49}, "patch is 49; expected a multiple of 2"),
        ({"network": NetworkSpec("vdsr")}, "no network 'vdsr'"),
        ({"losses": {"l3": 1.0}}, "unknown loss 'l3'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    change: dict[str, object], message: str, rgb: Bank, samples: list[Sample], tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match=message):
        fit(replace(TEACHER, **change), rgb, samples, tmp_path, fabric=cpu(), workers=0)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_start_that_does_not_fit_is_refused(rgb: Bank, samples: list[Sample], tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "other.pt", {"model": {}})
    with pytest.raises(TrainError, match="no tensor of the starting checkpoint fits"):
        fit(TEACHER, rgb, samples, tmp_path / "run", fabric=cpu(), workers=0, start=tmp_path / "other.pt")


def test_a_gradient_that_is_not_finite_stops(rgb: Bank, samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="gradient norm inf"):
        recipe = replace(TEACHER, losses={"l1": 3e38})
        bright = replace(rgb, pristine=np.full_like(rgb.pristine, 255), degraded=np.zeros_like(rgb.degraded))
        fit(recipe, bright, samples, tmp_path, fabric=cpu(), workers=0)
    assert load_checkpoint(tmp_path / "bad-batch.pt")["step"] == 0
