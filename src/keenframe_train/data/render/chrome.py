"""What surrounds the content of a window: title bars, tabs, tool bars, side bars, the pointer."""

from __future__ import annotations

from collections.abc import Sequence

from keenframe_train.data.render.screen import Color, Screen, mixed
from keenframe_train.data.render.setting import Setting

Box = tuple[float, float, float, float]  # left, top, right, bottom
SIGNS = (0, 1, 2, 5, 6, 8)  # icons of one size
_LIGHTS = ("#ff5f57", "#febc2e", "#28c840")


def buttons(screen: Screen, s: Setting, top: float, height: float, color: Color, mac: bool) -> None:
    """Close, minimise and zoom, at the left as circles or at the right as signs."""
    middle = top + height / 2
    if mac:
        for index, light in enumerate(_LIGHTS):
            screen.disc(s.px(16 + 20 * index), middle, s.px(6), light)
        return
    right, r = screen.width - s.px(23), s.px(5)
    screen.line([(right - r, middle - r), (right + r, middle + r)], color, s.px(1.1))
    screen.line([(right - r, middle + r), (right + r, middle - r)], color, s.px(1.1))
    box = right - s.px(44)
    screen.frame(box - r, middle - r, box + r, middle + r, color)
    screen.rule(box - s.px(44) - r, middle, box - s.px(44) + r, color)


def title_bar(screen: Screen, s: Setting, title: str) -> float:
    """A bar with a title in the middle or at the left; gives its lower edge."""
    height = s.px(s.whole(28, 36))
    bar = mixed(s.theme.surface, s.theme.line, 0.35)
    screen.rectangle(0, 0, screen.width, height, bar)
    mac = s.chance(0.5)
    buttons(screen, s, 0, height, s.theme.text, mac)
    font = s.font(12.5, bold=mac)
    text = screen.fitted(title, font, screen.width * 0.5)
    if mac:
        screen.text(screen.width / 2, height / 2, text, font, s.theme.muted, "mm")
    else:
        screen.panel(s.px(10), height / 2 - s.px(8), s.px(26), height / 2 + s.px(8), s.theme.accent, s.px(3))
        screen.text(s.px(36), height / 2, text, font, s.theme.text, "lm")
    screen.rule(0, height, screen.width, s.theme.line)
    return round(height) + 1


def browser(screen: Screen, s: Setting) -> float:
    """Tabs, an address bar and perhaps bookmarks; gives the lower edge."""
    theme = s.theme
    strip = mixed(theme.surface, theme.line, 0.8)
    tabs, bar = s.px(38), s.px(40)
    screen.rectangle(0, 0, screen.width, tabs, strip)
    mac = s.chance(0.5)
    buttons(screen, s, 0, tabs, theme.text, mac)
    left, font = s.px(84 if mac else 10), s.font(12)
    count, wide = s.whole(1, 4), s.px(s.whole(120, 190))
    active = s.whole(0, count - 1)
    for index in range(count):
        if left + wide > screen.width - s.px(130):
            break
        color = theme.surface if index == active else strip
        screen.panel(left, s.px(7), left + wide - s.px(4), tabs + s.px(9), color, s.px(9))
        screen.disc(
            left + s.px(18), tabs / 2 + s.px(3), s.px(6), s.choice((theme.accent, theme.muted, "#f29900"))
        )
        title = screen.fitted(s.language.phrase(2, 5), font, wide - s.px(64))
        screen.text(
            left + s.px(32),
            tabs / 2 + s.px(3),
            title,
            font,
            theme.text if index == active else theme.muted,
            "lm",
        )
        screen.text(left + wide - s.px(20), tabs / 2 + s.px(3), "×", s.font(14), theme.muted, "mm")
        left += wide
    screen.rectangle(0, tabs, screen.width, tabs + bar, theme.surface)
    middle, r = tabs + bar / 2, s.px(4.5)
    for index, way in enumerate((-1, 1)):
        x = s.px(20 + 32 * index)
        points = [(x - way * r / 2, middle - r), (x + way * r / 2, middle), (x - way * r / 2, middle + r)]
        screen.line(points, theme.text if index == 0 else theme.muted, s.px(1.5))
    field_left = s.px(84)
    field_right = screen.width - s.px(s.whole(60, 130))
    field = theme.background if not theme.dark else mixed(theme.background, "#000000", 0.2)
    screen.panel(field_left, middle - s.px(14), field_right, middle + s.px(14), field, s.px(14))
    host = s.choice(("docs", "www", "wiki", "app", "news")) + f".example-{s.whole(1, 99)}.org"
    path = "/" + "/".join(str(s.whole(1, 9999)) for _ in range(s.whole(0, 2)))
    latin = s.mono if s.chance(0.1) else s.family
    url = latin.regular.at(s.px(13))
    screen.text(field_left + s.px(18), middle, host, url, theme.text, "lm")
    screen.text(field_left + s.px(18) + url.getlength(host), middle, path, url, theme.muted, "lm")
    screen.disc(screen.width - s.px(26), middle, s.px(11), theme.accent)
    lower = tabs + bar
    if s.chance(0.4):
        screen.rectangle(0, lower, screen.width, lower + s.px(28), theme.surface)
        x = s.px(16)
        while x < screen.width - s.px(120):
            name = s.language.phrase(1, 2)
            screen.panel(
                x, lower + s.px(8), x + s.px(12), lower + s.px(20), mixed(theme.muted, theme.surface, 0.4), 2
            )
            screen.text(x + s.px(18), lower + s.px(14), name, font, theme.text, "lm")
            x += s.px(40) + font.getlength(name)
        lower += s.px(28)
    screen.rule(0, lower, screen.width, theme.line)
    return round(lower) + 1


