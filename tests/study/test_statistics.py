"""Known answers, by hand and by scipy, which the runtime does without."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keenframe.study.analysis.statistics import (
    crossed_interval,
    estimate,
    holm,
    pearson,
    row_means,
    sign_flip_p,
    t_cdf,
    t_quantile,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 5, 23, 100, 3000])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.999])
def test_student_is_scipys(freedom: int, probability: float) -> None:
    expected = stats.t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-7)
    assert t_cdf(expected, freedom) == pytest.approx(probability, abs=1e-9)
    assert t_cdf(-expected, freedom) == pytest.approx(1 - probability, abs=1e-9)


def test_a_table_value() -> None:
    assert t_quantile(0.975, 23) == pytest.approx(2.0687, abs=5e-5)


def test_interval_by_hand() -> None:
    # Mean 3, standard deviation 1, four raters: 3.1824 * 1 / 2.
    values = [3 - math.sqrt(1.5), 3.0, 3.0, 3 + math.sqrt(1.5)]
    found = estimate([*values, math.nan])
    assert found is not None and found.low is not None and found.high is not None
    assert (found.mean, found.count) == (pytest.approx(3.0), 4)
    assert found.high - found.mean == pytest.approx(3.1824 / 2, abs=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_too_few_for_an_interval() -> None:
    assert estimate([]) is None
    alone = estimate([4.0])
    assert alone is not None and (alone.mean, alone.low, alone.high, alone.count) == (4.0, None, None, 1)


def test_sign_flips_by_hand() -> None:
    # Five differences of one sign: 2 of 32 patterns are as far from 0.
    assert sign_flip_p([1, 2, 1, 3, 1]) == 2 / 32
    assert sign_flip_p([1, -1]) == 1.0
    assert sign_flip_p([]) == 1.0
    assert sign_flip_p([0, 0, 0]) == 1.0


def test_sign_flips_are_scipys_permutation_test() -> None:
    random = np.random.default_rng(4)
    for size in (9, 30):
        values = random.normal(0.25, 1, size)
        theirs = stats.permutation_test(
            (values, np.zeros(size)),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            n_resamples=20_000,
            vectorized=True,
            random_state=1,
        ).pvalue
        assert sign_flip_p(values) == pytest.approx(theirs, abs=0.02)


def test_sign_flips_keep_their_level() -> None:
    """Where nothing differs, about 5 % of the tests say p < 0.05."""
    random = np.random.default_rng(5)
    found = np.mean([sign_flip_p(random.normal(0, 1, 12)) < 0.05 for _ in range(300)])
    assert 0.02 <= found <= 0.09


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_pearson_is_numpys_where_both_are_known() -> None:
    x = np.array([1.0, 2.0, 4.0, math.nan, 3.0])
    y = np.array([2.0, 1.0, 5.0, 3.0, math.nan])
    assert pearson(x, y) == pytest.approx(np.corrcoef([1, 2, 4], [2, 1, 5])[0, 1])
    assert math.isnan(pearson(np.ones(4), np.arange(4.0)))
    assert math.isnan(pearson(x[:2], y[:2]))


def test_the_crossed_interval_is_wider_where_sources_differ() -> None:
    random = np.random.default_rng(6)
    raters, sources = random.normal(0, 0.2, (20, 1)), random.normal(0, 1, (1, 8))
    matrix = 3 + raters + sources + random.normal(0, 0.2, (20, 8))
    matrix[0, :4] = math.nan
    inner = estimate(row_means(matrix))
    outer = crossed_interval(matrix)
    assert inner is not None and outer is not None and inner.low is not None and inner.high is not None
    assert outer[0] < inner.low < inner.high < outer[1]
    # The mean of eight sources of standard deviation 1: 1.96 / sqrt(8) to either side, give or take the draw.
    assert outer[1] - outer[0] == pytest.approx(2 * 1.96 * sources.std() / math.sqrt(8), rel=0.25)
    assert crossed_interval(matrix) == outer
    assert crossed_interval(matrix[:, :1]) is None
