"""Networks as ncnn's two files, written layer by layer from the portable graph: .param, a text, and .bin, the weights.

ncnn has no batch: a picture is (C, H, W), a vector (C,). Its files always take any size.

INT8 is ncnn's own: weights with a step for each output channel, activations -127..127 with one step each, taken from
the ranges that the runtime's INT8 file has learnt. Only convolutions are rounded, the upward step is not.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from keenframe_train.export.operators import Arrays, pads, refuse, square
from keenframe_train.export.portable import Portable, Size
from keenframe_train.export.simplify import attribute, lowered

NAME = PACKAGE = "ncnn"
SUFFIX = ".param"
_MAGIC = 7767517
_HALF, _INT8, _FULL = 0x01306B47, 0x000D4B38, 0
_BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3}
_UNARY = {"Abs": 0, "Sqrt": 5, "Log": 8}
_ACTIVATIONS = {"Relu": "ReLU", "Sigmoid": "Sigmoid"}


@dataclass(frozen=True, slots=True)
class _Layer:
    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    parameters: str = ""


def write(network: Portable, folder: Path, size: Size | None, card: str) -> list[Path]:
    """Write NAME.param and NAME.bin. size, card: the files hold neither."""
    writer = _Writer(network)
    text, weights = writer.param(), b"".join(writer.weights)
    paths = [folder / f"{network.name}{suffix}" for suffix in (SUFFIX, ".bin")]
    paths[0].write_text(text)
    paths[1].write_bytes(weights)
    return paths


def open_file(path: Path, threads: int) -> Callable[[Arrays], Arrays]:
    """A function that runs the files in ncnn: arrays by name in and out, pictures (1, C, H, W) float32."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    # Half precision, where a processor has it, is for phones: here the file itself is looked at.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.load_param(str(path))
    net.load_model(str(path.with_suffix(".bin")))
    outputs = net.output_names()

    def run(inputs: Arrays) -> Arrays:
        extractor = net.create_extractor()
        # A Mat on an array does not keep it alive, and layers that work in place fail on memory that is not ncnn's.
        arrays = {name: np.ascontiguousarray(array[0]) for name, array in inputs.items()}
        for name, array in arrays.items():
            extractor.input(name, ncnn.Mat(array).clone())
        return {name: np.array(extractor.extract(name)[1])[None] for name in outputs}

    return run


