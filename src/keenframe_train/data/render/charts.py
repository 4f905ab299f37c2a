"""Bar, line, area and pie charts with axes and labels."""

from __future__ import annotations

import numpy as np

from keenframe_train.data.render.chrome import Box
from keenframe_train.data.render.screen import Color, Screen, mixed
from keenframe_train.data.render.setting import Setting

_PALETTES: tuple[tuple[Color, ...], ...] = (
    ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948"),
    ("#4285f4", "#ea4335", "#fbbc04", "#34a853", "#ff6d01", "#46bdc6"),
    ("#4472c4", "#ed7d31", "#a5a5a5", "#ffc000", "#5b9bd5", "#70ad47"),
    ("#264653", "#2a9d8f", "#e9c46a", "#f4a261", "#e76f51", "#8ab17d"),
)


def chart(screen: Screen, s: Setting, box: Box, ink: Color | None = None) -> None:
    """One chart with its title and legend inside a box of pixels. ink: of the labels, the theme's unless told."""
    left, top, right, bottom = box
    colors, text = s.choice(_PALETTES), ink or s.theme.text
    title = s.font(14, bold=True)
    screen.text(
        (left + right) / 2,
        top + title.size,
        screen.fitted(s.language.phrase(2, 5), title, right - left),
        title,
        text,
        "ms",
    )
    area = (left, top + title.size * 1.9, right, bottom)
    if s.chance(0.22):
        _pie(screen, s, area, colors, text)
        return
    series = s.whole(1, 4)
    names = _legend(screen, s, area, colors[:series], text)
    _axes(screen, s, (left, names, right, bottom), colors[:series], text)


def _legend(screen: Screen, s: Setting, box: Box, colors: tuple[Color, ...], text: Color) -> float:
    font, x = s.font(11), box[0] + s.px(40)
    if len(colors) == 1:
        return box[1]
    for color in colors:
        name = s.language.phrase(1, 1)
        if x + s.px(24) + font.getlength(name) > box[2]:
            break
        screen.rectangle(x, box[1] + s.px(2), x + s.px(10), box[1] + s.px(12), color)
        screen.text(x + s.px(15), box[1] + s.px(7), name, font, text, "lm")
        x += s.px(32) + font.getlength(name)
    return box[1] + s.px(22)


def _axes(screen: Screen, s: Setting, box: Box, colors: tuple[Color, ...], text: Color) -> None:
    font, points = s.font(10.5), s.whole(4, 12)
    left, top, right, bottom = box[0] + s.px(40), box[1] + s.px(6), box[2] - s.px(6), box[3] - s.px(20)
    steps, unit = s.whole(3, 6), s.choice((1, 2, 5, 10, 20, 25, 50, 100, 500))
    grid = mixed(s.theme.line, s.theme.background, 0.2)
    for step in range(steps + 1):
        y = bottom - (bottom - top) * step / steps
        screen.rule(left, y, right, grid if step else text)
        screen.text(left - s.px(6), y, f"{step * unit:,}", font, text, "rm")
    kind = s.choice(("bars", "bars", "lines", "lines", "area", "stacked"))
    wide = (right - left) / points
    labels = _labels(s, points)
    for index, label in enumerate(labels):
        if font.getlength(label) < wide - 2 or index % 2 == 0:
            short = screen.fitted(label, font, wide * (1 if font.getlength(label) < wide else 2) - 2)
            screen.text(left + wide * (index + 0.5), bottom + s.px(11), short, font, text, "mm")
    base = s.rng.uniform(0.25, 0.7, (len(colors), 1)) + np.cumsum(
        s.rng.normal(0, 0.09, (len(colors), points)), 1
    )
    values = np.clip(base, 0.04, 0.97) * (bottom - top)
    if kind == "stacked":
        values = values / len(colors)
    under = np.zeros(points)
    for number, (color, row) in enumerate(zip(colors, values, strict=True)):
        xs = left + wide * (np.arange(points) + 0.5)
        if kind in ("lines", "area"):
            places = [(float(x), float(bottom - v)) for x, v in zip(xs, row, strict=True)]
            if kind == "area":
                ends = [(places[-1][0], bottom), (places[0][0], bottom)]
                screen.polygon([*places, *ends], mixed(color, s.theme.background, 0.5))
            screen.line(places, color, s.px(s.choice((1.5, 2.2, 3))))
            if points < 9:
                for place in places:
                    screen.disc(*place, s.px(3), color)
            continue
        thick = wide * 0.7 / (1 if kind == "stacked" else len(colors))
        start = -wide * 0.35 + (0 if kind == "stacked" else number * thick)
        for index, (x, v) in enumerate(zip(xs, row, strict=True)):
            foot = bottom - (under[index] if kind == "stacked" else 0)
            screen.rectangle(x + start, foot - v, x + start + thick, foot, color)
        under = under + row


def _labels(s: Setting, count: int) -> list[str]:
    form = s.whole(0, 2)
    if form == 0:
        first = s.whole(1990, 2020)
        return [str(first + index) for index in range(count)]
    if form == 1:
        return [f"Q{index % 4 + 1}" for index in range(count)]
    return [s.language.phrase(1, 1) for _ in range(count)]


def _pie(screen: Screen, s: Setting, box: Box, colors: tuple[Color, ...], text: Color) -> None:
    left, top, right, bottom = box
    radius = min((right - left) * 0.28, (bottom - top) / 2 - s.px(4))
    x, y = left + radius + s.px(8), (top + bottom) / 2
    shares = s.rng.dirichlet(np.full(s.whole(3, 6), 2.0))
    start, font, hole = -90.0, s.font(12), s.chance(0.4)
    row = min((bottom - top) / len(shares), font.size * 1.9)
    for index, (share, color) in enumerate(zip(shares, colors, strict=False)):
        end = start + 360 * float(share)
        screen.sector(x, y, radius, start, end, color)
        start = end
        line = y + (index - (len(shares) - 1) / 2) * row
        screen.rectangle(x + radius + s.px(24), line - s.px(5), x + radius + s.px(34), line + s.px(5), color)
        name = f"{s.language.phrase(1, 2)}  {100 * share:.0f}%"
        edge = x + radius + s.px(42)
        screen.text(edge, line, screen.fitted(name, font, right - edge), font, text, "lm")
    if hole:
        screen.disc(x, y, radius * 0.55, s.theme.background)
