"""INT8 after training beside INT8 by fine-tuning: what each loses against float, for each kind of damage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

from keenframe.metrics import psnr
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import find_model, list_models, read_spec
from keenframe_train.checkpoint import save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.validation import Sample, luma_plane
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import CEILING_DB
from keenframe_train.evaluate.markdown import DASH, wide_table
from keenframe_train.export.experts import only
from keenframe_train.export.onnx_file import to_graph
from keenframe_train.export.package import load_rounded, mean_psnr, simplify, store_int8
from keenframe_train.export.plain import halved, to_int8_graph, to_rgb_graph
from keenframe_train.export.plain_int8 import luma_psnr, quantize_plain
from keenframe_train.export.quantize import quantize
from keenframe_train.files import replacing
from keenframe_train.nets.keen import Keen
from keenframe_train.nets.load import load_any
from keenframe_train.nets.registry import build
from keenframe_train.recipe import Recipe, recipe_path

# Names of the columns: NNCF as it comes, with each range tuned on training pairs, fine-tuned in INT8 arithmetic.
WAYS = ("post-training", "post-training, tuned", "fine-tuned")
# What a recipe keeps of its network, and what the table keeps of a packaged file.
WEIGHTS, SHIPPED = "weights.pt", "int8.onnx"


@dataclass(frozen=True, slots=True)
class Compared:
    """One network's losses. base, floating: mean PSNR-Y in dB of input and float network, per kind. change: for each of
    WAYS the mean PSNR-Y against the float network's, in dB per kind."""

    base: Mapping[str, float]
    floating: Mapping[str, float]
    change: Mapping[str, Mapping[str, float]]


def as_run(model: Path, folder: Path) -> Path:
    """A research model's file as a run's folder: its weights as best.pt, as far as float16 has kept them.

    TrainError for a file whose weights don't lie in it under the network's own names, as those of `keen`.
    """
    spec = read_spec(model)
    try:
        recipe = Recipe.from_json(spec.recipe)
        network = build(recipe.network.name, **recipe.network.options)
    except TrainError as error:
        raise TrainError(
            f"'{model}' does not say what network it holds ({error}); give the run's folder"
        ) from error
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}
    own = network.state_dict()
    for name, values in own.items():
        found = stored.get(f"network.{name}.half", stored.get(f"network.{name}"))
        if found is not None and found.shape == tuple(values.shape):
            values.copy_(values.new_tensor(np.asarray(found, np.float32)))
        elif name in dict(network.named_parameters()):
            raise TrainError(f"'{model}' holds no weights '{name}'; give the run's folder instead")
    card = {"recipe": spec.recipe, "step": int(spec.measured.get("steps", 0)), "gains": {}}
    save_checkpoint(folder / "best.pt", {**card, "ema": own})
    return folder


def as_shipped(name: str, folder: Path) -> str | None:
    """A packaged model as a run's folder: its float weights as best.pt, and the packaged INT8 file that was fine-tuned
    from them as int8.onnx.

    name: of a recipe of `keen`, which is an expert's too ("keen-full" is the last one of `keen`) and keeps its
    weights, or of a research model. Gives the INT8 file's name, version and digest; None, and nothing is written, where
    there is no such file.
    """
    found = _packaged(name)
    if found is None:
        return None
    spec, expert = found
    model = onnx.load(find_model(spec.name))
    if spec.color == "luma":
        model = only(model, spec, expert)
        with replacing(folder / "best.pt") as file:
            file.write(recipe_path(name).with_name(WEIGHTS).read_bytes())
    else:
        as_run(find_model(f"{name}-float"), folder)
    with replacing(folder / SHIPPED) as file:
        file.write(model.SerializeToString())
    return f"{spec.name} {spec.version}, {spec.sha256[:16]}"


