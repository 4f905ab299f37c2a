"""Quality against milliseconds of `keen` networks that are trained out; `benchmarks.bodies` ranks by short trainings.

    python -m benchmarks.trained --data DIR keen=recipes/keen/weights.pt keen-nano=recipes/keen-nano/weights.pt \\
        keen-base=recipes/keen-base/weights.pt "h24 b3=runs/h24b3"

Float gains on validation windows, another draw of them than trainings are judged by; times of INT8 models of the same
shapes, side by side with the first one's.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from benchmarks.bodies.report import draw, markdown
from benchmarks.latency import measure, random_model
from benchmarks.machine import describe
from keenframe.cli.bench import parse_size
from keenframe.metrics import psnr
from keenframe_train.cli import run as run_command
from keenframe_train.cli.options import best_of
from keenframe_train.data.folders import train_and_validation
from keenframe_train.data.validation import Sample, validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import CEILING_DB, restore
from keenframe_train.export.package import load_network
from keenframe_train.files import replacing, write_text
from keenframe_train.nets.keen import Keen
from keenframe_train.nets.network import parameters
from keenframe_train.progress import progress

KINDS = ("r1", "r1-opencv", "r2", "r3", "r4", "r5", "call-half")
WINDOW, SEED = 320, 11
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


def gains_of(net: Keen, samples: list[Sample]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and worst gain over the input in dB, by kind of damage."""
    found: dict[str, list[float]] = {}
    for sample in samples:
        output, base = (
            psnr(picture, sample.pristine, ceiling_db=CEILING_DB) for picture in restore(net, sample)
        )
        found.setdefault(sample.kind, []).append(output - base)
    return {kind: fmean(each) for kind, each in found.items()}, {
        kind: min(each) for kind, each in found.items()
    }


@app.command()
def trained(
    networks: Annotated[
        list[str], typer.Argument(help="NAME=CHECKPOINT: a run's folder, best.pt or weights.pt.")
    ],
    data: Annotated[Path, typer.Option(help="Folder with val/ inside.")],
    windows: Annotated[int, typer.Option(min=1, help="Windows of each category and kind.")] = 8,
    size: Annotated[str, typer.Option(help="1080p or WIDTHxHEIGHT of the times.")] = "1080p",
    threads: Annotated[int, typer.Option(min=1, help="Of the times.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of four frames each.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for trained.json, .md and .png.")] = Path(
        "benchmarks/results/trained"
    ),
) -> None:
    """Measure networks of scale 1 and draw quality against milliseconds."""
    width, height = parse_size(size)
    loaded: dict[str, Keen] = {}
    for text in networks:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise TrainError(f"'{text}' is not NAME=CHECKPOINT")
        network, _ = load_network(best_of(Path(path)))
        if network.scale != 1:
            raise TrainError(f"'{path}' enlarges x{network.scale}; expected networks of scale 1")
        loaded[name] = network.eval()
    _, held_out = train_and_validation(data)
    samples = validation_samples(held_out, KINDS, windows, WINDOW, SEED)
    rows: dict[str, dict[str, Any]] = {}
    with progress() as bar, tempfile.TemporaryDirectory() as scratch:
        row = bar.add_task("networks", total=len(loaded), note="")
        for name, network in loaded.items():
            bar.update(row, note=name)
            gains, worst = gains_of(network, samples)
            rows[name] = {
                "name": name, "shape": asdict(network.config), "parameters": parameters(network), "gains": gains,
                "worst": worst, "mean_gain": fmean(gains.values()),
            }  # fmt: skip
            bar.advance(row)
        bar.stop()
        files = {name: Path(scratch) / f"{index}.onnx" for index, name in enumerate(loaded)}
        for name, network in loaded.items():
            random_model(network.config, files[name])
        times = measure(files, next(iter(loaded)), width, height, threads, rounds)
        for name in loaded:
            rows[name] |= {"size_bytes": files[name].stat().st_size, **asdict(times[name])}
    machine = describe(threads)
    count = sum(sample.kind == KINDS[0] for sample in samples)
    caption = (
        f"{width}x{height}, INT8, {threads} threads, {machine['cpu']}, network alone; trained out, "
        f"{count} windows a kind, float"
    )
    write_text(
        out / "trained.json",
        json.dumps({"machine": machine, "windows": count, "networks": list(rows.values())}, indent=1) + "\n",
    )
    write_text(out / "trained.md", markdown(list(rows.values()), KINDS, f"{caption}."))
    with replacing(out / "trained.png") as file:
        draw(list(rows.values()), caption).savefig(file, format="png", dpi=110)
    print((out / "trained.md").read_text())


if __name__ == "__main__":
    run_command(app, "benchmarks.trained")
