"""Presentations: shown full screen, in the editing window with its small slides, or in a black frame."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from keenframe_train.data.render import chrome
from keenframe_train.data.render.charts import chart
from keenframe_train.data.render.flow import Flow
from keenframe_train.data.render.fonts import Look
from keenframe_train.data.render.scenery import landscape
from keenframe_train.data.render.screen import Color, Screen, mixed
from keenframe_train.data.render.setting import Setting

LOOKS: dict[Look, float] = {"sans": 0.85, "serif": 0.15}
DARK_SHARE = 0.3
_BANDS: tuple[Color, ...] = (
    "#1f3a5f",
    "#0b6e4f",
    "#7a1f3d",
    "#263238",
    "#3d348b",
    "#b23a48",
    "#00587a",
    "#444444",
)


def draw(s: Setting) -> Screen:
    """One slide; its own size is 4:3 or 16:9, so most pictures have something around it."""
    aspect = s.choice((4 / 3, 16 / 9, 16 / 9))
    if s.chance(0.3) and s.width > 400:
        return _editor(s, aspect)
    screen = s.screen("#000000")
    width = min(s.width, round(s.height * aspect))
    height = min(s.height, round(s.width / aspect))
    slide = _slide(s, width, height)
    screen.paste(slide, (s.width - width) // 2, (s.height - height) // 2)
    chrome.pointer(screen, s)
    return screen


def _slide(s: Setting, width: int, height: int) -> Screen:
    """A slide whose type grows with its size: a design pixel is a 640th of the width."""
    outer = (s.scale, s.theme)
    s.scale = width / 640
    if not s.theme.dark and s.chance(0.25):
        s.theme = replace(s.theme, background=mixed(s.theme.accent, "#ffffff", 0.93))
    smoothing = "lcd" if width == s.width and s.chance(0.15) else "gray"
    screen = Screen(width, height, s.theme.background, smoothing)  # type: ignore[arg-type]
    if s.chance(0.12):
        _opening(screen, s)
    else:
        body = _headed(screen, s)
        layout = s.rng.random()
        if layout < 0.3:
            _points(screen, s, body)
        elif layout < 0.65:
            _points_and(screen, s, body)
        elif layout < 0.8:
            chart(screen, s, body)
        elif layout < 0.9:
            flow = Flow(screen, s, body[0], body[2] - body[0], body[1], body[3], 14)
            flow.table(s.whole(4, 8), s.whole(3, 5))
            flow.lines(s.language.phrase(4, 9), s.font(11), s.theme.muted)
        else:
            _boxes(screen, s, body)
        _foot(screen, s)
    s.scale, s.theme = outer
    return screen


def _opening(screen: Screen, s: Setting) -> None:
    band = s.choice(_BANDS)
    if s.chance(0.6):
        for y in range(screen.height):  # a gradient from top to bottom
            screen.rectangle(0, y, screen.width, y + 1, mixed(band, "#000000", 0.5 * y / screen.height))
        ink: Color = "#ffffff"
    else:
        screen.rectangle(0, screen.height * 0.72, screen.width, screen.height, band)
        ink = s.theme.text
    flow = Flow(screen, s, s.px(50), screen.width - s.px(100), screen.height * 0.3, screen.height, 18)
    flow.lines(s.language.phrase(2, 6), s.font(38, bold=True), ink, leading=1.15)
    flow.y += s.px(14)
    screen.rectangle(s.px(50), flow.y, s.px(130), flow.y + s.px(4), s.theme.accent)
    flow.y += s.px(16)
    flow.lines(s.language.phrase(3, 8), s.font(17), ink)
    flow.lines(f"{s.language.name()}  ·  20{s.whole(10, 29)}", s.font(13), mixed(ink, band, 0.3))


def _headed(screen: Screen, s: Setting) -> chrome.Box:
    """Draw the title; gives the box below it."""
    margin, title = s.px(s.whole(28, 48)), s.font(s.whole(24, 31), bold=s.chance(0.7))
    text = screen.fitted(s.language.phrase(2, 6), title, screen.width - 2 * margin)
    look, color, lower = s.choice(("plain", "band", "rule", "side")), s.theme.text, s.px(72)
    left = margin
    if look == "band":
        screen.rectangle(0, 0, screen.width, lower, s.choice(_BANDS))
        color = "#ffffff"
    elif look == "side":
        screen.rectangle(0, 0, s.px(14), screen.height, s.theme.accent)
    elif look == "plain" and s.chance(0.5):
        color = s.theme.accent
    edge = screen.width - margin if s.language.rtl else left
    screen.text(edge, lower / 2 + s.px(4), text, title, color, "rm" if s.language.rtl else "lm")
    if look == "rule":
        screen.rectangle(left, lower - s.px(6), screen.width - margin, lower - s.px(4), s.theme.accent)
    return (left, lower + s.px(18), screen.width - margin, screen.height - s.px(38))


def _points(screen: Screen, s: Setting, box: chrome.Box) -> None:
    """Points in two ranks."""
    left, y, right, bottom = box
    size = s.whole(15, 21)
    count = s.whole(3, 6)
    for _ in range(count):
        y = _point(screen, s, (left, y, right, bottom), size, 0)
        for _ in range(s.whole(0, 2) if size < 19 else 0):
            y = _point(screen, s, (left, y, right, bottom), size * 0.82, 1)
        y += s.px(size * 0.4)


def _point(screen: Screen, s: Setting, box: chrome.Box, size: float, rank: int) -> float:
    left, y, right, bottom = box
    font = s.font(size)
    indent = s.px(size) * (1.1 + 1.3 * rank)
    if y + font.size > bottom:
        return y
    rtl = s.language.rtl
    edge = right - indent + s.px(size * 0.6) if rtl else left + indent - s.px(size * 0.6)
    middle = y + font.size * 0.68
    if rank:
        screen.rectangle(edge - s.px(4), middle, edge + s.px(4), middle + s.px(1.5), s.theme.muted)
    else:
        screen.disc(edge, middle, font.size * 0.16, s.theme.accent)
    width = right - left - indent
    flow = Flow(screen, s, left if rtl else left + indent, width, y, bottom, size, 1.3)
    flow.lines(
        s.language.phrase(3, 11), font, s.theme.text if rank == 0 else mixed(s.theme.text, s.theme.muted, 0.5)
    )
    return flow.y + s.px(3)


def _points_and(screen: Screen, s: Setting, box: chrome.Box) -> None:
    """Points on one side, a chart or a picture on the other."""
    left, top, right, bottom = box
    middle = left + (right - left) * float(s.rng.uniform(0.4, 0.55))
    sides = [(left, top, middle - s.px(12), bottom), (middle + s.px(12), top, right, bottom)]
    words, other = sides if s.chance(0.7) else sides[::-1]
    _points(screen, s, words)
    if s.chance(0.75):
        chart(screen, s, (other[0], other[1], other[2], min(bottom, other[1] + (other[2] - other[0]) * 0.9)))
    else:
        landscape(screen, s, other)


def _boxes(screen: Screen, s: Setting, box: chrome.Box) -> None:
    """Boxes in a row with large figures, joined by arrows."""
    left, top, right, bottom = box
    count, gap = s.whole(2, 4), s.px(26)
    wide = (right - left - (count - 1) * gap) / count
    lower = top + min(bottom - top, wide * 1.1)
    for index in range(count):
        a = left + index * (wide + gap)
        filled = s.chance(0.5)
        fill = s.choice(_BANDS) if filled else s.theme.surface
        ink: Color = "#ffffff" if filled else s.theme.text
        screen.panel(a, top, a + wide, lower, fill, s.px(8), None if filled else s.theme.line)
        figure = s.font(30, bold=True)
        screen.text(
            a + wide / 2,
            top + s.px(42),
            screen.fitted(s.language.number(), figure, wide - 8),
            figure,
            ink,
            "mm",
        )
        flow = Flow(screen, s, a + s.px(12), wide - s.px(24), top + s.px(72), lower - s.px(6), 13, 1.3)
        flow.lines(s.language.phrase(3, 10), s.font(13), ink)
        if index < count - 1:
            x, y = a + wide + gap / 2, (top + lower) / 2
            tip = [(x - s.px(8), y - s.px(7)), (x + s.px(8), y), (x - s.px(8), y + s.px(7))]
            screen.polygon(tip, s.theme.accent)
    rest = Flow(screen, s, left, right - left, lower + s.px(16), bottom, 14, 1.35)
    while rest.y + s.px(30) < bottom:
        rest.paragraph()


def _foot(screen: Screen, s: Setting) -> None:
    if s.chance(0.3):
        return
    font, y = s.font(9.5), screen.height - s.px(14)
    screen.text(s.px(28), y, s.language.phrase(1, 5), font, s.theme.muted, "lm")
    screen.text(screen.width - s.px(28), y, str(s.whole(2, 60)), font, s.theme.muted, "rm")


def _editor(s: Setting, aspect: float) -> Screen:
    """The program slides are made with: small slides at the left, the present one on a desk."""
    desk = mixed(s.theme.surface, s.theme.muted, 0.15)
    screen = s.screen(desk)
    top = chrome.title_bar(screen, s, f"{s.language.phrase(1, 4)}.pptx")
    top = chrome.tool_bar(screen, s, top, s.whole(1, 2))
    side = s.px(s.whole(120, 160))
    screen.rectangle(0, top, side, screen.height, s.theme.surface)
    screen.rectangle(side, top, side + 1, screen.height, s.theme.line)
    small = round(side - s.px(44))
    y, number, font = top + s.px(14), s.whole(1, 20), s.font(11)
    chosen = s.whole(0, 2)
    for index in range(12):
        if y > screen.height:
            break
        thumb = _slide(s, 480, round(480 / aspect)).image
        size = (small, round(small / aspect))
        if index == chosen:
            screen.rectangle(s.px(30) - 3, y - 3, s.px(30) + size[0] + 3, y + size[1] + 3, s.theme.accent)
        screen.image.paste(thumb.resize(size, Image.Resampling.LANCZOS), (round(s.px(30)), round(y)))
        screen.text(s.px(15), y + s.px(8), str(number + index), font, s.theme.muted, "mm")
        y += size[1] + s.px(16)
    width = round(min(screen.width - side - s.px(48), (screen.height - top - s.px(70)) * aspect))
    left = round(side + (screen.width - side - width) / 2)
    upper = round(top + (screen.height - top - s.px(24) - width / aspect) / 2)
    screen.rectangle(
        left - 1, upper - 1, left + width + 2, upper + round(width / aspect) + 2, mixed(desk, "#000000", 0.3)
    )
    screen.paste(_slide(s, width, round(width / aspect)), left, upper)
    bar = s.px(24)
    screen.rectangle(0, screen.height - bar, screen.width, screen.height, s.theme.surface)
    screen.text(
        s.px(12), screen.height - bar / 2, f"{number + chosen} / {number + 14}", font, s.theme.muted, "lm"
    )
    chrome.pointer(screen, s)
    return screen
