"""Chats: bubbles as in a messenger, or a channel with names and avatars as in a team's program."""

from __future__ import annotations

from dataclasses import dataclass

from keenframe_train.data.render import chrome
from keenframe_train.data.render.fonts import Look
from keenframe_train.data.render.scenery import landscape
from keenframe_train.data.render.screen import Color, Screen, mixed, rgb, wrapped
from keenframe_train.data.render.setting import Setting

LOOKS: dict[Look, float] = {"sans": 1.0}
DARK_SHARE = 0.4
_SKINS: tuple[Color, ...] = ("#f1c9a5", "#d9a066", "#8d5b3b", "#f3d9c4", "#5c3a26")
_PEOPLE: tuple[Color, ...] = (
    "#e76f51",
    "#2a9d8f",
    "#4f6d9c",
    "#b5838d",
    "#6a994e",
    "#8e6bbf",
    "#d4a017",
    "#c44569",
    "#3a86b7",
)


def draw(s: Setting) -> Screen:
    """One chat, with its list of talks at the left when there is room."""
    screen = s.screen()
    top = chrome.title_bar(screen, s, s.language.phrase(1, 2)) if s.chance(0.5) else 0.0
    left = _talks(screen, s, top) if s.chance(0.65) and screen.width > s.px(480) else 0.0
    person = _person(s)
    top = _head(screen, s, left, top, person)
    bottom = _entry(screen, s, left)
    area = (left, top, float(screen.width), bottom)
    if s.chance(0.55):
        _bubbles(screen, s, area, person)
    else:
        _channel(screen, s, area)
    chrome.pointer(screen, s)
    return screen


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    color: Color
    skin: Color | None  # None: no portrait, an initial


def _person(s: Setting) -> _Person:
    skin = s.choice(_SKINS) if s.chance(0.5) else None
    return _Person(s.language.name(), s.choice(_PEOPLE), skin)


def _avatar(screen: Screen, s: Setting, x: float, y: float, radius: float, person: _Person) -> None:
    """A disc with an initial, or with the outline of a head and shoulders."""
    if person.skin is None:
        screen.disc(x, y, radius, person.color)
        screen.text(x, y, person.name[:1], s.family.bold.at(radius), "#ffffff", "mm")
        return
    screen.disc(x, y, radius, mixed(person.color, "#ffffff", 0.6))
    screen.disc(x, y - radius * 0.2, radius * 0.38, person.skin)
    screen.shape(
        (x - radius, y + radius * 0.25, x + radius, y + radius),
        lambda draw, at: draw.chord(
            (*at(x - radius, y - radius), *at(x + radius, y + radius)), 25, 155, fill=255
        ),
        person.color,
    )


class _Clock:
    """The time of day, which goes on, or back, by some minutes at each look."""

    def __init__(self, s: Setting, way: int) -> None:
        self._s, self._way = s, way
        self._minutes = s.whole(8 * 60, 22 * 60)

    def __call__(self) -> str:
        self._minutes += self._way * (self._s.whole(0, 3) if self._s.chance(0.7) else self._s.whole(0, 60))
        return f"{self._minutes // 60 % 24}:{self._minutes % 60:02d}"


def _talks(screen: Screen, s: Setting, top: float) -> float:
    """The list of talks; gives its right edge."""
    theme, width = s.theme, s.px(s.whole(190, 240))
    back = mixed(theme.surface, theme.accent, 0.75) if s.chance(0.2) and not theme.dark else theme.surface
    dark = sum(rgb(back)) < 384
    ink, muted = ("#ffffff" if dark else theme.text), (mixed("#ffffff", back, 0.35) if dark else theme.muted)
    screen.rectangle(0, top, width, screen.height, back)
    field = mixed(back, "#ffffff" if dark else "#000000", 0.08)
    screen.panel(s.px(12), top + s.px(12), width - s.px(12), top + s.px(42), field, s.px(8))
    screen.text(s.px(26), top + s.px(27), s.language.phrase(1, 1), s.font(12.5), muted, "lm")
    y, chosen, row = top + s.px(56), s.whole(0, 4), s.px(s.whole(54, 64))
    name_font, small, clock = s.font(13.5, bold=True), s.font(12), _Clock(s, -1)
    for index in range(30):
        if y > screen.height:
            break
        if index == chosen:
            screen.panel(s.px(6), y, width - s.px(6), y + row, mixed(back, ink, 0.1), s.px(8))
        person, middle, r = _person(s), y + row / 2, s.px(18)
        _avatar(screen, s, s.px(30), middle, r, person)
        if s.chance(0.4):
            screen.disc(s.px(30) + r * 0.72, middle + r * 0.72, s.px(5.5), back)
            screen.disc(s.px(30) + r * 0.72, middle + r * 0.72, s.px(4), "#35b35a")
        room = width - s.px(58 + 56)
        screen.text(
            s.px(58), middle - s.px(9), screen.fitted(person.name, name_font, room), name_font, ink, "lm"
        )
        last = screen.fitted(s.language.phrase(3, 8), small, width - s.px(58 + 34))
        screen.text(s.px(58), middle + s.px(10), last, small, muted, "lm")
        screen.text(width - s.px(14), middle - s.px(9), clock(), s.font(10.5), muted, "rm")
        if s.chance(0.2):
            screen.disc(width - s.px(22), middle + s.px(10), s.px(8), theme.accent)
            screen.text(
                width - s.px(22),
                middle + s.px(10),
                str(s.whole(1, 9)),
                s.font(10, bold=True),
                "#ffffff",
                "mm",
            )
        y += row
    screen.rectangle(width, top, width + 1, screen.height, theme.line)
    return round(width) + 1


