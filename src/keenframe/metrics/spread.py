"""The spread of many values: a mean hides the few that went wrong, and how much hung on which items were there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# Of fewer items, drawing them anew says too little.
INTERVAL_MIN = 5
_DRAWS, _LEVEL, _SEED = 4000, 0.95, 20240
_AT_ONCE = 2_000_000  # values drawn at a time: 16 MB


def worst_mean(values: Sequence[float], share: float = 0.01) -> float:
    """Mean of the lowest `share` of the values, of at least one; NaN of none."""
    if not len(values):
        return float("nan")
    count = max(1, math.ceil(share * len(values) - 1e-9))
    return float(np.sort(np.asarray(values, np.float64))[:count].mean())


def share_above(values: Sequence[float], threshold: float = 0.9) -> float:
    """Share of values above a threshold, 0-1; NaN of none."""
    return float(np.mean(np.asarray(values, np.float64) > threshold)) if len(values) else float("nan")


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean for other items like these: percentiles of 4,000 bootstrap draws, the same each time.

    NaN, NaN of fewer than five values.
    """
    given = np.asarray(values, np.float64)
    if given.size < INTERVAL_MIN:
        return float("nan"), float("nan")
    random = np.random.default_rng(_SEED)
    means: list[float] = []
    while len(means) < _DRAWS:
        draws = min(_DRAWS - len(means), max(1, _AT_ONCE // given.size))
        means.extend(given[random.integers(given.size, size=(draws, given.size))].mean(axis=1))
    low, high = np.quantile(means, [0.5 - _LEVEL / 2, 0.5 + _LEVEL / 2])
    return float(low), float(high)
