"""Overlapping windows over a large plane, and where each window's result is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """One tile, in pixels of the padded input plane.

    top, left, height, width: what the network reads. Of its result, rows first_row..last_row and columns
    first_column..last_column, counted from the window's own corner, are kept; together the windows' kept
    parts cover the plane once.
    """

    top: int
    left: int
    height: int
    width: int
    first_row: int
    last_row: int
    first_column: int
    last_column: int


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `size`."""
    return -(-size // multiple) * multiple


def windows(height: int, width: int, tile: int, overlap: int) -> Iterator[Window]:
    """Windows of tile x tile pixels (less where the plane is smaller) that see `overlap` pixels beyond what
    they keep.

    Every window has the same size, so an engine compiles once; the last ones are moved inwards to fit.
    Windows touch the plane's own edges only where it ends, so the network pads there as it would for the
    whole plane.
    """
    for top, rows, first_row, last_row in _spans(height, tile, overlap):
        for left, columns, first_column, last_column in _spans(width, tile, overlap):
            yield Window(top, left, rows, columns, first_row, last_row, first_column, last_column)


def _spans(size: int, tile: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    if size <= tile:
        yield 0, size, 0, size
        return
    kept = 0
    while kept < size:
        start = min(max(kept - overlap, 0), size - tile)
        end = size if start + tile == size else start + tile - overlap
        yield start, tile, kept - start, end - start
        kept = end
