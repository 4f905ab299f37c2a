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
    print("\nkeenframe models NAME shows a model's card: licence, training data, measured quality")


def _table(rows: list[tuple[ModelSpec, Path]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "version", "scale", "colour", "precision", "kB", "what for"):
        right = heading in ("scale", "kB")
        table.add_column(
            heading, justify="right" if right else "left", overflow="fold", no_wrap=heading == "name"
        )
    for spec, path in rows:
        size = f"{path.stat().st_size / 1000:,.0f}"
        table.add_row(
            spec.name, spec.version, f"x{spec.scale}", spec.color, spec.precision, size, spec.description
        )
    return table


def _recipe_name(spec: ModelSpec) -> str:
    """The recipe's name where the card holds the whole recipe; "one + other" for a model of several experts."""
    try:
        recipe = json.loads(spec.recipe)
        return " + ".join(str(part["name"]) for part in recipe.get("experts", [recipe]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "" if spec.recipe.startswith("{") else spec.recipe


def _show_card(spec: ModelSpec) -> None:
    """Print what people read; `--json` has all of it, the whole recipe too."""
    for key, value in asdict(spec).items():
        if key == "measured":
            experts = value.get("experts", [value])
            for number, figures in enumerate(experts, start=1):
                _show(f"measured, expert {number}" if len(experts) > 1 else "measured", figures)
        elif key == "recipe":
            print(f"recipe: {_recipe_name(spec)}")
        elif key == "route" and value:
            print(f"{key}: a rule of {len(value)} numbers picks one of {spec.experts} experts a frame")
        elif key == "full_size" and spec.experts == 1:
            pass
        elif value not in ("", None):
            _show(key, value)


def _show(key: str, value: Any, indent: str = "") -> None:
    if isinstance(value, dict):
        print(f"{indent}{key}:")
        for inner, content in value.items():
            _show(inner, content, indent + "  ")
    else:
        print(f"{indent}{key}: {value:.3g}" if isinstance(value, float) else f"{indent}{key}: {value}")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
