"""Sizes, parity and speed of keenframe's models in every format, written anew and run in each format's own runtime.

python -m benchmarks.exports --data DIR
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import describe
from keenframe.cli.bench import parse_size
from keenframe.media.files import write_text
from keenframe.zoo.store import find_model
from keenframe_train.cli import run
from keenframe_train.evaluate.markdown import DASH, wide_table
from keenframe_train.export.convert import FORMATS, convert
from keenframe_train.export.parity import THREADS

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def exports(
    data: Annotated[
        Path | None, typer.Option(help="Folder with val/ inside to compare on.", show_default="the samples")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Models.", show_default="keen, keen-x2")] = None,
    to: Annotated[list[str] | None, typer.Option(help="Formats.", show_default="all")] = None,
    size: Annotated[str, typer.Option(help="Picture given to a model, or dynamic.")] = "dynamic",
    out: Annotated[Path, typer.Option(help="Folder for exports.json and exports.md.")] = Path(
        "benchmarks/results"
    ),
) -> None:
    """Write models in every format, run each file, and keep what came of it."""
    fixed = None if size == "dynamic" else parse_size(size)
    rows: list[dict[str, Any]] = []
    frames = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in model or ["keen", "keen-x2"]:
            for kind in to or list(FORMATS):
                done = convert(find_model(name), kind, Path(scratch), size=fixed, data=data)
                frames = done.frames
                rows += [{"format": kind, "runtime": done.runtime, **asdict(item)} for item in done.written]
    out.mkdir(parents=True, exist_ok=True)
    machine = describe(THREADS)
    content = {"machine": machine, "frames": frames, "size": size, "files": rows}
    write_text(out / "exports.json", json.dumps(content, indent=1) + "\n")
    text = table(rows, f"{machine['cpu']}, {THREADS} threads; compared on {frames} frames each")
    write_text(out / "exports.md", text)
    print(text)


def table(rows: list[dict[str, Any]], caption: str) -> str:
    """Markdown: a line for each network of each format."""
    heads = [
        "runtime", "network", "kB", "to the float network", "INT8, PSNR-Y against float's, worst kind", "ms", "at",
    ]  # fmt: skip
    lines = []
    for row in rows:
        apart, change = row["difference"], row["int8_change"]
        words = f"{apart:.1e}" if apart is not None else f"{row['int8_to_float']:.1f} dB"
        worst = min(change, key=change.__getitem__) if change else None
        lines.append(
            [
                row["runtime"],
                row["network"],
                f"{row['size_bytes'] / 1e3:.0f}",
                words,
                f"{change[worst]:+.2f} dB ({worst})" if worst else DASH,
                f"{row['time_ms']:.1f}",
                "{}x{}".format(*row["timed_at"]),
            ]
        )
    return f"{caption}.\n\n{wide_table(heads, lines)}"


if __name__ == "__main__":
    run(app, "benchmarks.exports")
