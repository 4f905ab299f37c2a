"""The tail of many values: a mean hides the few that went wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def worst_mean(values: Sequence[float], share: float = 0.01) -> float:
    """Mean of the lowest `share` of the values, of at least one; NaN of none."""
    if not len(values):
        return float("nan")
    count = max(1, math.ceil(share * len(values) - 1e-9))
    return float(np.sort(np.asarray(values, np.float64))[:count].mean())


def share_above(values: Sequence[float], threshold: float = 0.9) -> float:
    """Share of values above a threshold, 0-1; NaN of none."""
    return float(np.mean(np.asarray(values, np.float64) > threshold)) if len(values) else float("nan")
