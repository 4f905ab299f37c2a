"""`evaluate`, `results-page`: what a model is worth, through the runtime that users run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from keenframe_train.cli.options import Data, out


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(evaluate)
    app.command()(results_page)


def evaluate(
    data: Data,
    model: Annotated[list[str] | None, typer.Option(help="Model names or files [keen and keen-x2].")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Degradations [all that fit the models].")] = None,
    clips: Annotated[Path | None, typer.Option(help="Folder of clips, sent as calls; halved first.")] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each clip.")] = 60,
    results: Annotated[Path, typer.Option("--out", help="Folder for tables and single scores.")] = Path(
        "results"
    ),
    engine: Annotated[str, typer.Option(help="The runtime's engine.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes [one a processor].")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each category.")] = None,
    readme: Annotated[Path | None, typer.Option(help="README whose results section is written anew.")] = None,
) -> None:
    """PSNR-Y and SSIM-Y by degradation and category, and on clips, through the runtime that users run."""
    from keenframe_train.evaluate.report import write_report

    text = write_report(
        data,
        model or ["keen", "keen-x2"],
        kind,
        clips,
        frames,
        results,
        engine,
        workers or os.cpu_count() or 1,
        limit,
        readme,
    )
    out.print(text, soft_wrap=True, markup=False, highlight=False)


def results_page(
    root: Annotated[Path, typer.Option(help="A checkout of keenframe.")] = Path(),
    crops: Annotated[
        bool,
        typer.Option("--crops", help="Make the pictures of the page anew, too: needs the models' engine."),
    ] = False,
) -> None:
    """Write docs/results.md, its charts and the model cards from the files in benchmarks/results."""
    from keenframe_train.page.own import make_crops
    from keenframe_train.page.write import write_pages

    if crops:
        out.print(f"{len(make_crops(root))} pictures")
    changed = write_pages(root)
    for path in changed:
        out.print(str(path), soft_wrap=True, markup=False, highlight=False)
    out.print(f"{len(changed)} files changed")
