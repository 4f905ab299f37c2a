"""`reproduce`: a source system from pictures to a table; `sets`: any model on the literature's pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keenframe_train.cli.options import Data, Precision, RecipeName, launched, out


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(reproduce)
    app.command()(sets)


def sets(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names, or .onnx files.")],
    data: Annotated[Path, typer.Option("--data", help="Folder with Set5 and Set14, or with sets/ inside.")],
) -> None:
    """x2 enlarging of Set5 and Set14 as the literature measures it: PSNR and SSIM of luma, bicubic down.

    A model of scale 1 sees the picture enlarged bicubically, one of scale 2 the small one.
    """
    from keenframe import Sharpener
    from keenframe_train.errors import TrainError
    from keenframe_train.evaluate.markdown import wide_table
    from keenframe_train.reproduction.compare import SETS, Restorer, set_scores, sets_below
    from keenframe_train.reproduction.results import ALL, means

    folders = sets_below(data)
    if not folders:
        raise TrainError(f"'{data}' has neither {' nor '.join(SETS)}, and no sets/ with them: check --data")

    def restorer(name: str) -> Restorer:
        sharpener = Sharpener(name)
        if sharpener.scale > 2:
            raise TrainError(
                f"'{name}' enlarges x{sharpener.scale}; this is about x2: give a model of scale 1 or 2"
            )
        return lambda small, shown: sharpener.sharpen(shown if sharpener.scale == 1 else small)

    methods = {name: restorer(name) for name in models}
    found = {folder.name: means(set_scores(methods, folder))["x2"][ALL] for folder in folders}
    rows = [
        [
            method,
            *(f"{values[method]['psnr']:.2f} dB, {values[method]['ssim']:.4f}" for values in found.values()),
        ]
        for method in next(iter(found.values()))
    ]
    out.print(wide_table(["", *found], rows), soft_wrap=True, markup=False, highlight=False)


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
