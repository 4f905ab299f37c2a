"""INT8 after training: NNCF with real training frames, the parts that cannot bear it left in float.

Convolutions with a learned kernel take nearly all of the time and run in INT8. The pixel, DCT and FiLM steps
and the final sum stay in float: they cost little, and eight bits of a pixel's own value are already its code.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import nncf
import numpy as np
import onnx
from numpy.typing import NDArray

Frame = tuple[NDArray[np.uint8], NDArray[np.float32]]
_FLOAT = (".*(pixels|bands|base|embed|film|idct).*",)


def quantize(
    graph: onnx.ModelProto, frames: Sequence[Frame], keep_float: Sequence[str] = ()
) -> onnx.ModelProto:
    """Post-training INT8 of a deployed graph.

    frames: (luma (H, W) uint8, condition (128,) float32) pairs to calibrate on.
    keep_float: further node name patterns to leave in float.
    """
    nncf.set_log_level(logging.ERROR)
    feeds = [
        {
            "luma": luma[None, None],
            "condition": np.asarray(condition, np.float32)[None],
            "strength": np.ones(1, np.float32),
        }
        for luma, condition in frames
    ]
    return nncf.quantize(
        graph,
        nncf.Dataset(feeds),
        subset_size=len(feeds),
        preset=nncf.QuantizationPreset.MIXED,
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(
            names=final_nodes(graph), patterns=[*_FLOAT, *keep_float], validate=False
        ),
    )


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
