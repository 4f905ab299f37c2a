"""Mixed precision rounds inside layers, never the pictures that go in or those that the output is held to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from keenframe_train import losses
from keenframe_train.data.bank import Bank
from keenframe_train.data.images import find_images
from keenframe_train.data.validation import validation_samples
from keenframe_train.loop import fit
from keenframe_train.recipe import NetworkSpec, Recipe


def test_targets_keep_all_256_code_values(
    bank: Bank, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def watching(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append(target)
        return losses.l1(output, target)

    monkeypatch.setattr(losses, "LOSSES", {"l1": lambda: losses.Loss(watching)})
    recipe = Recipe(
        name="tiny", network=NetworkSpec("keen", {"head": 8, "trunk": 8, "blocks": 1}), losses={"l1": 1.0},
        batch=2, patch=64, steps=1, validate_every=1,
    )  # fmt: skip
    samples = validation_samples(find_images(data / "val"), ("r2",), 1, 96)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    fit(recipe, bank, samples, tmp_path, fabric=fabric, workers=0)
    codes = seen[0] * 255
    assert float((codes - codes.round()).abs().max()) < 1e-3
