"""Charts as SVG text: strips of single values, lines, bars. Nothing is random, so the same values give the same bytes.

Colours are those of Okabe and Ito, which everybody can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean, median, quantiles

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#767676")
_FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
_STYLE = (
    f"text{{font:12px {_FONT};fill:var(--ink,#1f2328)}}.soft{{fill:var(--soft,#59636e)}}.strong{{font-weight:600}}"
    ".grid{stroke:var(--line,#d8dee4);stroke-width:1}.zero{stroke:var(--soft,#59636e);stroke-width:1}"
)
_DOTS_MAX = 600


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points (x, y) from left to right. level: a height to draw dotted in the same colour."""

    label: str
    points: Sequence[tuple[float, float]]
    level: float | None = None


def picture(width: float, height: float, parts: Sequence[str], title: str, standalone: bool = False) -> str:
    """An <svg> element; `standalone`, one with a white ground that is a file of its own."""
    ground = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>' if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>{ground}'
        f"{''.join(parts)}</svg>\n"
    )


def strips(
    rows: Sequence[tuple[str, Sequence[float]]],
    title: str,
    unit: str,
    *,
    width: float = 760,
    decimals: int = 2,
    first_colour: int = 0,
    standalone: bool = False,
) -> str:
    """A row for each label: its values as dots, the middle half as a box, the median as a bar, the mean in figures.

    first_colour: the index in `COLOURS` of the first row, so that a label has one colour in neighbouring charts.
    """
    values = [value for _, column in rows for value in column]
    left, right, top, row = _label_width([label for label, _ in rows]), 92.0, 34.0, 34.0
    height = top + row * len(rows) + 40
    low, high, ticks = _scale(min([0.0, *values]), max([0.0, *values]))
    place = _Mapper(low, high, left, width - right)
    bottom = top + row * len(rows)
    parts = [f'<text class="strong" x="0" y="14">{escape(title)}</text>']
    parts.append(f'<text class="soft" x="{width:g}" y="14" text-anchor="end">mean</text>')
    parts += _vertical_grid(ticks, place, top - 6, bottom, unit)
    for index, (label, column) in enumerate(rows):
        y = top + row * (index + 0.5)
        colour = COLOURS[(first_colour + index) % len(COLOURS)]
        parts.append(f'<text x="{left - 12:g}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        parts += _strip(column, y, colour, place)
        parts.append(
            f'<text class="strong" x="{width:g}" y="{y + 4:.1f}" text-anchor="end">{fmean(column):+.{decimals}f} '
            f"{escape(unit)}</text>"
        )
    return picture(width, height, parts, title, standalone)


def _strip(column: Sequence[float], y: float, colour: str, place: _Mapper) -> list[str]:
    ordered = sorted(column)
    step = max(1, len(ordered) // _DOTS_MAX)
    # The golden angle's multiples: spread evenly, and the same every time.
    dots = "".join(
        f'<circle cx="{place(value):.1f}" cy="{y + 9 * (2 * ((0.618034 * i) % 1) - 1):.1f}" r="2.2"/>'
        for i, value in enumerate(ordered[::step])
    )
    parts = [f'<g fill="{colour}" fill-opacity="0.35">{dots}</g>']
    if len(ordered) > 3:
        quarter, middle, three = quantiles(ordered, n=4)
        parts.append(
            f'<rect x="{place(quarter):.1f}" y="{y - 10:.1f}" width="{max(1.0, place(three) - place(quarter)):.1f}" '
            f'height="20" rx="3" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
    else:
        middle = median(ordered)
    parts.append(
        f'<line x1="{place(middle):.1f}" x2="{place(middle):.1f}" y1="{y - 10:.1f}" y2="{y + 10:.1f}" '
        f'stroke="{colour}" stroke-width="3"/>'
    )
    return parts


def lines(
    series: Sequence[Series],
    title: str,
    x_title: str,
    y_title: str,
    *,
    width: float = 760,
    height: float = 320,
    mark: float | None = None,
    standalone: bool = False,
) -> str:
    """Lines over one pair of axes, with a legend below the title. mark: where to draw a vertical line."""
    xs = [x for one in series for x, _ in one.points] + ([mark] if mark is not None else [])
    ys = [y for one in series for _, y in one.points] + [s.level for s in series if s.level is not None]
    legend, legend_rows = _legend([one.label for one in series], width)
    left, right, top, bottom = 56.0, 28.0, 32.0 + 20 * legend_rows + (14 if y_title else 0), 44.0
    x_low, x_high, x_ticks = _scale(min(xs), max(xs), tight=True)
    y_low, y_high, y_ticks = _scale(min(ys), max(ys))
    across = _Mapper(x_low, x_high, left, width - right)
    up = _Mapper(y_low, y_high, height - bottom, top)
    parts = [f'<text class="strong" x="0" y="14">{escape(title)}</text>', *legend]
    for tick in y_ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="{left:g}" x2="{width - right:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="soft" x="{left - 8:g}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        )
    for tick in x_ticks:
        parts.append(
            f'<text class="soft" x="{across(tick):.1f}" y="{height - bottom + 18:g}" text-anchor="middle">'
            f"{_number(tick)}</text>"
        )
    middle = (left + width - right) / 2
    parts.append(
        f'<text class="soft" x="{middle:g}" y="{height - 8:g}" text-anchor="middle">{escape(x_title)}</text>'
    )
    parts.append(f'<text class="soft" x="{left:g}" y="{top - 8:g}">{escape(y_title)}</text>')
    if mark is not None:
        x = across(mark)
        parts.append(
            f'<line class="zero" x1="{x:.1f}" x2="{x:.1f}" y1="{top:g}" y2="{height - bottom:g}" '
            'stroke-dasharray="4 4"/>'
        )
    for index, one in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        if one.level is not None:
            y = up(one.level)
            parts.append(
                f'<line x1="{left:g}" x2="{width - right:g}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
                'stroke-dasharray="2 4"/>'
            )
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in one.points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"/>'
        )
    return picture(width, height, parts, title, standalone)


def bars(
    groups: Sequence[tuple[str, Sequence[float | None]]],
    labels: Sequence[str],
    title: str,
    unit: str,
    *,
    width: float = 760,
    decimals: int = 2,
    signed: bool = True,
    standalone: bool = False,
) -> str:
    """Horizontal bars, a group for each name and in it one bar for each label; None leaves a gap."""
    values = [value for _, column in groups for value in column if value is not None]
    legend, legend_rows = _legend(labels, width)
    left, right, thick, gap = _label_width([name for name, _ in groups]), 70.0, 13.0, 12.0
    top = 28.0 + 20 * legend_rows
    tall = thick * len(labels) + gap
    bottom = top + tall * len(groups)
    low, high, ticks = _scale(min([0.0, *values]), max([0.0, *values]))
    place = _Mapper(low, high, left, width - right)
    parts = [f'<text class="strong" x="0" y="14">{escape(title)}</text>', *legend]
    parts += _vertical_grid(ticks, place, top - 4, bottom, unit)
    for index, (name, column) in enumerate(groups):
        y = top + tall * index + gap / 2
        middle = y + thick * len(labels) / 2 + 4
        parts.append(f'<text x="{left - 12:g}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>')
        for number, value in enumerate(column):
            if value is not None:
                at = y + thick * number
                start, end = sorted((place(0), place(value)))
                parts.append(
                    f'<rect x="{start:.1f}" y="{at:.1f}" width="{max(0.5, end - start):.1f}" height="{thick - 2:g}" '
                    f'fill="{COLOURS[number % len(COLOURS)]}"/>'
                )
                figure = f"{value:{'+' if signed else ''}.{decimals}f}"
                # Beyond the bar's end; of one to the left where there is room before the names.
                beside = value < 0 and start - left > 45
                x, anchor = (start - 5, "end") if beside else (end + 5, "start")
                parts.append(
                    f'<text class="soft" x="{x:.1f}" y="{at + thick - 3:.1f}" text-anchor="{anchor}">{figure}</text>'
                )
    return picture(width, bottom + 40, parts, title, standalone)


class _Mapper:
    """Maps a range of values onto a range of pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._start = low, start
        self._gain = (end - start) / (high - low)

    def __call__(self, value: float) -> float:
        return self._start + (value - self._low) * self._gain


def _scale(low: float, high: float, tight: bool = False) -> tuple[float, float, list[float]]:
    """Ends and ticks of an axis: round numbers, about six; with `tight` the ends are the values' own."""
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9) if tight else math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) if tight else math.ceil(high / step - 1e-9)
    ticks = [round(step * count, 10) for count in range(first, last + 1)]
    return (low, high, ticks) if tight else (ticks[0], ticks[-1], ticks)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _label_width(labels: Sequence[str]) -> float:
    return 24.0 + 6.6 * max((len(label) for label in labels), default=0)


def _vertical_grid(ticks: list[float], place: _Mapper, top: float, bottom: float, unit: str) -> list[str]:
    parts = []
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        x = place(tick)
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        text = _number(tick) + (f" {unit}" if tick == ticks[-1] else "")
        parts.append(
            f'<text class="soft" x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{escape(text)}</text>'
        )
    return parts


def _legend(labels: Sequence[str], width: float) -> tuple[list[str], int]:
    """A coloured square and a name for each label, wrapped, and how many rows that took."""
    if len(labels) < 2:
        return [], 0
    parts, x, row = [], 0.0, 0
    for index, label in enumerate(labels):
        wide = 30 + 6.8 * len(label)
        if x and x + wide > width:
            x, row = 0.0, row + 1
        y = 24 + 20 * row
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="11" height="11" rx="2" fill="{COLOURS[index % len(COLOURS)]}"/>'
            f'<text x="{x + 16:.1f}" y="{y + 10}">{escape(label)}</text>'
        )
        x += wide
    return parts, row + 1
