"""`keenframe-train`: make a bank, fit, export, evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keenframe.errors import KeenframeError
from keenframe_train import cli_data
from keenframe_train.errors import TrainError

app = typer.Typer(
    help="Train, export and measure keenframe's networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
out = Console()

Data = Annotated[
    Path, typer.Option("--data", help="Folder of images: any layout, or with val/ and train*/ inside.")
]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name in recipes/, a folder, or a recipe.py.")
]


def _bank_folder(bank: Path | None, name: str) -> Path:
    return bank or Path("banks") / name


@app.command()
def bank(
    recipe: RecipeName,
    data: Data,
    folder: Annotated[Path | None, typer.Option("--bank", help="Where the pairs go [banks/NAME].")] = None,
    items: Annotated[int | None, typer.Option(help="Pairs to make [the recipe's].")] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Make the recipe's training pairs; goes on where it was interrupted."""
    from keenframe_train.data.bank import build_bank
    from keenframe_train.data.folders import train_and_validation
    from keenframe_train.data.presets import MIXES
    from keenframe_train.recipe import load_recipe

    loaded = load_recipe(recipe)
    train, _ = train_and_validation(data)
    where = _bank_folder(folder, loaded.name)
    made = build_bank(where, train, MIXES[loaded.mix], items or loaded.bank_items, workers=workers)
    out.print(f"{len(made)} pairs from {len(train)} pictures in {where}")


