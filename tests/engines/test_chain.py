"""What a network's graph is read as, and what is refused: no layer is taken for another one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keenframe.engines import native
from keenframe.engines.chain import Kind, read_chain
from keenframe.errors import EngineError, ModelError
from keenframe.zoo.graph import Graph, Node, read_graph
from keenframe.zoo.store import find_model, list_models, read_spec

MODELS = [spec.name for spec in list_models() if native.runs(spec)]
NANO = "keen-nano-int8"


def test_sums_may_start_from_codes_that_count_less() -> None:
    """Arm's instruction takes signed bytes: codes less 128."""
    graph = read_graph(find_model("keen-int8"))
    whole, less = (read_chain(graph, "residual", offset) for offset in (0, 128))
    for one, other in zip(whole.layers, less.layers, strict=True):
        sums = one.weights.astype(np.int32)
        # By blocks of eight outputs (UP: of four, for each of the four pixels): taps and groups of inputs between.
        if one.kind is Kind.UP:
            totals = (
                sums.reshape(one.outputs // 4, 2, one.inputs // 4, 8, 4).sum((2, 4)).reshape(one.start.shape)
            )
        else:
            totals = sums.reshape(one.outputs // 8, -1, 8, 4).sum((1, 3)).reshape(-1)
        np.testing.assert_array_equal(other.start - one.start, 128 * totals)


@pytest.mark.parametrize("name", MODELS)
def test_a_chain_is_what_the_file_holds(name: str) -> None:
    path = find_model(name)
    spec = read_spec(path)
    graph = read_graph(path)
    networks = [expert["network"]["options"] for expert in json.loads(spec.recipe)["experts"]]
    weights = 0
    for expert in range(spec.experts):
        chain = read_chain(graph, spec.output("residual", expert))
        kinds = [layer.kind for layer in chain.layers]
        assert kinds[0] is Kind.CONV3 and kinds[-1] is Kind.TAIL
        deeper = networks[expert].get("trunk", 64) > 0 and networks[expert].get("stride", 2) > 1
        assert (Kind.UP in kinds) == (Kind.DOWN in kinds) == deeper
        assert [features.channels for features in chain.features[1:]] == [
            la.outputs for la in chain.layers[:-1]
        ]
        assert chain.features[0].step == 1 and len(chain.bound(np.zeros((1, 128), np.float32))) == len(
            chain.layers
        )
        weights += sum(layer.weights.size for layer in chain.layers)
    assert 0.6 * spec.parameters < weights < spec.parameters


@pytest.mark.parametrize(
    ("node", "inputs", "attributes", "constants", "message"),
    [
        ("t19.1", None, {"group": 2}, {}, "is not 3x3 with a border"),
        ("t19.1", None, {"dilations": [2, 2]}, {}, "is not 3x3 with a border"),
        ("t19.1", None, {"auto_pad": None}, {}, "is not 3x3 with a border"),
        ("t19.1", None, {"pads": [1, 1, 0, 0]}, {}, "is not 3x3 with a border"),
        ("t1.1", None, {"dilations": [2, 2]}, {}, "4x4 blocks as they are"),
        ("t67.1", None, {"pads": [1, 1, 1, 1]}, {}, "the coefficients' basis"),
        ("t61.1", None, {"output_padding": [1, 1]}, {}, "is not 2x2 in steps of 2"),
        # The library reads a residual there, whether there is one or not.
        ("t63.1", ("t61.1",), {}, {}, "with such a residual as it may have"),
        ("t62.1", ("t18.1", "t61.1"), {}, {}, "with such a residual as it may have"),
        ("t30.1", ("t14.1", "t29.1"), {}, {}, "with such a residual as it may have"),
        ("t16.1", ("t19.1",), {}, {}, "does not know|all that reads"),
        ("t30.1", ("t29.1", "t29.1"), {}, {}, "all that reads a layer's sums"),
        ("t19.1", ("t18.1", "first.0.weight.widened.1", "up.bias.1"), {}, {}, "a step and a bias for each"),
        ("first.0.weight.widened.1", None, {"axis": 1}, {}, "a step and a bias for each"),
        ("t19.1", None, {}, {"first.0.weight.int8.1": np.ones((32, 16, 3, 3), np.int8)}, "of 32 channels"),
        ("t19.1", None, {}, {"first.0.weight.zero.1": np.ones(32, np.int8)}, "weights have zero points"),
        ("t17.1", None, {}, {"c4.1": np.array(3, np.int8)}, "codes from 0 to 255"),
        ("t18.1", ("t17.1", "c1.1", "c4.1"), {}, {}, "codes as they were made"),
        ("t12.1", None, {"alpha": 0.2}, {}, "a slope of 0.1"),
        ("t21.1", None, {}, {"c0.1": np.array([0, 1], np.int64)}, "not one number for each channel"),
        ("t2.1", None, {"transA": 1}, {}, "does not know Gemm"),
        ("t2.1", None, {}, {"embed_linear.bias.1": np.ones(31, np.float32)}, "not built as that of a keen"),
        ("t2.1", ("condition",), {}, {}, "not built as that of a keen"),
        ("residual.1", None, {"perm": [0, 1, 2, 3]}, {}, "does not end in a convolution"),
        ("residual.1", ("t66.1",), {}, {}, "does not end in a convolution"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(
    node: str,
    inputs: tuple[str, ...] | None,
    attributes: dict[str, Any],
    constants: dict[str, np.ndarray],
    message: str,
) -> None:
    graph = read_graph(find_model(NANO))
    nodes = [
        replace(each, inputs=inputs or each.inputs, attributes={**each.attributes, **attributes})
        if node in each.outputs
        else each
        for each in graph.nodes
    ]
    read_chain(graph, "residual.1")
    with pytest.raises(EngineError, match=message):
        read_chain(Graph(tuple(nodes), {**graph.constants, **constants}), "residual.1")


def test_what_follows_the_coefficients_is_not_left_out() -> None:
    graph = read_graph(find_model(NANO))
    last = next(each for each in graph.nodes if "residual.1" in each.outputs)
    halved = (Node("Mul", ("t67.1", "half"), ("halved",)), replace(last, inputs=("halved",)))
    nodes = (*(each for each in graph.nodes if each is not last), *halved)
    with pytest.raises(EngineError, match=r"does not know Mul of t67\.1"):
        read_chain(Graph(nodes, {**graph.constants, "half": np.float32([0.5])}), "residual.1")


def test_a_float_network_is_no_chain() -> None:
    with pytest.raises(EngineError, match=r"does not know|is not"):
        read_chain(read_graph(find_model("keen-float")), "residual")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(find_model("keen-int8").read_bytes()[:20_000])
    with pytest.raises(ModelError, match=r"cannot read the graph of model 'half\.onnx'"):
        read_graph(path)
