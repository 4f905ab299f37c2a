"""Milliseconds of a frame of many models, side by side with a reference, so that a busy machine cannot choose.

A few of them are in memory at a time, the reference always; they take turns, and what counts is a model's ratio to it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from keenframe.cli.bench import make_frame
from keenframe.engines.base import Engine
from keenframe.engines.select import create_engine, engines_for
from keenframe.errors import EngineError
from keenframe.pixels import copy_padded
from keenframe.tiles import round_up
from keenframe.zoo.spec import CONDITION_KIND, ModelSpec
from keenframe.zoo.store import read_spec
from keenframe_train.errors import TrainError
from keenframe_train.export.head import eight_bit_head
from keenframe_train.export.onnx_file import radius, to_graph, write_model
from keenframe_train.export.package import halve_weights, share_bias, simplify, store_int8
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.nets.network import parameters
from keenframe_train.nets.rounding import add_points, round_weights, settle_weights
from keenframe_train.progress import progress

TOGETHER = 5
# What a whole frame takes against its network alone: docs/results, benchmarks/results/speed.json.
WHOLE_FRAME = 1.19


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the network alone: median ms, and the median over the rounds of its ratio to the reference in each."""

    time_ms: float
    ratio: float


def random_model(config: KeenConfig, path: Path) -> None:
    """Write an INT8 model of that shape with random weights: what it computes is noise, what it costs is not."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Keen(config)
        net.fold()
        for film in (net.head_film, *(block.film for block in net.blocks)):
            torch.nn.init.normal_(film.linear.weight, std=0.05)
        torch.nn.init.normal_(net.tail.weight, std=0.05)
        simplify(net)
        edge = 8 * config.size_multiple
        add_points(net, torch.rand(4, 1, edge, edge), torch.randn(4, 128))
    round_weights(net)
    settle_weights(net)
    share_bias(net)
    spec = ModelSpec(
        name=path.stem, scale=config.scale, size_multiple=config.size_multiple, radius=radius(config),
        enlarging="bicubic", condition={"kind": CONDITION_KIND, "size": 128}, steady=True, precision="int8",
        parameters=parameters(net),
    )  # fmt: skip
    write_model(path, halve_weights(eight_bit_head(store_int8(to_graph(net.eval())))), spec)


def measure(
    models: Mapping[str, Path],
    reference: str,
    width: int,
    height: int,
    threads: int,
    rounds: int,
    frames: int = 4,
) -> dict[str, Latency]:
    """Times of all models (files of luma models) for frames of width x height, a few frames of each in every round."""
    names = [name for name in models if name != reference]
    found: dict[str, Latency] = {}
    own: list[float] = []
    with progress() as bar:
        row = bar.add_task("latency", total=max(1, len(names)), note="")
        for start in range(0, max(1, len(names)), TOGETHER):
            part = names[start : start + TOGETHER]
            bar.update(row, note=", ".join(part))
            times = _side_by_side(
                {name: models[name] for name in [reference, *part]}, width, height, threads, rounds, frames
            )
            own += times[reference].tolist()
            for name in part:
                ratio = np.median(times[name] / times[reference])
                found[name] = Latency(float(np.median(times[name])), float(ratio))
            bar.advance(row, len(part))
    return {reference: Latency(float(np.median(own)), 1.0), **found}


def _first_that_runs(path: Path, spec: ModelSpec, threads: int) -> Engine[Any]:
    """Our own engine where it runs the model, else OpenVINO: what "auto" takes on processors like this one."""
    for name in engines_for(spec):
        try:
            return create_engine(name, path, spec, threads)
        except EngineError:
            continue
    raise TrainError("no engine is installed")


def _side_by_side(
    models: Mapping[str, Path], width: int, height: int, threads: int, rounds: int, frames: int
) -> dict[str, np.ndarray]:
    """Median ms of each round, (rounds,) for each model."""
    calls = {}
    for name, path in models.items():
        spec = read_spec(path)
        engine = _first_that_runs(path, spec, threads)
        rows, columns = (round_up(side // spec.scale, spec.size_multiple) for side in (height, width))
        luma = np.empty((rows, columns), np.uint8)
        copy_padded(make_frame(width // spec.scale, height // spec.scale, 0).planes[0], luma)
        condition = None if spec.condition is None else np.ones(spec.condition["size"], np.float32)
        calls[name] = (engine, luma, condition)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(rounds + 1):  # the first one warms up
        for name, (engine, luma, condition) in calls.items():
            taken = []
            for _ in range(frames):
                begin = time.perf_counter()
                engine.run(luma, condition, 1.0)
                taken.append(1000 * (time.perf_counter() - begin))
            if index:
                times[name].append(float(np.median(taken)))
    for engine, _, _ in calls.values():
        engine.close()
    return {name: np.array(values) for name, values in times.items()}
