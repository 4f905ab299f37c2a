"""The fonts of this machine, by what they look like and what they can write.

Found by matplotlib's font manager: the folders of fontconfig and of the system, and DejaVu and STIX, which
matplotlib brings along. Without matplotlib, or without any font, Pillow's own is left: it writes Latin.
"""

from __future__ import annotations

import string
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Literal

from PIL import ImageFont, features

Look = Literal["sans", "serif", "mono"]
_ASCII = frozenset(map(ord, string.printable[:95]))
# Fonts that hold signs, not letters; the last has a box for every character there is.
_SIGNS = ("math", "symbol", "emoji", "icon", "display", "last resort", "nonunicode", "stixsize", "dingbat")
_SERIF = (
    "serif",
    "times",
    "roman",
    "stix",
    "georgia",
    "garamond",
    "cambria",
    "palatino",
    "bookman",
    "century",
)
_MONO = ("mono", "code", "courier", "consol", "menlo", "terminal")


@dataclass(frozen=True, slots=True)
class Face:
    """One font file; path None is Pillow's own."""

    path: str | None

    def at(self, size: float) -> ImageFont.FreeTypeFont:
        """The face at a size in pixels an em."""
        return _sized(self.path, round(size))

    def writes(self, text: str) -> bool:
        """Whether it has a glyph for every character."""
        return _writes(self.path, text)


@dataclass(frozen=True, slots=True)
class Family:
    """Faces that belong together; one that is missing is the regular one."""

    name: str
    look: Look
    regular: Face
    bold: Face
    italic: Face


@cache
def _sized(path: str | None, size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(6, size)) if path is None else ImageFont.truetype(path, max(6, size))
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@cache
def _characters(path: str | None) -> frozenset[int]:
    if path is None:
        return _ASCII
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())


@cache
def _writes(path: str | None, text: str) -> bool:
    return {ord(c) for c in text} <= _characters(path)


@cache
def shapes_text() -> bool:
    """Whether Pillow can join letters and write from right to left (libraqm)."""
    return bool(features.check("raqm"))


def _look(name: str) -> Look:
    lower = name.lower()
    if any(part in lower for part in _MONO):
        return "mono"
    return "serif" if any(part in lower for part in _SERIF) and "sans" not in lower else "sans"


@cache
def families() -> tuple[Family, ...]:
    """All usable families, sorted by name: those that can write ASCII in a regular face, or Pillow's own."""
    try:
        from matplotlib.font_manager import fontManager
    except ImportError:
        entries = []
    else:
        entries = fontManager.ttflist
    grouped = defaultdict(list)
    for entry in entries:
        lower = entry.name.lower()
        # Computer Modern's files have their letters at the places of TeX.
        if not lower.startswith((".", "cm")) and not any(part in lower for part in _SIGNS):
            grouped[entry.name].append(entry)
    found = []
    for name, members in sorted(grouped.items()):
        plain = [e for e in members if e.style == "normal" and e.stretch == "normal"]
        weights = {_weight(e.weight): Face(e.fname) for e in sorted(plain, key=lambda e: str(e.fname))}
        regular = weights.get(400) or weights.get(500)
        if regular is None or not _readable(regular):
            continue
        slanted = [e for e in members if e.style in ("italic", "oblique") and _weight(e.weight) == 400]
        slanted.sort(key=lambda e: str(e.fname))
        bold = weights.get(700) or weights.get(600) or regular
        italic = Face(slanted[0].fname) if slanted else regular
        found.append(Family(name, _look(name), regular, bold, italic))
    own = Face(None)
    return tuple(found) or (Family("Pillow", "sans", own, own, own),)


def _weight(weight: int | str) -> int:
    return {"normal": 400, "regular": 400, "bold": 700}.get(weight, 0) if isinstance(weight, str) else weight


def _readable(face: Face) -> bool:
    try:
        return _characters(face.path) >= _ASCII and bool(face.at(12).getlength("a"))
    except (OSError, RuntimeError):
        return False


def of_look(look: Look) -> tuple[Family, ...]:
    """Families of a look; any others when the machine has none of it."""
    return tuple(family for family in families() if family.look == look) or families()
