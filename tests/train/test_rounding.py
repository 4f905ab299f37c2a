from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.images import find_images
from keenframe_train.data.validation import validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.export.onnx_file import run_file, to_graph
from keenframe_train.export.package import export_model, load_network, store_int8
from keenframe_train.nets.keen import Keen, KeenConfig, point_names
from keenframe_train.nets.rounding import (
    Rounding,
    add_points,
    learned_convolutions,
    round_weights,
    settle_weights,
)
from keenframe_train.qat import quantize_aware

from .test_export import checkpoint

CONFIG = KeenConfig(head=8, trunk=16, blocks=2)


def test_rounding_keeps_zero_and_the_range() -> None:
    rounding = Rounding(-0.5, 2.0)
    x = torch.linspace(-1, 3, 401)
    y = rounding(x)
    assert float(rounding(torch.zeros(1))) == 0.0
    inside = (x > -0.49) & (x < 1.99)
    assert float((y - x)[inside].abs().max()) <= 2.5 / 255 / 2 + 1e-6
    assert float(y.max()) == pytest.approx(2.0, abs=0.01) and float(y.min()) == pytest.approx(-0.5, abs=0.01)


def test_gradients_pass_the_rounding_and_reach_the_step() -> None:
    rounding = Rounding(-1.0, 1.0)
    x = torch.tensor([0.3, 5.0], requires_grad=True)
    rounding(x).sum().backward()
    assert x.grad.tolist() == pytest.approx([1.0, 0.0])
    assert rounding.log_step.grad is not None and float(rounding.log_step.grad) != 0


def test_weights_settle_on_their_grid() -> None:
    net = Keen(CONFIG)
    torch.nn.init.normal_(net.tail.weight)
    round_weights(net)
    settle_weights(net)
    for layer, shared in learned_convolutions(net):
        rows = layer.weight.detach().reshape(-1, shared * layer.weight[0].numel())
        levels = rows / (rows.abs().amax(1, keepdim=True) / 127)
        assert float((levels - levels.round()).abs().max()) < 1e-3


def test_every_place_gets_its_range(bank: Bank) -> None:
    net = Keen(CONFIG)
    luma = torch.tensor(bank.degraded[:4])[:, None].float() / 255
    add_points(net, luma, torch.tensor(bank.conditions[:4]))
    assert list(net.points) == point_names(CONFIG)
    assert all(isinstance(p, Rounding) for p in net.points.values())


def test_fine_tuned_network_and_its_int8_file_agree(bank: Bank, data: Path, tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 1)
    samples = validation_samples(find_images(data / "val"), ("r2",), 1, 96)
    quantize_aware(path, bank, samples, tmp_path / "int8.pt", steps=4, batch=2, patch=64, workers=0)
    assert load_checkpoint(tmp_path / "int8.pt")["rounded"] == 4
    net, _ = load_network(tmp_path / "int8.pt")
    exported = export_model(
        path,
        tmp_path,
        samples,
        name="tiny",
        description="",
        training_data="none",
        rounded=tmp_path / "int8.pt",
    )
    assert exported.int8_file is not None
    graph = onnx.load(exported.int8_file)
    weights = [
        t for t in graph.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    ]
    # The head is in INT8 in the file alone.
    assert len(weights) == len(learned_convolutions(net)) + 1
    plane, condition = samples[0].degraded, samples[0].condition
    pixels, _ = run_file(exported.int8_file, plane, condition)
    with torch.no_grad():
        wanted = net(torch.tensor(plane)[None, None].float() / 255, torch.tensor(condition)[None])[
            0, 0
        ].numpy()
    assert np.abs(np.rint(np.clip(wanted * 255, 0, 255)) - pixels).mean() < 0.05


def test_float_weights_are_not_passed_off_as_int8(tmp_path: Path) -> None:
    net, _ = load_network(checkpoint(tmp_path, 1))
    with pytest.raises(TrainError, match="are not rounded"):
        store_int8(to_graph(net))
