from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import CPU_ENGINES, picture
from keenframe.engines.base import KEPT_FORMS
from keenframe.engines.select import available_engines, create_engine
from keenframe.errors import EngineError, ModelError
from keenframe.zoo.spec import load_spec
from keenframe.zoo.store import find_model
from models import build, unsharp_kernel


def luma(height: int = 48, width: int = 64) -> np.ndarray:
    return np.ascontiguousarray(picture(height, width)[:, :, 1])


def reference(pixels: np.ndarray, amount: float, gain: float) -> np.ndarray:
    """The unsharp model's residual, by the definition; zero padding beyond the edges."""
    padded = np.pad(pixels.astype(np.float64), 4)
    height, width = pixels.shape
    out = np.zeros((height // 4, width // 4, 16))
    kernel = unsharp_kernel(amount)[:, 0].astype(np.float64)
    for row in range(height // 4):
        for column in range(width // 4):
            patch = padded[4 * row : 4 * row + 12, 4 * column : 4 * column + 12]
            out[row, column] = (kernel * patch).sum((1, 2)) * gain
    return out


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_blocks_are_base_plus_strength_times_residual(
    engine: str, unsharp_model: Path, strength: float
) -> None:
    runner = create_engine(engine, unsharp_model, load_spec(unsharp_model), threads=1)
    pixels, condition = luma(), np.full(128, 3, np.float32)
    residual = reference(pixels, 0.2, 3.0)
    np.testing.assert_allclose(runner.run_residual(pixels, condition), residual, atol=2e-3)
    base = pixels.reshape(12, 4, 16, 4).swapaxes(1, 2).reshape(12, 16, 16)
    expected = (base + strength * residual).clip(0, 255)
    assert np.abs(runner.run(pixels, condition, strength) - expected).max() <= 0.51
    assert runner.name == engine


def test_sizes_come_and_go(engine: str, unsharp_model: Path) -> None:
    runner = create_engine(engine, unsharp_model, load_spec(unsharp_model), threads=1)
    condition = np.ones(128, np.float32)
    sizes = [(16 + 4 * index, 64) for index in range(KEPT_FORMS + 2)]
    first = [runner.run(luma(*size), condition, 1.0).copy() for size in sizes]
    assert len(runner._prepared) == KEPT_FORMS
    for size, expected in zip(sizes, first, strict=True):
        np.testing.assert_array_equal(runner.run(luma(*size), condition, 1.0), expected)
    runner.close()
    np.testing.assert_array_equal(runner.run(luma(*sizes[0]), condition, 1.0), first[0])


def test_the_output_buffer_is_reused(engine: str, unsharp_model: Path) -> None:
    runner = create_engine(engine, unsharp_model, load_spec(unsharp_model), threads=1)
    condition = np.ones(128, np.float32)
    one = runner.run(luma(), condition, 1.0)
    other = runner.run(luma()[::-1].copy(), condition, 1.0)
    assert one is other and one.flags.c_contiguous


def test_read_only_input_is_fine(engine: str, unsharp_model: Path) -> None:
    runner = create_engine(engine, unsharp_model, load_spec(unsharp_model), threads=1)
    pixels = luma()
    expected = runner.run(pixels, np.ones(128, np.float32), 1.0).copy()
    pixels.flags.writeable = False
    np.testing.assert_array_equal(runner.run(pixels, np.ones(128, np.float32), 1.0), expected)


@pytest.mark.skipif(len(CPU_ENGINES) < 2, reason="one engine is installed")
def test_engines_agree(unsharp_model: Path, double_model: Path) -> None:
    for model in (unsharp_model, double_model):
        runners = [create_engine(name, model, load_spec(model), threads=1) for name in CPU_ENGINES]
        condition = np.full(128, 2.5, np.float32)
        one, other = (runner.run(luma(), condition, 1.0).astype(int) for runner in runners)
        assert np.abs(one - other).max() <= 1
        one, other = (runner.run_residual(luma(), condition) for runner in runners)
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.skipif("openvino" not in CPU_ENGINES, reason="OpenVINO is not installed")
def test_bfloat16_is_an_option(unsharp_model: Path) -> None:
    runner = create_engine("openvino:bf16", unsharp_model, load_spec(unsharp_model), threads=1)
    assert runner.name == "openvino:bf16"
    condition = np.ones(128, np.float32)
    exact = create_engine("openvino", unsharp_model, load_spec(unsharp_model), threads=1)
    difference = runner.run(luma(), condition, 1.0).astype(int) - exact.run(luma(), condition, 1.0)
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize(
    "name",
    ["tensorflow", "", "openvino:gpu.7", "onnxruntime:cuda", "onnxruntime:directml", "onnxruntime:coreml"],
)
def test_an_absent_engine_lists_what_is_there(identity_model: Path, name: str) -> None:
    present = available_engines()
    if name in present:
        pytest.skip(f"{name} is here")
    with pytest.raises(EngineError, match="available: " + ", ".join(present)):
        create_engine(name, identity_model, load_spec(identity_model))


def test_a_graph_that_does_not_load_is_a_model_error(engine: str, tmp_path: Path) -> None:
    path = build(tmp_path / "broken.onnx")
    spec = load_spec(path)
    path.write_bytes(path.read_bytes().replace(b"Transpose", b"Transpoze"))
    with pytest.raises((ModelError, EngineError), match=r"broken\.onnx"):
        create_engine(engine, path, spec).run(luma(), np.ones(128, np.float32), 1.0)


@pytest.mark.parametrize("name", ["keen-float", "keen-x2-float", "keen-nano"])
def test_openvino_reads_the_pixels_of_a_step_as_channels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ov = pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    from keenframe.engines import openvino as engine

    path = find_model(name)
    spec, pixels = load_spec(path), luma(64, 96)

    def residual() -> np.ndarray:
        runner = engine.OpenVinoEngine(path, spec, threads=1, precision="f32")
        return runner.run_residual(pixels, np.full(128, 3, np.float32)).copy()

    changed = residual()
    monkeypatch.setattr(engine, "_pixels_as_channels", lambda network: None)
    np.testing.assert_allclose(changed, residual(), atol=1e-3)
    monkeypatch.undo()
    network = ov.Core().read_model(path)
    rows, columns = 64 * spec.scale // 4, 96 * spec.scale // 4
    network.reshape(
        {"luma": [1, 1, 64, 96], "previous": [1, rows, columns, 16], "keep": [1, 1, rows, columns]}
    )
    engine._pixels_as_channels(network)
    first = [
        node
        for node in network.get_ordered_ops()
        if node.get_type_name() == "Convolution" and node.input_value(0).shape[1] == 1
    ]
    assert all(node.get_attributes()["strides"][1] == 1 for node in first)


@pytest.mark.parametrize(("pad", "dilation"), [(1, 1), (0, 2)])
def test_openvino_leaves_other_convolutions_alone(pad: int, dilation: int) -> None:
    ov = pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    from keenframe.engines import openvino as engine

    ops = ov.opset13
    plane = ops.parameter([1, 1, 16, 16], ov.Type.f32)
    kernel = ops.constant(np.ones((3, 1, 2, 2), np.float32))
    network = ov.Model(
        [ops.convolution(plane, kernel, [2, 2], [pad] * 2, [pad] * 2, [dilation] * 2)], [plane]
    )
    engine._pixels_as_channels(network)
    kinds = [node.get_type_name() for node in network.get_ordered_ops()]
    assert kinds.count("Convolution") == 1 and "Reshape" not in kinds
