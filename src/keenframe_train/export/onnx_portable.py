"""Networks as plain ONNX files for any engine that reads them: the portable graph itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime

from keenframe.zoo.spec import METADATA_KEY
from keenframe_train.export.operators import Arrays
from keenframe_train.export.portable import Portable, Size

NAME, PACKAGE = "ONNX", "onnxruntime"
SUFFIX = ".onnx"


def write(network: Portable, folder: Path, size: Size | None, card: str) -> list[Path]:
    """Write NAME.onnx with `card`, the model's description, in its metadata. size: that of the network's graph."""
    model = onnx.ModelProto()
    model.CopyFrom(network.graph)
    # Not under the runtime's own key: this is no file for it, and it shall say so.
    model.metadata_props.add(key=f"{METADATA_KEY}.portable", value=card)
    path = folder / f"{network.name}{SUFFIX}"
    path.write_bytes(model.SerializeToString())
    return [path]


def open_file(path: Path, threads: int) -> Callable[[Arrays], Arrays]:
    """A function that runs the file in ONNX Runtime: arrays by name in and out, pictures (1, C, H, W) float32."""
    return open_model(path.read_bytes(), threads)


def open_model(model: bytes, threads: int) -> Callable[[Arrays], Arrays]:
    """`open_file` of a serialised model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return run
