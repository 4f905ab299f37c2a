"""An INT8 `keen` read from its ONNX graph as a chain of layers: what the native engine computes.

Every layer sums bytes times bytes and makes codes of the sums: `code = round((sum * scale + shift) / step) + zero`,
with a residual and a LeakyReLU in between where the graph has them. Scale and shift depend on the frame's condition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import CONDITION_SIZE
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
        values = self.values(condition)
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

    def values(self, condition: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """What depends on a condition (1, 128), and what that is calculated from, by name."""
        values = {**self.constants, "condition": condition}
        for node in self.conditioned:
            values[node.outputs[0]] = _calculate(node, [values[name] for name in node.inputs])
        return values

    def gain(self, index: int) -> float:
        """What a code of a layer's residual is worth, in steps of what the layer makes."""
        residual = self.layers[index].residual
        return self.features[residual].step / self.features[index + 1].step if residual >= 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Weights:
    """axis: along which there is a step for each, where it is not the same for all."""

    codes: NDArray[np.int8]
    step: NDArray[np.float32]
    axis: int


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


class _Result:
    """What is added to the picture, channels first."""


_CONDITIONED = _Conditioned()


def read_chain(graph: Graph, output: str, code_offset: int = 0) -> Chain:
    """The chain that ends in the output `output`, what is to be added to the picture.

    code_offset: how much less than it is a code counts where sums are made. EngineError for a graph that is none, such
    as a float network, or one of another kind.
    """
    try:
        return _Reader(graph, code_offset).read(output)
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:  # a graph that looks like one and is not
        raise EngineError(
            f"its graph is not built as that of a keen: {type(error).__name__}: {error}"
        ) from error


