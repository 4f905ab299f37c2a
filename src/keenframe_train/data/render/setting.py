"""What a picture's parts have in common: its random numbers, size, fonts, language and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from PIL.ImageFont import FreeTypeFont

from keenframe_train.data.render.fonts import Family, Look, of_look
from keenframe_train.data.render.screen import Color, Screen, mixed
from keenframe_train.data.render.words import SCRIPTS, Language, scripts_of

T = TypeVar("T")
_ACCENTS = ("#1a73e8", "#0b57d0", "#c0392b", "#d35400", "#188038", "#6b4fbb", "#00796b", "#b5179e", "#37474f")


@dataclass(frozen=True, slots=True)
class Theme:
    """background: behind everything. surface: bars and cards. line: thin rules."""

    background: Color
    surface: Color
    text: Color
    muted: Color
    line: Color
    accent: Color
    dark: bool


LIGHT = (
    ("#ffffff", "#f3f4f6", "#1f2328", "#6b7280", "#d9dce1"),
    ("#fafafa", "#efefef", "#222222", "#757575", "#dddddd"),
    ("#fffdf7", "#f4efe3", "#33302a", "#857d6d", "#e2dac8"),
    ("#ffffff", "#e9eef5", "#0f172a", "#64748b", "#cbd5e1"),
)
DARK = (
    ("#1e1e1e", "#2b2b2d", "#d6d6d6", "#8c8c8c", "#3d3d40"),
    ("#0f141a", "#1b222b", "#dbe2ea", "#8593a3", "#2f3944"),
    ("#202124", "#303134", "#e8eaed", "#9aa0a6", "#44474b"),
    ("#17131f", "#241d30", "#e7e0f2", "#9f93b3", "#3b3150"),
)


@dataclass
class Setting:
    """rng: all that varies is drawn from it. width, height: of the picture. scale: pixels of a design pixel."""

    rng: np.random.Generator
    width: int
    height: int
    dark_share: float = 0.3
    looks: dict[Look, float] = field(default_factory=lambda: {"sans": 0.8, "serif": 0.2})

    def __post_init__(self) -> None:
        self.scale = float(self.choice((1.0, 1.0, 1.15, 1.3, 1.5)))
        self.theme = self.new_theme()
        self.family = self.new_family()
        self.mono = self.choice(of_look("mono"))
        self.language = self.new_language()

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.rng.integers(len(items)))]

    def chance(self, probability: float) -> bool:
        """True that often."""
        return bool(self.rng.random() < probability)

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def new_theme(self) -> Theme:
        """Light, or dark for `dark_share`."""
        dark = self.chance(self.dark_share)
        accent = self.choice(_ACCENTS)
        return Theme(
            *self.choice(DARK if dark else LIGHT), mixed(accent, "#ffffff", 0.35) if dark else accent, dark
        )

    def new_family(self) -> Family:
        """A family of one of `looks`, by their shares."""
        names = list(self.looks)
        shares = np.array([self.looks[name] for name in names])
        return self.choice(of_look(names[int(self.rng.choice(len(names), p=shares / shares.sum()))]))

    def new_language(self) -> Language:
        """One that the family can write; plain Latin in every second picture or more."""
        names = scripts_of(self.family)
        shares = np.array([SCRIPTS[name].share for name in names])
        return Language(names[int(self.rng.choice(len(names), p=shares / shares.sum()))], self.rng)

    def px(self, design: float) -> float:
        """Design pixels as pixels."""
        return design * self.scale

    def font(self, size: float, bold: bool = False, italic: bool = False) -> FreeTypeFont:
        """The family at a size in design pixels. Italics that lack the language's letters are upright."""
        face = self.family.bold if bold else self.family.italic if italic else self.family.regular
        if not face.writes(self.language.script.alphabet):
            face = self.family.regular
        return face.at(self.px(size))

    def code_font(self, size: float, bold: bool = False) -> FreeTypeFont:
        """The fixed-width family at a size in design pixels."""
        return (self.mono.bold if bold else self.mono.regular).at(self.px(size))

    def screen(self, background: Color | None = None) -> Screen:
        """An empty picture: every third with sub-pixel text, as on many a Windows desktop."""
        smoothing = "lcd" if self.chance(0.33) else "gray"
        return Screen(self.width, self.height, background or self.theme.background, smoothing)  # type: ignore[arg-type]
