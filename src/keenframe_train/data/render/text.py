"""Documents: an article in a browser, a page in an office program, a two-column paper, a spreadsheet."""

from __future__ import annotations

from itertools import pairwise

from keenframe_train.data.render import chrome
from keenframe_train.data.render.charts import chart
from keenframe_train.data.render.flow import Flow
from keenframe_train.data.render.fonts import Look
from keenframe_train.data.render.screen import Screen, mixed
from keenframe_train.data.render.setting import Setting

LOOKS: dict[Look, float] = {"sans": 0.65, "serif": 0.35}
DARK_SHARE = 0.2


def draw(s: Setting) -> Screen:
    """One document, read somewhere in its middle or at its beginning."""
    kind = s.rng.random()
    if kind < 0.35:
        screen = _article(s)
    elif kind < 0.65:
        screen = _page(s)
    elif kind < 0.85:
        screen = _paper(s)
    else:
        screen = _sheet(s)
    chrome.pointer(screen, s)
    return screen


def _article(s: Setting) -> Screen:
    screen = s.screen()
    top = (
        chrome.browser(screen, s) if s.chance(0.75) else chrome.title_bar(screen, s, s.language.phrase(2, 6))
    )
    left, width = s.px(s.whole(24, 60)), screen.width - s.px(70)
    if s.chance(0.5) and screen.width > s.px(560):
        side = s.px(s.whole(150, 200))
        screen.rectangle(0, top, side, screen.height, mixed(s.theme.background, s.theme.surface, 0.6))
        font, y = s.font(12.5), top + s.px(28)
        while y < screen.height - s.px(20):
            chosen = s.chance(0.08)
            text = screen.fitted(s.language.phrase(1, 4), font, side - s.px(40))
            ink = s.theme.accent if chosen else s.theme.muted
            screen.text(
                side - s.px(16) if s.language.rtl else s.px(20),
                y,
                text,
                font,
                ink,
                "rm" if s.language.rtl else "lm",
            )
            y += s.px(26)
        left, width = side + s.px(30), screen.width - side - s.px(60)
    flow = Flow(
        screen,
        s,
        left,
        min(width, s.px(700)),
        top + s.px(24),
        screen.height + s.px(30),
        s.whole(13, 17),
        s.rng.uniform(1.4, 1.7),
    )
    if s.chance(0.6):
        flow.heading(1)
        flow.lines(
            f"{s.language.name()} · {s.whole(1, 28)}.{s.whole(1, 12)}.20{s.whole(10, 29)}",
            s.font(12),
            s.theme.muted,
        )
        flow.y += s.px(14)
    flow.fill()
    if s.chance(0.6):
        bar = screen.width - s.px(11)
        length = screen.height * s.rng.uniform(0.1, 0.4)
        start = top + s.rng.uniform(0.02, 0.5) * (screen.height - top)
        screen.rectangle(bar - s.px(2), top, screen.width, screen.height, s.theme.surface)
        screen.panel(
            bar, start, bar + s.px(8), start + length, mixed(s.theme.muted, s.theme.surface, 0.4), s.px(4)
        )
    return screen


def _page(s: Setting) -> Screen:
    desk = mixed(s.theme.surface, s.theme.muted, 0.12)
    screen = s.screen(desk)
    top = chrome.title_bar(screen, s, f"{s.language.phrase(1, 4)} - {s.language.name()}")
    top = chrome.tool_bar(screen, s, top, s.whole(1, 2))
    width = min(screen.width - s.px(50), s.px(s.whole(600, 780)))
    left, page = (screen.width - width) / 2, top + s.px(s.whole(-10, 30))
    paper = s.theme.background if s.theme.dark else "#ffffff"
    first = page > top
    for spread in range(4, 0, -1):
        shade = mixed(desk, "#000000", 0.05 * (5 - spread))
        screen.rectangle(left - spread, max(top, page - spread), left + width + spread, screen.height, shade)
    screen.rectangle(left, max(top, page), left + width, screen.height, paper)
    margin = s.px(s.whole(40, 75))
    flow = Flow(
        screen, s, left + margin, width - 2 * margin, max(top, page) + (margin if first else s.px(14)),
        screen.height + s.px(30), s.whole(12, 16), s.rng.uniform(1.25, 1.6), s.chance(0.4),
    )  # fmt: skip
    if first:
        flow.heading(1)
    flow.fill()
    if s.chance(0.6):
        bar = s.px(24)
        screen.rectangle(0, screen.height - bar, screen.width, screen.height, s.theme.surface)
        screen.rule(0, screen.height - bar, screen.width, s.theme.line)
        note = f"{s.whole(1, 40)} / {s.whole(40, 90)}    {s.whole(400, 9000):,}    {s.choice((75, 90, 100, 110, 125))}%"
        screen.text(s.px(14), screen.height - bar / 2, note, s.font(11), s.theme.muted, "lm")
    return screen


