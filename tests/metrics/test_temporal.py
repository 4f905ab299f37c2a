"""Flicker and motion on clips whose motion and errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import picture
from keenframe.errors import InputError
from keenframe.metrics import Flicker, motion, moved
from keenframe.metrics.temporal import NOWHERE

SCENE = picture(160, 240, seed=5)[..., 0]


def window(left: int, top: int = 16) -> np.ndarray:
    """(96, 128) uint8 of the scene."""
    return SCENE[top : top + 96, left : left + 128]


def flicker(outputs: list[np.ndarray], references: list[np.ndarray]) -> float:
    total = Flicker()
    for output, reference in zip(outputs, references, strict=True):
        total.add(output, reference)
    return total.value


def test_a_still_error_does_not_flicker_whatever_the_scene_does() -> None:
    references = [window(10 * index) // 2 for index in range(4)]
    assert flicker([plane + 60 for plane in references], references) == 0


def test_an_alternating_error_flickers_by_twice_its_size() -> None:
    references = [window(0) // 2 + 30] * 6
    outputs = [plane + 3 if index % 2 else plane - 3 for index, plane in enumerate(references)]
    assert flicker(outputs, references) == pytest.approx(6)


def test_an_error_that_moves_with_the_scene_is_no_flicker_along_the_motion() -> None:
    stain = np.random.default_rng(1).integers(0, 12, SCENE.shape, np.uint8)
    total = Flicker()
    before = None
    for left in (0, 3, 6, 9):
        reference = window(left) // 2
        output = reference + stain[16:112, left : left + 128]
        total.add(output, reference, None if before is None else motion(before, reference))
        before = reference
    assert total.value > 2
    assert total.along_motion == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("shift", [(0, 0), (0, -3), (5, 2), (-9, 9)])
def test_motion_is_found(shift: tuple[int, int]) -> None:
    before = SCENE[20:116, 20:148]
    after = SCENE[20 + shift[0] : 116 + shift[0], 20 + shift[1] : 148 + shift[1]]
    vectors = motion(before, after)
    assert vectors.shape == (6, 8, 2)
    inner = vectors[1:-1, 1:-1].reshape(-1, 2)
    assert (inner == shift).all(axis=1).mean() > 0.9
    carried, known = moved(before, vectors)
    assert np.array_equal(carried[known & (carried == after)], after[known & (carried == after)])
    assert (carried == after)[16:-16, 16:-16].mean() > 0.9


def test_what_is_new_was_nowhere() -> None:
    other = picture(96, 128, seed=9)[..., 1]
    vectors = motion(255 - window(0), other)
    assert (vectors == NOWHERE).all(axis=2).mean() > 0.5
    total = Flicker()
    total.add(window(0), window(0))
    total.add(other, other, np.full((6, 8, 2), NOWHERE))
    assert np.isnan(total.along_motion) and total.value == 0


def test_one_frame_has_no_flicker() -> None:
    total = Flicker()
    assert np.isnan(total.value)
    total.add(window(0), window(0))
    assert np.isnan(total.value) and np.isnan(total.along_motion)
    with pytest.raises(InputError, match="of one shape"):
        total.add(window(0), window(0)[:50])
