"""An INT8 `keen` read from its ONNX graph as a chain of layers: what the native engine computes.

Every layer sums bytes times bytes and makes codes of the sums: `code = round((sum * scale + shift) / step) + zero`,
with a residual and a LeakyReLU in between where the graph has them. Scale and shift depend on the frame's condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import EngineError
from keenframe.zoo.graph import Graph, Node

SLOPE = 0.1  # of every LeakyReLU, as in native/kernel.c
EDGE = 4  # of the pixels that are one position


class Kind(IntEnum):
    """As in native/keen.h."""

    LOAD, CONV3, CONV1, DOWN, UP, TAIL = range(6)


@dataclass(frozen=True, slots=True)
class Features:
    """A plane of codes: `channels` for each position, a position for `every` of the picture's 4x4 blocks a side; a code
    is worth `step`, and `zero` is worth nothing."""

    channels: int
    every: int
    step: float
    zero: int


@dataclass(slots=True)
class Layer:
    """One convolution, from the features before it to the next ones.

    weights: int8, in the order that native/keen.h says, four inputs last. start: int32, what the sums begin with, so
    that the input's zero point is nothing. scale, shift: (outputs,) float32, before the condition changes them by
    `film`, pairs of "scale" or "shift" and the value's name. residual: index of the features that are added, or -1.
    """

    kind: Kind
    inputs: int
    outputs: int
    weights: NDArray[np.int8] | NDArray[np.int16]
    start: NDArray[np.int32]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    film: list[tuple[str, str]] = field(default_factory=list)
    residual: int = -1
    leaky: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """features[0] are the picture's own blocks; layers[i] reads features[i] and makes features[i + 1], the last one the
    coefficients of what is added to the picture: (16, 16) `basis`, pixel by coefficient."""

    features: tuple[Features, ...]
    layers: tuple[Layer, ...]
    basis: NDArray[np.float32]
    conditioned: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]

    def bound(self, condition: NDArray[np.float32]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """(scale, shift) of every layer for a condition (1, 128), in steps of what it makes, zero points included."""
        values = {**self.constants, "condition": condition}
        for node in self.conditioned:
            values[node.outputs[0]] = _calculate(node, [values[name] for name in node.inputs])
        found = []
        for index, layer in enumerate(self.layers):
            scale, shift = layer.scale, layer.shift
            for what, name in layer.film:
                value = values[name].reshape(-1)
                scale, shift = (scale * value, shift * value) if what == "scale" else (scale, shift + value)
            if index + 1 < len(self.features):
                step = np.float32(self.features[index + 1].step)
                scale, shift = scale / step, shift / step
            if layer.residual >= 0:
                shift = shift - self.gain(index) * self.features[layer.residual].zero
            found.append((np.ascontiguousarray(scale, np.float32), np.ascontiguousarray(shift, np.float32)))
        return found

    def gain(self, index: int) -> float:
        """What a code of a layer's residual is worth, in steps of what the layer makes."""
        residual = self.layers[index].residual
        return self.features[residual].step / self.features[index + 1].step if residual >= 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Weights:
    codes: NDArray[np.int8]
    step: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Codes:
    """Features, or the number of steps behind the picture's pixels while these are not features yet."""

    index: int


class _Picture:
    """The picture as float32, before (`blocks` False) and after it lies in blocks; `centre` is taken off it."""

    def __init__(self, blocks: bool = False, centre: float = 0.0) -> None:
        self.blocks, self.centre = blocks, centre


class _Conditioned:
    pass


_CONDITIONED = _Conditioned()


def read_chain(graph: Graph, output: str, code_offset: int = 0) -> Chain:
    """The chain that ends in the output `output`, what is to be added to the picture.

    code_offset: how much less than it is a code counts where sums are made. EngineError for a graph that is none, such
    as a float network, or one of another kind.
    """
    return _Reader(graph, code_offset).read(output)


