"""A model file of the runtime's as plain graphs that any engine takes: what the formats for elsewhere start from.

The runtime's file holds one or several experts, a strength and the steadying of a stream, and returns blocks of bytes.
Elsewhere each of its networks is a graph of its own, of a dozen operators:

    luma       luma (1, 1, H, W), condition (1, 128) -> sharpened (1, 1, sH, sW)
    rgb        image (1, 3, H, W) -> sharpened (1, 3, sH, sW)
    condition  luma (1, 1, H, W) -> condition (1, 128), of E experts preference (1, E - 1), too, or (1, E)

all float32, pixels in code values 0-255, the result neither rounded nor clipped. A frame goes through the expert behind
the first whose `preference` is the greatest, or through the first where none is positive (`keenframe.routing`); of a
rule that leaves frames as they are the last preference is for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from keenframe.condition import BLOCK as BAND_BLOCK
from keenframe.condition import CONDITION_SIZE, FLOOR, MAX_BLOCKS, dct_matrix
from keenframe.periodicity import AMPLITUDE_FLOOR, HOP, KERNELS, PERIODICITY_SIZE, WINDOW, line_step
from keenframe.periodicity import FLOOR as CHANGE_FLOOR
from keenframe.routing import SLOPE, inputs_of, layers_of
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import read_spec
from keenframe_train.export.onnx_file import OPSET
from keenframe_train.export.simplify import Constants, folded, renamed, tidied
from keenframe_train.nets.keen import BLOCK

Size = tuple[int, int]  # width, height of the picture given to a network

# Of the experts behind the first, in names of files.
ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")

# What the runtime puts behind a network: rounding, clipping, bytes, and channels last.
_ENDING = ("Transpose", "Cast", "Clip", "Round")


@dataclass(frozen=True, slots=True)
class Portable:
    """One network. name: as its files are called. graph: with free height and width, or fixed ones. full_size: of one
    of several experts, whether it is for frames that were not enlarged; None of what is for all."""

    name: str
    graph: onnx.ModelProto
    full_size: bool | None = None

    @property
    def inputs(self) -> list[str]:
        """Names of its inputs, the picture first."""
        return [item.name for item in self.graph.graph.input]

    @property
    def outputs(self) -> list[str]:
        """Names of its outputs."""
        return [item.name for item in self.graph.graph.output]


def networks_of(path: Path, size: Size | None = None) -> list[Portable]:
    """The networks of a model file that sharpen: NAME, and of several experts NAME-second, NAME-third …

    size: of the picture; None leaves it free.
    """
    spec, model = read_spec(path), onnx.load(path)
    base, int8 = spec.name.removesuffix("-int8"), "-int8" if spec.name.endswith("-int8") else ""
    parts = ("", *(f"-{ordinal}" for ordinal in ORDINALS[: spec.experts - 1]))
    first_full_size = spec.experts - spec.full_size
    return [
        Portable(
            f"{base}{part}{int8}",
            _cut(model, spec, expert, size),
            expert >= first_full_size if spec.experts > 1 else None,
        )
        for expert, part in enumerate(parts)
    ]


def _cut(model: onnx.ModelProto, spec: ModelSpec, expert: int, size: Size | None) -> onnx.ModelProto:
    """The part of the graph that computes one expert's unrounded pixels at strength 1."""
    makers = {name: node for node in model.graph.node for name in node.output}
    end = spec.output("pixels", expert)
    while end in makers and makers[end].op_type in _ENDING:
        end = makers[end].input[0]
    nodes: list[onnx.NodeProto] = []
    # What only turns the picture's bytes into floats and puts its channels first is the caller's here.
    picture = {spec.picture_input}
    for node in _needed(model.graph.node, end):
        if node.op_type in ("Cast", "Transpose") and node.input[0] in picture:
            picture.update(node.output)
        else:
            nodes.append(node)
    if spec.color == "luma":
        nodes.append(helper.make_node("DepthToSpace", [end], ["sharpened"], "enlarge", blocksize=BLOCK))
        end = "sharpened"
    renames = dict.fromkeys(picture, spec.picture_input) | {end: "sharpened"}
    channels = 1 if spec.color == "luma" else 3
    width, height = size or ("width", "height")
    inputs = [_value(spec.picture_input, [1, channels, height, width])]
    if spec.condition is not None:
        inputs.append(_value("condition", [1, CONDITION_SIZE]))
    columns, rows = (size[0] * spec.scale, size[1] * spec.scale) if size else ("columns", "rows")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return _assembled(
        [renamed(node, renames) for node in nodes],
        {**constants, "strength": np.ones(1, np.float32)},
        inputs,
        [_value("sharpened", [1, channels, rows, columns])],
    )


