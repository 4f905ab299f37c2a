from __future__ import annotations

import pytest
import torch

from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches
from keenframe_train.export.onnx_file import radius
from keenframe_train.nets.keen import Keen, KeenConfig, upsample_base
from keenframe_train.recipe import load_recipe

TINY = KeenConfig(head=8, trunk=8, blocks=1)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_starts_as_the_enlarged_input(scale: int) -> None:
    model = Keen(KeenConfig(scale=scale, head=8, trunk=8, blocks=1))
    x = torch.rand(2, 1, 32, 48)
    output = model(x, torch.randn(2, 128))
    assert output.shape == (2, 1, 32 * scale, 48 * scale)
    assert torch.equal(output, x if scale == 1 else upsample_base(x, scale))


@pytest.mark.parametrize("recipe", ["keen", "keen-full"])
def test_parameter_count_of_the_recipe(recipe: str) -> None:
    options = load_recipe(recipe).network.options
    config = KeenConfig(**options)
    inner = options.get("inner", [config.width] * config.blocks)
    head, wide, e = config.head, config.width, config.embedding
    steps = 2 * head * config.trunk * config.stride**2 + config.trunk + head * config.stride**2
    expected = (
        (128 * e + e)
        + (16 * head * 9 + head) + (e * 2 * head + 2 * head)
        + (steps if config.trunk else 0)
        + sum((wide * i * 9 + i) + (i * wide * 9 + wide) + (e * 2 * i + 2 * i) for i in inner)
        + (head * 16 * 9 + 16)
    )  # fmt: skip
    assert sum(p.numel() for p in Keen(config).parameters()) == expected


def test_calibration_gives_unit_bands(bank: Bank) -> None:
    x, y, condition = BankBatches(bank, 64, 64, 1, seed=0)[0]
    model = Keen(TINY)
    model.calibrate(x / 255, y / 255, condition)
    bands = (model._bands(x / 255) - model.input_mean[:, None, None]) / model.input_std[:, None, None]
    assert torch.allclose(bands.mean((0, 2, 3)), torch.zeros(16), atol=1e-3)
    assert bands.std((0, 2, 3)).max() < 1.01
    assert model.condition_std.min() >= 0.1


def test_the_stated_radius_covers_the_receptive_field() -> None:
    model = Keen(KeenConfig(head=8, trunk=8, blocks=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    edge, spot = 192, 101
    x = torch.rand(1, 1, edge, edge, requires_grad=True)
    model(x, torch.zeros(1, 128))[0, 0, spot, spot].backward()
    touched = torch.nonzero(x.grad[0, 0])
    reach = int((touched - spot).abs().max())
    assert 16 < reach <= radius(model.config)