class _Reader:
    """Walks the nodes in order and knows of every value what it is."""

    def __init__(self, graph: Graph, code_offset: int) -> None:
        self._graph, self._code_offset = graph, code_offset
        self._values: dict[str, Any] = dict(graph.constants)
        self._values |= {"luma": _Picture(), "condition": _CONDITIONED}
        self._features: list[Features] = []
        self._layers: list[Layer] = []
        self._basis: NDArray[np.float32] | None = None
        self._conditioned: list[Node] = []

    def read(self, output: str) -> Chain:
        for node in _leading_to(self._graph, output):
            inputs: list[Any] = [self._values.get(name) for name in node.inputs]
            if all(isinstance(value, np.ndarray) for value in inputs):
                value: Any = _constant(node, inputs)
            elif all(isinstance(value, np.ndarray | _Conditioned) for value in inputs):
                self._conditioned.append(node)
                value = _CONDITIONED
            else:
                value = self._follow(node, inputs)
            self._values[node.outputs[0]] = value
        if self._basis is None or not self._layers or self._layers[-1].kind is not Kind.TAIL:
            raise EngineError("the network does not end in a convolution and the coefficients' basis")
        needed = {name for node in self._conditioned for name in node.inputs}
        constants = {
            name: self._values[name] for name in needed if isinstance(self._values.get(name), np.ndarray)
        }
        return Chain(
            tuple(self._features), tuple(self._layers), self._basis, tuple(self._conditioned), constants
        )

    def _follow(self, node: Node, inputs: list[Any]) -> Any:
        """What a node makes of the picture or of features."""
        first, rest = inputs[0], inputs[1:]
        if node.operator in ("Mul", "Add") and not isinstance(first, Layer) and isinstance(rest[0], Layer):
            first, rest = rest[0], [first]
        match node.operator, first, rest:
            case "Cast", _Picture(), []:
                return first
            case "Conv", _Picture(blocks=False), [np.ndarray() as kernel]:
                _expect(node, _is_blocks(kernel, node), "the picture's 4x4 blocks as they are")
                return _Picture(blocks=True)
            case "Add", _Picture(blocks=True), [np.ndarray() as centre]:
                return _Picture(True, -float(centre.reshape(-1)[0]))
            case "QuantizeLinear", _Picture(blocks=True), [step, zero]:
                _expect(node, float(step) == 1 and float(zero) == first.centre, "pixels as their own codes")
                return self._make(EDGE * EDGE, 1, 1.0, int(zero))
            case "QuantizeLinear", Layer(), [step, zero]:
                made = self._features[-1]
                every = {Kind.DOWN: made.every * 2, Kind.UP: made.every // 2}.get(first.kind, made.every)
                self._layers.append(first)
                return self._make(first.outputs, every, float(step), int(zero))
            case "DequantizeLinear", _Codes(), _:
                return first
            case "Conv", _Codes(), [_Weights() as weights, *bias]:
                return self._convolution(node, first, weights, bias)
            case "ConvTranspose", _Codes(), [_Weights() as weights, *bias]:
                return self._enlargement(node, first, weights, bias)
            case "Mul" | "Add", Layer(leaky=False, residual=-1), [_Conditioned()]:
                name = next(name for name in node.inputs if self._values.get(name) is _CONDITIONED)
                first.film.append(("scale" if node.operator == "Mul" else "shift", name))
                return first
            case "Add", Layer(leaky=False, residual=-1), [_Codes() as codes]:
                first.residual = codes.index
                return first
            case "LeakyRelu", Layer(leaky=False), []:
                _expect(node, abs(node.attributes.get("alpha", 0.01) - SLOPE) < 1e-6, f"a slope of {SLOPE}")
                first.leaky = True
                return first
            case "Conv", Layer(leaky=False, residual=-1, outputs=16), [np.ndarray() as basis]:
                _expect(
                    node,
                    basis.shape == (16, 16, 1, 1) and first.kind is Kind.CONV3,
                    "the coefficients' basis",
                )
                first.kind = Kind.TAIL
                self._layers.append(first)
                self._basis = np.ascontiguousarray(basis.reshape(16, 16), np.float32)
                return self._basis
        raise EngineError(f"it does not know {node.operator} of {', '.join(node.inputs)}")

    def _make(self, channels: int, every: int, step: float, zero: int) -> _Codes:
        self._features.append(Features(channels, every, step, zero))
        return _Codes(len(self._features) - 1)

    def _convolution(self, node: Node, source: _Codes, weights: _Weights, bias: list[Any]) -> Layer:
        outputs, inputs, *kernel = weights.codes.shape
        strides, pads = node.attributes.get("strides", [1, 1]), node.attributes.get("pads", [0, 0, 0, 0])
        forms = {
            (3, 1, 1): Kind.CONV3, (1, 1, 0): Kind.CONV1, (2, 2, 0): Kind.DOWN,
        }  # fmt: skip
        alike = len(set(kernel)) == 1 and len(set(strides)) == 1 and len(set(pads)) == 1
        kind = forms.get((kernel[0], strides[0], pads[0])) if alike else None
        _expect(node, kind is not None, "3x3 with a border of 1, 1x1, or 2x2 in steps of 2")
        _expect(node, inputs % 4 == 0 and outputs % 8 == 0, "channels in fours, outputs in eights")
        assert kind is not None
        packed = weights.codes.reshape(outputs // 8, 8, inputs // 4, 4, -1).transpose(0, 4, 2, 1, 3)
        sums = weights.codes.astype(np.int32).sum((1, 2, 3))
        return self._layer(kind, source, weights, packed, sums, bias, inputs, outputs)

    def _enlargement(self, node: Node, source: _Codes, weights: _Weights, bias: list[Any]) -> Layer:
        inputs, outputs, *kernel = weights.codes.shape
        fits = (
            kernel == [2, 2] and node.attributes.get("strides") == [2, 2] and outputs % 4 == inputs % 4 == 0
        )
        _expect(node, fits, "2x2 in steps of 2, channels in fours")
        packed = weights.codes.reshape(inputs // 4, 4, outputs // 4, 4, 2, 2).transpose(2, 4, 0, 5, 3, 1)
        sums = weights.codes.astype(np.int32).sum(0).reshape(outputs // 4, 4, 2, 2).transpose(0, 2, 3, 1)
        return self._layer(Kind.UP, source, weights, packed, sums, bias, inputs, outputs)

    def _layer(
        self,
        kind: Kind,
        source: _Codes,
        weights: _Weights,
        packed: NDArray[np.int8],
        sums: NDArray[np.int32],
        bias: list[Any],
        inputs: int,
        outputs: int,
    ) -> Layer:
        if source.index != len(self._features) - 1:
            raise EngineError("a layer reads other features than the last ones")
        read = self._features[source.index]
        return Layer(
            kind, inputs, outputs, np.ascontiguousarray(packed),
            np.ascontiguousarray((self._code_offset - read.zero) * sums, np.int32),
            np.full(outputs, 1, np.float32) * weights.step * np.float32(read.step),
            np.array(bias[0] if bias else np.zeros(outputs), np.float32),
        )  # fmt: skip


def _expect(node: Node, holds: bool, what: str) -> None:
    if not holds:
        raise EngineError(f"its {node.operator} of {node.inputs[0]} is not {what}")


def _leading_to(graph: Graph, output: str) -> list[Node]:
    """The nodes that an output needs, in order."""
    wanted, nodes = {output}, []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            nodes.append(node)
    # The last one only turns the result into the order of the graph's output.
    return [node for node in reversed(nodes) if output not in node.outputs]


def _is_blocks(kernel: NDArray[Any], node: Node) -> bool:
    same = np.eye(EDGE * EDGE).reshape(EDGE * EDGE, 1, EDGE, EDGE)
    return np.array_equal(kernel, same) and node.attributes.get("strides") == [EDGE, EDGE]


def _constant(node: Node, inputs: list[NDArray[Any]]) -> Any:
    if node.operator == "DequantizeLinear" and inputs[0].dtype == np.int8:
        if len(inputs) > 2 and inputs[2].any():
            raise EngineError("its weights have zero points")
        return _Weights(inputs[0], inputs[1].astype(np.float32))
    return _calculate(node, inputs)


def _calculate(node: Node, inputs: list[Any]) -> NDArray[Any]:
    """A node of the condition's part, or of the constants', on arrays."""
    first = inputs[0]
    match node.operator:
        case "Cast":
            return np.asarray(first, {1: np.float32, 10: np.float16}[node.attributes["to"]])
        case "Mul":
            return np.asarray(first * inputs[1])
        case "Add":
            return np.asarray(first + inputs[1])
        case "LeakyRelu":
            return np.asarray(np.maximum(first, np.float32(node.attributes["alpha"]) * first))
        case "Unsqueeze":
            return np.asarray(first).reshape(*first.shape, *[1] * len(inputs[1]))
        case "Gemm" if node.attributes.get("transB"):
            return np.asarray(first @ inputs[1].T + inputs[2])
    raise EngineError(f"it does not know {node.operator} of constants or of the condition")
