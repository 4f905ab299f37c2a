"""Writing the page, its charts and the model cards; and saying which of them are out of date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keenframe_train.files import write_text
from keenframe_train.page.cards import cards
from keenframe_train.page.figures import charts
from keenframe_train.page.results import results_page
from keenframe_train.page.sources import load

PAGE = Path("docs/results.md")
CHARTS = Path("docs/images/results")
CARDS = Path("docs/models")


def pages(root: Path) -> dict[Path, str]:
    """The text of every file that is made of results, by its path below the checkout. TrainError for no checkout."""
    sources = load(root)
    drawn = charts(sources)
    made = {PAGE: results_page(sources, drawn)}
    made |= {CHARTS / name: text for name, text in drawn.items()}
    made |= {CARDS / f"{name}.md": text for name, text in cards(sources).items()}
    return made


def outdated(root: Path, made: Mapping[Path, str] | None = None) -> list[Path]:
    """What is missing, differs from what the results say (`pages`, where they are at hand), or is of nothing any
    more."""
    made = pages(root) if made is None else made
    found = [
        path
        for path, text in made.items()
        if not (root / path).is_file() or (root / path).read_text() != text
    ]
    there = [*(root / CHARTS).glob("*.svg"), *(root / CARDS).glob("*.md")]
    return sorted([*found, *(path for p in there if (path := p.relative_to(root)) not in made)])


def write_pages(root: Path) -> list[Path]:
    """Write what is out of date, remove what is of nothing any more; gives both."""
    made = pages(root)
    changed = outdated(root, made)
    for path in changed:
        if path in made:
            write_text(root / path, made[path])
        else:
            (root / path).unlink()
    return changed
