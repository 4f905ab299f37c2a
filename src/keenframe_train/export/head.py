"""The head in INT8 at no loss: it reads pixels instead of DCT bands, and its weights are rounded as print is dotted.

Bands are small numbers of unequal size, which eight bits cut short; so the head of a `keen` was float, and took a fifth
of a frame where float is slow. But a pixel is eight bits to begin with. With the bands' transform in its weights the
head reads the pixels themselves, exactly, and what is left to round are the weights. Rounded each for itself they cost
0.02 to 0.03 dB: the errors of neighbours add up where a picture is smooth, and most of it is. Carried on to the next
weight in the picture's own order (Floyd and Steinberg 1976, "An Adaptive Algorithm for Spatial Greyscale") they cancel
each other there, and what is left is below 0.01 dB (docs/log.md). No training is needed.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_PEAK = 126  # one level of the weights is left for the errors that are carried on
_SHARES = ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1))  # rows down, columns on, share of the error


def eight_bit_head(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A deployed `keen` with the heads of its networks in INT8; those that read no blocks of 4x4 pixels stay.

    graph: weights of the head in float32, or in float16 with a Cast. The picture's edges are filled with the whole
    code value next to the training pictures' mean, where the bands have the mean itself.
    """
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    for end in ("", ".1"):
        _convert(made.graph, end)
    return made


def _convert(graph: onnx.GraphProto, end: str) -> None:
    nodes = {node.name: node for node in graph.node}
    pixels, bands, head = (nodes.get(f"/{name}/Conv{end}") for name in ("pixels", "bands", "head"))
    if pixels is None or bands is None or head is None or head.input[0] != bands.output[0]:
        return
    stored = {tensor.name: tensor for tensor in graph.initializer}
    transform, offset, bias = (
        numpy_helper.to_array(stored[name]).astype(np.float64)
        for name in (bands.input[1], bands.input[2], head.input[2])
    )
    source = head.input[1] if head.input[1] in stored else nodes[f"widen/{head.input[1]}"].input[0]
    if len(transform) != 16:
        return
    matrix = transform[:, :, 0, 0]
    weight = np.einsum("ojyx,ji->oiyx", numpy_helper.to_array(stored[source]).astype(np.float64), matrix)
    # What the bands take away before the head reads them, as pixels.
    mean = -np.linalg.solve(matrix, offset)
    middle = int(np.clip(np.rint(mean.mean()), 0, 255))
    bias = bias + weight.sum((2, 3)) @ (middle - mean)
    levels, steps = diffused(weight)

    name = f"head.weight{{}}{end}".format
    constants = {
        name(".int8"): levels, name(".step"): steps, name(".zero"): np.zeros(len(steps), np.int8),
        head.input[2]: bias.astype(np.float32), f"middle{end}": np.full((1, 1, 1, 1), -middle, np.float32),
        f"pixels.step{end}": np.float32(1), f"pixels.zero{end}": np.uint8(middle),
    }  # fmt: skip
    removed = {bands.name, f"widen/{head.input[1]}"}
    dropped = {bands.input[1], bands.input[2], source, head.input[2]}
    kept = [node for node in graph.node if node.name not in removed]
    tensors = [tensor for tensor in graph.initializer if tensor.name not in dropped]
    tensors += [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    rounding = [f"pixels.step{end}", f"pixels.zero{end}"]
    added = [
        helper.make_node("Add", [pixels.output[0], f"middle{end}"], [f"centred{end}"], f"/centre/Add{end}"),
        helper.make_node(
            "QuantizeLinear", [f"centred{end}", *rounding], [f"codes{end}"], f"/pixels/QuantizeLinear{end}"
        ),
        helper.make_node(
            "DequantizeLinear", [f"codes{end}", *rounding], [f"exact{end}"], f"/pixels/DequantizeLinear{end}"
        ),
        helper.make_node(
            "DequantizeLinear", [name(".int8"), name(".step"), name(".zero")], [name(".widened")],
            f"widen/{name('')}", axis=0,
        ),
    ]  # fmt: skip
    at = next(index for index, node in enumerate(kept) if node.name == head.name)
    head.input[:] = [f"exact{end}", name(".widened"), head.input[2]]
    kept[at:at] = added
    copies = [_copy(node) for node in kept]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(copies)
    graph.initializer.extend(tensors)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def diffused(weight: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A head's weights in eight bits, (N, 16, 3, 3), and the step of each output, (N,): levels * step is the weight.

    weight: (N, 16, 3, 3) of 4x4 blocks of pixels, channel 4 * row + column, so that a head sees 12x12 pixels. Errors
    are carried on over these, row by row, to and fro.
    """
    count, channels, rows, columns = weight.shape
    edge = math.isqrt(channels)
    height, width = rows * edge, columns * edge
    plane = (
        weight.reshape(count, edge, edge, rows, columns)
        .transpose(0, 3, 1, 4, 2)
        .reshape(count, height, width)
    )
    steps = (np.maximum(np.abs(plane).max((1, 2)), 1e-8) / _PEAK).astype(np.float32)
    left = plane / steps[:, None, None].astype(np.float64)
    levels = np.zeros(plane.shape, np.int8)
    for y in range(height):
        on = 1 if y % 2 == 0 else -1
        for x in range(width)[::on]:
            levels[:, y, x] = np.clip(np.rint(left[:, y, x]), -127, 127)
            error = left[:, y, x] - levels[:, y, x]
            targets = [(y + down, x + on * step, share) for down, step, share in _SHARES]
            targets = [(a, b, share) for a, b, share in targets if a < height and 0 <= b < width]
            for a, b, share in targets:
                left[:, a, b] += error * share / sum(part for _, _, part in targets)
    blocks = levels.reshape(count, rows, edge, columns, edge).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(blocks.reshape(weight.shape)), steps