def _head(screen: Screen, s: Setting, left: float, top: float, person: _Person) -> float:
    height, theme = s.px(54), s.theme
    screen.rectangle(left, top, screen.width, top + height, theme.background)
    middle = top + height / 2
    _avatar(screen, s, left + s.px(32), middle, s.px(17), person)
    screen.text(left + s.px(60), middle - s.px(8), person.name, s.font(14.5, bold=True), theme.text, "lm")
    screen.text(left + s.px(60), middle + s.px(10), s.language.phrase(1, 3), s.font(11.5), theme.muted, "lm")
    for index in range(3):
        chrome.icon(screen, s, screen.width - s.px(34 + 34 * index), middle, theme.muted, chrome.SIGNS)
    screen.rule(left, top + height, screen.width, theme.line)
    return top + round(height) + 1


def _entry(screen: Screen, s: Setting, left: float) -> float:
    """The field for the next message; gives its upper edge."""
    theme, height = s.theme, s.px(60)
    top = screen.height - height
    screen.rectangle(left, top, screen.width, screen.height, theme.background)
    box = (left + s.px(16), top + s.px(10), screen.width - s.px(64), screen.height - s.px(12))
    screen.panel(*box, mixed(theme.background, theme.surface, 0.7), s.px(s.choice((6, 19))), theme.line)
    text = s.language.phrase(2, 5)
    screen.text(box[0] + s.px(16), (box[1] + box[3]) / 2, text, s.font(13.5), theme.muted, "lm")
    x, y = screen.width - s.px(36), (box[1] + box[3]) / 2
    screen.disc(x, y, s.px(17), theme.accent)
    screen.polygon(
        [(x - s.px(6), y - s.px(7)), (x + s.px(9), y), (x - s.px(6), y + s.px(7)), (x - s.px(3), y)],
        "#ffffff",
    )
    return top


def _message(s: Setting) -> str:
    return s.language.phrase(1, 6) if s.chance(0.45) else s.language.paragraph(1, 2)


def _lines(s: Setting, text: str, size: float, width: float) -> list[str]:
    joined = s.language.script.joined
    return wrapped(list(text) if joined else text.split(" "), s.font(size), width, "" if joined else " ")


