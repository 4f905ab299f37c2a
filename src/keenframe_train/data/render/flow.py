"""Text set in a column from top to bottom: headings, paragraphs, lists, tables, quotations, figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL.ImageFont import FreeTypeFont

from keenframe_train.data.render.charts import chart
from keenframe_train.data.render.screen import Color, Screen, mixed, wrapped
from keenframe_train.data.render.setting import Setting


@dataclass
class Flow:
    """A column. left, width: pixels. y: where the next part begins; parts beyond `bottom` are not drawn.

    size: of the body text, design pixels. leading: line distance in sizes.
    """

    screen: Screen
    s: Setting
    left: float
    width: float
    y: float
    bottom: float
    size: float = 14
    leading: float = 1.5
    justified: bool = False

    @property
    def full(self) -> bool:
        """Whether the column has reached its end."""
        return self.y >= self.bottom

    def _line(
        self,
        text: str,
        font: FreeTypeFont,
        color: Color,
        base: float,
        left: float,
        width: float,
        spread: bool,
    ) -> None:
        if self.s.language.rtl:
            self.screen.text(left + width, base, text, font, color, "rs")
            return
        words = text.split(" ")
        if not spread or len(words) < 2:
            self.screen.text(left, base, text, font, color)
            return
        gap = (width - sum(font.getlength(word) for word in words)) / (len(words) - 1)
        for word in words:
            self.screen.text(left, base, word, font, color)
            left += font.getlength(word) + gap

    def lines(
        self, text: str, font: FreeTypeFont, color: Color, *, left: float = 0.0, leading: float | None = None
    ) -> None:
        """A text, wrapped, `left` pixels in from the column's edge (from the right one for right-to-left)."""
        joined = self.s.language.script.joined
        width = self.width - left
        made = wrapped(list(text) if joined else text.split(" "), font, width, "" if joined else " ")
        step = font.size * (leading or self.leading)
        for index, line in enumerate(made):
            base = self.y + font.size
            if base > self.bottom:
                self.y = self.bottom
                return
            start = self.left + (0 if self.s.language.rtl else left)
            spread = self.justified and not joined and index < len(made) - 1
            self._line(line, font, color, base, start, width, spread)
            self.y += step

    def heading(self, level: int = 1) -> None:
        """A heading; level 1 is the largest."""
        size = self.size * (2.0, 1.5, 1.2)[level - 1]
        self.y += self.s.px(size * (0.0 if level == 1 else 0.45))
        color = self.s.theme.text if self.s.chance(0.7) else self.s.theme.accent
        self.lines(self.s.language.phrase(2, 7), self.s.font(size, bold=True), color, leading=1.2)
        self.y += self.s.px(self.size * 0.5)

    def paragraph(self) -> None:
        """Some sentences; now and then one word of a line is a link or stressed."""
        if not self.s.language.rtl and not self.s.language.script.joined and not self.justified:
            self._rich(self.s.language.paragraph())
        else:
            self.lines(self.s.language.paragraph(), self.s.font(self.size), self.s.theme.text)
        self.y += self.s.px(self.size * 0.7)

    def _rich(self, text: str) -> None:
        plain, theme = self.s.font(self.size), self.s.theme
        x, space = self.left, plain.getlength(" ")
        style, left_over = 0, 0
        for word in text.split(" "):
            if left_over == 0:
                style = int(self.s.rng.choice(4, p=(0.93, 0.03, 0.02, 0.02)))
                left_over = self.s.whole(1, 4)
            left_over -= 1
            font = (plain, plain, self.s.font(self.size, bold=True), self.s.font(self.size, italic=True))[
                style
            ]
            wide = font.getlength(word)
            if x + wide > self.left + self.width and x > self.left:
                x, self.y = self.left, self.y + plain.size * self.leading
            base = self.y + plain.size
            if base > self.bottom:
                self.y = self.bottom
                return
            self.screen.text(x, base, word, font, theme.accent if style == 1 else theme.text)
            if style == 1:
                self.screen.rule(x, base + self.s.px(2), x + wide, theme.accent)
            x += wide + space
        self.y += plain.size * self.leading

    def bullets(self) -> None:
        """A list with dots or numbers."""
        font, numbered = self.s.font(self.size), self.s.chance(0.4)
        indent = self.s.px(self.size * 1.7)
        for number in range(1, self.s.whole(3, 6) + 1):
            base = self.y + font.size
            if base > self.bottom:
                break
            edge = self.left + self.width - indent / 2 if self.s.language.rtl else self.left + indent / 2
            if numbered:
                self.screen.text(edge, base, f"{number}.", font, self.s.theme.text, "ms")
            else:
                self.screen.disc(edge, base - font.size * 0.34, font.size * 0.15, self.s.theme.text)
            item = self.s.language.sentence() if self.s.chance(0.4) else self.s.language.phrase(3, 9)
            self.lines(item, font, self.s.theme.text, left=indent)
            self.y += self.s.px(2)
        self.y += self.s.px(self.size * 0.7)

    def quote(self) -> None:
        """A paragraph beside a thick line."""
        top, indent = self.y, self.s.px(self.size * 1.4)
        self.lines(
            self.s.language.paragraph(1, 3),
            self.s.font(self.size, italic=True),
            self.s.theme.muted,
            left=indent,
        )
        edge = self.left + self.width - self.s.px(4) if self.s.language.rtl else self.left
        self.screen.rectangle(edge, top, edge + self.s.px(4), min(self.y, self.bottom), self.s.theme.line)
        self.y += self.s.px(self.size * 0.8)

    def table(self, rows: int | None = None, columns: int | None = None) -> None:
        """Figures under headings, with thin rules, stripes or a whole grid."""
        s, theme = self.s, self.s.theme
        rows, columns = rows or s.whole(3, 9), columns or s.whole(3, 6)
        look = s.choice(("rules", "stripes", "grid"))
        head = theme.accent if s.chance(0.3) else theme.surface
        font, bold = s.font(self.size * 0.92), s.font(self.size * 0.92, bold=True)
        step = font.size * s.rng.uniform(1.7, 2.2)
        first = s.rng.uniform(1.2, 2.2)
        edges = (
            np.concatenate([[0], np.cumsum([first] + [1.0] * (columns - 1))])
            * self.width
            / (first + columns - 1)
        )
        numeric = [False] + [s.chance(0.75) for _ in range(columns - 1)]
        top = self.y
        for row in range(rows + 1):
            if self.y + step > self.bottom:
                break
            fill = head if row == 0 else theme.surface if look == "stripes" and row % 2 == 0 else None
            if fill is not None:
                self.screen.rectangle(self.left, self.y, self.left + self.width, self.y + step, fill)
            pad, base = s.px(8), self.y + step * 0.5 + font.size * 0.36
            ink: Color = (
                ("#111111" if theme.dark else "#ffffff") if row == 0 and head == theme.accent else theme.text
            )
            for column in range(columns):
                a, b = self.left + edges[column] + pad, self.left + edges[column + 1] - pad
                text = s.language.phrase(1, 2) if row == 0 or not numeric[column] else s.language.number()
                used = bold if row == 0 else font
                text = self.screen.fitted(text, used, b - a)
                right = numeric[column] != s.language.rtl
                self.screen.text(b if right else a, base, text, used, ink, "rs" if right else "ls")
            self.y += step
            if look != "stripes":
                self.screen.rule(self.left, self.y, self.left + self.width, theme.line)
        if look == "grid":
            for edge in edges:
                self.screen.rectangle(self.left + edge, top, self.left + edge + 1, self.y + 1, theme.line)
            self.screen.rule(self.left, top, self.left + self.width, theme.line)
        self.y += s.px(self.size)

    def figure(self) -> None:
        """A chart with a line of words below."""
        height = self.width * float(self.s.rng.uniform(0.4, 0.6))
        if self.y + height > self.bottom:
            self.paragraph()
            return
        chart(self.screen, self.s, (self.left, self.y, self.left + self.width, self.y + height))
        self.y += height + self.s.px(6)
        self.lines(
            self.s.language.phrase(5, 12), self.s.font(self.size * 0.85, italic=True), self.s.theme.muted
        )
        self.y += self.s.px(self.size * 0.8)

    def code(self) -> None:
        """Some lines in a fixed-width font on a gray panel."""
        font = self.s.code_font(self.size * 0.9)
        rows = self.s.whole(2, 6)
        height = font.size * 1.5 * rows + self.s.px(16)
        if self.y + height > self.bottom:
            self.paragraph()
            return
        self.screen.panel(
            self.left, self.y, self.left + self.width, self.y + height, self.theme_panel, self.s.px(5)
        )
        for row in range(rows):
            options = f"run --level {self.s.whole(1, 99)} -o out/{self.s.whole(100, 999)}.txt"
            words = f"{self.s.choice(('$', '>', ' '))} {options}"
            text = self.screen.fitted(words[: self.s.whole(12, len(words))], font, self.width - self.s.px(24))
            base = self.y + self.s.px(8) + font.size * (1.1 + 1.5 * row)
            self.screen.text(self.left + self.s.px(12), base, text, font, self.s.theme.text)
        self.y += height + self.s.px(self.size)

    @property
    def theme_panel(self) -> Color:
        """What lies behind code."""
        return mixed(self.s.theme.surface, self.s.theme.line, 0.3)

    def fill(self) -> None:
        """Parts in a plausible order until the column is full."""
        while not self.full:
            part = self.s.rng.random()
            if part < 0.55:
                self.paragraph()
            elif part < 0.68:
                self.heading(2 if self.s.chance(0.6) else 3)
                self.paragraph()
            elif part < 0.79:
                self.bullets()
            elif part < 0.88:
                self.table()
            elif part < 0.92:
                self.quote()
            elif part < 0.96:
                self.code()
            else:
                self.figure()