@app.command()
def fit(
    recipe: RecipeName,
    data: Data,
    run: Annotated[Path | None, typer.Option("--out", help="The run's folder [runs/NAME].")] = None,
    folder: Annotated[Path | None, typer.Option("--bank", help="Folder of pairs [banks/NAME].")] = None,
    items: Annotated[int | None, typer.Option(help="Pairs in the bank [the recipe's].")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps [the recipe's].")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint whose fitting weights are copied in first.")
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed.")] = "auto",
    devices: Annotated[str, typer.Option(help="How many, or auto.")] = "auto",
    nodes: Annotated[int, typer.Option(help="Machines, when started by torchrun on each.")] = 1,
    workers: Annotated[
        int, typer.Option(help="Processes that make batches, and pairs when there are none.")
    ] = 2,
    stop_after: Annotated[
        int | None, typer.Option(help="Leave after this step of the run; call again to go on.")
    ] = None,
) -> None:
    """Train a recipe; makes its bank when there is none, and resumes an interrupted run exactly."""
    import dataclasses

    from lightning_fabric import Fabric

    from keenframe_train.data.bank import build_bank
    from keenframe_train.data.folders import train_and_validation
    from keenframe_train.data.presets import MIXES
    from keenframe_train.data.validation import validation_samples
    from keenframe_train.loop import default_precision
    from keenframe_train.loop import fit as run_fit
    from keenframe_train.recipe import load_recipe

    loaded = load_recipe(recipe)
    if steps is not None:
        every = max(1, min(loaded.validate_every, steps))
        loaded = dataclasses.replace(loaded, steps=steps, validate_every=every)
    train, held_out = train_and_validation(data)
    mix = MIXES[loaded.mix]
    pairs = build_bank(
        _bank_folder(folder, loaded.name), train, mix, items or loaded.bank_items, workers=max(1, workers)
    )
    kinds = VALIDATION_KINDS if mix.scale == 1 else X2_KINDS
    samples = validation_samples(held_out, kinds, 4, 256)
    fabric = Fabric(
        accelerator="auto",
        devices=devices if devices == "auto" else int(devices),
        num_nodes=nodes,
        precision=default_precision() if precision == "auto" else precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    result = run_fit(
        loaded, pairs, samples, run or Path("runs") / loaded.name, fabric=fabric, start=start,
        stop_after=stop_after,
    )  # fmt: skip
    gains = ", ".join(f"{kind} {gain:+.2f}" for kind, gain in result.gains.items())
    out.print(f"best weights in {result.best}; gain in dB on the validation windows: {gains}")


VALIDATION_KINDS = ("r1", "r2", "r3", "call-half", "call-full", "clean")
X2_KINDS = ("x2", "received-half")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A run's folder, or its best.pt.")],
    data: Data,
    name: Annotated[str, typer.Option(help="Model name.")] = "keen",
    models: Annotated[Path, typer.Option("--out", help="Folder for the model files.")] = Path("models"),
    folder: Annotated[
        Path | None, typer.Option("--bank", help="Pairs to calibrate INT8 on [banks/NAME].")
    ] = None,
    int8: Annotated[bool, typer.Option(help="Also write the INT8 file.")] = True,
    frames: Annotated[int, typer.Option(help="Calibration frames.")] = 96,
    version: Annotated[str, typer.Option(help="Version in the model's card.")] = "1",
    training_data: Annotated[str, typer.Option(help="Named in the model's card.")] = "",
) -> None:
    """Write the ONNX files, prove parity (1e-4) and measure what INT8 costs (at most 0.1 dB).

    The INT8 file comes from `keenframe-train int8` where that was run, else from NNCF after training.
    """
    import numpy as np

    from keenframe_train.data.bank import open_bank
    from keenframe_train.data.folders import validation_only
    from keenframe_train.data.validation import validation_samples
    from keenframe_train.export.package import export_model, load_network
    from keenframe_train.export.quantize import Pair

    if checkpoint.is_dir():
        checkpoint = checkpoint / "best.pt"
    network, _ = load_network(checkpoint)
    scale = network.config.scale
    kinds = VALIDATION_KINDS if scale == 1 else X2_KINDS
    samples = validation_samples(validation_only(data), kinds, 4, 256)
    calibration = []
    rounded = checkpoint.with_name("int8.pt") if int8 and checkpoint.with_name("int8.pt").exists() else None
    if int8 and rounded is None:
        pairs = open_bank(_bank_folder(folder, name))
        chosen = np.random.default_rng(0).choice(len(pairs), min(frames, len(pairs)), replace=False)
        calibration = [
            Pair(pairs.degraded[i], pairs.pristine[i], pairs.conditions[i]) for i in sorted(chosen)
        ]
    description = (
        "Sharpens call frames of any damage at their own size"
        if scale == 1
        else "Half-size call frame in, sharp full-size frame out"
    )
    done = export_model(
        checkpoint, models, samples, name=name, description=description, training_data=training_data,
        version=version, calibration=calibration, rounded=rounded,
    )  # fmt: skip
    out.print(
        f"{done.float_file}: {done.float_file.stat().st_size / 1e3:.0f} kB, parity {done.parity.residual:.1e}"
    )
    if done.int8_file:
        change = ", ".join(f"{kind} {value:+.3f}" for kind, value in done.int8_change.items())
        kept = f"; in float: {', '.join(done.kept_float)}" if done.kept_float else ""
        out.print(
            f"{done.int8_file}: {done.int8_file.stat().st_size / 1e3:.0f} kB, dB to float: {change}{kept}"
        )


@app.command()
def int8(
    checkpoint: Annotated[Path, typer.Argument(help="A run's folder, or its best.pt.")],
    data: Data,
    folder: Annotated[Path | None, typer.Option("--bank", help="Folder of pairs [banks/NAME].")] = None,
    steps: Annotated[int, typer.Option(help="Steps of fine-tuning.")] = 3500,
) -> None:
    """Fine-tune a run in INT8 arithmetic; writes int8.pt beside best.pt, which `export` then takes."""
    import json

    from keenframe_train.data.bank import open_bank
    from keenframe_train.data.folders import validation_only
    from keenframe_train.data.validation import validation_samples
    from keenframe_train.export.package import load_network
    from keenframe_train.qat import quantize_aware

    if checkpoint.is_dir():
        checkpoint = checkpoint / "best.pt"
    network, state = load_network(checkpoint)
    kinds = VALIDATION_KINDS if network.config.scale == 1 else X2_KINDS
    samples = validation_samples(validation_only(data), kinds, 4, 256)
    pairs = open_bank(_bank_folder(folder, json.loads(str(state["recipe"]))["name"]))
    gains = quantize_aware(checkpoint, pairs, samples, checkpoint.with_name("int8.pt"), steps=steps)
    text = ", ".join(f"{kind} {gain:+.2f}" for kind, gain in gains.items())
    out.print(f"{checkpoint.with_name('int8.pt')}; gain in dB on the validation windows: {text}")


@app.command()
def evaluate(
    data: Data,
    model: Annotated[list[str] | None, typer.Option(help="Model names or files [keen and keen-x2].")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Degradations [all that fit the models].")] = None,
    clips: Annotated[Path | None, typer.Option(help="Folder of clips, sent as calls; halved first.")] = None,
    frames: Annotated[int, typer.Option(help="Frames of each clip.")] = 60,
    results: Annotated[Path, typer.Option("--out", help="Folder for tables and single scores.")] = Path(
        "results"
    ),
    engine: Annotated[str, typer.Option(help="The runtime's engine.")] = "auto",
    workers: Annotated[int | None, typer.Option(help="Processes.")] = None,
    limit: Annotated[int | None, typer.Option(help="Pictures of each category.")] = None,
    readme: Annotated[Path | None, typer.Option(help="README whose results section is written anew.")] = None,
) -> None:
    """PSNR-Y and SSIM-Y by degradation and category, and on clips, through the runtime that users run."""
    from keenframe_train.evaluate.report import write_report

    text = write_report(
        data, model or ["keen", "keen-x2"], kind, clips, frames, results, engine, workers, limit, readme
    )
    out.print(text, soft_wrap=True, markup=False, highlight=False)


cli_data.register(app)


def main() -> None:
    """Entry point: errors that have an explanation are shown as one line, not as a traceback."""
    try:
        app()
    except (TrainError, KeenframeError) as error:
        print(f"keenframe-train: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("keenframe-train: interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
