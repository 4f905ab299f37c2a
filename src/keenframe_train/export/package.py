"""A checkpoint becomes the files that are shipped: NAME.onnx and NAME-int8.onnx, checked before they are kept."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from keenframe.zoo.spec import CONDITION_KIND, ModelSpec
from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.metrics import psnr
from keenframe_train.export.onnx_file import (
    Parity,
    check_parity,
    parameters,
    radius,
    run_session,
    to_graph,
    write_model,
)
from keenframe_train.export.quantize import Frame, quantize
from keenframe_train.nets.keen import Keen, KeenConfig

INT8_LOSS_LIMIT = 0.1
# Tried in turn until the loss is within the limit: what NNCF's own choice leaves in INT8, then the ends in float.
_FALLBACKS: tuple[tuple[str, ...], ...] = (
    (),
    (".*tail.*",),
    (".*head.*", ".*tail.*"),
    (".*(head|tail|up|down).*",),
)


@dataclass(frozen=True, slots=True)
class Exported:
    """The files, the float file's parity, and the INT8 file's mean PSNR against the float file's, in dB per kind."""

    float_file: Path
    parity: Parity
    int8_file: Path | None
    int8_change: dict[str, float]
    kept_float: tuple[str, ...]


def load_network(checkpoint: Path) -> tuple[Keen, dict[str, object]]:
    """The averaged network of a checkpoint, and the checkpoint itself. Raises TrainError if it holds none."""
    state = load_checkpoint(checkpoint)
    try:
        recipe = json.loads(state["recipe"])
        model = Keen(KeenConfig(**recipe["network"]))
        model.load_state_dict(state["ema"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise TrainError(f"'{checkpoint}' holds no keen network: {error}") from error
    return model.eval(), state


def halve_weights(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store large float32 weights as float16 and widen them on loading: half the file for 1e-4 of a weight.

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
        kept.append(numpy_helper.from_array(values.astype(np.float16), tensor.name + ".half"))
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


def mean_psnr(path: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """Mean PSNR (dB, at most 50) of a file's output per kind, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values: dict[str, list[float]] = {}
    for sample in samples:
        pixels, _ = run_session(session, sample.degraded, sample.condition)
        values.setdefault(sample.kind, []).append(psnr(pixels, sample.pristine, ceiling=50.0))
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
    calibration: Sequence[Frame] = (),
) -> Exported:
    """Write NAME.onnx (float) and, with calibration frames, NAME-int8.onnx into the folder `out`.

    samples: on which parity is proved and the INT8 loss measured. Raises TrainError when the float file differs
    from the network by more than 1e-4 of the range, or when no choice of layers keeps the INT8 loss within 0.1 dB.
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
        parameters=parameters(config),
        recipe=str(state["recipe"]),
        training_data=training_data,
        measured={"validation windows, gain in dB": state["gains"], "steps": state["step"]},
        created=datetime.date.today().isoformat(),
        description=description,
    )
    graph = to_graph(model)
    float_file = out / f"{name}.onnx"
    write_model(float_file, halve_weights(graph), spec)
    first = samples[0]
    parity = check_parity(model, float_file, first.degraded, first.condition)
    if not calibration:
        return Exported(float_file, parity, None, {}, ())

    reference = mean_psnr(float_file, samples)
    int8_file = out / f"{name}-int8.onnx"
    changes: dict[str, float] = {}
    for keep_float in _FALLBACKS:
        quantized = quantize(graph, calibration, keep_float)
        trial = out / f".{name}-int8.trial.onnx"
        write_model(trial, halve_weights(quantized), replace(spec, name=f"{name}-int8", precision="int8"))
        changes = {kind: value - reference[kind] for kind, value in mean_psnr(trial, samples).items()}
        if min(changes.values()) >= -INT8_LOSS_LIMIT:
            trial.replace(int8_file)
            return Exported(float_file, parity, int8_file, changes, keep_float)
        trial.unlink()
    raise TrainError(f"INT8 loses more than {INT8_LOSS_LIMIT} dB whatever is left in float: {changes}")
