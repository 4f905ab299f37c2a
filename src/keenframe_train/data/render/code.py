"""Source code in an editor, coloured by Pygments in dark and light styles, and a terminal."""

from __future__ import annotations

from pygments import lex
from pygments.lexers import get_lexer_by_name
from pygments.style import StyleMeta
from pygments.styles import get_style_by_name
from pygments.token import _TokenType

from keenframe_train.data.render import chrome
from keenframe_train.data.render.fonts import Look
from keenframe_train.data.render.screen import Color, Screen, mixed, rgb
from keenframe_train.data.render.setting import Setting, Theme
from keenframe_train.data.render.sources import LANGUAGES, Writer, write

LOOKS: dict[Look, float] = {"sans": 1.0}
DARK_SHARE = 0.6
_DARK = (
    "monokai",
    "github-dark",
    "one-dark",
    "dracula",
    "nord",
    "gruvbox-dark",
    "native",
    "solarized-dark",
    "material",
)
_LIGHT = ("default", "vs", "xcode", "friendly", "tango", "solarized-light", "gruvbox-light", "lightbulb")


def draw(s: Setting) -> Screen:
    """An editor's window in one of Pygments' styles: files at the left, tabs above, status below."""
    style = get_style_by_name(s.choice(_DARK if s.theme.dark and s.chance(0.98) else _LIGHT))
    s.theme = _theme(s, style)
    screen = s.screen()
    top, left, bottom = 0.0, 0.0, float(screen.height)
    language = s.choice(tuple(LANGUAGES))
    writer = Writer(s.rng)
    if s.chance(0.7):
        top = chrome.title_bar(screen, s, f"{writer.noun()}{LANGUAGES[language][0]}")
    if s.chance(0.8):
        bottom = _status(screen, s, language)
    if s.chance(0.55) and screen.width > s.px(520):
        left = _files(screen, s, writer, top, bottom)
    if s.chance(0.75):
        top = _tabs(screen, s, writer, left, top, LANGUAGES[language][0])
    if s.chance(0.35):
        bottom = _terminal(screen, s, writer, left, bottom)
    source = screen.part(screen.width - left, bottom - top, s.theme.background)
    _source(source, s, style, language)
    screen.paste(source, left, top)
    chrome.pointer(screen, s)
    return screen


def _theme(s: Setting, style: StyleMeta) -> Theme:
    back = style.background_color
    dark = sum(rgb(back)) < 384
    plain = next((f"#{d['color']}" for t, d in style if not t and d["color"]), None)
    text = plain or ("#d4d4d4" if dark else "#24292e")
    toward = "#ffffff" if dark else "#000000"
    return Theme(
        back, mixed(back, toward, 0.06), text, mixed(text, back, 0.45), mixed(back, toward, 0.16),
        s.theme.accent, dark,
    )  # fmt: skip


def _source(screen: Screen, s: Setting, style: StyleMeta, language: str) -> None:
    size = s.whole(12, 16)
    font, step = s.code_font(size), s.px(size * s.rng.uniform(1.3, 1.6))
    advance = font.getlength("m")
    rows = int(screen.height / step) + 1
    skipped = s.whole(0, 40)
    gutter = advance * 5.5
    chosen = s.whole(0, rows)
    colors = {token: _ink(definition, s.theme) for token, definition in style}
    text = write(language, skipped + rows + 5, s.rng)
    for kind, first, last in (
        (0, chosen, chosen),
        *(((1, chosen + 3, chosen + s.whole(4, 9)),) if s.chance(0.15) else ()),
    ):
        strength = 0.06 if kind == 0 else 0.2
        back = mixed(s.theme.background, s.theme.text if kind == 0 else s.theme.accent, strength)
        screen.rectangle(gutter if kind else 0, first * step, screen.width, (last + 1) * step, back)
    row, x = -skipped, gutter
    for token, value in lex(text, get_lexer_by_name(language)):
        color, bold = _color_of(colors, token)
        used = s.code_font(size, bold=True) if bold else font
        for number, piece in enumerate(value.split("\n")):
            if number:
                row, x = row + 1, gutter
            if piece and 0 <= row < rows and x < screen.width:
                screen.text(x, step * row + step * 0.5 + font.size * 0.34, piece, used, color)
            x += advance * len(piece)
    for row in range(rows):
        base = step * row + step * 0.5 + font.size * 0.34
        ink = s.theme.text if row == chosen else s.theme.muted
        screen.text(gutter - advance * 1.7, base, str(skipped + row + 1), font, ink, "rs")
    if s.chance(0.4):  # where the next letter goes
        x = gutter + advance * s.whole(0, 40)
        screen.rectangle(x, chosen * step + 1, x + 2, (chosen + 1) * step - 1, s.theme.text)
    if s.chance(0.3):  # guides of indentation
        for depth in range(1, 3):
            x = gutter + advance * 4 * (depth - 1)
            screen.rectangle(x, 0, x + 1, screen.height, mixed(s.theme.background, s.theme.line, 0.6))


def _ink(definition: dict[str, object], theme: Theme) -> tuple[Color, bool]:
    color = definition["color"]
    return (f"#{color}" if color else theme.text), bool(definition["bold"])


def _color_of(colors: dict[_TokenType, tuple[Color, bool]], token: _TokenType) -> tuple[Color, bool]:
    while token not in colors and token.parent is not None:
        token = token.parent
    return colors[token]


