"""How much of what the processor can multiply a model reaches, layer by layer, and where the rest of its time goes.

    python -m benchmarks.roofline --model keen-int8

The layers are OpenVINO's, which counts their time; our own engine, where it runs the model, is timed as a whole. The
peaks are measured, not read from a data sheet: the fastest of several chains of large convolutions in OpenVINO with the
same threads, in INT8, bfloat16 and float32. An operation is a multiplication or an addition.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import openvino as ov
import typer
from openvino import opset13 as opset

from benchmarks.machine import describe
from keenframe.cli.bench import make_frame, parse_size
from keenframe.engines.base import Engine
from keenframe.engines.cpu import fast_bf16
from keenframe.engines.openvino import OpenVinoEngine
from keenframe.engines.select import create_engine, engines_for
from keenframe.media.files import write_text
from keenframe.pixels import copy_padded
from keenframe.tiles import round_up
from keenframe.zoo.store import find_model, read_spec
from keenframe_train.cli import run
from keenframe_train.evaluate.markdown import DASH, wide_table

# Channels and the edge of the square plane of the chains that peaks are measured with.
CHAINS = ((64, 192), (128, 128), (256, 64), (512, 32))
DEPTH = 6
PRECISIONS = ("int8", "bf16", "f32")
_SUFFIXES = {"I8": "int8", "bf16": "bf16", "f32": "f32"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of the compiled network. share: of the peak of its own precision; None for what multiplies nothing.

    does: "convolution", "moving" for reorders and shuffles, "element-wise", or "condition" for the small layers.
    """

    name: str
    does: str
    precision: str
    time_ms: float
    gops: float
    share: float | None


