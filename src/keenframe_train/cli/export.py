"""`export` and `rule`: from weights to the files that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keenframe_train.cli.experts import files_of, fitted_rule, known_rule, split_name, taken_experts
from keenframe_train.cli.options import bank_folder, best_of, in_words, judged_on, out

if TYPE_CHECKING:
    from torch import nn

    from keenframe_train.data.validation import Sample
    from keenframe_train.export.package import Exported
    from keenframe_train.recipe import Recipe

DYNAMIC, WEB = "dynamic", "web"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)
    app.command()(rule)


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A run's folder or its best.pt; or a model's name, or an .onnx file of ours: with --expert, its "
            "experts for enlarged frames, or the one named behind a colon (keen:keen-screens)."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(help="onnx, openvino, litert, ncnn or web.", show_default="the runtime's own, of a run"),
    ] = None,
    size: Annotated[
        str, typer.Option(help="With --to: WIDTHxHEIGHT of the picture for good, or dynamic.")
    ] = DYNAMIC,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of images with val/ inside. A run needs it; with --to: to compare on."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Model name [the recipe's].")] = None,
    models: Annotated[Path, typer.Option("--out", help="Folder for the model files.")] = Path("models"),
    expert: Annotated[
        list[str] | None,
        typer.Option(
            help="A further keen run, for frames of full size, or a model, for its experts for these or the one named "
            "behind a colon: one file with all, and a rule fitted on --bank picks one a frame."
        ),
    ] = None,
    full_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many of the experts, the last, are for frames of full size.",
            show_default="all of --expert",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--bank", help="Pairs to calibrate INT8 on, or to fit the rule [banks/NAME]."),
    ] = None,
    rule_bank: Annotated[
        list[Path] | None, typer.Option(help="Further pairs to fit the rule on; may be repeated.")
    ] = None,
    extend: Annotated[
        bool,
        typer.Option(
            help="Where all of a model's experts are among them: its rule stays as it is between these, and learns "
            "when to take the others."
        ),
    ] = False,
    int8: Annotated[bool, typer.Option(help="Also write the INT8 file.")] = True,
    frames: Annotated[int, typer.Option(min=1, help="Calibration frames.")] = 96,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each bank that the rule is fitted on.")] = 5000,
    version: Annotated[str, typer.Option(help="Version in the model's card.")] = "1",
    training_data: Annotated[str, typer.Option(help="Named in the model's card.")] = "",
) -> None:
    """Write a run as the model files of the runtime, or any model for another one (--to).

    Of a run: the ONNX files, whose parity is proved (1e-4) and whose INT8 loss is measured (at most 0.1 dB). The INT8
    file comes from `keenframe-train int8` where that was run, else from NNCF after training. With --to: each file is
    run in that format's own runtime and compared with the float network.
    """
    from keenframe.zoo.store import find_model
    from keenframe_train.errors import TrainError

    wanted = _size(size)
    if to is not None:
        _check_format(to, size)
    if (full_size is not None or extend) and not expert:
        said = "--extend is for further experts" if extend else "--full-size counts experts"
        raise TrainError(f"{said}; pass --expert, too")
    if _is_run(model) or expert:
        if data is None and any(map(_is_run, [model, *(expert or [])])):
            raise TrainError(
                "a run's files are proved on validation pictures; pass --data with a folder of them"
            )
        best = best_of(Path(model)) if _is_run(model) else model
        kept = frames if int8 else 0
        source = _run(
            best,
            data,
            name,
            models,
            expert or [],
            full_size,
            extend,
            folder,
            rule_bank or [],
            kept,
            pairs,
            version,
            training_data,
        )
    elif to is None:
        raise TrainError(f"'{model}' is no run's folder; a model is written for another runtime with --to")
    elif name is not None:
        raise TrainError(f"--name is for exporting a run; '{model}' is a model already")
    else:
        source = find_model(model)
    if to is not None:
        _convert(source, to, models, wanted, int8, data)


def rule(
    model: Annotated[str, typer.Argument(help="A model of several experts: its name, or an .onnx file.")],
    folders: Annotated[list[Path], typer.Option("--bank", help="Pairs to fit the rule on; may be repeated.")],
    version: Annotated[str, typer.Option(help="Version in the model's card.")],
    models: Annotated[Path, typer.Option("--out", help="Folder for the model files.")] = Path("models"),
    pairs: Annotated[
        int, typer.Option(min=1, help="Pairs of each bank that the rule is fitted on.")
    ] = 10_000,
) -> None:
    """Fit the rule between a model's experts anew; their weights stay as they are.

    The experts are measured as they are in the INT8 file, where there is one; the float file gets the same rule.
    """
    from keenframe.zoo.store import find_model
    from keenframe_train.export.experts import with_route

    measured = find_model(model, prefer_int8=True)
    route = fitted_rule(measured, folders, pairs)
    for source in sorted({measured, find_model(model)}):
        target = models / source.name
        with_route(source, route, target, version)
        out.print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


def _size(text: str) -> tuple[int, int] | None:
    from keenframe.cli.bench import parse_size

    return None if text == DYNAMIC else parse_size(text)


def _check_format(to: str, size: str) -> None:
    """Refuse what cannot be written before hours of a run's files are."""
    from keenframe_train.errors import TrainError
    from keenframe_train.export.convert import FORMATS, load_format

    if to != WEB:
        if to not in FORMATS:
            raise TrainError(f"unknown format '{to}'; expected one of {', '.join([*FORMATS, WEB])}")
        load_format(to)
    elif size != DYNAMIC:
        raise TrainError(f"the browser's file takes any size; leave --size {size} out")


