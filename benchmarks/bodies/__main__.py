"""Search over the bodies of `keen`: quality against milliseconds.

    python -m benchmarks.bodies --steps 0                                  # the times alone, some four minutes
    python -m benchmarks.bodies --data DIR --bank banks/keen --steps 1500  # then training, resumed where it stopped

Times are of INT8 models with random weights, side by side with `keen`'s body in OpenVINO, and are measured once;
--again measures anew. Trained are the bodies near the budgets, all from scratch on the same batches.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch
import typer

from benchmarks.bodies.report import draw, markdown
from benchmarks.bodies.shapes import candidates, reference, shapes
from benchmarks.latency import Latency, measure, random_model
from benchmarks.machine import describe
from keenframe.cli.bench import parse_size
from keenframe_train.cli import run
from keenframe_train.cli.options import judged_on, launched
from keenframe_train.data.bank import Bank, open_bank
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.files import replacing, write_text
from keenframe_train.loop import fit
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.nets.network import parameters
from keenframe_train.progress import progress
from keenframe_train.recipe import NetworkSpec, Recipe, load_recipe

# By scale: the recipe whose data and rates are taken, and the damage that bodies are judged by.
RECIPES = {1: "keen", 2: "keen-x2", 4: "keen-x4"}
KINDS = {1: ("r1", "r2", "r3", "call-half"), 2: ("x2", "received-half"), 4: ("x4", "received-quarter")}
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


def time_all(
    configs: dict[str, KeenConfig], width: int, height: int, threads: int, rounds: int
) -> list[dict[str, Any]]:
    """Name, shape, parameters, file size and time of every body."""
    with tempfile.TemporaryDirectory() as scratch, progress() as bar:
        files = {name: Path(scratch) / f"{index}.onnx" for index, name in enumerate(configs)}
        row = bar.add_task("models", total=len(configs), note="")
        for name, config in configs.items():
            bar.update(row, note=name)
            random_model(config, files[name])
            bar.advance(row)
        bar.stop()
        times = measure(files, next(iter(configs)), width, height, threads, rounds)
        return [
            {
                "name": name, "shape": asdict(config), "parameters": parameters(Keen(config)),
                "size_bytes": files[name].stat().st_size, **asdict(times[name]),
            }
            for name, config in configs.items()
        ]  # fmt: skip


def recipe_of(name: str, config: KeenConfig, steps: int) -> Recipe:
    """The control of `keen`, or of what enlarges as much, with another body and few steps: with Muon, which teaches
    small networks in a fifth of the steps, so that what they hold shows behind how fast they learn (docs/log.md)."""
    own = load_recipe(RECIPES[config.scale]).control()
    return dataclasses.replace(
        own, name=f"body {name}", network=NetworkSpec("keen", asdict(config)), steps=steps, warmup=min(200, steps // 4),
        optimizer="muon", rate=1e-3, validate_every=steps, save_every=250, description="",
    )  # fmt: skip


def train(
    name: str, config: KeenConfig, steps: int, bank: Bank, samples: list[Sample], runs: Path
) -> dict[str, float]:
    """Gains in dB, per kind, after so many steps from scratch; a finished run is not run again."""
    folder = runs / f"{name.replace(' ', '-')}-x{config.scale}-{steps}"
    recipe = recipe_of(name, config, steps)
    result = fit(recipe, bank, samples, folder, fabric=launched("auto"), workers=0)
    return result.gains


@app.command()
def bodies(
    data: Annotated[Path | None, typer.Option(help="Folder with val/ inside; training needs it.")] = None,
    bank: Annotated[Path | None, typer.Option(help="Folder of pairs [banks/keen, -x2 or -x4].")] = None,
    scale: Annotated[int, typer.Option(help="1, or 2 or 4 for heads that enlarge.")] = 1,
    steps: Annotated[
        int, typer.Option(min=0, help="Steps of training of each candidate; 0: times alone.")
    ] = 1500,
    points: Annotated[
        int, typer.Option(min=1, help="Candidates for each budget and each place of the trunk.")
    ] = 1,
    body: Annotated[list[str] | None, typer.Option(help="Further bodies to train, by name.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Bodies to time [all].")] = None,
    size: Annotated[str, typer.Option(help="1080p or WIDTHxHEIGHT of what comes out.")] = "1080p",
    threads: Annotated[int, typer.Option(min=1, help="Of the times.")] = 2,
    training_threads: Annotated[int, typer.Option(min=1, help="Of the training.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of four frames each.")] = 8,
    again: Annotated[bool, typer.Option("--again", help="Measure times anew.")] = False,
    runs: Annotated[Path, typer.Option(help="Folder of the candidates' runs.")] = Path("runs/bodies"),
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for bodies.json, .md and .png.", show_default="benchmarks/results/bodies, -x2"
        ),
    ] = None,
) -> None:
    """Time every body, train those near the budgets, and draw quality against milliseconds."""
    if steps and data is None:
        raise TrainError("training needs --data with a folder of pictures; --steps 0 measures times alone")
    if scale not in RECIPES:
        raise TrainError(f"--scale is 1, 2 or 4; got {scale}")
    out = out or Path("benchmarks/results") / RECIPES[scale].replace("keen", "bodies")
    width, height = parse_size(size)
    configs = dict(list(shapes(scale).items())[:limit])
    if unknown := sorted(set(body or ()) - set(configs)):
        raise TrainError(f"unknown bodies: {', '.join(unknown)}; expected names of the table of times")
    about = {"size": [width, height], "threads": threads, "scale": scale}
    card = out / "bodies.json"
    old = json.loads(card.read_text()) if card.exists() else {}
    fresh = (
        again
        or old.get("about") != about
        or [row["name"] for row in old["bodies"]][: len(configs)] != list(configs)
    )
    if fresh:
        rows = time_all(configs, width, height, threads, rounds)
        old = {"about": about, "machine": describe(threads)}
    else:
        rows = [_comparable(row, steps) for row in old["bodies"]]
    _write(out, old, rows)
    if steps and data is not None:
        torch.set_num_threads(training_threads)
        times = {row["name"]: Latency(row["time_ms"], row["ratio"]) for row in rows}
        samples = judged_on(load_recipe(RECIPES[scale]), data)
        pairs = open_bank(bank or Path("banks") / RECIPES[scale])
        known = {row["name"]: row for row in rows}
        chosen = candidates(configs, times, points) | {name: configs[name] for name in body or ()}
        for name, config in chosen.items():
            gains = train(name, config, steps, pairs, samples, runs)
            # With branches or without, a body costs the same: it is the same once it is folded.
            base = known[name] if name in known else known[reference(scale)]
            row = known.setdefault(name, {**base, "name": name, "shape": asdict(config)})
            row |= {
                "gains": gains, "mean_gain": fmean(gains[kind] for kind in KINDS[scale]), "steps": steps,
                "windows": sum(sample.kind == KINDS[scale][0] for sample in samples),
            }  # fmt: skip
            _write(out, old, list(known.values()))
    print((out / "bodies.md").read_text())


def _comparable(row: dict[str, Any], steps: int) -> dict[str, Any]:
    """A row of an earlier call, without what it reached in another number of steps than is wanted now."""
    if not steps or row.get("steps", steps) == steps:
        return row
    return {key: value for key, value in row.items() if key not in ("gains", "mean_gain", "steps", "windows")}


def _write(out: Path, about: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    machine, (width, height) = about["machine"], about["about"]["size"]
    caption = f"{width}x{height}, INT8, {machine['threads']} threads, {machine['cpu']}, network alone"
    trained = [row for row in rows if row.get("mean_gain") is not None]
    if trained:
        caption += f"; {trained[0]['steps']} steps of training each"
        if windows := trained[0].get("windows"):  # earlier tables don't say
            caption += f", {windows} windows a kind"
    write_text(out / "bodies.json", json.dumps({**about, "bodies": rows}, indent=1) + "\n")
    write_text(out / "bodies.md", markdown(rows, KINDS[about["about"]["scale"]], f"{caption}."))
    if trained:
        with replacing(out / "bodies.png") as file:
            draw(rows, caption).savefig(file, format="png", dpi=110)


if __name__ == "__main__":
    run(app, "benchmarks.bodies")
