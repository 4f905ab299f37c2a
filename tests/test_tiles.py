from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keenframe.tiles import windows


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(5, 20), st.integers(0, 4))
def test_windows_cover_the_plane_once_and_see_enough(
    rows: int, columns: int, tile: int, overlap: int
) -> None:
    height, width, tile, overlap = 4 * rows, 4 * columns, 4 * max(tile, 2 * overlap + 1), 4 * overlap
    covered = np.zeros((height, width), int)
    sizes = set()
    for window in windows(height, width, tile, overlap):
        sizes.add((window.height, window.width))
        top, bottom = window.top + window.first_row, window.top + window.last_row
        left, right = window.left + window.first_column, window.left + window.last_column
        covered[top:bottom, left:right] += 1
        assert 0 <= window.top <= top and bottom <= window.top + window.height <= height
        assert top - window.top >= overlap or window.top == 0
        assert left - window.left >= overlap or window.left == 0
        assert window.top + window.height - bottom >= overlap or window.top + window.height == height
        assert window.left + window.width - right >= overlap or window.left + window.width == width
        assert all(value % 4 == 0 for value in (top, bottom, left, right, window.top, window.left))
    assert (covered == 1).all()
    assert sizes == {(min(height, tile), min(width, tile))}