def condition_network(spec: ModelSpec, size: Size | None = None) -> Portable:
    """`keenframe.condition.band_statistics` of a frame as a network, NAME-condition, with the rule between
    several experts.

    size: its blocks and lines are those that the runtime looks at in a frame of that size; of a free size it looks at
    all, and where the rule reads the periodicity each side has 66 pixels at least.
    """
    step = 1
    if size is not None:
        blocks = (size[0] // BAND_BLOCK) * (size[1] // BAND_BLOCK)
        step = max(1, math.ceil(math.sqrt(blocks / MAX_BLOCKS)))
    bands = BAND_BLOCK**2
    one = dct_matrix(BAND_BLOCK)
    only_first = np.zeros((bands, bands, 1, 1), np.float32)
    only_first[0, 0] = 1
    constants: Constants = {
        "dct": np.kron(one, one).reshape(bands, 1, BAND_BLOCK, BAND_BLOCK),
        "only_first": only_first,
        "floor": np.full((1, 1, 1, 1), FLOOR, np.float32),
    }
    stride = BAND_BLOCK * step
    make = helper.make_node
    nodes = [
        make("Conv", ["luma", "dct"], ["bands"], "bands", strides=[stride, stride], pads=[0] * 4),
        # What counts of the first band is its distance from the frame's mean.
        make("ReduceMean", ["bands"], ["means"], "means", axes=[2, 3]),
        make("Conv", ["means", "only_first"], ["mean"], "mean"),
        make("Sub", ["bands", "mean"], ["centred"], "centred"),
        make("Abs", ["centred"], ["sizes"], "sizes"),
        make("ReduceMean", ["sizes"], ["magnitude"], "magnitude", axes=[2, 3]),
        make("Mul", ["centred", "centred"], ["squares"], "squares"),
        make("ReduceMean", ["squares"], ["power"], "power", axes=[2, 3]),
        make("Sqrt", ["power"], ["deviation"], "deviation"),
        make("Concat", ["magnitude", "deviation"], ["statistics"], "statistics", axis=1),
        make("Add", ["statistics", "floor"], ["raised"], "raised"),
        make("Log", ["raised"], ["logarithms"], "logarithms"),
        make("Flatten", ["logarithms"], ["condition"], "condition"),
    ]
    outputs = [_value("condition", [1, CONDITION_SIZE])]
    if spec.route is not None:
        layers = layers_of(spec.route, spec.experts, inputs_of(spec.periodicity), spec.leaves)
        value = "condition"
        if spec.periodicity and (periods := _periodicity(size, constants)):
            nodes += periods
            value = "seen"
        else:  # of a frame too small for it the periodicity is 0
            layers[0] = (layers[0][0][:, :CONDITION_SIZE], layers[0][1])
        for index, (weights, biases) in enumerate(layers):
            last = index == len(layers) - 1
            name = "preference" if last else f"rule{index}"
            constants |= {f"{name}.weight": weights, f"{name}.bias": biases}
            nodes.append(make("Gemm", [value, f"{name}.weight", f"{name}.bias"], [name], name, transB=1))
            value = name
            if not last:
                value = f"{name}.leaky"
                nodes.append(make("LeakyRelu", [name], [value], value, alpha=SLOPE))
        outputs.append(_value("preference", [1, spec.experts - 1 + spec.leaves]))
    width, height = size or ("width", "height")
    graph = _assembled(nodes, constants, [_value("luma", [1, 1, height, width])], outputs)
    return Portable(f"{spec.name.removesuffix('-int8')}-condition", graph)


def _periodicity(size: Size | None, constants: Constants) -> list[onnx.NodeProto]:
    """`keenframe.periodicity` of "luma", joined behind the condition as "seen", and its constants; nothing for a size
    that is too small."""
    make = helper.make_node
    waves = np.ascontiguousarray(KERNELS.T)
    both = np.concatenate([np.eye(PERIODICITY_SIZE, dtype=np.float32)] * 2, axis=1)
    constants |= {
        "pairs": both[:, :, None, None],
        "all": np.full((PERIODICITY_SIZE, PERIODICITY_SIZE, 1, 1), 1 / PERIODICITY_SIZE, np.float32),
        "change_floor": np.full((1, 1, 1, 1), CHANGE_FLOOR, np.float32),
        "amplitude_floor": np.full((1, 1, 1, 1), AMPLITUDE_FLOOR, np.float32),
    }
    nodes, powers = [], []
    # Along rows, second differences and windows lie in the last axis and the mean goes over the one before; along
    # columns the other way round.
    for name, along, across, length, lines in (
        ("rows", 3, 2, *(size or (None, None))),
        ("columns", 2, 3, *((size or (None, None))[::-1])),
    ):
        if length is not None and length < WINDOW + 2:
            continue

        def placed(first: int, second: int, turned: bool = along == 2) -> list[int]:
            return [second, first] if turned else [first, second]

        constants[f"{name}.differences"] = np.float32([1, -2, 1]).reshape(1, 1, *placed(1, 3))
        constants[f"{name}.waves"] = waves.reshape(2 * PERIODICITY_SIZE, 1, *placed(1, WINDOW))
        step = 1 if lines is None else line_step(lines)

        def part(word: str, line: str = name) -> str:
            return f"{line}.{word}"

        nodes += [
            make(
                "Conv", ["luma", part("differences")], [part("second")], part("second"),
                strides=placed(step, 1), pads=[0] * 4,
            ),
            make("Abs", [part("second")], [part("sizes")], part("sizes")),
            make("ReduceMean", [part("sizes")], [part("change")], part("change"), axes=[across]),
            make("Add", [part("change"), "change_floor"], [part("raised")], part("raised")),
            make("Log", [part("raised")], [part("logarithms")], part("logarithms")),
            make(
                "Conv", [part("logarithms"), part("waves")], [part("spectrum")], part("spectrum"),
                strides=placed(1, HOP), pads=[0] * 4,
            ),
            make("Mul", [part("spectrum")] * 2, [part("squares")], part("squares")),
            make("ReduceMean", [part("squares")], [part("means")], part("means"), axes=[2, 3]),
        ]  # fmt: skip
        powers.append(part("means"))
    if not powers:
        return []
    if len(powers) == 2:
        constants["pairs"] = constants["pairs"] / 2
        nodes.append(make("Add", powers, ["powers"], "powers"))
        powers = ["powers"]
    return [
        *nodes,
        make("Conv", [powers[0], "pairs"], ["power_of_pairs"], "power_of_pairs"),
        make("Sqrt", ["power_of_pairs"], ["amplitude"], "amplitude"),
        make("Conv", ["amplitude", "all"], ["mean_amplitude"], "mean_amplitude"),
        make("Add", ["amplitude", "amplitude_floor"], ["amplitude_raised"], "amplitude_raised"),
        make("Log", ["amplitude_raised"], ["amplitude_log"], "amplitude_log"),
        make("Add", ["mean_amplitude", "amplitude_floor"], ["mean_raised"], "mean_raised"),
        make("Log", ["mean_raised"], ["mean_log"], "mean_log"),
        make("Sub", ["amplitude_log", "mean_log"], ["relative"], "relative"),
        make("Concat", ["logarithms", "relative"], ["both"], "both", axis=1),
        make("Flatten", ["both"], ["seen"], "seen"),
    ]


def _needed(nodes: Sequence[onnx.NodeProto], end: str) -> list[onnx.NodeProto]:
    """The nodes that `end` is computed from, in their order."""
    wanted, found = {end}, []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _assembled(
    nodes: Sequence[onnx.NodeProto],
    constants: Constants,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    kept, values = tidied(*folded(nodes, constants))
    used = {name for node in kept for name in node.input}
    tensors = [numpy_helper.from_array(each, name) for name, each in values.items() if name in used]
    graph = helper.make_graph(kept, "keenframe", inputs, outputs, tensors)
    model = helper.make_model(
        graph, producer_name="keenframe", opset_imports=[helper.make_opsetid("", OPSET)]
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model