def _files(screen: Screen, s: Setting, writer: Writer, top: float, bottom: float) -> float:
    theme, bar = s.theme, s.px(40) if s.chance(0.5) else 0.0
    width = bar + s.px(s.whole(130, 190))
    screen.rectangle(0, top, width, bottom, theme.surface)
    if bar:
        screen.rectangle(0, top, bar, bottom, mixed(theme.surface, theme.line, 0.5))
        for index in range(5):
            chrome.icon(screen, s, s.px(13), top + s.px(28 + 42 * index), theme.muted, chrome.SIGNS)
    font, y, depth = s.font(12.5), top + s.px(20), 0
    screen.text(bar + s.px(14), y, writer.noun().upper(), s.font(11, bold=True), theme.muted, "lm")
    chosen = s.whole(2, 14)
    for row in range(60):
        y += s.px(22)
        if y > bottom - s.px(10):
            break
        folder = s.chance(0.25) and depth < 3
        if row == chosen:
            back = mixed(theme.surface, theme.accent, 0.3)
            screen.rectangle(bar, y - s.px(11), width, y + s.px(11), back)
        x = bar + s.px(16 + 14 * depth)
        if folder:
            points = [(x, y - s.px(3)), (x + s.px(4), y + s.px(2)), (x + s.px(8), y - s.px(3))]
            screen.line(points, theme.muted, s.px(1.2))
        else:
            screen.panel(
                x,
                y - s.px(5),
                x + s.px(9),
                y + s.px(5),
                s.choice(("#519aba", "#cbcb41", "#8dc149", "#a074c4")),
                2,
            )
        name = writer.noun() + (
            "" if folder else s.choice((".py", ".ts", ".md", ".json", ".c", ".h", ".yml"))
        )
        screen.text(x + s.px(16), y, screen.fitted(name, font, width - x - s.px(20)), font, theme.text, "lm")
        depth = depth + 1 if folder else max(0, depth - s.whole(0, 1) * s.whole(0, 1))
    screen.rectangle(width, top, width + 1, bottom, theme.line)
    return round(width) + 1


def _tabs(screen: Screen, s: Setting, writer: Writer, left: float, top: float, suffix: str) -> float:
    height, font, x = s.px(34), s.font(12.5), left
    screen.rectangle(left, top, screen.width, top + height, s.theme.surface)
    active, count = s.whole(0, 2), s.whole(1, 5)
    for index in range(max(count, active + 1)):
        name = writer.noun() + suffix
        wide = font.getlength(name) + s.px(58)
        chosen = index == active
        if chosen:
            screen.rectangle(x, top, x + wide, top + height, s.theme.background)
            screen.rectangle(x, top, x + wide, top + s.px(2), s.theme.accent)
        screen.text(
            x + s.px(18), top + height / 2, name, font, s.theme.text if chosen else s.theme.muted, "lm"
        )
        screen.text(x + wide - s.px(18), top + height / 2, "×", s.font(14), s.theme.muted, "mm")
        screen.rectangle(x + wide, top, x + wide + 1, top + height, s.theme.line)
        x += wide + 1
    return top + round(height)


def _status(screen: Screen, s: Setting, language: str) -> float:
    top = screen.height - round(s.px(23))
    back: Color = s.theme.accent if s.chance(0.4) else s.theme.surface
    bright = sum(rgb(back)) > 384
    ink: Color = "#1b1b1b" if bright else "#f0f0f0"
    screen.rectangle(0, top, screen.width, screen.height, back)
    font, y = s.font(11.5), (top + screen.height) / 2
    screen.text(
        s.px(12), y, s.choice(("main", "develop", "fix-187")) + f"    {s.whole(0, 9)} errors", font, ink, "lm"
    )
    note = f"Ln {s.whole(1, 900)}, Col {s.whole(1, 90)}    Spaces: 4    UTF-8    {language.title()}"
    screen.text(screen.width - s.px(12), y, note, font, ink, "rm")
    return float(top)


def _terminal(screen: Screen, s: Setting, writer: Writer, left: float, bottom: float) -> float:
    height = s.px(s.whole(110, 210))
    top = bottom - height
    back = s.theme.background if s.chance(0.5) else "#111316" if s.theme.dark else s.theme.background
    screen.rectangle(left, top, screen.width, bottom, back)
    screen.rule(left, top, screen.width, s.theme.line)
    x, font = left + s.px(16), s.font(11)
    for index, name in enumerate(("PROBLEMS", "OUTPUT", "TERMINAL", "PORTS")):
        screen.text(x, top + s.px(16), name, font, s.theme.text if index == 2 else s.theme.muted, "lm")
        x += font.getlength(name) + s.px(20)
    mono, y = s.code_font(12), top + s.px(40)
    good, bad = ("#4ec970", "#f1707a") if s.theme.dark else ("#12803a", "#c62f37")
    while y < bottom - s.px(4):
        form, base = s.whole(0, 3), left + s.px(16)
        if form == 0:
            prompt = f"{writer.noun()}@host:~/{writer.noun()}$ "
            screen.text(base, y, prompt, mono, good)
            screen.text(
                base + mono.getlength(prompt),
                y,
                f"make {writer.noun()} -j{s.whole(2, 16)}",
                mono,
                s.theme.text,
            )
        elif form == 1:
            passed = s.chance(0.85)
            mark = "PASS " if passed else "FAIL "
            screen.text(base, y, mark, mono, good if passed else bad)
            line = f"tests/test_{writer.noun()}.py::{writer.function()} ({s.whole(1, 900)} ms)"
            screen.text(base + mono.getlength(mark), y, line, mono, s.theme.text)
        else:
            line = f"[{s.whole(10, 23)}:{s.whole(10, 59)}:{s.whole(10, 59)}] {writer.comment()} {s.whole(0, 9999)}"
            screen.text(base, y, line, mono, s.theme.muted if form == 2 else s.theme.text)
        y += s.px(18)
    return top
