"""`bank`, `fit` and `int8`: from pictures to weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keenframe_train.cli.options import (
    Data,
    Precision,
    RecipeName,
    Run,
    bank_folder,
    best_of,
    in_words,
    judged_on,
    launched,
    out,
)

if TYPE_CHECKING:
    from keenframe_train.data.bank import Bank
    from keenframe_train.recipe import Recipe


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(bank)
    app.command()(fit)
    app.command()(int8)


def _pairs(
    recipe: Recipe, data: Path, folder: Path | None, items: int | None, workers: int, seed: int = 0
) -> Bank:
    from keenframe_train.data.bank import build_bank
    from keenframe_train.data.folders import train_and_validation
    from keenframe_train.data.presets import mix

    train, _ = train_and_validation(data)
    return build_bank(
        bank_folder(folder, recipe.bank_name), train, mix(recipe.mix), items or recipe.bank_items,
        size=recipe.bank_size, color=recipe.color, workers=max(1, workers), seed=seed,
    )  # fmt: skip


def bank(
    recipe: RecipeName,
    data: Data,
    folder: Annotated[Path | None, typer.Option("--bank", help="Where the pairs go [banks/NAME].")] = None,
    items: Annotated[int | None, typer.Option(min=1, help="Pairs to make [the recipe's].")] = None,
    mix: Annotated[
        str | None,
        typer.Option(help="Another mix than the recipe's: keen-route, for the rule between experts."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pairs.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Make the recipe's training pairs; goes on where it was interrupted."""
    from keenframe_train.recipe import load_recipe

    loaded = load_recipe(recipe)
    if mix is not None:
        loaded = dataclasses.replace(loaded, mix=mix, bank=mix)
    made = _pairs(loaded, data, folder, items, workers, seed)
    out.print(f"{len(made)} pairs in {bank_folder(folder, loaded.bank_name)}")


def fit(
    recipe: RecipeName,
    data: Data,
    run: Annotated[Path | None, typer.Option("--out", help="The run's folder [runs/NAME].")] = None,
    folder: Annotated[Path | None, typer.Option("--bank", help="Folder of pairs [banks/NAME].")] = None,
    items: Annotated[int | None, typer.Option(min=1, help="Pairs in the bank [the recipe's].")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps [the recipe's].")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Another value of the recipe's, as often as there are any: rate=3e-4, 'shares={\"r1\": 1}'.",
        ),
    ] = None,
    control: Annotated[
        bool, typer.Option("--control", help="The same run without its teachers, as NAME-control.")
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(help="Checkpoint whose fitting weights are copied in; a smaller keen is widened."),
    ] = None,
    precision: Precision = "auto",
    devices: Annotated[str, typer.Option(help="How many, or auto.")] = "auto",
    nodes: Annotated[int, typer.Option(min=1, help="Machines, when started by torchrun on each.")] = 1,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that make batches, and pairs when there are none.")
    ] = 2,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Leave after this step of the run; call again to go on.")
    ] = None,
    teacher_cache: Annotated[
        Path | None,
        typer.Option(help="Keep the teachers' outputs here instead of running them at every step."),
    ] = None,
) -> None:
    """Train a recipe; makes its bank when there is none, and resumes an interrupted run exactly."""
    from keenframe_train.loop import fit as run_fit
    from keenframe_train.recipe import changed, load_recipe

    loaded = changed(load_recipe(recipe), changes or [])
    if control:
        loaded = loaded.control()
    if steps is not None:
        every = max(1, min(loaded.validate_every, steps))
        loaded = dataclasses.replace(loaded, steps=steps, validate_every=every)
    pairs = _pairs(loaded, data, folder, items, workers)
    samples = judged_on(loaded, data)
    fabric = launched(precision, devices=devices, nodes=nodes)
    where = run or Path("runs") / loaded.name
    result = run_fit(
        loaded, pairs, samples, where, fabric=fabric, start=start, workers=workers, stop_after=stop_after,
        teacher_cache=teacher_cache,
    )  # fmt: skip
    if not result.gains:
        out.print(f"left {where} before its first validation; run the same command again to go on")
    else:
        out.print(
            f"best weights in {result.best}; gain in dB on the validation windows: {in_words(result.gains)}"
        )


def int8(
    checkpoint: Run,
    data: Data,
    folder: Annotated[Path | None, typer.Option("--bank", help="Folder of pairs [banks/NAME].")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of fine-tuning.")] = 3500,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make batches.")] = 1,
) -> None:
    """Fine-tune a run in INT8 arithmetic; writes int8.pt beside best.pt, which `export` then takes.

    Interrupted, the same command goes on.
    """
    from keenframe_train.data.bank import open_bank
    from keenframe_train.nets.load import load_float
    from keenframe_train.qat import quantize_aware
    from keenframe_train.recipe import Recipe

    best = best_of(checkpoint)
    _, state = load_float(best)
    recipe = Recipe.from_json(state["recipe"])
    pairs = open_bank(bank_folder(folder, recipe.bank_name))
    target = best.with_name("int8.pt")
    gains = quantize_aware(best, pairs, judged_on(recipe, data), target, steps=steps, workers=workers)
    out.print(f"{target}; gain in dB on the validation windows: {in_words(gains)}", soft_wrap=True)
