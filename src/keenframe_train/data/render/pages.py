"""Pages of text whose every character is known, for measuring how readable a picture is (`keenframe evaluate --text`).

Page i is a function of (seed, i) and of the fonts of the machine. Sizes take turns; each group of sizes is a category.
The words are of no language, so that a reader cannot guess what it does not see.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keenframe_train.data.manifest import encode_png, write_files
from keenframe_train.data.render.screen import wrapped
from keenframe_train.data.render.setting import Setting
from keenframe_train.data.render.words import Language
from keenframe_train.errors import TrainError

Uint8 = NDArray[np.uint8]
SIZE = (640, 480)
# Heights of an em in pixels, as text stands on a shared screen.
GROUPS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("small-12-14px", (12, 13, 14)),
    ("medium-16-18px", (16, 17, 18)),
    ("large-22-28px", (22, 25, 28)),
)
_MARGIN = 24


def draw_page(index: int, seed: int = 0, size: tuple[int, int] = SIZE) -> tuple[str, Uint8, str]:
    """(category, page (H, W, 3) uint8 RGB, its text line by line); size is (width, height)."""
    rng = np.random.default_rng((seed, index, len(GROUPS)))
    group, ems = GROUPS[index % len(GROUPS)]
    setting = Setting(rng, *size, dark_share=0.25, looks={"sans": 0.7, "serif": 0.3})
    setting.scale, setting.language = 1.0, Language("latin", rng)
    font = setting.font(setting.choice(ems), bold=setting.chance(0.15))
    screen = setting.screen()
    lines: list[str] = []
    y, step = _MARGIN + font.size, font.size * rng.uniform(1.35, 1.6)
    words: list[str] = []
    while y < size[1] - _MARGIN:
        if not words:
            words = setting.language.paragraph(2, 4).split(" ")
        line = wrapped(words, font, size[0] - 2 * _MARGIN)[0]
        words = words[len(line.split(" ")) :]
        screen.text(_MARGIN, y, line, font, setting.theme.text)
        lines.append(line)
        y += step
    return group, screen.pixels(), "\n".join(lines) + "\n"


def write_pages(folder: Path, count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> dict[str, int]:
    """Write `count` pages as CATEGORY/NNNN.png with CATEGORY/NNNN.txt; gives how many each category has.

    Raises TrainError for a count below 1, and for a folder that holds something else.
    """
    if count < 1:
        raise TrainError(f"--count is at least 1; got {count}")
    known = {name for name, _ in GROUPS}
    if folder.exists() and (not folder.is_dir() or any(p.name not in known for p in folder.iterdir())):
        raise TrainError(f"'{folder}' holds something that is no page of text; choose a new or empty folder")
    counts: dict[str, int] = {}
    for index in range(count):
        category, page, text = draw_page(index, seed, size)
        name = f"{category}/{index:04d}"
        write_files(folder, {f"{name}.png": encode_png(page), f"{name}.txt": text.encode()})
        counts[category] = counts.get(category, 0) + 1
    return counts
