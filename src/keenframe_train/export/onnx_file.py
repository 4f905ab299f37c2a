"""Writing a `keen` network as ONNX with its spec inside, and proving that the file computes the same."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keenframe.zoo.spec import METADATA_KEY, ModelSpec
from keenframe_train.errors import TrainError
from keenframe_train.export.deploy import PEAK, DeployedKeen
from keenframe_train.export.simplify import compacted
from keenframe_train.files import replacing
from keenframe_train.nets.keen import BLOCK, Keen, KeenConfig

OPSET = 17
PARITY_LIMIT = 1e-4


def radius(config: KeenConfig) -> int:
    """Receptive field radius in input pixels, rounded up to the size multiple."""
    trunk = 2 * config.blocks * config.stride * BLOCK
    ends = 2 * BLOCK + config.stride * BLOCK  # head and tail, and the block that `down` aligns to
    multiple = config.size_multiple
    return -(-(trunk + ends) // config.scale // multiple) * multiple


def write_model(path: Path, graph: onnx.ModelProto, spec: ModelSpec) -> None:
    """Save the graph with the spec in its metadata, whole or not at all."""
    del graph.metadata_props[:]
    card = {key: value for key, value in dataclasses.asdict(spec).items() if key != "sha256"}
    graph.metadata_props.add(key=METADATA_KEY, value=json.dumps(card, sort_keys=True))
    graph.producer_name, graph.doc_string = "keenframe", spec.description
    onnx.checker.check_model(graph)
    with replacing(path) as file:
        file.write(graph.SerializeToString())


def to_graph(model: Keen) -> onnx.ModelProto:
    """The deployed network as an ONNX graph with free height and width."""
    deployed = DeployedKeen(model).eval()
    edge = 8 * model.config.size_multiple
    rows = edge * model.config.scale // BLOCK
    example = (
        torch.zeros(1, 1, edge, edge, dtype=torch.uint8),
        torch.zeros(1, 128),
        torch.ones(1),
        torch.zeros(1, rows, rows, BLOCK**2, dtype=torch.uint8),
        torch.zeros(1, 1, rows, rows),
    )
    blocks = {key: {1: "rows", 2: "columns"} for key in ("previous", "blocks", "steady", "residual")}
    graph = trace(
        deployed,
        example,
        inputs=["luma", "condition", "strength", "previous", "keep"],
        outputs=["blocks", "steady", "residual"],
        free={"luma": {2: "height", 3: "width"}, "keep": {2: "rows", 3: "columns"}, **blocks},
    )
    return compacted(graph)


def trace(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
) -> onnx.ModelProto:
    """A module's run on `example` as an ONNX graph. free: the axes of inputs and outputs that may have any size."""
    handle, name = tempfile.mkstemp(suffix=".onnx")
    os.close(handle)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, example, name, dynamo=False, opset_version=OPSET, input_names=list(inputs),
                output_names=list(outputs), dynamic_axes=dict(free),
            )  # fmt: skip
        return onnx.load(name)
    finally:
        Path(name).unlink()


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences between the training network and the file: residual in 0-1, pixels in code values."""

    residual: float
    pixels: int


def run_file(
    path: Path, luma: NDArray[np.uint8], condition: NDArray[np.float32], strength: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(pixels (sH, sW) uint8, residual (sH, sW) float32) of a model file in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return run_session(session, luma, condition, strength)


def run_session(
    session: onnxruntime.InferenceSession,
    luma: NDArray[np.uint8],
    condition: NDArray[np.float32],
    strength: float = 1.0,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """`run_file` on an open session."""
    feeds = {
        "luma": luma[None, None],
        "condition": condition[None].astype(np.float32),
        "strength": np.array([strength], np.float32),
        "previous": np.zeros((1, 1, 1, BLOCK**2), np.uint8),
        "keep": np.zeros((1, 1, 1, 1), np.float32),
    }
    # The steady output is not asked for, and so what it reads does not matter.
    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True
    blocks, residual = session.run(["blocks", "residual"], feeds, options)
    return depth_to_space(blocks[0]), depth_to_space(residual[0])


def depth_to_space(blocks: NDArray) -> NDArray:
    """(h, w, 16) -> (4h, 4w), the channel being 4 * row + column."""
    rows, columns = blocks.shape[:2]
    return (
        blocks.reshape(rows, columns, BLOCK, BLOCK)
        .transpose(0, 2, 1, 3)
        .reshape(rows * BLOCK, columns * BLOCK)
    )


@torch.no_grad()
def check_parity(model: Keen, path: Path, luma: NDArray[np.uint8], condition: NDArray[np.float32]) -> Parity:
    """Compare the float file with the training network on one plane. Raises TrainError past 1e-4 of the range."""
    pixels, residual = run_file(path, luma, condition)
    x = torch.tensor(luma)[None, None].float() / PEAK
    output = model.eval()(x, torch.tensor(condition)[None])
    expected = (output - model.base(x))[0, 0].numpy() * PEAK
    difference = float(np.abs(expected - residual).max() / PEAK)
    wanted = np.rint(np.clip(output[0, 0].numpy() * PEAK, 0, PEAK))
    off = int(np.abs(wanted - pixels).max())
    if not difference <= PARITY_LIMIT or off > 1:
        raise TrainError(
            f"'{path}' differs from the network by {difference:.2e} of the range and {off} code values; "
            f"expected at most {PARITY_LIMIT:.0e} and 1: the exporter is at fault"
        )
    return Parity(difference, off)
