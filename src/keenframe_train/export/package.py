"""A checkpoint becomes the files that are shipped: NAME.onnx and NAME-int8.onnx, checked before they are kept."""

from __future__ import annotations

import datetime
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from keenframe.metrics import psnr
from keenframe.zoo.spec import CONDITION_KIND, ModelSpec
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.export.head import eight_bit_head
from keenframe_train.export.onnx_file import (
    Parity,
    check_parity,
    radius,
    run_session,
    to_graph,
    write_model,
)
from keenframe_train.export.quantize import quantize
from keenframe_train.nets.keen import Keen
from keenframe_train.nets.load import load_any
from keenframe_train.nets.network import parameters
from keenframe_train.nets.rounding import RoundedWeight, stored_layers
from keenframe_train.recipe import Recipe

INT8_LOSS_LIMIT = 0.1
_LEARNED = re.compile(r"/(down|up|tail|first\.\d+|second\.\d+|embed_linear|(head_film|films\.\d+)/film_\w+)/")
# Tried in turn until the loss is within the limit: what NNCF's own choice leaves in INT8, then the ends in float.
_FALLBACKS: tuple[tuple[str, ...], ...] = (
    (),
    (".*tail.*",),
    (".*head.*", ".*tail.*"),
    (".*(head|tail|up|down).*",),
)


@dataclass(frozen=True, slots=True)
class Exported:
    """The files, the float file's parity, and the INT8 file's mean PSNR against the float network's, in dB per kind."""

    float_file: Path
    parity: Parity
    int8_file: Path | None
    int8_change: dict[str, float]
    kept_float: tuple[str, ...]


def load_network(checkpoint: Path) -> tuple[Keen, dict[str, Any]]:
    """The averaged `keen` network of a checkpoint, and the checkpoint itself. Raises TrainError if it holds none."""
    network, state = load_any(checkpoint)
    if not isinstance(network, Keen):
        raise TrainError(f"'{checkpoint}' holds no keen network but {type(network).__name__}")
    return network, state


