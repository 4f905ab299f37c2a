"""What the commands share: options, and the console that they speak on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from keenframe_train.data.validation import Sample
    from keenframe_train.recipe import Recipe

out = Console(markup=False)  # a path may hold what looks like it

Data = Annotated[
    Path, typer.Option("--data", help="Folder of images: any layout, or with val/ and train*/ inside.")
]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name in recipes/, a folder, or a recipe.py.")
]
Run = Annotated[Path, typer.Argument(help="A run's folder, or its best.pt.")]

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
Precision = Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}.")]

WINDOWS, WINDOW = 4, 256  # validation windows of each category and kind, and their edge


def launched(precision: str, device: str = "auto", devices: str = "auto", nodes: int = 1) -> Fabric:
    """Fabric, started on all processes. precision "auto" takes bfloat16 where the processor or GPU is faster in it.

    Raises TrainError for what it does not know or this machine does not have.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from keenframe_train.errors import TrainError
    from keenframe_train.start import default_precision

    if devices != "auto" and not (devices.isdecimal() and int(devices)):
        raise TrainError(f"--devices is a number from 1 up, or auto; got '{devices}'")
    if precision not in PRECISIONS:
        raise TrainError(
            f"cannot train on {devices} x {device} in {precision}: Precision is one of {', '.join(PRECISIONS)}"
        )
    try:
        fabric = Fabric(
            accelerator=device,
            devices=devices if devices == "auto" else int(devices),
            num_nodes=nodes,
            precision=default_precision() if precision == "auto" else precision,  # type: ignore[arg-type]
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise TrainError(f"cannot train on {devices} x {device} in {precision}: {error}") from error
    fabric.launch()
    return fabric


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