class _Writer:
    """Turns one network's nodes into layers; `weights` are the parts of the .bin file in their order."""

    def __init__(self, network: Portable) -> None:
        self._network = network
        self._plain = lowered(network.graph)
        self.weights: list[bytes] = []
        self._nodes: dict[str, Callable[[onnx.NodeProto], _Layer]] = {
            **dict.fromkeys(_BINARY, self._binary),
            **dict.fromkeys(_UNARY, self._unary),
            **dict.fromkeys(_ACTIVATIONS, self._activation),
            "Clip": self._clip,
            "Concat": self._concat,
            "Conv": self._conv,
            "ConvTranspose": self._transposed,
            "DepthToSpace": self._depth_to_space,
            "Flatten": self._flatten,
            "Gemm": self._gemm,
            "GlobalAveragePool": self._mean,
            "LeakyRelu": self._leaky,
            "Pad": self._pad,
            "ReduceMean": self._mean,
            "Unsqueeze": self._unsqueeze,
        }

    def param(self) -> str:
        """The text of the .param file."""
        layers = [_Layer("Input", name, (), name) for name in self._network.inputs]
        for node in self._plain.nodes:
            if node.op_type not in self._nodes:
                refuse(NAME, self._network.name, node, known=self._nodes)
            layers.append(self._nodes[node.op_type](node))
        return _text(_split(layers, self._network.outputs))

    def _layer(self, node: onnx.NodeProto, kind: str, parameters: str = "", inputs: int | None = 1) -> _Layer:
        """A layer that reads the node's first `inputs` inputs, all for None."""
        return _Layer(kind, _word(node.name), tuple(node.input[:inputs]), node.output[0], parameters)

    def _store(self, values: NDArray[Any]) -> None:
        self.weights.append(np.ascontiguousarray(values, "<f4").tobytes())

    def _store_weights(self, values: NDArray[Any]) -> None:
        """Weights behind a word that says how they are stored: as they are, or float16 where that is exact."""
        kind, stored = _FULL, values.astype("<f4")
        if values.dtype == np.int8:
            kind, stored = _INT8, values
        elif np.array_equal(values.astype(np.float16).astype(np.float32), values):
            kind, stored = _HALF, values.astype("<f2")
        data = np.ascontiguousarray(stored).tobytes()
        self.weights.append(struct.pack("<I", kind) + data + bytes(-len(data) % 4))

    def _conv(self, node: onnx.NodeProto) -> _Layer:
        name, groups = node.input[1], attribute(node, "group", 1)
        levels, rounding = self._plain.levels.get(name), self._plain.steps.get(node.input[0])
        # Depthwise layers want one step for each channel's input, which the runtime's files do not have. ncnn's range
        # is symmetric, so its steps are up to twice as coarse: a 1x1 kernel is too little work to be worth them, and
        # the first block's input and the last layer's lose most by them (0.12 dB together with the rest, 0.03 without).
        # The head reads pixels, whose 256 codes 255 levels do not hold exactly; with rounded weights the second
        # layers of two blocks are too much (0.08 dB, 0.04 without).
        coarse = name.startswith(("head.", "first.0.", "second.0.", "second.1.", "tail."))
        alone = levels is not None and (levels.values.shape[2:] == (1, 1) or coarse)
        int8 = levels is not None and rounding is not None and groups == 1 and not alone
        weights = (
            self._plain.constants[name] if levels is None else levels.values if int8 else levels.widened()
        )
        parameters = self._kernel(node, weights.shape[0], weights) + (" 8=2" if int8 else "")
        self._store_weights(weights)
        if len(node.input) > 2:
            self._store(self._plain.constants[node.input[2]])
        if int8 and levels is not None and rounding is not None:
            step, zero = rounding
            self._store(1 / levels.steps)
            self._store(np.array([127 / (step * max(zero, 255 - zero))]))
        if groups > 1:
            return self._layer(node, "ConvolutionDepthWise", f"{parameters} 7={groups}")
        return self._layer(node, "Convolution", parameters)

    def _transposed(self, node: onnx.NodeProto) -> _Layer:
        name = node.input[1]
        levels = self._plain.levels.get(name)
        weights = (self._plain.constants[name] if levels is None else levels.widened()).transpose(1, 0, 2, 3)
        groups = attribute(node, "group", 1)
        if attribute(node, "output_padding") is not None:
            refuse(NAME, self._network.name, node, "with output_padding")
        if groups > 1:  # ncnn has a group's channels together
            edges = weights.shape[2:]
            weights = weights.reshape(-1, groups, weights.shape[1] // groups, *edges).swapaxes(0, 1)
            weights = weights.reshape(-1, weights.shape[2], *edges)
        parameters = self._kernel(node, weights.shape[0], weights)
        self._store_weights(weights)
        if len(node.input) > 2:
            self._store(self._plain.constants[node.input[2]])
        if groups > 1:
            return self._layer(node, "DeconvolutionDepthWise", f"{parameters} 7={groups}")
        return self._layer(node, "Deconvolution", parameters)

    def _kernel(self, node: onnx.NodeProto, channels: int, weights: NDArray[Any]) -> str:
        down, across = attribute(node, "strides", (1, 1))
        dilation = square(NAME, self._network.name, node, "dilations", (1, 1))
        top, left, bottom, right = pads(node)
        return (
            f"0={channels} 1={weights.shape[3]} 11={weights.shape[2]} 2={dilation} 3={across} 13={down} "
            f"4={left} 14={top} 15={right} 16={bottom} 5={int(len(node.input) > 2)} 6={weights.size}"
        )

    def _gemm(self, node: onnx.NodeProto) -> _Layer:
        if attribute(node, "transB", 0) != 1 or attribute(node, "transA", 0) or len(node.input) < 3:
            refuse(NAME, self._network.name, node, "without weights (out, in) and bias")
        weights, bias = (self._plain.constants[name] for name in node.input[1:])
        self._store_weights(weights)
        self._store(bias)
        return self._layer(node, "InnerProduct", f"0={len(weights)} 1=1 2={weights.size}")

    def _binary(self, node: onnx.NodeProto) -> _Layer:
        kind = f"0={_BINARY[node.op_type]}"
        constant = self._plain.constants.get(node.input[1])
        if constant is None and node.input[0] not in self._plain.constants:
            return self._layer(node, "BinaryOp", kind, inputs=None)
        if constant is None or constant.size != 1:
            refuse(NAME, self._network.name, node, "with a constant that is not one number, or comes first")
        return self._layer(node, "BinaryOp", f"{kind} 1=1 2={float(constant.reshape(-1)[0]):.9e}")

    def _unary(self, node: onnx.NodeProto) -> _Layer:
        return self._layer(node, "UnaryOp", f"0={_UNARY[node.op_type]}")

    def _activation(self, node: onnx.NodeProto) -> _Layer:
        return self._layer(node, _ACTIVATIONS[node.op_type])

    def _leaky(self, node: onnx.NodeProto) -> _Layer:
        return self._layer(node, "ReLU", f"0={attribute(node, 'alpha', 0.01):.9e}")

    def _clip(self, node: onnx.NodeProto) -> _Layer:
        limits = [-3.4e38, 3.4e38]
        for index, name in enumerate(node.input[1:]):
            if name:
                limits[index] = float(self._plain.constants[name])
        return self._layer(node, "Clip", f"0={limits[0]:.9e} 1={limits[1]:.9e}")

    def _mean(self, node: onnx.NodeProto) -> _Layer:
        axes = list(attribute(node, "axes", [])) if node.op_type == "ReduceMean" else [2, 3]
        if axes not in ([2], [3], [2, 3]):
            refuse(NAME, self._network.name, node, f"over axes {axes}")
        listed = ",".join(str(axis - 1) for axis in axes)
        return self._layer(node, "Reduction", f"0=3 1=0 -23303={len(axes)},{listed} 4=1 5=1")

    def _concat(self, node: onnx.NodeProto) -> _Layer:
        return self._layer(node, "Concat", f"0={attribute(node, 'axis') - 1}", inputs=None)

    def _depth_to_space(self, node: onnx.NodeProto) -> _Layer:
        channel_last = attribute(node, "mode", "DCR") == "DCR"
        return self._layer(node, "PixelShuffle", f"0={attribute(node, 'blocksize')} 1={int(channel_last)}")

    def _unsqueeze(self, node: onnx.NodeProto) -> _Layer:
        if self._plain.constants[node.input[1]].tolist() != [2, 3]:
            refuse(NAME, self._network.name, node, "of anything but channels")
        return self._layer(node, "Reshape", "0=1 1=1 2=-1")

    def _flatten(self, node: onnx.NodeProto) -> _Layer:
        return self._layer(node, "Reshape", "0=-1")

    def _pad(self, node: onnx.NodeProto) -> _Layer:
        _, _, top, left, *after = self._plain.constants[node.input[1]].tolist()
        modes = {"constant": 0, "edge": 1, "reflect": 2}
        mode = attribute(node, "mode", "constant")
        return self._layer(node, "Padding", f"0={top} 1={after[2]} 2={left} 3={after[3]} 4={modes[mode]}")


def _split(layers: Sequence[_Layer], outputs: Sequence[str]) -> list[tuple[_Layer, tuple[str, ...]]]:
    """Every layer with the names of what it gives. A blob of ncnn's is read once: what several read is copied."""
    readers = Counter(name for layer in layers for name in layer.inputs)
    readers.update(name for name in outputs if readers[name])
    given: Counter[str] = Counter()
    found: list[tuple[_Layer, tuple[str, ...]]] = []
    for layer in layers:
        names = []
        for name in layer.inputs:
            names.append(f"{_word(name)}_{given[name]}" if readers[name] > 1 else _word(name))
            given[name] += 1
        inputs, output = tuple(names), layer.output
        copies = readers[output] if readers[output] > 1 else 0
        own = f"{_word(output)}_all" if copies and output in outputs else _word(output)
        found.append((_Layer(layer.kind, layer.name, inputs, output, layer.parameters), (own,)))
        if copies:
            targets = [f"{_word(output)}_{index}" for index in range(copies)]
            if output in outputs:
                targets[-1] = _word(output)  # the copy that nobody reads keeps the name
            found.append((_Layer("Split", f"split_{_word(output)}", (own,), output), tuple(targets)))
    return found


def _text(layers: Sequence[tuple[_Layer, tuple[str, ...]]]) -> str:
    blobs = sum(len(outputs) for _, outputs in layers)
    lines = [f"{_MAGIC}", f"{len(layers)} {blobs}"]
    for layer, outputs in layers:
        names = " ".join([*layer.inputs, *outputs])
        counts = f"{len(layer.inputs)} {len(outputs)}"
        lines.append(f"{layer.kind:<20} {layer.name:<32} {counts} {names} {layer.parameters}".rstrip())
    return "\n".join(lines) + "\n"


def _word(name: str) -> str:
    """A name without what ncnn's text takes for a separator."""
    return name.strip("/").replace("/", "_").replace(" ", "_")