def _paper(s: Setting) -> Screen:
    screen = s.screen(mixed("#ffffff", s.theme.background, 1.0 if s.theme.dark else 0.2))
    top = 0.0 if s.chance(0.5) else chrome.title_bar(screen, s, f"{s.language.phrase(2, 4)}.pdf")
    margin, gap = s.px(s.whole(30, 60)), s.px(24)
    size = s.whole(10, 13)
    y = top + s.px(24)
    if s.chance(0.5):
        head = Flow(screen, s, margin * 2, screen.width - 4 * margin, y, screen.height, size + 2)
        head.heading(1)
        names = ", ".join(s.language.name() for _ in range(s.whole(1, 5)))
        head.lines(names, s.font(size), s.theme.text)
        y = head.y + s.px(16)
    columns = s.choice((1, 2, 2))
    width = (screen.width - 2 * margin - (columns - 1) * gap) / columns
    for column in range(columns):
        flow = Flow(
            screen, s, margin + column * (width + gap), width, y, screen.height + s.px(20), size,
            s.rng.uniform(1.2, 1.35), True,
        )  # fmt: skip
        flow.fill()
    return screen


def _sheet(s: Setting) -> Screen:
    screen = s.screen(s.theme.background)
    top = chrome.title_bar(screen, s, f"{s.language.phrase(1, 3)}.xlsx")
    top = chrome.tool_bar(screen, s, top, 1)
    font, bold, row = s.font(12), s.font(12, bold=True), s.px(s.whole(19, 24))
    theme, side, x = s.theme, s.px(38), s.px(38)
    edges = []
    while x < screen.width:
        edges.append(x)
        x += s.px(s.whole(60, 140))
    edges.append(x)
    screen.rectangle(0, top, screen.width, top + row, theme.surface)
    screen.rectangle(0, top, side, screen.height, theme.surface)
    numeric = [s.chance(0.7) for _ in edges]
    header, banded = s.whole(0, 3), s.chance(0.4)
    filled, y, number = s.whole(8, 40), top + row, 1
    for column, (a, b) in enumerate(pairwise(edges)):
        screen.text((a + b) / 2, top + row / 2, chr(65 + column % 26), font, theme.muted, "mm")
    while y < screen.height:
        screen.text(side / 2, y + row / 2, str(number), font, theme.muted, "mm")
        for column, (a, b) in enumerate(pairwise(edges)):
            head = number == header + 1
            if head or (banded and number % 2):
                screen.rectangle(
                    a, y, b, y + row, mixed(theme.background, theme.accent, 0.35 if head else 0.08)
                )
            if number > header and number < filled and (head or s.chance(0.93)):
                figure = numeric[column] and not head
                text = s.language.number() if figure else s.language.phrase(1, 2)
                used = bold if head else font
                text = screen.fitted(text, used, b - a - s.px(10))
                place = b - s.px(5) if figure else a + s.px(5)
                screen.text(place, y + row / 2, text, used, theme.text, "rm" if figure else "lm")
        screen.rule(0, y, screen.width, theme.line)
        y, number = y + row, number + 1
    for edge in edges:
        screen.rectangle(edge, top, edge + 1, screen.height, theme.line)
    column, line = s.whole(0, max(0, len(edges) - 2)), s.whole(1, 14)
    cell = (edges[column], top + row * line, edges[column + 1] + 1, top + row * (line + 1) + 1)
    screen.frame(*cell, theme.accent, 2)
    if s.chance(0.4):
        a, b = screen.width * 0.45, screen.height * 0.5
        box = (a, b, a + s.px(330), b + s.px(210))
        screen.panel(
            box[0] - s.px(10),
            box[1] - s.px(10),
            box[2] + s.px(10),
            box[3] + s.px(10),
            theme.background,
            2,
            theme.line,
        )
        chart(screen, s, box)
    return screen
