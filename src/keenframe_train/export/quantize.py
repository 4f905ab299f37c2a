"""INT8 after training: NNCF with real training frames, then each activation's range tuned to what it does to pictures.

Convolutions with a learned kernel take nearly all of the time and run in INT8. The pixel, DCT and FiLM steps
and the final sum stay in float: they cost little, and eight bits of a pixel's own value are already its code.

Sharp edges give activations long tails: a range that holds them all is too coarse for the rest, one that cuts
them loses edges, and which is worse differs from layer to layer. So the ranges that NNCF finds are scaled up and
down, one tensor after the other, and what restores held-out training pairs best is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import nncf
import numpy as np
import onnx
import onnxruntime
from nncf.quantization.advanced_parameters import (
    AdvancedQuantizationParameters,
    OverflowFix,
    QuantizationParameters,
)
from numpy.typing import NDArray
from onnx import numpy_helper

from keenframe_train.data.validation import Sample
from keenframe_train.export.onnx_file import run_session
from keenframe_train.nets.keen import BLOCK
from keenframe_train.progress import progress

_FLOAT = (".*(pixels|bands|base|embed|film|idct|spread).*",)
_FACTORS = (0.5, 0.7, 0.85, 1.2, 1.5, 2.0)

Feed = dict[str, NDArray]


def quantize(
    graph: onnx.ModelProto, pairs: Sequence[Sample], keep_float: Sequence[str] = (), sweeps: int = 2
) -> onnx.ModelProto:
    """Post-training INT8 of a deployed graph.

    pairs: to collect activation statistics on, and to tune the ranges on. keep_float: further node name patterns to
    leave in float. sweeps: rounds of tuning; 0 keeps NNCF's ranges.
    """
    feeds: list[Feed] = [
        {
            "luma": np.ascontiguousarray(pair.degraded)[None, None],
            "condition": np.asarray(pair.condition, np.float32)[None],
            "strength": np.ones(1, np.float32),
            "previous": np.zeros((1, *_rows_columns(pair), BLOCK**2), np.uint8),
            "keep": np.zeros((1, 1, *_rows_columns(pair)), np.float32),
        }
        for pair in pairs
    ]
    quantized = post_training(graph, feeds, final_nodes(graph), [*_FLOAT, *keep_float])
    return tune_ranges(quantized, lambda trial: restored(trial, pairs), sweeps)


def _rows_columns(pair: Sample) -> tuple[int, int]:
    height, width = pair.pristine.shape
    return height // BLOCK, width // BLOCK


def post_training(
    graph: onnx.ModelProto, feeds: Sequence[Feed], names: Sequence[str], patterns: Sequence[str] = ()
) -> onnx.ModelProto:
    """NNCF's INT8 of a graph: weights with a step for each output channel, activations with one each.

    feeds: inputs to collect activation ranges on. names, patterns: of nodes that stay in float.
    """
    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        graph,
        nncf.Dataset(feeds),
        subset_size=len(feeds),
        preset=nncf.QuantizationPreset.MIXED,
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=list(names), patterns=list(patterns), validate=False),
        # VNNI and Arm's dot product add up in 32 bits: nothing overflows, and no bit has to be given away.
        # One step for all channels of an activation, before depthwise convolutions too: ONNX Runtime knows no other.
        advanced_parameters=AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.DISABLE,
            activations_quantization_params=QuantizationParameters(per_channel=False),
        ),
    )


def tune_ranges(
    graph: onnx.ModelProto, quality: Callable[[onnx.ModelProto], float], sweeps: int = 2
) -> onnx.ModelProto:
    """Scale each activation's range by the factor that gives the best `quality`; coordinate descent."""
    if sweeps == 0:
        return graph
    tuned = onnx.ModelProto()
    tuned.CopyFrom(graph)
    initializers = {tensor.name: tensor for tensor in tuned.graph.initializer}
    names = [
        node.input[1]
        for node in tuned.graph.node
        if node.op_type == "QuantizeLinear" and node.input[1] in initializers
    ]
    scales = {name: numpy_helper.to_array(initializers[name]).copy() for name in dict.fromkeys(names)}
    scales = {name: value for name, value in scales.items() if value.size == 1}
    best = quality(tuned)
    with progress() as bar:
        task = bar.add_task("ranges", total=sweeps * len(scales), note="")
        for _ in range(sweeps):
            for name in scales:
                for factor in _FACTORS:
                    trial = scales[name] * np.asarray(factor, scales[name].dtype)
                    initializers[name].CopyFrom(numpy_helper.from_array(trial, name))
                    found = quality(tuned)
                    if found > best:
                        best, kept = found, trial
                        scales[name] = kept
                        break
                initializers[name].CopyFrom(numpy_helper.from_array(scales[name], name))
                bar.update(task, advance=1, note=f"{best:.3f} dB")
    return tuned


def restored(graph: onnx.ModelProto, pairs: Sequence[Sample]) -> float:
    """Mean PSNR in dB of the graph's output over the pairs; half a code value is the floor of the error."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    values = []
    for pair in pairs:
        pixels, _ = run_session(session, np.ascontiguousarray(pair.degraded), pair.condition)
        error = np.square(pixels.astype(np.float32) - pair.pristine).mean()
        values.append(10 * np.log10(255**2 / (error + 0.25)))
    return float(np.mean(values))


def final_nodes(graph: onnx.ModelProto) -> list[str]:
    """Names of the element-wise nodes between the inverse DCT and the outputs, and those of the strength."""
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    start = next(node for node in graph.graph.node if "idct" in node.name)
    names, open_outputs = [], [*start.output, "strength"]
    while open_outputs:
        for node in consumers.get(open_outputs.pop(), []):
            if node.name not in names:
                names.append(node.name)
                open_outputs += node.output
    return names