class _Reader:
    """Walks the nodes in order and knows of every value what it is."""

    def __init__(self, graph: Graph, code_offset: int) -> None:
        self._graph, self._code_offset = graph, code_offset
        self._values: dict[str, Any] = dict(graph.constants)
        self._values |= {"luma": _Picture(), "condition": _CONDITIONED}
        self._features: list[Features] = []
        self._layers: list[Layer] = []
        self._basis: NDArray[np.float32] | None = None
        self._uses: Counter[str] = Counter()
        self._conditioned: list[Node] = []

    def read(self, output: str) -> Chain:
        nodes = _leading_to(self._graph, output)
        self._uses.update(name for node in nodes for name in node.inputs)
        for node in nodes[:-1]:
            inputs: list[Any] = [self._values.get(name) for name in node.inputs]
            if all(isinstance(value, np.ndarray) for value in inputs):
                value: Any = _constant(node, inputs)
            elif all(isinstance(value, np.ndarray | _Conditioned) for value in inputs):
                self._conditioned.append(node)
                value = _CONDITIONED
            else:
                value = self._follow(node, inputs)
            self._values[node.outputs[0]] = value
        # The last one only turns the result into the order of the graph's output.
        ends = [node for node in nodes[-1:] if isinstance(self._values.get(node.inputs[0]), _Result)]
        if self._basis is None or not ends or ends[0].attributes.get("perm") != [0, 2, 3, 1]:
            raise EngineError("the network does not end in a convolution and the coefficients' basis")
        needed = {name for node in self._conditioned for name in node.inputs}
        constants = {
            name: self._values[name] for name in needed if isinstance(self._values.get(name), np.ndarray)
        }
        chain = Chain(
            tuple(self._features), tuple(self._layers), self._basis, tuple(self._conditioned), constants
        )
        values = chain.values(np.zeros((1, CONDITION_SIZE), np.float32))
        for layer in self._layers:
            for what, name in layer.film:
                if values[name].shape not in ((1, layer.outputs, 1, 1), (layer.outputs, 1, 1)):
                    raise EngineError(f"a {what} by the condition is not one number for each channel")
        return chain

    def _follow(self, node: Node, inputs: list[Any]) -> Any:
        """What a node makes of the picture or of features."""
        for name, value in zip(node.inputs, inputs, strict=True):
            _expect(
                node, not isinstance(value, Layer) or self._uses[name] == 1, "all that reads a layer's sums"
            )
        first, rest = inputs[0], inputs[1:]
        if node.operator in ("Mul", "Add") and not isinstance(first, Layer) and isinstance(rest[0], Layer):
            first, rest = rest[0], [first]
        match node.operator, first, rest:
            case "Cast", _Picture(), []:
                return first
            case "Conv", _Picture(blocks=False), [np.ndarray() as kernel]:
                same = np.eye(EDGE * EDGE).reshape(EDGE * EDGE, 1, EDGE, EDGE)
                blocks = np.array_equal(kernel, same) and _form(node) == (EDGE, 0)
                _expect(node, blocks, "the picture's 4x4 blocks as they are")
                return _Picture(blocks=True)
            case "Add", _Picture(blocks=True, centre=0.0), [np.ndarray(size=1) as centre]:
                return _Picture(True, -float(centre.reshape(-1)[0]))
            case "QuantizeLinear", _Picture(blocks=True), [step, zero]:
                own = float(step) == 1 and float(zero) == first.centre and zero.dtype == np.uint8
                _expect(node, own, "pixels as their own codes")
                return self._make(EDGE * EDGE, 1, 1.0, int(zero))
            case "QuantizeLinear", Layer(), [step, zero]:
                made = self._features[-1]
                every = {Kind.DOWN: made.every * 2, Kind.UP: made.every // 2}.get(first.kind, made.every)
                _expect(node, zero.dtype == np.uint8, "codes from 0 to 255")
                added = self._features[first.residual] if first.residual >= 0 else None
                fits = added is None or (added.channels, added.every) == (first.outputs, every)
                # The library adds nothing to what it makes smaller, and always something to what it makes larger.
                alone = {Kind.DOWN: True, Kind.UP: False}.get(first.kind, added is None)
                _expect(
                    node, fits and alone == (added is None), "a layer with such a residual as it may have"
                )
                self._layers.append(first)
                return self._make(first.outputs, every, float(step), int(zero))
            case "DequantizeLinear", _Codes(), [step, zero]:
                made = self._features[first.index]
                _expect(node, (float(step), int(zero)) == (made.step, made.zero), "codes as they were made")
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
                fits = basis.shape == (16, 16, 1, 1) and first.kind is Kind.CONV3 and _form(node) == (1, 0)
                _expect(node, fits, "the coefficients' basis")
                first.kind = Kind.TAIL
                self._layers.append(first)
                self._basis = np.ascontiguousarray(basis.reshape(16, 16), np.float32)
                return _Result()
        raise EngineError(f"it does not know {node.operator} of {', '.join(node.inputs)}")

    def _make(self, channels: int, every: int, step: float, zero: int) -> _Codes:
        self._features.append(Features(channels, every, step, zero))
        return _Codes(len(self._features) - 1)

    def _convolution(self, node: Node, source: _Codes, weights: _Weights, bias: list[Any]) -> Layer:
        outputs, inputs, *kernel = weights.codes.shape
        forms = {
            (3, 3, 1, 1): Kind.CONV3, (1, 1, 1, 0): Kind.CONV1, (2, 2, 2, 0): Kind.DOWN,
        }  # fmt: skip
        kind = forms.get((*kernel, *(_form(node) or ())))
        _expect(node, kind is not None, "3x3 with a border of 1, 1x1, or 2x2 in steps of 2")
        _expect(node, inputs % 4 == 0 and outputs % 8 == 0, "channels in fours, outputs in eights")
        assert kind is not None
        packed = weights.codes.reshape(outputs // 8, 8, inputs // 4, 4, -1).transpose(0, 4, 2, 1, 3)
        sums = weights.codes.astype(np.int32).sum((1, 2, 3))
        return self._layer(node, kind, source, weights, 0, packed, sums, bias, inputs, outputs)

    def _enlargement(self, node: Node, source: _Codes, weights: _Weights, bias: list[Any]) -> Layer:
        inputs, outputs, *kernel = weights.codes.shape
        fits = kernel == [2, 2] and _form(node) == (2, 0) and outputs % 4 == inputs % 4 == 0
        _expect(node, fits, "2x2 in steps of 2, channels in fours")
        _expect(node, self._features[source.index].every > 1, "of features that were made smaller")
        packed = weights.codes.reshape(inputs // 4, 4, outputs // 4, 4, 2, 2).transpose(2, 4, 0, 5, 3, 1)
        sums = weights.codes.astype(np.int32).sum(0).reshape(outputs // 4, 4, 2, 2).transpose(0, 2, 3, 1)
        return self._layer(node, Kind.UP, source, weights, 1, packed, sums, bias, inputs, outputs)

    def _layer(
        self,
        node: Node,
        kind: Kind,
        source: _Codes,
        weights: _Weights,
        axis: int,
        packed: NDArray[np.int8],
        sums: NDArray[np.int32],
        bias: list[Any],
        inputs: int,
        outputs: int,
    ) -> Layer:
        if source.index != len(self._features) - 1:
            raise EngineError("a layer reads other features than the last ones")
        read = self._features[source.index]
        shift = np.array(bias[0] if bias else np.zeros(outputs), np.float32)
        steps = weights.step.size == 1 or (weights.axis == axis and weights.step.shape == (outputs,))
        fits = read.channels == inputs and shift.shape == (outputs,) and steps
        _expect(
            node,
            fits,
            f"of {read.channels} channels, with a step and a bias for each of its {outputs} outputs",
        )
        return Layer(
            kind, inputs, outputs, np.ascontiguousarray(packed),
            np.ascontiguousarray((self._code_offset - read.zero) * sums, np.int32),
            np.full(outputs, 1, np.float32) * weights.step * np.float32(read.step), shift,
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
    return nodes[::-1]


def _form(node: Node) -> tuple[int, int] | None:
    """A convolution's step and border, alike on all sides; None where they are not, and where it has groups, dilations
    or what else there is."""
    given = node.attributes
    strides, pads = set(given.get("strides", [1])), set(given.get("pads", [0]))
    other = {"auto_pad", "output_shape"} & given.keys() or any(given.get("output_padding", []))
    if other or given.get("group", 1) != 1 or set(given.get("dilations", [1])) != {1}:
        return None
    return (strides.pop(), pads.pop()) if len(strides) == len(pads) == 1 else None


def _constant(node: Node, inputs: list[NDArray[Any]]) -> Any:
    if node.operator == "DequantizeLinear" and inputs[0].dtype == np.int8:
        if len(inputs) > 2 and inputs[2].any():
            raise EngineError("its weights have zero points")
        return _Weights(inputs[0], inputs[1].astype(np.float32), node.attributes.get("axis", 1))
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
            return np.asarray(np.where(first < 0, node.attributes.get("alpha", 0.01) * first, first))
        case "Unsqueeze":
            return np.asarray(np.expand_dims(first, tuple(inputs[1].astype(np.int64).tolist())))
        case "Gemm" if node.attributes.get("transB") and not node.attributes.get("transA"):
            product = node.attributes.get("alpha", 1.0) * (first @ inputs[1].T)
            if len(inputs) > 2:
                product = product + node.attributes.get("beta", 1.0) * inputs[2]
            return np.asarray(product)
    raise EngineError(f"it does not know {node.operator} of constants or of the condition")