@torch.no_grad()
def simplify(model: Keen) -> None:
    """Make the network what is shipped: float16 holds the weights of all layers, which halves the file, and the
    positions of the upward step share their bias, which makes it one transposed convolution. Both change the picture
    by far less than a code value. The condition's spread goes into the first linear layer, as it does in the file.
    """
    share_bias(model)
    absorb_spread(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.weight.copy_(module.weight.half().float())


@torch.no_grad()
def share_bias(model: Keen) -> None:
    """Give the positions of a channel of the upward step one bias, as a transposed convolution has it."""
    positions = model.config.stride**2
    if not model.config.trunk:
        return
    model.up.bias.copy_(model.up.bias.reshape(-1, positions).mean(1).repeat_interleave(positions))


@torch.no_grad()
def absorb_spread(model: Keen) -> None:
    """Let the first linear layer divide by the condition's spread."""
    model.embed[0].weight.div_(model.condition_std)
    model.condition_std.fill_(1)


@torch.no_grad()
def load_rounded(checkpoint: Path) -> Keen:
    """The network of `qat.quantize_aware` as its files hold it: what is not in eight bits is in float16.

    The linear layers of older checkpoints were not rounded in training: they are here.
    """
    model, state = load_network(checkpoint)
    if "rounded" not in state:
        raise TrainError(
            f"'{checkpoint}' was not fine-tuned in INT8; expected int8.pt of `keenframe-train int8`"
        )
    absorb_spread(model)
    model.head.weight.copy_(model.head.weight.half().float())
    for layer, _ in stored_layers(model):
        if isinstance(layer, torch.nn.Linear):
            layer.weight.copy_(RoundedWeight()(layer.weight))
    return model


def halve_weights(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store the float32 weights that float16 holds exactly as float16, and widen them on loading: lossless.

    Engines fold the conversion when they load the model; the computation stays in float32.
    """
    small = onnx.ModelProto()
    small.CopyFrom(graph)
    kept, casts = [], []
    for tensor in small.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 256:
            kept.append(tensor)
            continue
        halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(halves, tensor.name + ".half"))
        casts.append(
            onnx.helper.make_node(
                "Cast",
                [tensor.name + ".half"],
                [tensor.name],
                to=onnx.TensorProto.FLOAT,
                name=f"widen/{tensor.name}",
            )
        )
    nodes = [*casts, *small.graph.node]
    del small.graph.initializer[:]
    small.graph.initializer.extend(kept)
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    return small


def learned_in_keen(graph: onnx.ModelProto) -> set[str]:
    """Names of the nodes of a deployed `keen` whose weights are rounded in training."""
    return {node.name for node in graph.graph.node if _LEARNED.match(node.name)}


def store_int8(
    graph: onnx.ModelProto, float_arithmetic: bool = False, learned: Container[str] | None = None
) -> onnx.ModelProto:
    """Store the rounded weights of the learned layers as INT8 with one step for each output channel: lossless.

    learned: names of those layers' nodes; None: those of `keen`. float_arithmetic: widen those of the convolutions by
    casts and a product, which engines fold when they load the model; without it by DequantizeLinear, by which they know
    that they shall compute in INT8. The small linear layers are in float arithmetic in any case. Raises TrainError for
    weights that are not rounded.
    """
    small = onnx.ModelProto()
    small.CopyFrom(graph)
    weights = {tensor.name: tensor for tensor in small.graph.initializer}
    learned = learned_in_keen(graph) if learned is None else learned
    added = []
    done: set[str] = set()
    for node in small.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or node.name not in learned:
            continue
        name = node.input[1]
        node.input[1] = f"{name}.widened"
        if name in done:  # equal weights, such as zeros, are one tensor of the graph
            continue
        done.add(name)
        values = numpy_helper.to_array(weights[name])
        axis = 1 if node.op_type == "ConvTranspose" else 0
        shape = [-1 if i == axis else 1 for i in range(values.ndim)]
        other = tuple(i for i in range(values.ndim) if i != axis)
        step = np.maximum(np.abs(values).max(other), 1e-8).astype(np.float32) / np.float32(127)
        levels = np.rint(values / step.reshape(shape)).astype(np.int8)
        if np.abs(levels * step.reshape(shape) - values).max() > 1e-3 * np.abs(values).max():
            raise TrainError(
                f"the weights of {node.name} are not rounded; export a checkpoint of `keenframe-train int8`"
            )
        small.graph.initializer.remove(weights[name])
        small.graph.initializer.append(numpy_helper.from_array(levels, f"{name}.int8"))
        if float_arithmetic or node.op_type == "Gemm":
            small.graph.initializer.append(numpy_helper.from_array(step.reshape(shape), f"{name}.step"))
            # By way of float16, which holds the levels exactly: OpenVINO knows one cast and a product by sight, and
            # would keep a linear layer's bytes and widen them anew in every frame.
            for source, target, kind in (("int8", "narrow", "FLOAT16"), ("narrow", "cast", "FLOAT")):
                given, made = f"{name}.{source}", f"{name}.{target}"
                to = onnx.TensorProto.DataType.Value(kind)
                added.append(onnx.helper.make_node("Cast", [given], [made], name=f"cast/{made}", to=to))
            inputs = [f"{name}.cast", f"{name}.step"]
            added.append(onnx.helper.make_node("Mul", inputs, [f"{name}.widened"], name=f"widen/{name}"))
        else:
            zero = np.zeros(len(step), np.int8)
            small.graph.initializer.extend(
                [numpy_helper.from_array(step, f"{name}.step"), numpy_helper.from_array(zero, f"{name}.zero")]
            )
            inputs = [f"{name}.int8", f"{name}.step", f"{name}.zero"]
            added.append(
                onnx.helper.make_node(
                    "DequantizeLinear", inputs, [f"{name}.widened"], name=f"widen/{name}", axis=axis
                )
            )
    nodes = [*added, *small.graph.node]
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    return small


def mean_psnr(model: Path | bytes, samples: Sequence[Sample]) -> dict[str, float]:
    """Mean PSNR (dB, at most 50) of a file's output per kind, in ONNX Runtime. model: the file or what is in it."""
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    values: dict[str, list[float]] = {}
    for sample in samples:
        pixels, _ = run_session(session, sample.degraded, sample.condition)
        values.setdefault(sample.kind, []).append(psnr(pixels, sample.pristine, ceiling_db=50.0))
    return {kind: float(np.mean(found)) for kind, found in values.items()}


def export_model(
    checkpoint: Path,
    out: Path,
    samples: Sequence[Sample],
    *,
    name: str,
    description: str,
    training_data: str,
    version: str = "1",
    calibration: Sequence[Sample] = (),
    rounded: Path | None = None,
    compact: bool = False,
) -> Exported:
    """Write NAME.onnx (float) and, with calibration pairs, NAME-int8.onnx into the folder `out`.

    rounded: a checkpoint of `qat.quantize_aware`, to be written as the INT8 file instead of quantising afterwards.
    compact: the float file, too, gets the 8-bit weights of `rounded` and is half as large; its arithmetic is float.
    samples: on which parity is proved and the INT8 loss measured. Raises TrainError when the float file differs
    from the network by more than 1e-4 of the range, or when no choice of layers keeps the loss of eight bits, in either
    file, within 0.1 dB of the float network; a file appears only when it has passed.
    """
    model, state = load_network(checkpoint)
    config = model.config
    spec = ModelSpec(
        name=name,
        version=version,
        scale=config.scale,
        size_multiple=config.size_multiple,
        radius=radius(config),
        enlarging="bicubic",
        condition={"kind": CONDITION_KIND, "size": 128},
        steady=True,
        parameters=parameters(model),
        recipe=Recipe.from_json(state["recipe"]).to_card(),
        training_data=training_data,
        measured={"validation windows, gain in dB": state["gains"], "steps": state["step"]},
        created=datetime.date.today().isoformat(),
        description=description,
    )
    simplify(model)
    graph = to_graph(model)
    stored = halve_weights(graph)
    compact = compact and rounded is not None
    reference: dict[str, float] = {}
    if rounded is not None or calibration:
        # Of the float network, whatever the float file holds: a poor fine-tuning must not be measured against itself.
        reference = mean_psnr(stored.SerializeToString(), samples)
    if compact:
        assert rounded is not None
        model = load_rounded(rounded)
        model.points = torch.nn.ModuleDict()
        stored = halve_weights(store_int8(to_graph(model), float_arithmetic=True))
    float_file, int8_file = out / f"{name}.onnx", out / f"{name}-int8.onnx"
    trial = out / f".{name}.trial.onnx"
    changes: dict[str, float] = {}
    try:
        write_model(trial, stored, spec)
        parity = check_parity(model, trial, samples[0].degraded, samples[0].condition)
        if compact and not _within(changes := _changes(trial, reference, samples)):
            raise TrainError(
                f"the float file with the weights of '{rounded}' loses more than {INT8_LOSS_LIMIT} dB to the float "
                f"network: {changes}; fine-tune with `keenframe-train int8` again"
            )
        trial.replace(float_file)
        if rounded is None and not calibration:
            return Exported(float_file, parity, None, {}, ())
        int8_spec = replace(spec, name=f"{name}-int8", precision="int8")
        for keep_float in _FALLBACKS if rounded is None else _FALLBACKS[:1]:
            if rounded is None:
                small = halve_weights(quantize(graph, calibration, keep_float))
            else:
                small = halve_weights(eight_bit_head(store_int8(to_graph(load_rounded(rounded)))))
            write_model(trial, small, int8_spec)
            changes = _changes(trial, reference, samples)
            if _within(changes):
                trial.replace(int8_file)
                return Exported(float_file, parity, int8_file, changes, keep_float)
    finally:
        trial.unlink(missing_ok=True)
    raise TrainError(
        f"INT8 loses more than {INT8_LOSS_LIMIT} dB: {changes}; fine-tune with `keenframe-train int8`"
    )


def _changes(file: Path, reference: dict[str, float], samples: Sequence[Sample]) -> dict[str, float]:
    return {kind: value - reference[kind] for kind, value in mean_psnr(file, samples).items()}


def _within(changes: dict[str, float]) -> bool:
    return all(change >= -INT8_LOSS_LIMIT for change in changes.values())