def _convert(
    source: Path, to: str, models: Path, size: tuple[int, int] | None, int8: bool, data: Path | None
) -> None:
    if to == WEB:
        from keenframe_train.export.web import export_web

        target = export_web(source, models)
        out.print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
        return
    from rich.table import Table

    from keenframe_train.export.convert import convert

    done = convert(source, to, models, size=size, int8=int8, data=data)
    title = f"{done.folder}, run in {done.runtime} on {done.frames} frames"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("network", "kB", "to float", "INT8, dB", "ms", "at"):
        table.add_column(heading, justify="left" if heading in ("network", "INT8, dB") else "right")
    for item in done.written:
        table.add_row(
            item.network,
            f"{item.size_bytes / 1e3:.0f}",
            f"{item.difference:.1e}" if item.difference is not None else f"{item.int8_to_float:.1f} dB",
            in_words(item.int8_change),
            f"{item.time_ms:.1f}",
            "{}x{}".format(*item.timed_at),
        )
    out.print(table)


def _run(
    best: Path | str, data: Path | None, name: str | None, models: Path, expert: list[str], full_size: int | None,
    extend: bool, folder: Path | None, further: list[Path], frames: int, pairs: int, version: str, training_data: str,
) -> Path:  # fmt: skip
    """The files for the runtime of a run, or of several and of models' experts; returns the float one.

    frames: for INT8, 0 for no INT8 file.
    """
    from keenframe.zoo.store import find_model, read_spec
    from keenframe_train.errors import TrainError
    from keenframe_train.nets.load import load_float
    from keenframe_train.recipe import Recipe

    if isinstance(best, str) or expert:
        runs = [best, *(best_of(Path(path)) if _is_run(path) else path for path in expert)]
        for run in runs:
            if isinstance(run, str):
                files_of(split_name(run)[0], int8=frames > 0)
            elif (network := Recipe.from_json(load_float(run)[1]["recipe"]).network.name) != "keen":
                raise TrainError(f"'{run}' holds a '{network}'; only keen networks make several experts")
        if isinstance(best, str):
            name = name or read_spec(find_model(split_name(best)[0])).name
        else:
            name = name or Recipe.from_json(load_float(best)[1]["recipe"]).name
        banks = [bank_folder(folder, name), *further]
        _experts(
            runs, full_size, extend, data, name, models, folder, banks, pairs, frames, version, training_data
        )
        return models / f"{name}.onnx"
    _, state = load_float(best)
    recipe = Recipe.from_json(state["recipe"])
    name = name or recipe.name
    if recipe.network.name != "keen":
        done = _lab(best, recipe, data, name, models, folder, frames, version, training_data)
    else:
        done = _keen(best, data, name, models, folder, frames, version, training_data)
    _tell(done)
    return done.float_file


