"""Networks as OpenVINO IR, from the portable graph by OpenVINO's own reader: .xml and .bin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openvino as ov

from keenframe.zoo.spec import METADATA_KEY
from keenframe_train.export.operators import Arrays
from keenframe_train.export.portable import Portable, Size

NAME, PACKAGE = "OpenVINO", "openvino"
SUFFIX = ".xml"


def write(network: Portable, folder: Path, size: Size | None, card: str) -> list[Path]:
    """Write NAME.xml, with `card` in its runtime information, and NAME.bin. size: that of the network's graph."""
    model = ov.Core().read_model(model=network.graph.SerializeToString())
    model.set_rt_info(card, [METADATA_KEY])
    path = folder / f"{network.name}{SUFFIX}"
    # The weights are stored as the graph stores them, some in float16, some in INT8: exactly.
    ov.save_model(model, path, compress_to_fp16=False)
    return [path, path.with_suffix(".bin")]


def open_file(path: Path, threads: int) -> Callable[[Arrays], Arrays]:
    """A function that runs the files in OpenVINO: arrays by name in and out, pictures (1, C, H, W) float32."""
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = ov.Core().compile_model(path, "CPU", settings)
    names = [output.get_any_name() for output in compiled.outputs]

    def run(inputs: Arrays) -> Arrays:
        found = compiled(inputs)
        return {name: found[name].copy() for name in names}

    return run
