"""`export`: from weights to the files that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keenframe_train.cli.options import Data, Run, bank_folder, best_of, judged_on, out


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    checkpoint: Run,
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
    from keenframe_train.export.package import export_model, load_network
    from keenframe_train.export.quantize import Pair
    from keenframe_train.recipe import Recipe

    best = best_of(checkpoint)
    network, state = load_network(best)
    recipe = Recipe.from_json(state["recipe"])
    calibration = []
    rounded = best.with_name("int8.pt") if int8 and best.with_name("int8.pt").exists() else None
    if int8 and rounded is None:
        pairs = open_bank(bank_folder(folder, name))
        chosen = np.random.default_rng(0).choice(len(pairs), min(frames, len(pairs)), replace=False)
        calibration = [
            Pair(pairs.degraded[i], pairs.pristine[i], pairs.conditions[i]) for i in sorted(chosen)
        ]
    description = (
        "Sharpens call frames of any damage at their own size"
        if network.config.scale == 1
        else "Half-size call frame in, sharp full-size frame out"
    )
    done = export_model(
        best, models, judged_on(recipe, data), name=name, description=description,
        training_data=training_data, version=version, calibration=calibration, rounded=rounded,
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
