"""INT8 after training for plain RGB networks: NNCF, and its ranges tuned only where they lose too much."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from keenframe.metrics import luma, psnr
from keenframe_train.export.quantize import Feed, post_training, tune_ranges

if TYPE_CHECKING:
    from keenframe_train.export.plain import RgbSample

_LEARNED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
# Nodes of the network but for the steps into and out of bands, which are fixed.
_BODY = re.compile(r"/network/(?!split/|join/)")
# Pairs that tuning looks at: each trial runs the network over all of them.
_TUNED_ON = 16


def attempts(graph: onnx.ModelProto) -> list[tuple[tuple[str, ...], int]]:
    """What to try in turn: (nodes left in float, sweeps of tuning). NNCF as it is, tuned, then the ends in float."""
    convolutions = [node.name for node in graph.graph.node if _is_learned(node)]
    last, ends = tuple(convolutions[-1:]), tuple({*convolutions[:1], *convolutions[-1:]})
    return [((), 0), ((), 1), (last, 1), (ends, 1)]


def quantize_plain(
    graph: onnx.ModelProto,
    pairs: Sequence[RgbSample],
    multiple: int,
    keep_float: Sequence[str] = (),
    sweeps: int = 0,
) -> onnx.ModelProto:
    """INT8 of a graph of `plain.to_rgb_graph`, its weights stored as INT8 with a step for each output channel.

    pairs: to collect ranges on, and, with `sweeps`, to tune them on; cut to multiples of `multiple`.
    """
    feeds = [_feed(pair.degraded, multiple) for pair in pairs]
    quantized = post_training(graph, feeds, [*float_nodes(graph), *keep_float])
    some = pairs[:_TUNED_ON]

    def quality(trial: onnx.ModelProto) -> float:
        return float(np.mean(list(luma_psnr(trial.SerializeToString(), some, multiple).values())))

    return store_weights(tune_ranges(quantized, quality, sweeps))


def luma_psnr(model: bytes, samples: Sequence[RgbSample], multiple: int) -> dict[str, float]:
    """Mean PSNR-Y (dB, at most 50) of a serialised model's output per kind, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    values: dict[str, list[float]] = {}
    for sample in samples:
        feed = _feed(sample.degraded, multiple)
        (pixels,) = session.run(["pixels"], feed)
        height, width = pixels.shape[1:3]
        reference = luma(sample.pristine[:height, :width])
        values.setdefault(sample.kind, []).append(psnr(luma(pixels[0]), reference, ceiling_db=50.0))
    return {kind: float(np.mean(found)) for kind, found in values.items()}


def float_nodes(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay in float: all outside the network's body, and those behind its last learned layer.

    They cost little, and eight bits of the enlarged picture, of its bands or of the correction would cost quality.
    """
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    behind: set[str] = set()
    for node in reversed(graph.graph.node):
        after = [reader.name for name in node.output for reader in readers.get(name, [])]
        if not _is_learned(node) and behind.issuperset(after):
            behind.add(node.name)
    return [node.name for node in graph.graph.node if node.name in behind or not _BODY.match(node.name)]


def _is_learned(node: onnx.NodeProto) -> bool:
    return node.op_type in _LEARNED and _BODY.match(node.name) is not None


def store_weights(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store the weights that a QuantizeLinear node rounds as the INT8 values that it gives: lossless."""
    small = onnx.ModelProto()
    small.CopyFrom(graph)
    tensors = {tensor.name: tensor for tensor in small.graph.initializer}
    for node in list(small.graph.node):
        if node.op_type != "QuantizeLinear" or node.input[0] not in tensors:
            continue
        values, step, zero = (numpy_helper.to_array(tensors[name]) for name in node.input)
        axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
        shape = [-1 if index == axis and step.size > 1 else 1 for index in range(values.ndim)]
        limits = np.iinfo(zero.dtype)
        levels = np.rint(values / step.reshape(shape)) + zero.reshape(shape)
        stored: NDArray = levels.clip(limits.min, limits.max).astype(zero.dtype)
        small.graph.initializer.append(numpy_helper.from_array(stored, node.output[0]))
        small.graph.node.remove(node)
    used = {name for node in small.graph.node for name in node.input}
    for tensor in list(small.graph.initializer):
        if tensor.name not in used:
            small.graph.initializer.remove(tensor)
    return small


def _feed(picture: NDArray[np.uint8], multiple: int) -> Feed:
    height, width = (side // multiple * multiple for side in picture.shape[:2])
    image = np.ascontiguousarray(picture[:height, :width])[None]
    return {"image": image, "strength": np.ones(1, np.float32)}
