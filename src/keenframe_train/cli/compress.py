"""`prune`: smaller networks out of trained ones."""

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
    workers: Annotated[int, typer.Option(help="Processes that make batches.")] = 1,
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

    best = best_of(checkpoint)
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
