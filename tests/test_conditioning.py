from __future__ import annotations

import numpy as np
import pytest

from conftest import picture
from keenframe.condition import CONDITION_SIZE, band_statistics, dct_matrix
from keenframe.conditioning import INTERVAL, ConditionTracker


def luma(seed: int = 0, contrast: float = 1.0, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    plane = picture(*size, seed)[:, :, 1].astype(float)
    return np.rint(128 + contrast * (plane - 128)).clip(0, 255).astype(np.uint8)


def test_the_dct_is_orthonormal() -> None:
    basis = dct_matrix(8)
    np.testing.assert_allclose(basis @ basis.T, np.eye(8), atol=1e-6)


def test_statistics_are_those_of_the_definition() -> None:
    plane = luma(size=(45, 77))
    basis = dct_matrix(8).astype(np.float64)
    blocks = plane[:40, :72].reshape(5, 8, 9, 8).swapaxes(1, 2).reshape(-1, 8, 8).astype(np.float64)
    bands = (basis @ blocks @ basis.T).reshape(-1, 64)
    bands[:, 0] -= bands[:, 0].mean()
    expected = np.log(np.concatenate([np.abs(bands).mean(0), np.sqrt((bands**2).mean(0))]) + 0.5)
    statistics = band_statistics(plane)
    assert statistics.shape == (CONDITION_SIZE,) and statistics.dtype == np.float32
    np.testing.assert_allclose(statistics, expected, atol=1e-3)


def test_a_plane_without_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="64x7"):
        band_statistics(np.zeros((7, 64), np.uint8))


def test_a_steady_stream_is_looked_at_now_and_then_and_smoothed() -> None:
    tracker = ConditionTracker()
    first = tracker.update(luma(0))
    np.testing.assert_array_equal(first, band_statistics(luma(0)))
    changed = luma(0, contrast=0.8)
    for _ in range(INTERVAL - 1):
        np.testing.assert_array_equal(tracker.update(changed), first)
    smoothed = tracker.update(changed)
    target = band_statistics(changed)
    assert 0 < np.abs(smoothed - first).mean() < np.abs(target - first).mean()
    for _ in range(20 * INTERVAL):
        smoothed = tracker.update(changed)
    np.testing.assert_allclose(smoothed, target, atol=0.01)


def test_a_cut_and_a_new_size_start_anew() -> None:
    tracker = ConditionTracker()
    for _ in range(INTERVAL):
        tracker.update(luma(0, contrast=0.1))
    np.testing.assert_array_equal(tracker.update(luma(1)), band_statistics(luma(1)))
    small = luma(2, size=(48, 64))
    np.testing.assert_array_equal(tracker.update(small), band_statistics(small))


def test_reset_forgets() -> None:
    tracker = ConditionTracker()
    tracker.update(luma(0))
    tracker.reset()
    np.testing.assert_array_equal(tracker.update(luma(1)), band_statistics(luma(1)))
