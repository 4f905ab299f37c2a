"""`python -m benchmarks.peers`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from keenframe.media.files import write_text
from keenframe_train.cli import run
from keenframe_train.errors import TrainError

THREADS = 2
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


class Part(StrEnum):
    """What is done."""

    all = "all"
    quality = "quality"
    speed = "speed"
    report = "report"


@app.command()
def compare(
    data: Annotated[Path, typer.Option(help="Folder of pictures with val/ inside.")],
    weights: Annotated[Path | None, typer.Option(help="Folder with the weights of others.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("benchmarks/results/peers"),
    only: Annotated[Part, typer.Option(help="One part; report writes tables and figure anew.")] = Part.all,
    model: Annotated[list[str] | None, typer.Option(help="Further models of ours, by name or path.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Methods to compare.", show_default="all")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Damages.", show_default="all")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each category.")] = None,
    size: Annotated[str, typer.Option(help="Frame that is timed: 1080p or WIDTHxHEIGHT.")] = "1080p",
    rounds: Annotated[int, typer.Option(min=3, help="Frames of each method.")] = 30,
    limit_s: Annotated[float, typer.Option(help="Seconds that one method's frames may take in all.")] = 60.0,
) -> None:
    """Compare keenframe's models with others: quality on damaged pictures, and time. Goes on where it was stopped."""
    from benchmarks.machine import describe
    from benchmarks.peers.methods import INPUT, all_methods
    from benchmarks.peers.quality import KINDS, item_name, measure_all
    from benchmarks.peers.speed import jobs, measure_speed
    from keenframe.cli.bench import parse_size
    from keenframe.evaluate.run import Run
    from keenframe_train.data.folders import validation_folder
    from keenframe_train.data.images import find_images, first_of_each

    kinds = kind or list(KINDS)
    width, height = parse_size(size)
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise TrainError(f"unknown damage {', '.join(unknown)}; expected {', '.join(KINDS)}")
    files = first_of_each(find_images(validation_folder(data)), limit)
    line = all_methods(weights, model or [], THREADS)
    if method is not None:
        if unknown := sorted(set(method) - {each.name for each in line.methods}):
            names = ", ".join(each.name for each in line.methods)
            raise TrainError(f"unknown method {', '.join(unknown)}; there are {names}")
        line.methods = [each for each in line.methods if each.name in {INPUT, *method}]
    for name, reason in line.absent.items():
        print(f"{name}: {reason}", file=sys.stderr)
    machine = describe(THREADS)
    speed_file = out / "speed.json"
    measured = {
        "methods": [each.name for each in line.methods],
        "models": {each.name: each.sha256[:16] for each in line.methods if each.sha256},
    }
    journal = Run(out / "quality", measured, machine)
    try:
        if only in (Part.all, Part.quality):
            records = measure_all(files, kinds, line, journal)
        else:
            records = journal.records((each, item_name(file)) for file in files for each in kinds)
    finally:
        journal.close()
    if only in (Part.all, Part.speed):
        rows = measure_speed(jobs(line.methods, width, height), rounds, limit_s)
        write_text(speed_file, _json({"machine": machine, "frame": [width, height], "rows": rows}))
    if only is not Part.speed:
        _report(out, speed_file, line, records, kinds, journal.about)


def _report(
    out: Path,
    speed_file: Path,
    line: Any,
    records: list[dict[str, Any]],
    kinds: list[str],
    about: dict[str, Any],
) -> None:
    from benchmarks.peers.report import figure, markdown, summary

    stored = (
        json.loads(speed_file.read_text())
        if speed_file.exists()
        else {"machine": about, "frame": [0, 0], "rows": []}
    )
    machine = stored["machine"]
    frame = "{}x{}".format(*stored["frame"])
    words = f"{machine['cpu']}, {machine['cores']} cores, OpenVINO {machine['versions'].get('openvino', '?')}"
    rows = summary(line, records, stored["rows"], kinds)
    pictures = len({record["name"] for record in records})
    text = markdown(line, rows, kinds, pictures, words, frame)
    write_text(out / "results.md", text)
    content = {"machine": machine, "pictures": pictures, "not_run": line.absent, "rows": rows}
    write_text(out / "results.json", _json(content))
    figure(rows, kinds, out / "figure.png", f"{pictures} pictures; {words}, 2 threads")
    print(text)


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    run(app, "benchmarks.peers")
