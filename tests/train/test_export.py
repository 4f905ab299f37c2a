from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from keenframe import Sharpener
from keenframe.condition import band_statistics
from keenframe.metrics import luma
from keenframe.zoo.store import read_spec
from keenframe_train.checkpoint import save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.images import find_images
from keenframe_train.data.validation import Sample, validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.export.onnx_file import check_parity, depth_to_space, run_file
from keenframe_train.export.package import Exported, export_model
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.recipe import NetworkSpec, Recipe

from .conftest import picture


def checkpoint(folder: Path, scale: int) -> Path:
    """A network with small random weights everywhere, so that every path of the graph counts."""
    torch.manual_seed(scale)
    config = KeenConfig(scale=scale, head=8, trunk=16, blocks=2)
    recipe = Recipe(name="tiny", network=NetworkSpec("keen", dataclasses.asdict(config)))
    model = Keen(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        model.input_std.uniform_(0.05, 0.4)
        model.input_mean[0] = 1.5
        model.condition_mean.fill_(1.0)
    state = {"recipe": recipe.to_json(), "step": 1, "gains": {"r2": 0.0}, "ema": model.state_dict()}
    save_checkpoint(folder / "best.pt", state)
    return folder / "best.pt"


@pytest.fixture(scope="module", params=[1, 2, 4], ids=["keen", "x2", "x4"])
def exported(
    request: pytest.FixtureRequest, bank: Bank, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    folder = tmp_path_factory.mktemp("models")
    scale = request.param
    kinds = ("r2",) if scale == 1 else (f"x{scale}",)
    samples = validation_samples(find_images(data / "val"), kinds, 1, 128)
    small = bank.degraded[:, ::scale, ::scale]
    frames = [Sample("pair", "", str(i), small[i], bank.pristine[i], bank.conditions[i]) for i in range(4)]
    return export_model(
        checkpoint(folder, request.param), folder, samples, name="tiny", description="a test",
        training_data="made on the spot", calibration=frames,
    )  # fmt: skip


def test_the_files_compute_what_the_network_does(exported: Exported) -> None:
    assert exported.parity.residual <= 1e-4 and exported.parity.pixels <= 1
    assert exported.int8_file is not None and min(exported.int8_change.values()) >= -0.1
    assert exported.int8_file.stat().st_size < exported.float_file.stat().st_size * 1.5


def test_the_runtime_takes_both_files_and_their_specs(exported: Exported) -> None:
    plane = luma(picture(31, 72, 104))
    outputs = []
    for path in (exported.float_file, exported.int8_file):
        assert path is not None
        spec = read_spec(path)
        assert (
            spec.training_data == "made on the spot" and spec.licence == "Apache-2.0" and spec.parameters > 0
        )
        with Sharpener(path, engine="onnxruntime") as sharpener:
            outputs.append(np.asarray(sharpener.sharpen(plane)).astype(int))
        expected, _ = run_file(path, plane, band_statistics(plane))
        assert np.array_equal(outputs[-1], expected)
    assert spec.precision == "int8"
    assert np.abs(outputs[0] - outputs[1]).mean() < 2


def test_openvino_and_onnxruntime_agree_on_the_float_file(exported: Exported) -> None:
    plane = luma(picture(32, 64, 96))
    results = []
    for engine in ("openvino", "onnxruntime"):
        with Sharpener(exported.float_file, engine=engine) as sharpener:
            results.append(np.asarray(sharpener.sharpen(plane, strength=1.5)).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1


def test_a_wrong_export_is_noticed(exported: Exported, data: Path) -> None:
    scale = read_spec(exported.float_file).scale
    other = Keen(KeenConfig(scale=scale, head=8, trunk=16, blocks=2))
    torch.nn.init.normal_(other.tail.weight, std=0.1)
    plane = luma(picture(33, 64, 64))
    with pytest.raises(TrainError, match="differs from the network"):
        check_parity(other, exported.float_file, plane, band_statistics(plane))


def test_a_checkpoint_without_a_network_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", {"recipe": "{}", "ema": {}})
    with pytest.raises(TrainError, match="holds no network of a run"):
        export_model(tmp_path / "x.pt", tmp_path, [], name="x", description="", training_data="")


def test_depth_to_space_is_pixel_shuffle() -> None:
    blocks = torch.arange(2 * 3 * 16).reshape(2, 3, 16)
    expected = torch.nn.functional.pixel_shuffle(blocks.permute(2, 0, 1)[None].float(), 4)[0, 0]
    assert np.array_equal(depth_to_space(blocks.numpy()), expected.numpy())
