"""Edit distances with known answers, and the tails of known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keenframe.metrics import (
    character_error_rate,
    edit_distance,
    mean_interval,
    share_above,
    worst_mean,
)


@pytest.mark.parametrize(
    ("one", "two", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("intention", "execution", 5),
        ("größe", "grosse", 3),
    ],
)
def test_known_distances(one: str, two: str, distance: int) -> None:
    assert edit_distance(one, two) == edit_distance(two, one) == distance


def plain_distance(one: str, two: str) -> int:
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (a != b))
    return row[-1]


@settings(max_examples=60, deadline=None)
@given(one=st.text("abc ", max_size=30), two=st.text("abc ", max_size=30))
def test_it_is_the_textbooks_distance(one: str, two: str) -> None:
    assert edit_distance(one, two) == plain_distance(one, two)


def test_the_error_rate_is_per_character_of_the_truth() -> None:
    assert character_error_rate("The quick\nbrown fax ", "The quick  brown fox") == pytest.approx(1 / 19)
    assert character_error_rate("", "abc") == 1
    assert character_error_rate("abc" * 50, "abc") == 1
    assert character_error_rate(" \n", "") == 0 and character_error_rate("a", "") == 1


def test_the_worst_hundredth() -> None:
    values = list(range(1000))
    assert worst_mean(values) == pytest.approx(4.5)
    assert worst_mean([30.0, 20.0, 40.0]) == 20.0
    assert worst_mean(values[:101]) == 0.5  # a hundredth of 101 is more than one
    assert np.isnan(worst_mean([]))


def test_share_above() -> None:
    assert share_above([0.8, 0.9, 0.91, 0.99]) == 0.5
    assert np.isnan(share_above([]))


def test_the_interval_of_a_mean_is_scipys_bootstrap() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(3).gamma(2.0, 1.0, 80)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    low, high = mean_interval(list(values))
    assert (low, high) == (pytest.approx(expected.low, abs=0.02), pytest.approx(expected.high, abs=0.02))
    # Of many values it is the normal one: 1.96 standard errors.
    many = np.random.default_rng(5).normal(1.0, 2.0, 5000)
    low, high = mean_interval(list(many))
    assert high - low == pytest.approx(2 * 1.96 * many.std() / 5000**0.5, rel=0.05)
    assert mean_interval(list(many)) == (low, high)
    assert mean_interval([2.0] * 7) == (2.0, 2.0)
    assert np.isnan(mean_interval([1.0, 2.0, 3.0, 4.0])).all()
