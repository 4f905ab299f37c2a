"""What the commands share: options, and the console that they speak on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from keenframe_train.data.validation import Sample
    from keenframe_train.recipe import Recipe

out = Console()

Data = Annotated[
    Path, typer.Option("--data", help="Folder of images: any layout, or with val/ and train*/ inside.")
]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name in recipes/, a folder, or a recipe.py.")
]
Run = Annotated[Path, typer.Argument(help="A run's folder, or its best.pt.")]

WINDOWS, WINDOW = 4, 256  # validation windows of each category and kind, and their edge


def bank_folder(given: Path | None, name: str) -> Path:
    """--bank, or banks/NAME."""
    return given or Path("banks") / name


def best_of(run: Path) -> Path:
    """The checkpoint that a run's folder stands for."""
    return run / "best.pt" if run.is_dir() else run


def judged_on(recipe: Recipe, data: Path) -> list[Sample]:
    """The validation windows of a recipe."""
    from keenframe_train.data.folders import train_and_validation
    from keenframe_train.data.presets import mix
    from keenframe_train.data.validation import validation_samples

    _, held_out = train_and_validation(data)
    kinds = mix(recipe.mix).validation
    return validation_samples(held_out, kinds, WINDOWS, WINDOW, color=recipe.color)


def in_words(gains: dict[str, float]) -> str:
    """ "r1 +2.81, r2 +3.06"."""
    return ", ".join(f"{kind} {gain:+.2f}" for kind, gain in gains.items())
