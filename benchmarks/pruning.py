"""What pruned runs of `keenframe-train prune` lose in quality, and what they gain in time and size.

    python -m benchmarks.pruning runs/reproduce/keen/teacher runs/keen-p75 runs/keen-p50

The first run is the whole network. Gains are of each run's own last validation; time and size are of INT8 files of
the runs' shapes, measured side by side in OpenVINO.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure

from benchmarks.latency import Latency, measure, random_model
from benchmarks.machine import describe
from keenframe.cli.bench import parse_size
from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.cli import run as run_command
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.markdown import DASH, wide_table
from keenframe_train.export.package import load_network
from keenframe_train.figures import COLORS
from keenframe_train.files import replacing, write_text
from keenframe_train.nets.keen import KeenConfig
from keenframe_train.nets.network import parameters
from keenframe_train.prune import FILE

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@dataclass(frozen=True, slots=True)
class Point:
    """A run. kept: share of the whole network's inner channels. gains: in dB, per kind, fine-tuned; cut: straight after
    pruning, nothing for the whole network; int8: of its int8.pt, where there is one."""

    name: str
    inner: tuple[int, ...]
    kept: float
    parameters: int
    steps: int
    gains: dict[str, float]
    cut: dict[str, float]
    int8: dict[str, float]
    size_bytes: int
    latency: Latency


def read_points(
    runs: list[Path], kinds: list[str], width: int, height: int, threads: int, rounds: int
) -> list[Point]:
    """Everything about the runs. Raises TrainError for what is no run of a keen network, or not judged on `kinds`."""
    configs: dict[str, KeenConfig] = {}
    found: dict[str, dict[str, Any]] = {}
    whole = 0
    for run in runs:
        network, state = load_network(run / "best.pt")
        if run.name in found:
            raise TrainError(f"two runs are called '{run.name}'; give each a folder of its own name")
        if missing := [kind for kind in kinds if kind not in state["gains"]]:
            raise TrainError(
                f"'{run}' was not judged on {', '.join(missing)}; it was on {', '.join(state['gains'])}"
            )
        inner = network.config.inner_widths
        whole = whole or sum(inner)
        extra = {kind: run / name for kind, name in (("cut", FILE), ("int8", "int8.pt"))}
        found[run.name] = {
            "inner": inner, "kept": sum(inner) / whole, "parameters": parameters(network), "steps": state["step"],
            "gains": state["gains"],
            **{kind: load_checkpoint(path)["gains"] if path.exists() else {} for kind, path in extra.items()},
        }  # fmt: skip
        configs[run.name] = network.config
    with tempfile.TemporaryDirectory() as scratch:
        files = {name: Path(scratch) / f"{name}.onnx" for name in configs}
        for name, config in configs.items():
            random_model(config, files[name])
        times = measure(files, runs[0].name, width, height, threads, rounds)
        return [
            Point(name=name, size_bytes=files[name].stat().st_size, latency=times[name], **about)
            for name, about in found.items()
        ]


def table(points: list[Point], kinds: list[str], caption: str) -> str:
    """Markdown: a line for each run."""
    first = points[0]
    heads = ["run", "inner channels", "parameters", "INT8 file, kB", "ms", "to the whole network"]
    heads += [*(f"{kind}, dB" for kind in kinds), "mean change", "INT8"]
    lines = []
    for point in points:
        cells = [
            f"{point.gains[kind]:+.2f}" + (f" ({point.cut[kind]:+.2f})" if point.cut else "")
            for kind in kinds
        ]
        change = mean_gain(point.gains, kinds) - mean_gain(first.gains, kinds)
        int8 = f"{mean_gain(point.int8, kinds) - mean_gain(point.gains, kinds):+.3f}" if point.int8 else DASH
        lines.append(
            [
                point.name,
                f"{'+'.join(map(str, point.inner))} ({point.kept:.0%})",
                f"{point.parameters:,}",
                f"{point.size_bytes / 1e3:.0f}",
                f"{point.latency.time_ms:.1f}",
                f"{point.latency.ratio:.2f}",
                *cells,
                f"{change:+.3f}",
                int8,
            ]
        )
    words = "Gains over the input in dB, in brackets straight after pruning; INT8 by fine-tuning."
    return f"{caption}. {words}\n\n{wide_table(heads, lines)}"


def mean_gain(gains: dict[str, float], kinds: list[str]) -> float:
    """Mean over the kinds, in dB."""
    return fmean(gains[kind] for kind in kinds)


def draw(points: list[Point], kinds: list[str], caption: str) -> Figure:
    """Quality against time, and time and size against the share of channels that is left."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    figure.suptitle(caption, fontsize=9)
    quality, cost = figure.subplots(1, 2)
    ordered = sorted(points, key=lambda point: point.latency.ratio)
    ratios = [point.latency.ratio for point in ordered]
    for color, kind in zip(COLORS, kinds, strict=False):
        changes = [point.gains[kind] - points[0].gains[kind] for point in ordered]
        quality.plot(ratios, changes, marker="o", color=color, label=kind)
        after = [(p.latency.ratio, p.cut[kind] - points[0].gains[kind]) for p in ordered if p.cut]
        if after:
            quality.plot(*zip(*after, strict=True), marker="x", linestyle=":", color=color, alpha=0.6)
    for point in ordered:
        quality.annotate(
            f"{point.kept:.0%}",
            (point.latency.ratio, quality.get_ylim()[0]),
            fontsize=8,
            ha="center",
            va="bottom",
        )
    quality.axhline(0, color="#888888", linewidth=0.8)
    quality.set_xlabel("time of a frame, whole network = 1")
    quality.set_ylabel("dB against the whole network; dotted: not fine-tuned")
    quality.legend(frameon=False, fontsize=9)
    by_share = sorted(points, key=lambda point: point.kept)
    shares = [100 * point.kept for point in by_share]
    cost.plot(shares, [p.latency.ratio for p in by_share], marker="o", color=COLORS[0], label="time")
    sizes = [p.size_bytes / points[0].size_bytes for p in by_share]
    cost.plot(shares, sizes, marker="s", color=COLORS[1], label="INT8 file")
    cost.set_xlabel("inner channels that are left, %")
    cost.set_ylabel("whole network = 1")
    cost.set_ylim(bottom=0)
    cost.legend(frameon=False)
    for panel in (quality, cost):
        panel.grid(color="#dddddd", linewidth=0.7)
        panel.set_axisbelow(True)
    return figure