def _packaged(name: str) -> tuple[ModelSpec, int] | None:
    """The packaged INT8 file that holds a recipe's network, and which of its experts that is."""
    # Models may share an expert: the one with the shorter name is the one that it was made for.
    for spec in sorted(list_models(), key=lambda spec: len(spec.name)):
        if spec.precision != "int8":
            continue
        if spec.color != "luma":
            if spec.name == f"{name}-int8":
                return spec, 0
            continue
        card = json.loads(spec.recipe)
        names = [each["name"] for each in card.get("experts", [card])]
        if name in names:
            return spec, names.index(name)
    return None


def compare(run: Path, bank: Bank, samples: list[Sample], frames: int, sweeps: int) -> Compared:
    """Measure a run's best.pt in float, in INT8 after training and as its int8.pt or int8.onnx, each as an ONNX file.

    frames: pairs of the bank that NNCF sees. sweeps: rounds of tuning the ranges on them. samples: what is measured on,
    none of them in the bank.
    """
    network, _ = load_any(run / "best.pt")
    pairs = bank.calibration(frames)
    if isinstance(network, Keen):
        graphs = _keen(network, run, pairs, sweeps)
        found = {way: mean_psnr(graph.SerializeToString(), samples) for way, graph in graphs}
    else:
        multiple = int(network.size_multiple)
        graphs = _lab(network, run, pairs, sweeps)
        found = {way: luma_psnr(graph.SerializeToString(), samples, multiple) for way, graph in graphs}
    floating = found.pop("float")
    change = {way: {kind: own[kind] - floating[kind] for kind in own} for way, own in found.items()}
    return Compared(_inputs(network, samples), floating, change)


def _keen(
    network: Keen, run: Path, pairs: list[Sample], sweeps: int
) -> Iterable[tuple[str, onnx.ModelProto]]:
    simplify(network)
    graph = to_graph(network)
    yield "float", graph
    yield WAYS[0], quantize(graph, pairs, sweeps=0)
    yield WAYS[1], quantize(graph, pairs, sweeps=sweeps)
    shipped = run / SHIPPED
    yield (
        WAYS[2],
        onnx.load(shipped) if shipped.exists() else store_int8(to_graph(load_rounded(run / "int8.pt"))),
    )


def _lab(
    network: nn.Module, run: Path, pairs: list[Sample], sweeps: int
) -> Iterable[tuple[str, onnx.ModelProto]]:
    graph, multiple = to_rgb_graph(halved(network)), int(network.size_multiple)
    yield "float", graph
    yield WAYS[0], quantize_plain(graph, pairs, multiple)
    yield WAYS[1], quantize_plain(graph, pairs, multiple, sweeps=sweeps)
    shipped = run / SHIPPED
    yield WAYS[2], onnx.load(shipped) if shipped.exists() else to_int8_graph(load_any(run / "int8.pt")[0])


def _inputs(network: nn.Module, samples: list[Sample]) -> dict[str, float]:
    """Mean PSNR-Y of what the networks get, where that has the size of what they give."""
    values: dict[str, list[float]] = {}
    for sample in samples:
        if sample.degraded.shape == sample.pristine.shape:
            found = psnr(luma_plane(sample.degraded), luma_plane(sample.pristine), ceiling_db=CEILING_DB)
            values.setdefault(sample.kind, []).append(found)
    return {kind: fmean(found) for kind, found in values.items()}


def markdown(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of `Compared` as dictionaries, by the networks' names."""
    lines = [
        [
            name,
            kind,
            f"{row['base'][kind]:.2f} dB" if kind in row["base"] else DASH,
            f"{floating:.2f} dB",
            *(f"{row['change'][way][kind]:+.3f}" for way in WAYS),
        ]
        for name, row in rows.items()
        for kind, floating in row["floating"].items()
    ]
    return wide_table(["network", "damage", "input", "float", *WAYS], lines)


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier call has written; nothing where there is none. TrainError for a damaged file."""
    if not path.exists():
        return {}
    try:
        rows: dict[str, dict[str, Any]] = json.loads(path.read_text())["networks"]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainError(
            f"'{path}' is no table of this command ({error}); remove it or choose another --out"
        ) from error
    return rows
