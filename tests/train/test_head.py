"""The head in eight bits: the same network, read from pixels."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from keenframe.zoo.store import find_model
from keenframe_train.export.head import diffused, eight_bit_head

GENERATOR = np.random.default_rng(5)
# Filters as heads have them: sums of a block's cosines, the finest as loud as the coarsest.
WEIGHT = GENERATOR.normal(size=(8, 16, 3, 3))


def plane(values: np.ndarray) -> np.ndarray:
    """(N, 16, 3, 3) as the 12x12 pixels that they weigh."""
    return values.reshape(-1, 4, 4, 3, 3).transpose(0, 3, 1, 4, 2).reshape(-1, 12, 12)


def test_what_is_left_of_the_weights_errors_is_not_seen_on_smooth_pictures() -> None:
    levels, steps = diffused(WEIGHT)
    assert levels.dtype == np.int8 and steps.dtype == np.float32
    error = plane(levels * steps[:, None, None, None] - WEIGHT)
    each = plane(np.rint(WEIGHT / steps[:, None, None, None]) * steps[:, None, None, None] - WEIGHT)
    ramp = np.add.outer(np.arange(12.0), np.arange(12.0)) / 22
    for smooth in (np.ones((12, 12)), ramp, 1 - ramp**2):
        diffuse, alone = (np.abs((e * smooth).sum((1, 2))).mean() for e in (error, each))
        assert diffuse < 0.3 * alone
    assert np.abs(error / steps[:, None, None]).max() < 2  # no weight is far from its own


def test_a_shipped_model_reads_its_pixels_in_eight_bits() -> None:
    graph = onnx.load(find_model("keen-int8")).graph
    nodes = {node.name: node for node in graph.node}
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for end in ("", ".1"):
        assert f"/bands/Conv{end}" not in nodes
        assert values[f"head.weight.int8{end}"].dtype == np.int8
        # Whole code values about a whole middle: no pixel is rounded.
        assert values[f"pixels.step{end}"] == 1 and values[f"pixels.zero{end}"].dtype == np.uint8
        assert values[f"middle{end}"] == -float(values[f"pixels.zero{end}"])


def test_it_is_done_once_and_only_where_a_head_reads_blocks_of_pixels() -> None:
    shipped, enlarging = (onnx.load(find_model(name)) for name in ("keen-int8", "keen-x2-int8"))
    assert eight_bit_head(shipped) == shipped
    assert eight_bit_head(enlarging) == enlarging


@pytest.mark.parametrize("name", ["keen", "keen-nano"])
def test_the_head_gives_what_it_gave(name: str) -> None:
    before = onnx.load(find_model(f"{name}-float"))
    after = eight_bit_head(before)
    rows = GENERATOR.integers(0, 256, (2, 2)).repeat(32, 0).repeat(32, 1).astype(np.uint8)
    heads = []
    for graph in (before, after):
        made = onnx.ModelProto()
        made.CopyFrom(graph)
        output = next(node.output[0] for node in made.graph.node if node.name == "/head/Conv")
        del made.graph.output[:]
        made.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
        heads.append(_run(made, output, rows))
    error = (heads[1] - heads[0])[..., 1:-1, 1:-1]
    assert error.std() < 0.05 * heads[0].std()


def _run(model: onnx.ModelProto, output: str, luma: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"luma": luma[None, None], "condition": np.zeros((1, 128), np.float32)}
    wanted = {item.name for item in session.get_inputs()}
    extra = {
        "strength": np.ones(1, np.float32),
        "previous": np.zeros((1, 16, 16, 16), np.uint8),
        "keep": np.zeros((1, 1, 16, 16), np.float32),
    }
    return np.asarray(session.run([output], {k: v for k, v in {**feeds, **extra}.items() if k in wanted})[0])
