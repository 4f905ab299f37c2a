"""Figures as SVG, drawn here: bars with intervals for MOS, points with intervals for CMOS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from keenframe.study.analysis.scores import Preference, Score
from keenframe.study.analysis.statistics import Estimate
from keenframe.study.design import ACR_GRADES, ALL, REFERENCE

# Told apart by most eyes, in gray print too; the reference is always gray.
_COLOURS = ("#3b6ea5", "#d08a2e", "#4a8f6c", "#a64b6a", "#6b5ca5", "#8a7f3d", "#4b9fb0", "#b35c44")
_GRAY = "#8c8c8c"
_INK, _SOFT, _GRID = "#1d1d1d", "#5c5c5c", "#dddddd"
_LABEL_WIDTH = 7.4  # pixels per letter at 13 px


class _Canvas:
    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self._parts: list[str] = []

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = _INK, width: float = 1.5
    ) -> None:
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>'
        )

    def rect(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
            f'fill="{colour}"/>'
        )

    def dot(self, x: float, y: float, colour: str, radius: float = 5) -> None:
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def text(
        self, x: float, y: float, text: str, anchor: str = "start", size: float = 13, colour: str = _INK
    ) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">'
            f"{escape(text)}</text>"
        )

    def interval(self, x: float, low: float, high: float, colour: str = _INK) -> None:
        """A vertical whisker between two heights."""
        self.line(x, low, x, high, colour)
        for y in (low, high):
            self.line(x - 5, y, x + 5, y, colour)

    def svg(self, simulated: bool) -> str:
        parts = list(self._parts)
        if simulated:
            x, y = self.width / 2, self.height / 2
            size = min(self.width / 9, self.height / 2.5)
            parts.append(
                f'<text x="{x:.0f}" y="{y + size / 3:.0f}" text-anchor="middle" font-size="{size:.0f}" '
                f'font-weight="700" fill="#c00000" fill-opacity="0.28" transform="rotate(-10 {x:.0f} {y:.0f})">'
                "SIMULATED</text>"
            )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" '
            f'width="{self.width:.0f}" role="img" font-family="system-ui, sans-serif">'
            f"<title>{escape(self.title)}</title>{''.join(parts)}</svg>"
        )


def colours(conditions: Sequence[str]) -> dict[str, str]:
    """A colour for each condition, the same in all figures."""
    others = [name for name in conditions if name != REFERENCE]
    found = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(others)}
    return found | {REFERENCE: _GRAY}


def mos_figure(scores: Sequence[Score], simulated: bool) -> str:
    """Bars of the MOS of all conditions over all sources, with 95 % intervals over raters."""
    shown = [score for score in scores if score.category == ALL]
    left, top, bottom, step = 96.0, 22.0, 270.0, 118.0
    canvas = _Canvas(left + step * len(shown) + 24, bottom + 46, "Mean opinion scores with 95 % intervals")

    def height(grade: float) -> float:
        return bottom - (grade - 1) / 4 * (bottom - top)

    _grade_lines(canvas, left, canvas.width - 12, height)
    colour = colours([score.condition for score in shown])
    for index, score in enumerate(shown):
        x = left + step * (index + 0.5)
        mean = score.mos.mean
        canvas.rect(x - 30, height(mean), 60, bottom - height(mean), colour[score.condition])
        above = height(mean)
        if score.mos.low is not None and score.mos.high is not None:
            canvas.interval(x, height(max(1, score.mos.low)), height(min(5, score.mos.high)))
            above = height(min(5, score.mos.high))
        canvas.text(x, above - 7, f"{mean:.2f}", "middle", 14)
        canvas.text(x, bottom + 20, _short(score.condition, 16), "middle")
        canvas.text(x, bottom + 37, f"{score.mos.count} raters", "middle", 11, _SOFT)
    return canvas.svg(simulated)


def category_figure(scores: Sequence[Score], simulated: bool) -> str:
    """MOS of every condition by category: points with 95 % intervals over raters."""
    categories = list(dict.fromkeys(score.category for score in scores if score.category != ALL))
    conditions = list(dict.fromkeys(score.condition for score in scores))
    step = max(90.0, 24.0 * len(conditions) + 24)
    left, top, bottom = 96.0, 46.0, 290.0
    legend = sum(30 + _LABEL_WIDTH * len(_short(name, 16)) for name in conditions)
    width = max(left + step * len(categories) + 12, left + legend)
    canvas = _Canvas(width, bottom + 30, "Mean opinion scores by category with 95 % intervals")

    def height(grade: float) -> float:
        return bottom - (grade - 1) / 4 * (bottom - top)

    _grade_lines(canvas, left, left + step * len(categories), height)
    colour = colours(conditions)
    x = left
    for name in conditions:
        canvas.dot(x + 6, 16, colour[name])
        canvas.text(x + 17, 20.5, _short(name, 16))
        x += 30 + _LABEL_WIDTH * len(_short(name, 16))
    for place, category in enumerate(categories):
        middle = left + step * (place + 0.5)
        canvas.text(middle, bottom + 20, _short(category, 14), "middle")
        for score in (score for score in scores if score.category == category):
            offset = conditions.index(score.condition) - (len(conditions) - 1) / 2
            x = middle + 24 * offset
            if score.mos.low is not None and score.mos.high is not None:
                low, high = height(max(1, score.mos.low)), height(min(5, score.mos.high))
                canvas.interval(x, low, high, colour[score.condition])
            canvas.dot(x, height(score.mos.mean), colour[score.condition])
    return canvas.svg(simulated)


def cmos_figure(pairs: Sequence[Preference], simulated: bool) -> str:
    """CMOS of every pair over all sources with its 95 % interval, and how often each side was preferred."""
    shown = [pair for pair in pairs if pair.category == ALL]
    names = [name for pair in shown for name in (pair.first, pair.second)]
    label = 26 + _LABEL_WIDTH * max(len(_short(name, 18)) for name in names)
    axis, bar, row, top = 330.0, 240.0, 54.0, 58.0
    left = label
    right = left + axis + label + 24
    canvas = _Canvas(right + bar + 16, top + row * len(shown) + 26, "Comparison scores with 95 % intervals")

    def across(score: float) -> float:
        return left + (score + 3) / 6 * axis

    bottom = top + row * len(shown)
    for score in range(-3, 4):
        canvas.line(across(score), top - 8, across(score), bottom, _INK if score == 0 else _GRID, 1)
        canvas.text(across(score), bottom + 18, f"{score:+d}" if score else "0", "middle", 12, _SOFT)
    canvas.text(left - 10, top - 30, "preferred to the left", "start", 11, _SOFT)
    canvas.text(left + axis + 10, top - 30, "preferred to the right", "end", 11, _SOFT)
    canvas.text(right, top - 30, "share of answers: left, neither, right", "start", 11, _SOFT)
    for index, pair in enumerate(shown):
        y = top + row * (index + 0.42)
        canvas.text(left - 12, y + 4.5, _short(pair.second, 18), "end")
        canvas.text(left + axis + 12, y + 4.5, _short(pair.first, 18))
        if pair.cmos.low is not None and pair.cmos.high is not None:
            low, high = across(max(-3, pair.cmos.low)), across(min(3, pair.cmos.high))
            canvas.line(low, y, high, y)
            for x in (low, high):
                canvas.line(x, y - 5, x, y + 5)
        canvas.dot(across(pair.cmos.mean), y, _COLOURS[0], 4)
        canvas.text(across(pair.cmos.mean), y - 11, f"{pair.cmos.mean:+.2f}", "middle", 12)
        x = right
        for share, colour, ink in zip(
            reversed(pair.shares), ("#9fb6cf", "#e4e4e4", _COLOURS[0]), (_INK, _INK, "#ffffff"), strict=True
        ):
            canvas.rect(x, y - 11, share * bar, 22, colour)
            if share >= 0.12:
                canvas.text(x + share * bar / 2, y + 4.5, f"{share:.0%}", "middle", 12, ink)
            x += share * bar
    return canvas.svg(simulated)


def _grade_lines(canvas: _Canvas, left: float, right: float, height: Callable[[float], float]) -> None:
    for grade, name in ACR_GRADES.items():
        canvas.line(left, height(grade), right, height(grade), _GRID, 1)
        canvas.text(left - 10, height(grade) + 4.5, f"{name} {grade}", "end", 12, _SOFT)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def interval_text(estimate: Estimate, digits: int = 2, sign: bool = False) -> str:
    """As `3.41 [3.20, 3.62]`, or the mean alone."""
    plus = "+" if sign else ""
    mean = f"{estimate.mean:{plus}.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} [{estimate.low:{plus}.{digits}f}, {estimate.high:{plus}.{digits}f}]"
