"""Experts that `export` takes out of models, and the rule between those that it puts together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keenframe_train.cli.options import out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keenframe_train.export.experts import Route


def split_name(text: str) -> tuple[str, str | None]:
    """A model, and the name of one of its experts where one stands behind a colon; a path's colon is none."""
    model, _, expert = text.rpartition(":")
    return (model, expert) if model and not text.endswith(".onnx") else (text, None)


def files_of(model: str, int8: bool) -> list[Path]:
    """A model of several experts, named or by the path of its float file, and its INT8 file where that is wanted."""
    from keenframe.zoo.store import find_model, read_spec
    from keenframe_train.errors import TrainError

    plain = find_model(model)
    spec = read_spec(plain)
    if spec.precision == "int8" or spec.experts == 1:
        what = "an INT8 file" if spec.precision == "int8" else "one network"
        raise TrainError(
            f"'{model}' is {what}; expected a run, or the float file of a model of several experts"
        )
    rounded = plain.with_name(f"{plain.stem}-int8.onnx")
    if int8 and not rounded.is_file():
        raise TrainError(
            f"'{rounded}' is not there, so '{model}' gives no expert in INT8; make it, or pass --no-int8"
        )
    return [plain, rounded] if int8 else [plain]


def taken_experts(text: str, first: bool, int8: bool) -> tuple[list[Path], list[int]]:
    """A model's files as `files_of` gives them, and which of its experts are meant: the one that is named, else all
    for enlarged frames of a model that comes `first`, and all for frames of full size of the others."""
    import json

    from keenframe.zoo.store import read_spec
    from keenframe_train.errors import TrainError

    model, expert = split_name(text)
    files = files_of(model, int8)
    spec = read_spec(files[0])
    border = spec.experts - spec.full_size
    if expert is None:
        return files, list(range(border) if first else range(border, spec.experts))
    names = [recipe["name"] for recipe in json.loads(spec.recipe)["experts"]]
    if names.count(expert) != 1:
        raise TrainError(
            f"'{expert}' names {names.count(expert)} experts of '{model}'; it has {', '.join(names)}"
        )
    return files, [names.index(expert)]


def known_rule(taken: dict[int, tuple[list[Path], list[int]]], runs: int) -> tuple[Route, list[int]]:
    """The rule of the one model whose experts are all among those that are joined, in their order, and the places of
    the others. taken: of those of so many runs and models that are models, what `taken_experts` gives."""
    from keenframe.routing import inputs_of, layers_of
    from keenframe.zoo.store import read_spec
    from keenframe_train.errors import TrainError
    from keenframe_train.export.experts import Route

    files = {found[0] for found, _ in taken.values()}
    specs = [read_spec(file) for file in files]
    own = [index for number in sorted(taken) for index in taken[number][1]]
    if len(specs) != 1 or own != list(range(specs[0].experts)) or 0 not in taken or len(taken) == runs:
        raise TrainError(
            "--extend takes all experts of one model in their order, the first in the first place, and runs beside "
            "them"
        )
    spec, new, place = specs[0], [], 0
    for number in range(runs):
        if number not in taken:
            new.append(place)
        place += len(taken[number][1]) if number in taken else 1
    assert spec.route is not None  # of several experts
    layers = layers_of(spec.route, spec.experts, inputs_of(spec.periodicity), spec.leaves)
    return Route(layers, leaves=spec.leaves), new


def fitted_rule(
    model: Path, banks: Sequence[Path], pairs: int, known: tuple[Route, list[int]] | None = None
) -> Route:
    """The rule between a model's experts that suits `pairs` of each bank best. known: what `known_rule` gives."""
    import numpy as np

    from keenframe.zoo.store import read_spec
    from keenframe_train.data.bank import open_bank
    from keenframe_train.export.experts import extend_route, fit_route, qualities, seen

    found = []
    opened = [open_bank(folder) for folder in banks]
    for bank in opened:
        items = np.array(bank.picked(pairs))
        found.append((seen(bank, items), qualities(model, bank, items)))
    read, quality = (np.concatenate(parts) for parts in zip(*found, strict=True))
    full_size = read_spec(model).full_size
    if known is None:
        route = fit_route(read, quality, all(bank.scale == 1 for bank in opened), full_size)
    else:
        route = extend_route(*known, read, quality, full_size)
    alone = (quality.max(1, keepdims=True) - quality).mean(0)
    out.print(
        f"of {len(quality)} pairs the experts{' and none' if route.leaves else ''} take "
        f"{', '.join(f'{share:.0%}' for share in route.shares)}; against the best choice for each the rule gives away "
        f"{route.lost:.3f} dB, each choice alone {', '.join(f'{value:.3f}' for value in alone)}"
    )
    return route