def _bubbles(screen: Screen, s: Setting, area: chrome.Box, person: _Person) -> None:
    """From the newest message at the bottom upwards, until the area is full."""
    left, top, right, bottom = area
    theme, size = s.theme, s.whole(13, 15)
    font, small = s.font(size), s.font(10.5)
    wall = mixed(theme.background, theme.accent, 0.05) if s.chance(0.4) else theme.background
    inner = screen.part(right - left, bottom - top, wall)
    mine: Color = theme.accent if s.chance(0.5) else mixed(theme.accent, theme.background, 0.75)
    theirs = mixed(theme.surface, theme.line, 0.3) if rgb(wall) == rgb(theme.background) else theme.background
    y, own, radius = float(inner.height) - s.px(14), s.chance(0.5), s.px(s.choice((8, 14, 17)))
    step, clock = font.size * 1.35, _Clock(s, -1)
    while y > 0:
        if s.chance(0.4):
            own = not own
        if s.chance(0.08):
            text = f"{s.whole(1, 28)}.{s.whole(1, 12)}.20{s.whole(15, 29)}"
            wide = small.getlength(text) + s.px(20)
            x = inner.width / 2
            inner.panel(
                x - wide / 2, y - s.px(22), x + wide / 2, y - s.px(2), mixed(wall, theme.muted, 0.15), s.px(9)
            )
            inner.text(x, y - s.px(12), text, small, theme.muted, "mm")
            y -= s.px(34)
            continue
        lines = _lines(s, _message(s), size, inner.width * 0.6)
        text_width = max(font.getlength(line) for line in lines)
        wide = max(text_width, s.px(40)) + s.px(26)
        tall = step * len(lines) + s.px(16) + s.px(14)
        picture = s.chance(0.07)
        if picture:
            wide, tall = max(wide, s.px(190)), tall + s.px(120)
        x = inner.width - s.px(16) - wide if own else s.px(56)
        fill = mine if own else theirs
        ink: Color = "#ffffff" if sum(rgb(fill)) < 384 else "#16181c"
        inner.panel(x, y - tall, x + wide, y, fill, radius)
        upper = y - tall + s.px(8)
        if picture:
            landscape(inner, s, (x + s.px(6), y - tall + s.px(6), x + wide - s.px(6), y - tall + s.px(120)))
            upper += s.px(120)
        for index, line in enumerate(lines):
            base = upper + font.size + step * index
            if s.language.rtl:
                inner.text(x + wide - s.px(13), base, line, font, ink, "rs")
            else:
                inner.text(x + s.px(13), base, line, font, ink)
        inner.text(x + wide - s.px(12), y - s.px(10), clock(), small, mixed(ink, fill, 0.4), "rm")
        if not own:
            _avatar(inner, s, s.px(30), y - s.px(16), s.px(15), person)
        y -= tall + s.px(s.choice((4, 10)))
    screen.paste(inner, left, top)


def _channel(screen: Screen, s: Setting, area: chrome.Box) -> None:
    """Messages below each other, with names and reactions."""
    left, top, right, bottom = area
    theme, size = s.theme, s.whole(13, 15)
    inner = screen.part(right - left, bottom - top, theme.background)
    font, bold, small = s.font(size), s.font(size, bold=True), s.font(11)
    people, clock = [_person(s) for _ in range(4)], _Clock(s, 1)
    y, edge, step = s.px(s.whole(-30, 12)), s.px(66), font.size * 1.45
    while y < inner.height:
        person = s.choice(people)
        _avatar(inner, s, s.px(36), y + s.px(18), s.px(17), person)
        inner.text(edge, y + s.px(9), person.name, bold, theme.text, "lm")
        inner.text(
            edge + bold.getlength(person.name) + s.px(10), y + s.px(10), clock(), small, theme.muted, "lm"
        )
        y += s.px(22)
        for _ in range(s.whole(1, 2)):
            for line in _lines(s, _message(s), size, inner.width - edge - s.px(30)):
                if s.language.rtl:
                    inner.text(inner.width - s.px(24), y + font.size, line, font, theme.text, "rs")
                else:
                    inner.text(edge, y + font.size, line, font, theme.text)
                y += step
            y += s.px(4)
        extra = s.rng.random()
        if extra < 0.12:
            tall = s.px(70)
            inner.panel(edge, y, edge + s.px(300), y + tall, theme.surface, s.px(6), theme.line)
            inner.rectangle(edge, y + s.px(4), edge + s.px(4), y + tall - s.px(4), theme.accent)
            title = inner.fitted(s.language.phrase(2, 5), bold, s.px(270))
            inner.text(edge + s.px(18), y + s.px(20), title, bold, theme.accent, "lm")
            note = inner.fitted(s.language.phrase(5, 12), small, s.px(270))
            inner.text(edge + s.px(18), y + s.px(44), note, small, theme.muted, "lm")
            y += tall + s.px(6)
        elif extra < 0.3:
            x = edge
            for _ in range(s.whole(1, 3)):
                inner.panel(x, y, x + s.px(46), y + s.px(24), theme.surface, s.px(12), theme.line)
                inner.disc(x + s.px(15), y + s.px(12), s.px(6), s.choice(("#f5c242", "#e25555", "#4a90d9")))
                inner.text(x + s.px(33), y + s.px(12), str(s.whole(1, 12)), small, theme.text, "mm")
                x += s.px(52)
            y += s.px(30)
        elif extra < 0.36:
            inner.rule(s.px(16), y + s.px(10), inner.width - s.px(16), theme.line)
            y += s.px(20)
        y += s.px(12)
    screen.paste(inner, left, top)
