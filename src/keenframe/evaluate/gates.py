"""`--fail-under` and `--fail-over`: limits that a run must keep, for continuous integration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keenframe.errors import InputError
from keenframe.evaluate.measures import MEASURES
from keenframe.evaluate.summary import ALL, Results


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit on one measure, of the whole of a preset. words: presets, methods and categories that it is for; those
    that it does not name are all meant, of the methods all models."""

    text: str
    measure: str
    limit: float
    words: tuple[str, ...]
    under: bool


def parse_gate(text: str, under: bool) -> Gate:
    """A gate of "[PRESET] [CATEGORY] [METHOD] MEASURE=VALUE". InputError for anything else."""
    left, _, right = text.rpartition("=")
    *words, measure = left.split() or [""]
    try:
        limit = float(right)
    except ValueError:
        limit = math.nan
    if measure not in MEASURES or math.isnan(limit):
        option = "--fail-under" if under else "--fail-over"
        raise InputError(
            f"{option} '{text}': expected [PRESET] [METHOD] MEASURE=VALUE, like 'r2 keen psnr_gain=0.5'; measures: "
            f"{', '.join(MEASURES)}"
        )
    return Gate(text, measure, limit, tuple(words), under)


def broken(gates: Sequence[Gate], results: Results, models: Sequence[str]) -> list[str]:
    """One line for every limit that is not kept, also for what was not measured at all."""
    lines = []
    for gate in gates:
        found = _values(gate, results, models)
        if not found:
            lines.append(f"'{gate.text}': nothing of the kind was measured")
        title = MEASURES[gate.measure].title
        for where, value in found.items():
            if value < gate.limit if gate.under else value > gate.limit:
                side = "below" if gate.under else "above"
                lines.append(f"{where}: {title} {value:.4g} is {side} {gate.limit:g}")
    return lines


def _values(gate: Gate, results: Results, models: Sequence[str]) -> dict[str, float]:
    """The values that a gate is about, by what they are of."""
    left = set(gate.words)
    presets = [preset for preset in results if preset in left] or list(results)
    methods = dict.fromkeys(m for p in presets for c in results[p] for m in results[p][c])
    wanted = [method for method in methods if method in left] or [m for m in methods if m in models]
    categories = dict.fromkeys(c for p in presets for c in results[p])
    places = [category for category in categories if category in left] or [ALL]
    if left - {*presets, *wanted, *places}:
        return {}
    return {
        f"{preset}, {method}" + ("" if category == ALL else f", {category}"): values[gate.measure]
        for preset in presets
        for category in places
        for method in wanted
        if gate.measure in (values := results[preset].get(category, {}).get(method, {}))
    }
