"""`reproduce`: a source system from pictures to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keenframe_train.cli.options import Data, Precision, RecipeName, launched, out


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reproduce)


def reproduce(
    recipe: RecipeName,
    data: Data,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the runs and the results [runs/reproduce/NAME; NAME-alone]."),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="One of the recipe's: smoke, cpu, report; of some: alone.")
    ] = "cpu",
    bank: Annotated[Path | None, typer.Option(help="Folder of the pairs [banks/NAME-BUDGET].")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of control, student and a second run [the budget's].")
    ] = None,
    steps_teacher: Annotated[
        int | None, typer.Option(min=1, help="Steps of the teacher [the budget's].")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each category compared [all].")
    ] = None,
    sets: Annotated[
        Path | None, typer.Option("--set", help="Folder with Set5 and Set14 [DATA/sets].")
    ] = None,
    perceptual: Annotated[
        Path | None, typer.Option(help="Weights of the perceptual loss [KEENFRAME_PERCEPTUAL].")
    ] = None,
    readme: Annotated[
        Path | None, typer.Option(help="README whose measured section is written anew.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder for the student's ONNX files, float and INT8 [none].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    precision: Precision = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Processes that make pairs and batches.")] = 2,
) -> None:
    """Train teacher, control and distilled student; compare them on the same pictures; write table and pictures.

    Budget `alone` trains the student for longer and without a teacher, in a folder of its own.

    Interrupt and run again: it goes on where it stopped, and does nothing twice.
    """
    import os

    from keenframe_train.experiment import default_folder, load_experiment
    from keenframe_train.perceptual import VARIABLE
    from keenframe_train.reproduce import reproduce as run

    experiment = load_experiment(recipe)
    if perceptual is not None:
        os.environ[VARIABLE] = str(perceptual)
    fabric = launched(precision, device, str(devices))
    where = folder or default_folder(experiment, budget)
    run(
        experiment, data, where, budget=budget, bank=bank, steps=steps, steps_teacher=steps_teacher, limit=limit,
        sets=sets, readme=readme, models=models, fabric=fabric, workers=workers,
    )  # fmt: skip
    if fabric.is_global_zero:
        out.print((where / "table.md").read_text(), soft_wrap=True, markup=False, highlight=False)
