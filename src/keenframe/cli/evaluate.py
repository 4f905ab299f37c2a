"""`keenframe evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keenframe.cli import stop
from keenframe.cli.options import Engine, console, items_bar

if TYPE_CHECKING:
    from keenframe.evaluate.evaluation import Evaluation

# Measures in the terminal's tables, with titles short enough for 80 columns.
_SHOWN = {
    "psnr_y": "PSNR-Y",
    "psnr_gain": "gain dB",
    "worst_gain": "worst",
    "ssim_y": "SSIM-Y",
    "edge_ratio": "edges",
    "overshoot": "halo",
    "flicker": "flicker",
    "cer": "CER %",
}


def evaluate(
    material: Annotated[
        Path,
        typer.Argument(
            metavar="PRISTINE",
            help="Folder of pristine pictures or clips; its first level of folders are the categories.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="RUN",
            help="The run's folder: new, empty, or an earlier one to go on with.",
        ),
    ],
    preset: Annotated[
        list[str] | None,
        typer.Option(help="How to damage it; may be repeated; 'all'. An unknown one lists what there is."),
    ] = None,
    degraded: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of degraded twins with the same names, instead of presets."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A model, unsharp, unsharp:AMOUNT, unsharp@MODEL (as strong at edges), bicubic, bilinear, "
            "lanczos; may be repeated.",
            show_default="keen and unsharp",
        ),
    ] = None,
    engine: Engine = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="That many files of each category.", show_default="all")
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a clip at most.")] = 60,
    shrink: Annotated[
        int,
        typer.Option(
            min=1,
            max=8,
            help="Make pristine clips this much smaller first: for clips that are themselves compressed.",
        ),
    ] = 1,
    luma: Annotated[
        bool, typer.Option("--luma", help="Luma alone, as it is in a call's frames (BT.601, limited range).")
    ] = False,
    enlarge: Annotated[
        str | None,
        typer.Option(
            help="How what arrives smaller is shown: bilinear, bicubic or lanczos.",
            show_default="the preset's",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other random damage.")] = 7,
    text: Annotated[
        bool,
        typer.Option(
            "--text", help="Let Tesseract read pictures that have their text in NAME.txt beside them."
        ),
    ] = False,
    vmaf: Annotated[
        bool,
        typer.Option(
            "--vmaf",
            help="VMAF (NEG model) of clips, by vmaf or an ffmpeg with libvmaf (pip install imageio-ffmpeg).",
        ),
    ] = False,
    lpips: Annotated[bool, typer.Option("--lpips", help="LPIPS, by torch and the package lpips.")] = False,
    speed: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Put these numbers of keenframe bench --json into the report."),
    ] = None,
    fps: Annotated[
        bool, typer.Option("--fps", help="Measure the models' speed at 480p, 720p and 1080p afterwards.")
    ] = False,
    history: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Put a training run's curves into the report; may be repeated."),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help="Exit code 1 when a model is below: '[PRESET] [METHOD] MEASURE=VALUE', like 'r2 psnr_gain=0.5'.",
        ),
    ] = None,
    fail_over: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT", help="The same for what must not be above, like 'flicker=1.2'."),
    ] = None,
) -> None:
    """Measure models and baselines on any pictures and clips, and write tables and a report.

    RUN gets report.html, summary.json and items.csv. Interrupted, the same command goes on. Files that cannot be read
    are listed and passed over.
    """
    from keenframe.evaluate import evaluation
    from keenframe.evaluate.curves import read_history
    from keenframe.evaluate.gates import broken, parse_gate
    from keenframe.evaluate.methods import parse_filter
    from keenframe.evaluate.report import REPORT, Report

    gates = [parse_gate(limit_text, under=True) for limit_text in fail_under or []]
    gates += [parse_gate(limit_text, under=False) for limit_text in fail_over or []]
    histories = [(path.name or str(path), read_history(path)) for path in history or []]
    rows = _speed_rows(speed) if speed is not None else []
    request = evaluation.Request(
        material, output, tuple(preset or ()), degraded, tuple(method or ("keen", "unsharp")), engine, limit, workers,
        seed=seed, frames=frames, shrink=shrink, gray=luma, text=text, vmaf=vmaf, lpips=lpips,
        enlarging=None if enlarge is None else parse_filter(enlarge),
    )  # fmt: skip
    found = _measured(request)
    if fps:
        rows += _measure_speed(found)
    Report(found, rows, histories).write()
    _show(found)
    for problem in found.summary["problems"]:
        print(f"keenframe: not measured: {problem}", file=sys.stderr)
    print(f"report: {output / REPORT}")
    missed = broken(gates, found.summary["results"], list(found.specs))
    for line in missed:
        print(f"keenframe: limit not kept: {line}", file=sys.stderr)
    if missed:
        raise typer.Exit(1)


def _measured(request: Any) -> Evaluation:
    from keenframe.evaluate.evaluation import evaluate as run

    with items_bar() as progress:
        task = progress.add_task("measuring", total=None)
        return run(
            request,
            lambda done, total: progress.update(task, completed=done, total=total),
            stop.check,
        )


def _measure_speed(found: Evaluation) -> list[dict[str, Any]]:
    """Rows of `keenframe bench` for the evaluated models, on all cores."""
    from keenframe.cli.bench import SIZES, measure
    from keenframe.errors import KeenframeError

    rows = []
    for name, model in found.plan.models.items():
        for size in ("480p", "720p", "1080p"):
            stop.check()
            try:
                rows.append(measure(str(model.path), model.engine, None, *SIZES[size], 40))
            except KeenframeError as error:
                print(f"keenframe: no speed of {name} at {size}: {error}", file=sys.stderr)
    return rows


def _speed_rows(path: Path) -> list[dict[str, Any]]:
    from keenframe.errors import InputError

    wanted = ("model", "engine", "width", "height", "median_ms", "p95_ms", "fps")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [{name: row[name] for name in wanted} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--speed '{path}' is no file that keenframe bench --json wrote: {error}") from error


def _show(found: Evaluation) -> None:
    """The main figures of every preset, as tables in the terminal."""
    from rich.table import Table

    from keenframe.evaluate.measures import MEASURES
    from keenframe.evaluate.summary import ALL

    for preset, by_category in found.summary["results"].items():
        methods = by_category[ALL]
        present = [name for name in _SHOWN if any(name in values for values in methods.values())]
        items = f"{methods['input']['items']:.0f} items"
        table = Table(title=f"{preset}, {items}", title_justify="left", box=None, pad_edge=False)
        table.add_column("method", no_wrap=True)
        for name in present:
            table.add_column(_SHOWN[name], justify="right", no_wrap=True)
        for method, values in methods.items():
            cells = [MEASURES[n].text(values.get(n), signed=n.endswith("gain")) for n in present]
            table.add_row(method, *cells)
        console().print(table)
