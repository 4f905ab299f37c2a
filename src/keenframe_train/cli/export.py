"""`export`: from weights to the files that are shipped."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keenframe_train.cli.options import bank_folder, best_of, in_words, judged_on, out

if TYPE_CHECKING:
    from keenframe_train.export.package import Exported
    from keenframe_train.recipe import Recipe


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="A run's folder, or its best.pt; with --to web also a float keen .onnx file."),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of images: any layout, or with val/ and train*/ inside."),
    ] = None,
    to: Annotated[
        Literal["onnx", "web"],
        typer.Option(help="onnx: for the runtime. web: NAME.kfm for keenframe.js in the browser."),
    ] = "onnx",
    name: Annotated[str | None, typer.Option(help="Model name [the recipe's].")] = None,
    models: Annotated[Path, typer.Option("--out", help="Folder for the model files.")] = Path("models"),
    expert: Annotated[
        Path | None,
        typer.Option(
            help="A second keen run: one file with both, and a rule fitted on --bank picks one a frame."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--bank", help="Pairs to calibrate INT8 on, or to fit the rule [banks/NAME]."),
    ] = None,
    int8: Annotated[bool, typer.Option(help="Also write the INT8 file.")] = True,
    frames: Annotated[int, typer.Option(help="Calibration frames.")] = 96,
    pairs: Annotated[int, typer.Option(help="Pairs that the rule between two experts is fitted on.")] = 3000,
    version: Annotated[str, typer.Option(help="Version in the model's card.")] = "1",
    training_data: Annotated[str, typer.Option(help="Named in the model's card.")] = "",
) -> None:
    """Write the ONNX files, prove parity (1e-4) and measure what INT8 costs (at most 0.1 dB).

    The INT8 file comes from `keenframe-train int8` where that was run, else from NNCF after training.
    """
    from keenframe_train.errors import TrainError
    from keenframe_train.nets.load import load_any
    from keenframe_train.recipe import Recipe

    if to == "web" and checkpoint.suffix == ".onnx":
        _web(checkpoint, models)
        return
    if data is None:
        raise TrainError(
            "--data is missing: a run is exported with a proof on validation pictures; give their folder"
        )
    if to == "web":
        # Two experts share a file when their weights are in 8 bits; one alone needs no INT8.
        int8 = int8 and expert is not None
        with tempfile.TemporaryDirectory() as scratch:
            export(
                checkpoint, data, "onnx", name, Path(scratch), expert, folder, int8, frames, pairs, version,
                training_data,
            )  # fmt: skip
            _web(
                next(file for file in Path(scratch).glob("*.onnx") if not file.stem.endswith("-int8")), models
            )
        return
    best = best_of(checkpoint)
    _, state = load_any(best)
    recipe = Recipe.from_json(state["recipe"])
    name = name or recipe.name
    if recipe.network.name != "keen":
        if expert is not None:
            raise TrainError(f"'{best}' holds a '{recipe.network.name}'; only keen networks make two experts")
        _tell(_lab(best, recipe, data, name, models, folder, frames if int8 else 0, version, training_data))
    elif expert is None:
        _tell(_keen(best, data, name, models, folder, frames if int8 else 0, version, training_data))
    else:
        kept = frames if int8 else 0
        _experts(best, best_of(expert), data, name, models, folder, pairs, kept, version, training_data)


def _web(model: Path, models: Path) -> None:
    """A float ONNX file as the browser's."""
    from keenframe_train.export.web import export_web

    file = export_web(model, models)
    out.print(f"{file}: {file.stat().st_size / 1e3:.0f} kB")


def _tell(done: Exported) -> None:
    size = done.float_file.stat().st_size / 1e3
    out.print(f"{done.float_file}: {size:.0f} kB, parity {done.parity.residual:.1e}")
    if done.int8_file:
        kept = f"; in float: {', '.join(done.kept_float)}" if done.kept_float else ""
        size = done.int8_file.stat().st_size / 1e3
        out.print(f"{done.int8_file}: {size:.0f} kB, dB to float: {in_words(done.int8_change)}{kept}")


