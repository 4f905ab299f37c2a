"""Making a graph plainer without changing what it computes: constants are computed, steps that do nothing left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# Nodes of `export.package` that widen stored weights: computing them would undo what makes a file small.
_WIDENING = ("widen/", "cast/")

Constants = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Levels:
    """INT8 weights and the float32 step of each channel along `axis`."""

    values: NDArray[np.int8]
    steps: NDArray[np.float32]
    axis: int

    def widened(self) -> NDArray[np.float32]:
        """The weights that they stand for."""
        shape = [-1 if index == self.axis else 1 for index in range(self.values.ndim)]
        return self.values * self.steps.reshape(shape)


@dataclass(slots=True)
class Plain:
    """A graph without a trace of rounding in its nodes, for formats that say it otherwise.

    constants: float32, of any node's inputs. levels: of weights that are INT8. steps: (step, zero) of activations that
    are rounded to 0..255 before a node reads them, by the names that the nodes know them by.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: Constants = field(default_factory=dict)
    levels: dict[str, Levels] = field(default_factory=dict)
    steps: dict[str, tuple[float, int]] = field(default_factory=dict)


def folded(
    nodes: Iterable[onnx.NodeProto], constants: Mapping[str, NDArray[Any]], weights: bool = False
) -> tuple[list[onnx.NodeProto], Constants]:
    """The nodes that depend on an input, and the values of all others.

    weights: stored weights are widened, too, but for those of INT8 arithmetic.
    """
    kept: list[onnx.NodeProto] = []
    known = dict(constants)
    for node in nodes:
        stored = node.op_type == "DequantizeLinear" or (not weights and node.name.startswith(_WIDENING))
        if stored or any(name and name not in known for name in node.input):
            kept.append(node)
            continue
        values = ReferenceEvaluator(node).run(None, {name: known[name] for name in node.input if name})
        known |= zip(node.output, (np.asarray(each) for each in values), strict=True)
    return kept, known


def compacted(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph in fewer bytes: equal constants are stored once and not as nodes, Unsqueezes in a row are one, and what
    flows between the nodes has short names. Nodes, weights, inputs and outputs keep theirs.
    """
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes, values = folded(model.graph.node, stored)
    nodes, values = joined(nodes, values)
    own = {value.name for value in (*model.graph.input, *model.graph.output)}
    between = [name for node in nodes for name in node.output if name and name not in own]
    names = {name: f"t{index}" for index, name in enumerate(between)}
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    for name in {
        name: None for node in nodes for name in node.input if name in values and name not in stored
    }:
        array = values[name]
        names[name] = first.setdefault((array.dtype.str, array.shape, array.tobytes()), f"c{len(first)}")
        values[names[name]] = array
    kept = [renamed(node, names) for node in nodes]
    used = {name: None for node in kept for name in node.input if name in values}
    small = onnx.ModelProto()
    small.CopyFrom(model)
    del small.graph.node[:], small.graph.initializer[:], small.graph.value_info[:]
    small.graph.node.extend(kept)
    small.graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in used)
    return small


def joined(nodes: Sequence[onnx.NodeProto], constants: Constants) -> tuple[list[onnx.NodeProto], Constants]:
    """One Unsqueeze where several follow each other, and the axes that it reads."""
    kept: list[onnx.NodeProto] = []
    added: dict[str, tuple[str, list[int]]] = {}
    axes = dict(constants)
    for node in nodes:
        if node.op_type == "Unsqueeze":
            own = [int(axis) for axis in np.atleast_1d(constants[node.input[1]])]
            source, before = added.get(node.input[0], (node.input[0], []))
            added[node.output[0]] = (source, sorted(before + own))
            name = f"{node.output[0]}.axes"
            axes[name] = np.array(added[node.output[0]][1], np.int64)
            node = helper.make_node("Unsqueeze", [source, name], node.output, node.name)
        kept.append(node)
    read = {name for node in kept for name in node.input}
    return [n for n in kept if n.op_type != "Unsqueeze" or read.intersection(n.output)], axes


def tidied(nodes: Sequence[onnx.NodeProto], constants: Constants) -> tuple[list[onnx.NodeProto], Constants]:
    """Without products with one and casts of floats to floats; with one Unsqueeze where two follow each other.

    All that is computed here is float32: only stored weights are ever cast.
    """
    kept: list[onnx.NodeProto] = []
    alias: dict[str, str] = {}
    for node in nodes:
        node = renamed(node, alias)
        same = _factor_one(node, constants) if node.op_type == "Mul" else None
        if node.op_type == "Cast" and not node.name.startswith(_WIDENING):
            same = node.input[0]
        if same is not None:
            alias[node.output[0]] = same
            continue
        kept.append(node)
    return joined(kept, constants)


def _factor_one(node: onnx.NodeProto, constants: Constants) -> str | None:
    """What a product with nothing but ones gives back unchanged."""
    for one, other in (node.input, node.input[::-1]):
        values = constants.get(one)
        if values is not None and other not in constants and np.all(values == 1):
            return other
    return None


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """A copy with other names for what it reads and gives."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    return copy


def lowered(model: onnx.ModelProto) -> Plain:
    """The graph with its weights widened and its roundings set aside."""
    plain = Plain()
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes, plain.constants = folded(model.graph.node, stored, weights=True)
    alias: dict[str, str] = {}
    rounded: dict[str, tuple[float, int]] = {}
    for node in nodes:
        source = node.input[0]
        if node.op_type == "QuantizeLinear":
            zero = plain.constants[node.input[2]]
            rounded[node.output[0]] = (
                float(plain.constants[node.input[1]]),
                int(zero) - int(np.iinfo(zero.dtype).min),
            )
            alias[node.output[0]] = alias.get(source, source)
        elif node.op_type == "DequantizeLinear" and source in plain.constants:
            steps = np.atleast_1d(plain.constants[node.input[1]]).astype(np.float32)
            axis = attribute(node, "axis", 1)
            plain.levels[node.output[0]] = Levels(plain.constants[source], steps, axis)
        elif node.op_type == "DequantizeLinear":
            plain.steps[alias[source]] = rounded[source]
            alias[node.output[0]] = alias[source]
        else:
            plain.nodes.append(renamed(node, alias))
    return plain


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute; words as text."""
    for item in node.attribute:
        if item.name == name:
            value = helper.get_attribute_value(item)
            return value.decode() if isinstance(value, bytes) else value
    return default
