"""Portable networks into LiteRT's operators, node by node; channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from keenframe.zoo.spec import METADATA_KEY
from keenframe_train.export.litert_file import FlatModel, Steps
from keenframe_train.export.operators import EXAMPLE, dense, pads, refuse, same_padding, square
from keenframe_train.export.portable import Portable, Size
from keenframe_train.export.simplify import Levels, attribute, lowered

NAME = "LiteRT"
# Smaller tensors are not worth an operator that widens them.
_HALVED_FROM = 256


def channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """(N, C, H, W) -> (N, H, W, C); other arrays as they are."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array


class Writer:
    """Turns one network's nodes into operators, in their order."""

    def __init__(self, network: Portable, size: Size | None) -> None:
        self._network = network
        self._plain = lowered(network.graph)
        self._out = FlatModel(network.name, free=size is None)
        self._tensors: dict[str, int] = {}
        self._nodes: dict[str, Callable[[onnx.NodeProto], int]] = {
            "Abs": self._simple("ABS", "AbsOptions"),
            "Add": self._binary,
            "Clip": self._clip,
            "Concat": self._concat,
            "Conv": self._conv,
            "ConvTranspose": self._transposed,
            "DepthToSpace": self._depth_to_space,
            "Div": self._binary,
            "Flatten": self._flatten,
            "Gemm": self._gemm,
            "GlobalAveragePool": self._mean,
            "LeakyRelu": self._leaky,
            "Log": self._simple("LOG", None),
            "Mul": self._binary,
            "Pad": self._pad,
            "ReduceMean": self._mean,
            "Relu": self._simple("RELU", None),
            "Sigmoid": self._simple("LOGISTIC", None),
            "Sqrt": self._simple("SQRT", None),
            "Sub": self._binary,
            "Unsqueeze": self._unsqueeze,
        }
        width, height = size or (EXAMPLE, EXAMPLE)
        for item in network.graph.graph.input:
            shape = [side.dim_value for side in item.type.tensor_type.shape.dim]
            if len(shape) == 4:
                shape = [1, height, width, shape[1]]
            self._tensors[item.name] = self._out.tensor(item.name, shape)

    def file(self, card: str) -> bytes:
        """The whole file. TrainError for an operator that LiteRT has not."""
        for node in self._plain.nodes:
            if node.op_type not in self._nodes:
                refuse(NAME, self._network.name, node, known=self._nodes)
            self._tensors[node.output[0]] = self._nodes[node.op_type](node)
        self._out.note(METADATA_KEY, card)
        return self._out.finish(
            {name: self._tensors[name] for name in self._network.inputs},
            {name: self._tensors[name] for name in self._network.outputs},
        )

    def _input(self, node: onnx.NodeProto, index: int = 0) -> int:
        """What a node reads: computed, or a constant that is stored now."""
        name = node.input[index]
        if name not in self._tensors:
            self._tensors[name] = self._out.constant(name, channels_last(self._plain.constants[name]))
        return self._tensors[name]

    def _like(self, node: onnx.NodeProto, source: int) -> int:
        return self._out.tensor(node.output[0], self._out.shape(source))

    def _simple(self, operator: str, options: str | None) -> Callable[[onnx.NodeProto], int]:
        def write_node(node: onnx.NodeProto) -> int:
            source = self._input(node)
            return self._out.operator(operator, [source], self._like(node, source), options)

        return write_node

    def _leaky(self, node: onnx.NodeProto) -> int:
        source = self._input(node)
        alpha = attribute(node, "alpha", 0.01)
        return self._out.operator(
            "LEAKY_RELU", [source], self._like(node, source), "LeakyReluOptions", alpha=alpha
        )

    def _binary(self, node: onnx.NodeProto) -> int:
        operator = node.op_type.upper()
        sources = [self._input(node, 0), self._input(node, 1)]
        shapes = [self._out.shape(source) for source in sources]
        length = max(map(len, shapes))
        aligned = [[1] * (length - len(shape)) + shape for shape in shapes]
        target = self._out.tensor(node.output[0], [max(sides) for sides in zip(*aligned, strict=True)])
        return self._out.operator(operator, sources, target, f"{node.op_type}Options")

    def _clip(self, node: onnx.NodeProto) -> int:
        found = self._input(node)
        for operator, index in (("MAXIMUM", 1), ("MINIMUM", 2)):
            if len(node.input) > index and node.input[index]:
                limit = np.asarray(self._plain.constants[node.input[index]], np.float32).reshape(1, 1, 1, 1)
                bound = self._out.constant(f"{node.name}/{operator.lower()}", limit)
                target = self._out.tensor(f"{node.output[0]}.{index}", self._out.shape(found))
                found = self._out.operator(operator, [found, bound], target, "MaximumMinimumOptions")
        return found

    def _conv(self, node: onnx.NodeProto) -> int:
        name, groups = node.input[1], attribute(node, "group", 1)
        levels = self._plain.levels.get(name)
        weights = self._plain.constants[name] if levels is None else levels.values
        square(NAME, self._network.name, node, "dilations", (1, 1), allowed=1)
        if levels is None and groups == 1 and not any(pads(node)):
            return self._bare(node, weights.transpose(0, 2, 3, 1))
        stride = square(NAME, self._network.name, node, "strides", (1, 1))
        source = self._padded(node, self._input(node), weights.shape[2], stride)
        same = same_padding(node, weights.shape[2], stride)
        if groups == 1:
            if levels is not None:
                levels = Levels(weights.transpose(0, 2, 3, 1), levels.steps, 0)
            return self._convolution(node, source, weights.transpose(0, 2, 3, 1), levels, stride, same)
        if groups != self._out.shape(source)[3] or weights.shape[1] != 1:
            refuse(NAME, self._network.name, node, f"with {groups} groups")
        depthwise = (weights if levels is None else levels.widened()).transpose(1, 2, 3, 0)
        bias = self._bias(node, weights.shape[0])
        inputs = [source, self._weights(name, depthwise), bias]
        target = self._out.tensor(
            node.output[0], self._windows(source, weights.shape[2], stride, same, weights.shape[0])
        )
        return self._out.operator(
            "DEPTHWISE_CONV_2D", inputs, target, "DepthwiseConv2DOptions", padding=int(not same),
            strideH=stride, strideW=stride, depthMultiplier=weights.shape[0] // groups,
            dilationHFactor=1, dilationWFactor=1,
        )  # fmt: skip

    def _bare(self, node: onnx.NodeProto, weights: NDArray[Any]) -> int:
        """A float convolution without padding, (O, kh, kw, I), with a kernel and steps of any two edges."""
        steps, source = attribute(node, "strides", (1, 1)), self._input(node)
        sides = zip(self._out.shape(source)[1:3], weights.shape[1:3], steps, strict=True)
        places = [(side - edge) // step + 1 for side, edge, step in sides]
        target = self._out.tensor(node.output[0], [1, *places, len(weights)])
        inputs = [source, self._weights(node.input[1], weights), self._bias(node, len(weights))]
        return self._out.operator(
            "CONV_2D", inputs, target, "Conv2DOptions", 1, padding=1,
            strideH=steps[0], strideW=steps[1], dilationHFactor=1, dilationWFactor=1,
        )  # fmt: skip

    def _convolution(
        self,
        node: onnx.NodeProto,
        source: int,
        weights: NDArray[Any],
        levels: Levels | None,
        stride: int,
        same: bool,
        repeat: int = 1,
    ) -> int:
        """A convolution with (O, kh, kw, I) weights; its bias is the node's, `repeat` times over."""
        if levels is None:
            kernel, version = self._weights(node.input[1], weights), 1
        else:
            steps = Steps(levels.steps, np.zeros(len(levels.steps), np.int64))
            kernel, version = self._out.constant(node.input[1], levels.values, steps), 5
        bias = self._bias(node, len(weights) // repeat, repeat)
        target = self._out.tensor(
            node.output[0], self._windows(source, weights.shape[1], stride, same, len(weights))
        )
        return self._out.operator(
            "CONV_2D", [source, kernel, bias], target, "Conv2DOptions", version, padding=int(not same),
            strideH=stride, strideW=stride, dilationHFactor=1, dilationWFactor=1,
        )  # fmt: skip

    def _windows(self, source: int, kernel: int, stride: int, same: bool, channels: int) -> list[int]:
        _, height, width, _ = self._out.shape(source)
        if not same:
            height, width = ((side - kernel) // stride + 1 for side in (height, width))
        return [1, height, width, channels]

    def _padded(self, node: onnx.NodeProto, source: int, kernel: int, stride: int) -> int:
        """The input with its zeros around it where LiteRT's own two kinds of padding are others."""
        around = pads(node)
        if not any(around) or same_padding(node, kernel, stride):
            return source
        top, left, bottom, right = around
        _, height, width, channels = self._out.shape(source)
        amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        target = self._out.tensor(
            f"{node.output[0]}.padded", [1, height + top + bottom, width + left + right, channels]
        )
        inputs = [source, self._out.constant(f"{node.output[0]}.pads", amounts)]
        return self._out.operator("PAD", inputs, target, "PadOptions")

    def _weights(self, name: str, values: NDArray[Any]) -> int:
        """Stored weights, in float16 where that holds them exactly: it is widened when the file is loaded."""
        values = np.ascontiguousarray(values, np.float32)
        halves = values.astype(np.float16)
        if values.size < _HALVED_FROM or not np.array_equal(halves.astype(np.float32), values):
            return self._out.constant(name, values)
        stored = self._out.constant(f"{name}.half", halves)
        return self._out.operator(
            "DEQUANTIZE", [stored], self._out.tensor(name, values.shape), "DequantizeOptions"
        )

    def _bias(self, node: onnx.NodeProto, channels: int, repeat: int = 1) -> int:
        bias = self._plain.constants[node.input[2]] if len(node.input) > 2 else np.zeros(channels, np.float32)
        return self._out.constant(f"{node.output[0]}.bias", np.tile(bias, repeat))

    def _transposed(self, node: onnx.NodeProto) -> int:
        """A transposed convolution whose windows do not overlap: 1x1, then each position's channels to its place."""
        name = node.input[1]
        levels = self._plain.levels.get(name)
        weights = self._plain.constants[name] if levels is None else levels.values
        groups = attribute(node, "group", 1)
        if groups > 1:  # as one dense product: what groups do not read is zero
            weights, levels = dense(weights if levels is None else levels.widened(), groups), None
        entering, leaving, edge, _ = weights.shape
        square(NAME, self._network.name, node, "strides", (1, 1), allowed=edge)
        if any(pads(node)):
            refuse(NAME, self._network.name, node, "with padding")
        kernel = weights.transpose(2, 3, 1, 0).reshape(-1, 1, 1, entering)
        if levels is not None:
            levels = Levels(kernel, np.tile(levels.steps, edge * edge), 0)
        source = self._input(node)
        wide = onnx.helper.make_node("Conv", list(node.input), [f"{node.output[0]}.wide"], node.name)
        deep = self._convolution(wide, source, kernel, levels, 1, False, repeat=edge * edge)
        return self._spread(node, deep, edge, leaving)

    def _depth_to_space(self, node: onnx.NodeProto) -> int:
        source, edge = self._input(node), attribute(node, "blocksize")
        channels = self._out.shape(source)[3] // edge**2
        if channels != 1 and attribute(node, "mode", "DCR") != "DCR":
            refuse(NAME, self._network.name, node, "in the order CRD")
        return self._spread(node, source, edge, channels)

    def _spread(self, node: onnx.NodeProto, source: int, edge: int, channels: int) -> int:
        _, height, width, _ = self._out.shape(source)
        target = self._out.tensor(node.output[0], [1, height * edge, width * edge, channels])
        return self._out.operator("DEPTH_TO_SPACE", [source], target, "DepthToSpaceOptions", blockSize=edge)

    def _gemm(self, node: onnx.NodeProto) -> int:
        if attribute(node, "transB", 0) != 1 or attribute(node, "transA", 0):
            refuse(NAME, self._network.name, node, "with weights that are not (out, in)")
        weights = self._plain.constants[node.input[1]]
        inputs = [self._input(node), self._weights(node.input[1], weights), self._bias(node, len(weights))]
        target = self._out.tensor(node.output[0], [1, len(weights)])
        return self._out.operator("FULLY_CONNECTED", inputs, target, "FullyConnectedOptions")

    def _mean(self, node: onnx.NodeProto) -> int:
        over = list(attribute(node, "axes", [])) if node.op_type == "ReduceMean" else [2, 3]
        if over not in ([2], [3], [2, 3]):
            refuse(NAME, self._network.name, node, f"over axes {over}")
        source = self._input(node)
        axes = self._out.constant(f"{node.output[0]}.axes", np.array(over, np.int32) - 1)
        shape = [1 if axis + 1 in over else side for axis, side in enumerate(self._out.shape(source))]
        target = self._out.tensor(node.output[0], shape)
        return self._out.operator("MEAN", [source, axes], target, "ReducerOptions", keepDims=True)

    def _concat(self, node: onnx.NodeProto) -> int:
        sources = [self._input(node, index) for index in range(len(node.input))]
        axis = attribute(node, "axis")
        if axis != 1 or len(self._out.shape(sources[0])) != 4:
            refuse(NAME, self._network.name, node, f"along axis {axis}")
        shape = self._out.shape(sources[0])
        shape[3] = sum(self._out.shape(source)[3] for source in sources)
        target = self._out.tensor(node.output[0], shape)
        return self._out.operator("CONCATENATION", sources, target, "ConcatenationOptions", axis=3)

    def _unsqueeze(self, node: onnx.NodeProto) -> int:
        source = self._input(node)
        shape = self._out.shape(source)
        if len(shape) != 2 or self._plain.constants[node.input[1]].tolist() != [2, 3]:
            refuse(NAME, self._network.name, node, "of anything but channels")
        return self._reshape(node, source, [1, 1, 1, shape[1]])

    def _flatten(self, node: onnx.NodeProto) -> int:
        source = self._input(node)
        _, height, width, channels = self._out.shape(source)
        if (height, width) != (1, 1):
            refuse(NAME, self._network.name, node, "of a picture")
        return self._reshape(node, source, [1, channels])

    def _reshape(self, node: onnx.NodeProto, source: int, shape: list[int]) -> int:
        wanted = self._out.constant(f"{node.output[0]}.shape", np.array(shape, np.int32))
        target = self._out.tensor(node.output[0], shape)
        return self._out.operator("RESHAPE", [source, wanted], target, "ReshapeOptions", newShape=shape)

    def _pad(self, node: onnx.NodeProto) -> int:
        """Repeated edges, which LiteRT has no operator for: the outermost row and column, several times."""
        amounts = self._plain.constants[node.input[1]].tolist()
        count = amounts[2]
        if attribute(node, "mode", "constant") != "edge" or amounts != [0, 0, count, count] * 2 or count < 1:
            refuse(NAME, self._network.name, node, f"{attribute(node, 'mode', 'constant')!r} by {amounts}")
        found = self._input(node)
        for axis in (1, 2):
            first, last = self._edge(node, found, axis, 0), self._edge(node, found, axis, -1)
            shape = self._out.shape(found)
            shape[axis] += 2 * count
            target = self._out.tensor(f"{node.output[0]}.{axis}", shape)
            parts = [*[first] * count, found, *[last] * count]
            found = self._out.operator("CONCATENATION", parts, target, "ConcatenationOptions", axis=axis)
        return found

    def _edge(self, node: onnx.NodeProto, source: int, axis: int, index: int) -> int:
        """The first (0) or last (-1) row (axis 1) or column (axis 2)."""
        name = f"{node.output[0]}.{axis}.{'last' if index else 'first'}"
        begin, end = ([0, 0, 0, 0] for _ in range(2))
        begin[axis], end[axis] = index, 1 + index
        whole = 0b1111 & ~(1 << axis)
        limits = (begin, end, [1] * 4)
        inputs = [
            self._out.constant(f"{name}.{i}", np.array(limit, np.int32)) for i, limit in enumerate(limits)
        ]
        shape = self._out.shape(source)
        shape[axis] = 1
        return self._out.operator(
            "STRIDED_SLICE", [source, *inputs], self._out.tensor(name, shape), "StridedSliceOptions",
            beginMask=whole, endMask=whole | (1 << axis if index else 0),
        )  # fmt: skip
