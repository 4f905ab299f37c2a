"""`keenframe models`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keenframe.cli.options import console

if TYPE_CHECKING:
    from rich.table import Table

    from keenframe.zoo.spec import ModelSpec


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show this model's whole card: a name or an .onnx path.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that come with keenframe, or show one in full."""
    from keenframe.zoo.store import find_model, list_models, model_files, read_spec

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
    rows = list(zip(specs, model_files(), strict=True))
    flagship = [row for row in rows if row[0].role == "flagship"]
    research = [row for row in rows if row[0].role != "flagship"]
    if flagship:
        console().print(_table(flagship))
    if research:
        print("\nresearch: the students of the five source reports, as keenframe trained them")
        console().print(_table(research))


def _table(rows: list[tuple[ModelSpec, Path]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "version", "scale", "colour", "kB", "recipe", "measured"):
        table.add_column(heading, justify="right" if heading in ("scale", "kB") else "left")
    for spec, path in rows:
        size = f"{path.stat().st_size / 1000:,.0f}"
        table.add_row(
            spec.name, spec.version, f"x{spec.scale}", spec.color, size, _recipe_name(spec), _measured(spec)
        )
    return table


def _recipe_name(spec: ModelSpec) -> str:
    """The recipe's name where the card holds the whole recipe; "one + other" for a model of two experts."""
    try:
        recipe = json.loads(spec.recipe)
        return " + ".join(str(part["name"]) for part in recipe.get("experts", [recipe]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "" if spec.recipe.startswith("{") else spec.recipe


def _measured(spec: ModelSpec) -> str:
    """The card's figures on one line: "r1 2.85, r2 3.07"; of two experts one after the other, with a stroke between."""
    experts = spec.measured.get("experts")
    if isinstance(experts, list):
        return " | ".join(_figures(part) for part in experts if isinstance(part, dict))
    return _figures(spec.measured)


def _figures(measured: dict[str, Any]) -> str:
    figures = next((value for value in measured.values() if isinstance(value, dict)), measured)
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
        if not isinstance(value, dict)
    )


def _show_card(spec: ModelSpec) -> None:
    for key, value in asdict(spec).items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, content in value.items():
                print(f"  {inner}: {content if not isinstance(content, dict) else json.dumps(content)}")
        elif key == "route" and value:
            print(f"{key}: a rule of {len(value)} numbers picks one of two experts a frame")
        elif value not in ("", None):
            print(f"{key}: {value}")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
