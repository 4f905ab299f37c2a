"""`prune` and `int8-table`: smaller networks out of trained ones, and what eight bits cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keenframe_train.cli.options import (
    Data,
    Precision,
    Run,
    bank_folder,
    best_of,
    in_words,
    judged_on,
    launched,
    out,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(prune)
    app.command()(int8_table)


def prune(
    checkpoint: Run,
    data: Data,
    keep: Annotated[float, typer.Option(help="Share of the inner channels that stay.")] = 0.75,
    target: Annotated[
        Path | None, typer.Option("--out", help="Folder of the new run [RUN-pKEEP, as in keen-p75].")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--bank", help="Folder of pairs [banks/NAME].")] = None,
    steps: Annotated[
        int, typer.Option(min=0, help="Steps of fine-tuning afterwards; 0 leaves pruned.pt alone.")
    ] = 10_000,
    rate: Annotated[float, typer.Option(help="Learning rate of the fine-tuning.")] = 5e-4,
    multiple: Annotated[int, typer.Option(min=1, help="Channels that engines compute together.")] = 16,
    batches: Annotated[int, typer.Option(min=1, help="Batches that importance is measured on.")] = 64,
    precision: Precision = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that make batches.")] = 1,
) -> None:
    """Take the least important channels out of a keen run for good, then fine-tune what is left.

    The new run is one like any other: `int8`, `export` and `fit --start` take it. Interrupted, the same command goes
    on.
    """
    from keenframe_train.data.bank import open_bank
    from keenframe_train.export.package import load_network
    from keenframe_train.loop import fit
    from keenframe_train.prune import FILE
    from keenframe_train.prune import prune as cut
    from keenframe_train.recipe import Recipe

    # The new run is named by the folder of this one, which may be the current one.
    best = best_of(checkpoint).resolve()
    network, state = load_network(best)
    recipe = Recipe.from_json(state["recipe"])
    pairs = open_bank(bank_folder(folder, recipe.bank_name))
    samples = judged_on(recipe, data)
    where = target or best.parent.with_name(f"{best.parent.name}-p{round(100 * keep)}")
    tuned = cut(
        best, pairs, samples, where, keep=keep, steps=steps, rate=rate, multiple=multiple, batches=batches
    )
    _, before = load_network(where / FILE)
    inner = tuned.network.options["inner"]
    out.print(
        f"{where / FILE}: {list(network.config.inner_widths)} -> {list(inner)} inner channels; gain in dB: "
        f"{in_words(state['gains'])} -> {in_words(before['gains'])}",
        soft_wrap=True,
    )
    if steps:
        fabric = launched(precision)
        result = fit(tuned, pairs, samples, where, fabric=fabric, start=where / FILE, workers=workers)
        out.print(
            f"{result.best}; gain in dB on the validation windows: {in_words(result.gains)}", soft_wrap=True
        )


def int8_table(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Runs' folders; or names of packaged models and their recipes."
        ),
    ],
    data: Data,
    banks: Annotated[
        Path, typer.Option(help="Folder with the banks of pairs, by their recipes' names.")
    ] = Path("banks"),
    target: Annotated[Path, typer.Option("--out", help="Folder for int8.json and int8.md.")] = Path(
        "benchmarks/results/int8"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Steps of fine-tuning, of runs without int8.pt.")] = 3500,
    frames: Annotated[int, typer.Option(min=1, help="Pairs that ranges are taken from after training.")] = 96,
    sweeps: Annotated[int, typer.Option(min=1, help="Rounds of tuning those ranges.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make batches.")] = 1,
) -> None:
    """Compare float, INT8 after training and INT8 by fine-tuning on the validation windows, for each kind of damage.

    A run without int8.pt is fine-tuned first. Finished networks are kept; interrupted, the same command goes on.
    """
    import json
    from dataclasses import asdict

    from keenframe.zoo.store import find_model
    from keenframe_train.checkpoint import load_checkpoint
    from keenframe_train.data.bank import open_bank
    from keenframe_train.files import write_text
    from keenframe_train.int8_table import as_run, as_shipped, compare, markdown, read_rows
    from keenframe_train.nets.load import fine_tuned, load_any
    from keenframe_train.qat import quantize_aware
    from keenframe_train.recipe import Recipe

    rows = read_rows(target / "int8.json")
    for run in runs:
        folder, packaged = Path(run), None
        if not folder.is_dir():
            folder = target / "runs" / run
            packaged = as_shipped(run, folder)
            if packaged is None and not (folder / "best.pt").exists():
                as_run(find_model(run), folder)
        _, state = load_any(folder / "best.pt")
        recipe = Recipe.from_json(state["recipe"])
        pairs, samples = open_bank(banks / recipe.bank_name), judged_on(recipe, data)
        if packaged is None and fine_tuned(folder / "best.pt") is None:
            quantize_aware(
                folder / "best.pt", pairs, samples, folder / "int8.pt", steps=steps, workers=workers
            )
        tuned = (
            {"file": packaged} if packaged
            else {"fine_tuning_steps": load_checkpoint(folder / "int8.pt")["rounded"]}
        )  # fmt: skip
        about = {
            "step": state["step"], **tuned, "frames": frames,
            "sweeps": sweeps, "windows": len(samples),
        }  # fmt: skip
        if rows.get(folder.name, {}).get("about") == about:
            out.print(f"{folder.name}: as it was")
            continue
        rows[folder.name] = {"about": about, **asdict(compare(folder, pairs, samples, frames, sweeps))}
        write_text(target / "int8.json", json.dumps({"networks": rows}, indent=1) + "\n")
        write_text(target / "int8.md", markdown(rows))
    print(markdown(rows))
