from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from keenframe_train.checkpoint import load_checkpoint, save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.images import find_images
from keenframe_train.data.validation import Sample, validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.loop import fit
from keenframe_train.losses import rmse_loss
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.recipe import NetworkSpec, Recipe, load_recipe
from keenframe_train.schedule import learning_rate
from keenframe_train.start import copy_matching

RECIPE = Recipe(
    name="tiny", network=NetworkSpec("keen", {"head": 8, "trunk": 8, "blocks": 1}), batch=4, patch=64, steps=12,
    warmup=2, rate=3e-3, validate_every=6, save_every=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def samples(data: Path) -> list[Sample]:
    return validation_samples(find_images(data / "val"), ("r2", "clean"), 1, 96)


def cpu() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def test_a_run_learns_and_leaves_its_things(bank: Bank, samples: list[Sample], tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, steps=150, validate_every=50)
    result = fit(recipe, bank, samples, tmp_path, fabric=cpu(), workers=0)
    assert result.gains["r2"] > 0.05
    assert {p.name for p in tmp_path.iterdir()} >= {"best.pt", "last.pt", "samples.png", "tensorboard"}
    assert load_checkpoint(result.best)["gains"].keys() == {"r2", "clean"}


def test_an_interrupted_run_goes_on_exactly(bank: Bank, samples: list[Sample], tmp_path: Path) -> None:
    fit(RECIPE, bank, samples, tmp_path / "whole", fabric=cpu(), workers=0)
    fit(RECIPE, bank, samples, tmp_path / "parts", fabric=cpu(), workers=0, stop_after=5)
    for step in (5, 3):  # a step that is behind it already is no reason to go on
        fit(RECIPE, bank, samples, tmp_path / "parts", fabric=cpu(), workers=0, stop_after=step)
        assert load_checkpoint(tmp_path / "parts" / "last.pt")["step"] == 5
    fit(RECIPE, bank, samples, tmp_path / "parts", fabric=cpu(), workers=0)
    whole, parts = (load_checkpoint(tmp_path / n / "last.pt") for n in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 12
    for part in ("model", "ema"):
        for name, value in whole[part].items():
            assert torch.equal(value, parts[part][name]), name


def test_another_recipe_in_the_folder_is_refused(bank: Bank, samples: list[Sample], tmp_path: Path) -> None:
    fit(RECIPE, bank, samples, tmp_path, fabric=cpu(), workers=0, stop_after=1)
    with pytest.raises(TrainError, match="another recipe"):
        fit(dataclasses.replace(RECIPE, rate=1e-3), bank, samples, tmp_path, fabric=cpu(), workers=0)
    # The best weights alone, as somebody may keep them, are not lost either.
    (tmp_path / "last.pt").unlink()
    save_checkpoint(tmp_path / "best.pt", {"recipe": RECIPE.to_json()})
    with pytest.raises(TrainError, match="another recipe"):
        fit(dataclasses.replace(RECIPE, rate=1e-3), bank, samples, tmp_path, fabric=cpu(), workers=0)
    assert (tmp_path / "best.pt").exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_batch(
    bank: Bank, samples: list[Sample], tmp_path: Path
) -> None:
    broken = dataclasses.replace(bank, conditions=np.full_like(bank.conditions, np.nan))
    with pytest.raises(TrainError, match=r"loss is nan at step 0; the batch is in"):
        fit(RECIPE, broken, samples, tmp_path, fabric=cpu(), workers=0)
    assert load_checkpoint(tmp_path / "bad-batch.pt")["step"] == 0


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(RECIPE, step) for step in range(RECIPE.steps + 1)]
    assert rates[0] == RECIPE.rate / 2 and rates[2] == RECIPE.rate
    assert rates[2:] == sorted(rates[2:], reverse=True) and rates[-1] == pytest.approx(RECIPE.final_rate)


def test_every_patch_pulls_alike_whatever_its_damage() -> None:
    y = torch.rand(2, 1, 16, 16)
    output = (y + torch.tensor([0.02, 0.2])[:, None, None, None]).requires_grad_()
    rmse_loss(output, y).backward()
    light, heavy = output.grad.flatten(1).norm(dim=1).tolist()
    assert light == pytest.approx(heavy, rel=0.01)


def test_checkpoints_are_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"step": 3})
    assert load_checkpoint(path) == {"step": 3} and [p.name for p in tmp_path.iterdir()] == ["a.pt"]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(TrainError, match="no readable checkpoint"):
        load_checkpoint(path)
    with pytest.raises(TrainError, match="does not exist"):
        load_checkpoint(tmp_path / "b.pt")


def test_copying_what_fits() -> None:
    source, target = (Keen(KeenConfig(scale, 8, 8, 1)) for scale in (1, 2))
    copied = copy_matching(target, source.state_dict())
    assert torch.equal(target.blocks[0].first.weight, source.blocks[0].first.weight)
    assert copied < len(source.state_dict())
    with pytest.raises(TrainError, match="no tensor"):
        copy_matching(target, {"other": torch.zeros(1)})


@pytest.mark.parametrize("name", ["keen", "keen-base", "keen-x2", "keen-x4"])
def test_recipes_load(name: str) -> None:
    assert load_recipe(name).name == name


def test_unknown_recipe_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(
        TrainError,
        match=r"no recipe 'nope'; known: .*keen-full, .*keen-screens, keen-screens-enlarged, keen-x2, keen-x4",
    ):
        load_recipe("nope")
    (tmp_path / "recipe.py").write_text("RECIPE = 3\n")
    with pytest.raises(TrainError, match="defines no RECIPE"):
        load_recipe(str(tmp_path))