def tool_bar(screen: Screen, s: Setting, top: float, rows: int = 1) -> float:
    """Menus and a row of icons, as in an office program; gives the lower edge."""
    theme, font, x = s.theme, s.font(12.5), s.px(14)
    height = s.px(28 + 36 * rows)
    screen.rectangle(0, top, screen.width, top + height, theme.surface)
    for _ in range(s.whole(5, 8)):
        name = s.language.phrase(1, 1)
        screen.text(x, top + s.px(14), name, font, theme.text, "lm")
        x += font.getlength(name) + s.px(18)
    for row in range(rows):
        middle, x = top + s.px(28 + 36 * row + 17), s.px(16)
        while x < screen.width - s.px(40):
            x += icon(screen, s, x, middle, theme.text)
    screen.rule(0, top + height, screen.width, theme.line)
    return top + round(height) + 1


def icon(
    screen: Screen, s: Setting, x: float, middle: float, color: Color, kinds: Sequence[int] = range(9)
) -> float:
    """One of the signs of a tool bar (0-8; 4 and 7 are a choice field and a rule); gives the step to the next."""
    r, kind = s.px(7), s.choice(kinds)
    if kind == 0:
        screen.frame(x, middle - r, x + 2 * r, middle + r, color)
        screen.rule(x, middle - r + s.px(4), x + 2 * r, color)
    elif kind in (1, 2):
        indent = s.px(4) * (kind - 1)
        for row in range(4):
            y = middle - r + row * s.px(4.5)
            screen.rule(x + (indent if row % 2 else 0), y, x + 2 * r, color)
    elif kind == 3:
        letter = s.choice(("B", "I", "U", "A", "S"))
        face = s.family.bold if letter in "BA" else s.family.italic if letter == "I" else s.family.regular
        screen.text(x + r, middle, letter, face.at(s.px(15)), color, "mm")
        if letter in "UA":
            screen.rule(
                x + s.px(2), middle + r, x + 2 * r - s.px(2), s.theme.accent if letter == "A" else color, 2
            )
    elif kind == 4:
        wide = s.px(s.whole(50, 110))
        screen.panel(
            x, middle - s.px(11), x + wide, middle + s.px(11), s.theme.background, s.px(3), s.theme.line
        )
        font = s.font(12)
        screen.text(
            x + s.px(8),
            middle,
            screen.fitted(s.language.phrase(1, 2), font, wide - s.px(30)),
            font,
            color,
            "lm",
        )
        tip = x + wide - s.px(12)
        screen.polygon(
            [(tip - s.px(4), middle - s.px(2)), (tip + s.px(4), middle - s.px(2)), (tip, middle + s.px(3))],
            color,
        )
        return wide + s.px(12)
    elif kind == 5:
        screen.disc(x + r - s.px(2), middle - s.px(2), s.px(5), color)
        screen.disc(x + r - s.px(2), middle - s.px(2), s.px(3.6), s.theme.surface)
        screen.line([(x + r + s.px(2), middle + s.px(2)), (x + 2 * r, middle + r)], color, s.px(1.6))
    elif kind == 6:
        screen.polygon(
            [(x + s.px(2), middle - r), (x + 2 * r, middle), (x + s.px(2), middle + r)], s.theme.accent
        )
    elif kind == 7:
        screen.rectangle(x, middle - s.px(10), x + 1, middle + s.px(10), s.theme.line)
        return s.px(12)
    else:
        screen.panel(x, middle - r, x + 2 * r, middle + r, s.choice((s.theme.accent, s.theme.muted)), s.px(2))
    return s.px(28)


def pointer(screen: Screen, s: Setting) -> None:
    """The arrow of the mouse, somewhere, in half of the pictures."""
    if not s.chance(0.5):
        return
    x, y, u = s.rng.uniform(0, screen.width), s.rng.uniform(0, screen.height), s.px(1)
    arrow = [(0, 0), (0, 16.5), (4, 13), (6.6, 19), (9.2, 17.8), (6.7, 12), (11.8, 12)]
    around = [(-1.2, -2.6), (-1.2, 19.4), (3.5, 15.2), (6, 20.8), (10.9, 18.5), (8.6, 13.2), (14.6, 13.2)]
    dark, light = ("#000000", "#ffffff") if s.chance(0.7) else ("#ffffff", "#000000")
    screen.polygon([(x + u * a, y + u * b) for a, b in around], light)
    screen.polygon([(x + u * a, y + u * b) for a, b in arrow], dark)