def chain(channels: int, edge: int, precision: str) -> ov.Model:
    """Convolutions 3x3 one after another, (1, C, E, E) -> same, as the engine likes them best."""
    start = opset.parameter([1, channels, edge, edge], np.float32, name="x")
    random = np.random.default_rng(0)
    found: Any = start
    for _ in range(DEPTH):
        if precision == "int8":
            low, high = (opset.constant(np.float32(value)) for value in (0.0, 2.55))
            found = opset.fake_quantize(found, low, high, low, high, 256)
            levels = opset.constant(random.integers(-127, 128, (channels, channels, 3, 3)).astype(np.int8))
            step = opset.constant(np.full((channels, 1, 1, 1), 1e-3 / channels, np.float32))
            kernel = opset.multiply(opset.convert(levels, np.float32), step)
        else:
            values = random.normal(0, 0.3 / np.sqrt(9 * channels), (channels, channels, 3, 3))
            kernel = opset.constant(values.astype(np.float32))
        found = opset.relu(opset.convolution(found, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    return ov.Model([found], [start], "chain")


def measure_peak(precision: str, threads: int, seconds: float) -> dict[str, Any]:
    """The highest rate of all chains, in 1e9 operations a second, and which one reached it."""
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    best: dict[str, Any] = {"gops": 0.0}
    for channels, edge in CHAINS:
        request = (
            ov.Core().compile_model(chain(channels, edge, precision), "CPU", settings).create_infer_request()
        )
        work = 2 * DEPTH * 9 * channels**2 * edge**2
        values = np.random.default_rng(1).random((1, channels, edge, edge), np.float32)
        request.infer([values])
        times, end = [], time.perf_counter() + seconds / len(CHAINS)
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            request.infer()
            times.append(time.perf_counter() - start)
        reached = work / min(times) / 1e9
        if reached > best["gops"]:
            best = {"gops": reached, "channels": channels, "edge": edge}
    return best


def operations(model: Path) -> dict[str, float]:
    """For each convolution of a model file, by its node's name: multiplications for one position of its output."""
    graph = onnx.load(model).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        name = node.input[1]
        while name not in shapes:  # behind what widens it
            name = makers[name].input[0]
        first, second, *kernel = shapes[name]
        if node.op_type == "Conv":
            found[node.name] = float(second * np.prod(kernel))
        else:
            strides = next(item.ints for item in node.attribute if item.name == "strides")
            found[node.name] = float(first * np.prod(kernel) / np.prod(strides))
    return found


def profile(model: str, width: int, height: int, threads: int, frames: int) -> tuple[list[Layer], float]:
    """(every layer with its mean time, median ms of a frame) of a luma model, as the runtime runs it."""
    path = find_model(model)
    spec = read_spec(path)
    if spec.color != "luma":
        raise typer.BadParameter(
            f"'{spec.name}' works on {spec.color}; expected a luma model", param_hint="--model"
        )
    engine = OpenVinoEngine(path, spec, threads)
    # Counting costs little, but it is nothing that the runtime has a switch for.
    engine._config["PERF_COUNT"] = True
    time_ms = median_ms(engine, width, height, frames)
    (prepared,) = engine._prepared.values()
    steps = prepared.request.get_compiled_model().get_runtime_model().get_ops()
    layers = list(_layers(steps, operations(path)))[::-1]  # the engine lists them from the end
    engine.close()
    return layers, time_ms


def median_ms(engine: Engine[Any], width: int, height: int, frames: int) -> float:
    """Of a frame of that size, the network alone."""
    spec = engine.spec
    luma = np.empty((round_up(height, spec.size_multiple), round_up(width, spec.size_multiple)), np.uint8)
    copy_padded(make_frame(width, height, 0).planes[0], luma)
    condition = None if spec.condition is None else np.ones(spec.condition["size"], np.float32)
    times = []
    for index in range(frames + 5):
        start = time.perf_counter()
        engine.run(luma, condition, 1.0)
        if index >= 5:
            times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def native_ms(model: str, width: int, height: int, threads: int, frames: int) -> float | None:
    """The same by our own engine; None where it does not run here, or not this model."""
    path = find_model(model)
    spec = read_spec(path)
    if "native" not in engines_for(spec):
        return None
    engine = create_engine("native", path, spec, threads)
    time_ms = median_ms(engine, width, height, frames)
    engine.close()
    return time_ms


def _layers(steps: Iterable[Any], work: dict[str, float]) -> Iterable[Layer]:
    for step in steps:
        about = step.get_rt_info()
        taken = about["execTimeMcs"].astype(str) if "execTimeMcs" in about else "not_executed"
        if not taken.isdecimal():
            continue
        kind = about["layerType"].astype(str)
        names = about["originalLayersNames"].astype(str).split(",")
        node = next((n for n in (name.removesuffix("/WithoutBiases") for name in names) if n in work), None)
        shape = list(step.output(0).get_shape())
        gops = 2e-9 * work[node] * float(np.prod(shape)) if node else 0.0
        if node:
            does = "convolution"
        elif kind in ("Reorder", "Transpose", "Reshape"):
            does = "moving"
        else:
            does = "condition" if len(shape) == 2 else "element-wise"
        primitive = about["primitiveType"].astype(str)
        precision = next((p for end, p in _SUFFIXES.items() if primitive.endswith(end)), "f32")
        yield Layer(node or step.get_friendly_name(), does, precision, int(taken) / 1000, gops, None)


def roofline(
    model: Annotated[str, typer.Option(help="A luma model's name or file.")] = "keen-int8",
    size: Annotated[str, typer.Option(help="1080p or WIDTHxHEIGHT of the input.")] = "1080p",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    frames: Annotated[int, typer.Option(min=1, help="Frames to average over.")] = 100,
    seconds: Annotated[float, typer.Option(help="Seconds for each peak.")] = 8.0,
    out: Annotated[Path, typer.Option(help="JSON file.")] = Path("benchmarks/results/roofline.json"),
) -> None:
    """Measure the processor's peaks and what share of them each layer of a model reaches."""
    width, height = parse_size(size)
    layers, time_ms = profile(model, width, height, threads, frames)
    own_ms = native_ms(model, width, height, threads, frames)
    wanted = [p for p in PRECISIONS if p != "bf16" or fast_bf16()]
    peaks = {precision: measure_peak(precision, threads, seconds) for precision in wanted}
    result = report(layers, time_ms, peaks, own_ms)
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {"machine": describe(threads), "model": model, "size": [width, height], "frames": frames}
    write_text(out, json.dumps({**about, **result}, indent=1) + "\n")
    print(table(result, f"{model}, {width}x{height}, {threads} threads"))


def report(
    layers: list[Layer], time_ms: float, peaks: dict[str, dict[str, Any]], own_ms: float | None = None
) -> dict[str, Any]:
    """What is written: peaks, layers with their shares, and where the time goes.

    `at_peak_ms` is what all operations would take at the INT8 peak; `share` is that over the measured time, `native`
    the same two of our own engine.
    """
    gops = {precision: peak["gops"] for precision, peak in peaks.items()}
    rows = []
    for layer in layers:
        row = asdict(layer)
        if layer.gops and layer.time_ms:
            row["share"] = layer.gops / layer.time_ms * 1000 / gops.get(layer.precision, gops["f32"])
        rows.append(row)
    where: dict[str, float] = {}
    for layer in layers:
        what = f"{layer.does}, {layer.precision}" if layer.does == "convolution" else layer.does
        where[what] = where.get(what, 0.0) + layer.time_ms
    counted = sum(where.values())
    total = sum(layer.gops for layer in layers)
    at_peak = 1000 * total / gops["int8"]
    return {
        "peaks": peaks,
        "time_ms": time_ms,
        "counted_ms": counted,
        "gops_a_frame": total,
        "at_peak_ms": at_peak,
        "share": at_peak / time_ms,
        "native": None if own_ms is None else {"time_ms": own_ms, "share": at_peak / own_ms},
        "where_ms": dict(sorted(where.items(), key=lambda item: -item[1])),
        "layers": rows,
    }


def table(result: dict[str, Any], title: str) -> str:
    """Markdown: the peaks, where the time goes, and the layers."""
    peaks = ", ".join(f"{name} {peak['gops'] / 1000:.2f}" for name, peak in result["peaks"].items())
    counted = result["counted_ms"]
    intro = (
        f"{title}: {result['time_ms']:.1f} ms, {result['gops_a_frame']:.1f} GOP a frame; at the INT8 peak that "
        f"is {result['at_peak_ms']:.1f} ms, so {result['share']:.0%} of it is reached. Peaks, TOP/s: {peaks}.\n\n"
    )
    if own := result["native"]:
        intro += f"Our own engine: {own['time_ms']:.1f} ms, {own['share']:.0%}.\n\n"
    where = [(what, f"{ms:.2f}", f"{ms / counted:.0%}") for what, ms in result["where_ms"].items()]
    layers = [
        (
            row["name"],
            row["precision"],
            f"{row['time_ms']:.2f}",
            f"{row['gops']:.2f}",
            DASH if row["share"] is None else f"{row['share']:.0%}",
        )
        for row in result["layers"]
        if row["time_ms"] >= 0.01 * counted or row["gops"]
    ]
    heads = ("layer", "precision", "ms", "GOP", "of its peak")
    return intro + wide_table(("where", "ms", "share of the time"), where) + "\n" + wide_table(heads, layers)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(roofline)
    run(app, "benchmarks.roofline")