def _is_run(text: str) -> bool:
    return Path(text).is_dir() or text.endswith(".pt")


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
    from keenframe_train.export.package import export_model, load_network
    from keenframe_train.nets.load import fine_tuned
    from keenframe_train.recipe import Recipe

    network, state = load_network(best)
    recipe = Recipe.from_json(state["recipe"])
    rounded = fine_tuned(best) if frames else None
    calibration = []
    if frames and rounded is None:
        calibration = _calibration(recipe, network, folder, frames)
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
    from keenframe_train.export.plain import export_plain
    from keenframe_train.nets.load import fine_tuned, load_any

    network, state = load_any(best)
    tuned = fine_tuned(best) if frames else None
    rounded = None if tuned is None else load_any(tuned)[0]
    calibration = []
    if frames and rounded is None:
        calibration = _calibration(recipe, network, folder, frames)
    measured = {"validation windows, gain in dB": state["gains"], "steps": state["step"]}
    return export_plain(
        network, models, name, judged_on(recipe, data), description=recipe.description, training_data=source,
        recipe=recipe.to_card(), measured=measured, version=version,
        calibration=calibration, rounded=rounded,
    )  # fmt: skip


def _calibration(recipe: Recipe, network: nn.Module, folder: Path | None, frames: int) -> list[Sample]:
    from keenframe_train.data.bank import open_bank
    from keenframe_train.start import check_pairs

    pairs = open_bank(bank_folder(folder, recipe.bank_name))
    check_pairs(recipe, network, pairs)
    return pairs.calibration(frames)


def _experts(
    runs: list[Path | str], full_size: int | None, extend: bool, data: Path | None, name: str, models: Path,
    folder: Path | None, banks: list[Path], pairs: int, frames: int, version: str, source: str,
) -> None:  # fmt: skip
    """Keen runs, and experts of models, as one model with a rule between them, fitted on `pairs` of each bank.

    Which of a model's, `taken_experts` says. frames: as `_keen`'s; 0 for no INT8 file.
    """
    import tempfile

    from keenframe_train.data.bank import open_bank
    from keenframe_train.errors import TrainError
    from keenframe_train.export.experts import expert_of, join, provisional, with_route
    from keenframe_train.export.package import load_network
    from keenframe_train.recipe import Recipe
    from keenframe_train.start import check_pairs

    taken: dict[int, tuple[list[Path], list[int]]] = {}  # of those of them that are models
    for number, run in enumerate(runs):
        if isinstance(run, Path):
            network, state = load_network(run)
            for pair_folder in banks:
                check_pairs(Recipe.from_json(state["recipe"]), network, open_bank(pair_folder))
        else:
            taken[number] = taken_experts(run, first=number == 0, int8=frames > 0)
    counts = [len(taken[number][1]) if number in taken else 1 for number in range(len(runs))]
    count, full_size = sum(counts), full_size or sum(counts[1:])
    if full_size >= count:
        raise TrainError(
            f"--full-size is {full_size} of {count} experts; expected 1 to {count - 1}, one at least being for others"
        )
    known = known_rule(taken, len(runs)) if extend else None
    with tempfile.TemporaryDirectory() as scratch:
        parts: dict[str, list[Path]] = {name: [], f"{name}-int8": []}
        for number, run in enumerate(runs):
            if isinstance(run, Path):
                # Several of them shall not make a file so many times as large.
                part = _keen(
                    run,
                    data,
                    f"expert-{number}",
                    Path(scratch),
                    folder,
                    frames,
                    version,
                    source,
                    compact=True,
                )
                _tell(part)
                for files, file in zip(parts.values(), (part.float_file, part.int8_file), strict=True):
                    if file is not None:
                        files.append(file)
                continue
            found, wanted = taken[number]
            for index in wanted:
                for files, path in zip(parts.values(), found, strict=False):
                    files.append(Path(scratch) / f"expert-{number}-{index}-of-{path.name}")
                    expert_of(path, index, files[-1])
        description = "Sharpens call frames of any damage at their own size"
        changes = {"training_data": source} if source else {}
        drafts = {}
        for named, files in parts.items():
            if len(files) == count:
                drafts[named] = Path(scratch) / f"draft-{named}.onnx"
                join(
                    files,
                    provisional(count),
                    drafts[named],
                    full_size,
                    name=named,
                    description=description,
                    version=version,
                    **changes,
                )
        route = fitted_rule(list(drafts.values())[-1], banks, pairs, known)
        for named, draft in drafts.items():
            target = models / f"{named}.onnx"
            with_route(draft, route, target, version)
            out.print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
