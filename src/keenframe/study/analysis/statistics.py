"""The statistics that opinion scores need, in numpy: intervals, tests that assume little, correction for many.

Everything drawn at random has a fixed seed, so an analysis gives the same numbers each time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LEVEL = 0.95
SEED = 20240
# All sign patterns up to 2^14 are gone through; beyond that, this many random ones.
_EXACT_MAX, FLIPS = 14, 20_000
RESAMPLES = 2_000
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over raters. low, high: its 95 % interval, None for fewer than two. count: raters."""

    mean: float
    low: float | None
    high: float | None
    count: int


def t_cdf(t: float, freedom: int) -> float:
    """Student's distribution function, by quadrature; within 1e-9 for |t| up to 1000 and any freedom from 1.

    With t = sqrt(freedom) * tan(angle) the density becomes a power of the cosine on a bounded range.
    """
    end = math.atan2(abs(t), math.sqrt(freedom))
    # The cosine's power falls off within some 1/sqrt(freedom): what lies beyond 12 of these adds nothing.
    end = min(end, 12 / math.sqrt(freedom))
    angles = end * (_NODES + 1) / 2
    area = end / 2 * float(np.sum(_WEIGHTS * np.cos(angles) ** (freedom - 1)))
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return 0.5 + math.copysign(scale * area, t)


@lru_cache(maxsize=512)
def t_quantile(probability: float, freedom: int) -> float:
    """The t below which `probability` (0.5 to 0.9999) of Student's distribution lies."""
    low, high = 0.0, 10_000.0
    for _ in range(100):
        middle = (low + high) / 2
        if t_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def estimate(values: Sequence[float] | Values) -> Estimate | None:
    """Mean and Student interval of one value per rater; None for no values. NaN are left out."""
    given = np.asarray(values, np.float64)
    given = given[~np.isnan(given)]
    if given.size == 0:
        return None
    mean = float(given.mean())
    if given.size < 2:
        return Estimate(mean, None, None, 1)
    half = t_quantile(0.5 + LEVEL / 2, given.size - 1) * float(given.std(ddof=1)) / math.sqrt(given.size)
    return Estimate(mean, mean - half, mean + half, int(given.size))


def sign_flip_p(differences: Sequence[float] | Values) -> float:
    """Two-sided p of the hypothesis that differences, one per rater, are symmetric about 0.

    A permutation test: how often random signs give a mean at least as far from 0. Exact up to 14 values; never
    0, since the signs as they are count. 1.0 for no values.
    """
    given = np.asarray(differences, np.float64)
    given = given[~np.isnan(given)]
    if given.size == 0:
        return 1.0
    if given.size <= _EXACT_MAX:
        signs = np.array(list(product((-1.0, 1.0), repeat=given.size)))
    else:
        random = np.random.default_rng(SEED)
        signs = random.choice((-1.0, 1.0), size=(FLIPS, given.size))
        signs[0] = 1.0
    sums = np.abs(signs @ given)
    # Sums that are equal but for rounding are equal.
    return float(np.mean(sums >= abs(float(given.sum())) - 1e-9))


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for their number, by Holm's step-down method, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def crossed_interval(matrix: Values) -> tuple[float, float] | None:
    """95 % interval of the mean of rater means, for other raters and other sources than these.

    matrix: (raters, sources), NaN where nobody rated. Both are drawn anew, with replacement; percentiles of
    2,000 draws. None for fewer than two of either.
    """
    raters, sources = matrix.shape
    if raters < 2 or sources < 2:
        return None
    random = np.random.default_rng(SEED)
    means = []
    for _ in range(RESAMPLES):
        rows = random.integers(raters, size=raters)
        columns = random.integers(sources, size=sources)
        drawn = matrix[np.ix_(rows, columns)]
        present = ~np.isnan(drawn)
        counts = present.sum(axis=1)
        kept = counts > 0
        if kept.any():
            sums = np.where(present, drawn, 0.0).sum(axis=1)
            means.append(float(np.mean(sums[kept] / counts[kept])))
    low, high = np.quantile(means, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)


def pearson(first: Values, second: Values) -> float:
    """Linear correlation of the places where both have a value; NaN when one of them does not vary."""
    both = ~(np.isnan(first) | np.isnan(second))
    if both.sum() < 3:
        return math.nan
    x, y = first[both] - first[both].mean(), second[both] - second[both].mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size > 0 else math.nan


def row_means(matrix: Values) -> Values:
    """Mean of each row's values; NaN for rows without any."""
    present = ~np.isnan(matrix)
    counts = present.sum(axis=1)
    sums = np.where(present, matrix, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
