"""`keenframe models`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keenframe.cli.options import console

if TYPE_CHECKING:
    from keenframe.zoo.spec import ModelSpec


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show this model's whole card: a name or an .onnx path.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that come with keenframe, or show one in full."""
    from keenframe.zoo.store import find_model, list_models, read_spec

    if name is not None:
        spec = read_spec(find_model(name))
        print(_json(asdict(spec))) if as_json else _show_card(spec)
        return
    specs = list_models()
    if as_json:
        print(_json([asdict(spec) for spec in specs]))
        return
    if not specs:
        print("no models are installed; run one of your own with --model FILE.onnx")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "version", "scale", "precision", "parameters", "licence", "description"):
        table.add_column(heading, justify="right" if heading in ("scale", "parameters") else "left")
    for spec in specs:
        count = f"{spec.parameters:,}" if spec.parameters else "?"
        table.add_row(
            spec.name, spec.version, f"x{spec.scale}", spec.precision, count, spec.licence, spec.description
        )
    console().print(table)


def _show_card(spec: ModelSpec) -> None:
    for key, value in asdict(spec).items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, content in value.items():
                print(f"  {inner}: {content if not isinstance(content, dict) else json.dumps(content)}")
        elif value not in ("", None):
            print(f"{key}: {value}")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