@app.command()
def pruning(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs' folders, the whole network first.")
    ],
    kind: Annotated[
        list[str] | None, typer.Option(help="Damage to judge by.", show_default="r1, r2, r3, call-half")
    ] = None,
    size: Annotated[str, typer.Option(help="1080p or WIDTHxHEIGHT of the picture.")] = "1080p",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of four frames each.")] = 25,
    out: Annotated[Path, typer.Option(help="Folder for pruning.json, pruning.md and pruning.png.")] = Path(
        "benchmarks/results/pruning"
    ),
) -> None:
    """Measure runs of different widths and draw their curve."""
    width, height = parse_size(size)
    kinds = kind or ["r1", "r2", "r3", "call-half"]
    points = read_points(runs, kinds, width, height, threads, rounds)
    machine = describe(threads)
    caption = f"{width}x{height}, INT8, {threads} threads, {machine['cpu']}"
    content = {
        "machine": machine,
        "size": [width, height],
        "kinds": kinds,
        "runs": [asdict(p) for p in points],
    }
    write_text(out / "pruning.json", json.dumps(content, indent=1) + "\n")
    text = table(points, kinds, caption)
    write_text(out / "pruning.md", text)
    with replacing(out / "pruning.png") as file:
        draw(points, kinds, caption).savefig(file, format="png", dpi=110)
    print(text)


if __name__ == "__main__":
    run_command(app, "benchmarks.pruning")