def _keen(
    best: Path,
    data: Path,
    name: str,
    models: Path,
    folder: Path | None,
    frames: int,
    version: str,
    source: str,
    compact: bool = False,
) -> Exported:
    """A keen run as a model. frames: calibration pairs for INT8 where none was fine-tuned; 0 for no INT8 file."""
    import numpy as np

    from keenframe_train.data.bank import open_bank
    from keenframe_train.export.package import export_model, load_network
    from keenframe_train.export.quantize import Pair
    from keenframe_train.recipe import Recipe

    network, state = load_network(best)
    recipe = Recipe.from_json(state["recipe"])
    rounded = best.with_name("int8.pt") if frames and best.with_name("int8.pt").exists() else None
    calibration = []
    if frames and rounded is None:
        bank = open_bank(bank_folder(folder, recipe.bank_name))
        chosen = np.random.default_rng(0).choice(len(bank), min(frames, len(bank)), replace=False)
        calibration = [Pair(bank.degraded[i], bank.pristine[i], bank.conditions[i]) for i in sorted(chosen)]
    description = recipe.description or (
        "Sharpens call frames of any damage at their own size"
        if network.config.scale == 1
        else "Half-size call frame in, sharp full-size frame out"
    )
    return export_model(
        best, models, judged_on(recipe, data), name=name, description=description, training_data=source,
        version=version, calibration=calibration, rounded=rounded, compact=compact,
    )  # fmt: skip


def _lab(
    best: Path, recipe: Recipe, data: Path, name: str, models: Path, folder: Path | None, frames: int,
    version: str, source: str,
) -> Exported:  # fmt: skip
    """A network of the lab as an RGB model."""
    import json
    from types import SimpleNamespace

    import numpy as np

    from keenframe_train.data.bank import open_bank
    from keenframe_train.export.plain import export_plain
    from keenframe_train.nets.load import load_any

    network, state = load_any(best)
    calibration = []
    if frames:
        bank = open_bank(bank_folder(folder, recipe.bank_name))
        chosen = np.random.default_rng(0).choice(len(bank), min(frames, len(bank)), replace=False)
        calibration = [
            SimpleNamespace(kind="training", degraded=bank.degraded[i], pristine=bank.pristine[i])
            for i in sorted(chosen)
        ]
    measured = {"validation windows, gain in dB": state["gains"], "steps": state["step"]}
    return export_plain(
        network, models, name, judged_on(recipe, data), description=recipe.description, training_data=source,
        recipe=json.dumps(json.loads(str(state["recipe"])), sort_keys=True), measured=measured, version=version,
        calibration=calibration,
    )  # fmt: skip


def _experts(
    first: Path, second: Path, data: Path, name: str, models: Path, folder: Path | None, pairs: int, frames: int,
    version: str, source: str,
) -> None:  # fmt: skip
    """Two keen runs as one model with a rule between them. pairs: for the rule. frames: as `_keen`'s."""
    import numpy as np

    from keenframe_train.data.bank import open_bank
    from keenframe_train.export.experts import advantages, fit_route, join
    from keenframe_train.export.package import load_network

    bank = open_bank(bank_folder(folder, name))
    items = np.random.default_rng(0).choice(len(bank), min(pairs, len(bank)), replace=False)
    items.sort()
    advantage = advantages([load_network(path)[0] for path in (first, second)], bank, items)
    route = fit_route(np.array(bank.conditions[items]), advantage)
    out.print(
        f"the second expert takes {route.second:.0%} of {len(items)} pairs; against the better one of each the rule "
        f"gives away {route.lost:.3f} dB, the first alone {np.maximum(advantage, 0).mean():.3f}, the second alone "
        f"{np.maximum(-advantage, 0).mean():.3f}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        parts = [
            # Two of them shall not make a file twice as large.
            _keen(best, data, part, Path(scratch), folder, frames, version, source, compact=True)
            for best, part in ((first, "first"), (second, "second"))
        ]
        for part in parts:
            _tell(part)
        description = "Sharpens call frames of any damage at their own size"
        files = (
            [(part.float_file, name) for part in parts],
            [(part.int8_file, f"{name}-int8") for part in parts],
        )
        for (one, named), (other, _) in files:
            if one is not None and other is not None:
                target = models / f"{named}.onnx"
                join(one, other, route, target, name=named, description=description)
                out.print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
