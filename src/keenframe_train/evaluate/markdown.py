"""Markdown by functions: tables and figures' words."""

from __future__ import annotations

from collections.abc import Sequence

from keenframe.evaluate.measures import MEASURES

DASH = "—"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column to the left, the others to the right. Strokes in cells are escaped."""
    width = len(head)
    lines = [_row(head), "| --- |" + " ---: |" * (width - 1)]
    lines += [_row(row) for row in rows]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def wide_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of words, all to the left."""
    lines = [_row(head), "|" + " --- |" * len(head), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def figure(value: float | None, measure: str, unit: bool = False) -> str:
    """A measure's value as it is written; a dash for None."""
    known = MEASURES[measure]
    text = known.text(value, signed=measure.endswith("gain"))
    if value is None:
        return DASH
    return f"{text} {known.unit}" if unit and known.unit else text


def arrow(before: float | None, after: float | None, measure: str) -> str:
    """ "24.55 → 27.09", which no browser breaks in two."""
    if before is None or after is None:
        return DASH
    return f"{figure(before, measure)}\u00a0→\u00a0**{figure(after, measure)}**"
