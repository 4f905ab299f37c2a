"""Networks as LiteRT (TensorFlow Lite) files, written operator by operator from the portable graph.

Google's own converter starts from a torch module and brings JAX with it; a model here is an ONNX file, and a dozen
operators need no converter (docs/decisions.md). LiteRT keeps channels last: pictures are (1, H, W, C).

INT8 is LiteRT's "dynamic range": weights in INT8 with a step for each output channel, activations rounded while it
runs, to the range that they have in this frame. It loses as little as the runtime's own INT8 and needs no calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keenframe_train.export.litert_writer import NAME, Writer, channels_last
from keenframe_train.export.operators import Arrays
from keenframe_train.export.portable import Portable, Size

__all__ = ["NAME", "PACKAGE", "open_file", "write"]

PACKAGE = "ai-edge-litert"
SUFFIX = ".tflite"


def write(network: Portable, folder: Path, size: Size | None, card: str) -> list[Path]:
    """Write NAME.tflite with `card`, the model's description, in its metadata. size: None leaves it free."""
    path = folder / f"{network.name}{SUFFIX}"
    path.write_bytes(Writer(network, size).file(card))
    return [path]


def open_file(path: Path, threads: int) -> Callable[[Arrays], Arrays]:
    """A function that runs the file in LiteRT: arrays by name in and out, pictures (1, C, H, W) float32."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    sizes: list[tuple[int, ...]] = []

    def run(inputs: Arrays) -> Arrays:
        feeds = {name: channels_last(array) for name, array in inputs.items()}
        details = {item["name"]: item for item in interpreter.get_input_details()}
        shapes = [array.shape for array in feeds.values()]
        if sizes != shapes:
            for name, array in feeds.items():
                if tuple(details[name]["shape"]) != array.shape:
                    interpreter.resize_tensor_input(details[name]["index"], array.shape, strict=True)
            interpreter.allocate_tensors()
            sizes[:] = shapes
        for name, array in feeds.items():
            interpreter.set_tensor(details[name]["index"], array)
        interpreter.invoke()
        found = {
            item["name"]: interpreter.get_tensor(item["index"]) for item in interpreter.get_output_details()
        }
        return {
            name: array.transpose(0, 3, 1, 2) if array.ndim == 4 else array for name, array in found.items()
        }

    return run
