"""Opinion scores: MOS and DMOS of conditions, differences between them, CMOS of pairs; in all and by category.

The unit is the rater: his ratings of a condition become one mean, and intervals and tests are over raters. So
what one person says twelve times counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from keenframe.study.analysis.ratings import Rater, matrix
from keenframe.study.analysis.statistics import (
    Estimate,
    Values,
    crossed_interval,
    estimate,
    holm,
    row_means,
    sign_flip_p,
)
from keenframe.study.design import ALL, REFERENCE, Method, Study


@dataclass(frozen=True, slots=True)
class Score:
    """MOS of a condition. wide: interval for other raters and other sources. dmos: against the hidden reference,
    where 5 means as good (ACR with hidden reference, P.913 of 06/2021, 7.2.2); None without a reference, and for it.
    """

    condition: str
    category: str
    mos: Estimate
    wide: tuple[float, float] | None
    dmos: Estimate | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher `first` is graded than `second` by the same raters. p: of a sign-flip test; p_holm:
    adjusted for all differences of the table."""

    first: str
    second: str
    mean: Estimate
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Preference:
    """CMOS of a pair: above 0 `first` is preferred. shares: of answers that preferred first, neither, second."""

    first: str
    second: str
    category: str
    cmos: Estimate
    wide: tuple[float, float] | None
    shares: tuple[float, float, float]
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class StimulusScore:
    """MOS of one source in one condition, over the raters who saw it."""

    source: str
    category: str
    condition: str
    mos: Estimate


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores of a study. order: mean grade of the second of a pair, whatever it was: 0 without a habit."""

    mos: list[Score]
    differences: list[Difference]
    cmos: list[Preference]
    stimuli: list[StimulusScore]
    order: Estimate | None
    categories: list[str]


def main_means(study: Study, raters: list[Rater]) -> dict[str, Estimate]:
    """MOS of each condition ("a") and CMOS of each pair ("a/b") over all sources, as `scores_of` has them."""
    sources = [source.id for source in study.rated]
    means = {}
    named: dict[Method, list[str]] = {
        "acr": study.condition_names,
        "ccr": ["/".join(pair) for pair in study.pairs],
    }
    for method in study.methods:
        for name in named[method]:
            mean = estimate(row_means(matrix(study, raters, method, name, sources)))
            if mean is not None:
                means[name] = mean
    return means


def scores_of(study: Study, raters: list[Rater]) -> Scores:
    """The scores by the ratings of `raters`."""
    categories = list(dict.fromkeys(source.category for source in study.rated))
    groups = {ALL: [source.id for source in study.rated]}
    if len(categories) > 1:
        groups |= {
            category: [source.id for source in study.rated if source.category == category]
            for category in sorted(categories)
        }
    order = [
        float(np.mean(grades))
        for rater in raters
        if (grades := [rating.given for rating in rater.of("ccr", "rated")])
    ]
    return Scores(
        mos=[score for name, ids in groups.items() for score in _mos(study, raters, name, ids)],
        differences=_differences(study, raters, groups[ALL]),
        cmos=[pair for name, ids in groups.items() for pair in _cmos(study, raters, name, ids)],
        stimuli=_stimuli(study, raters),
        order=estimate(order),
        categories=[name for name in groups if name != ALL],
    )


def _mos(study: Study, raters: list[Rater], category: str, sources: list[str]) -> list[Score]:
    if "acr" not in study.methods:
        return []
    grades = {name: matrix(study, raters, "acr", name, sources) for name in study.condition_names}
    scores = []
    for name, own in grades.items():
        mos = estimate(row_means(own))
        if mos is None:
            continue
        dmos = None
        if REFERENCE in grades and name != REFERENCE:
            dmos = estimate(row_means(own - grades[REFERENCE] + 5))
        scores.append(Score(name, category, mos, crossed_interval(own), dmos))
    return scores


def _differences(study: Study, raters: list[Rater], sources: list[str]) -> list[Difference]:
    if "acr" not in study.methods:
        return []
    grades = {name: matrix(study, raters, "acr", name, sources) for name in study.condition_names}
    rows: list[tuple[str, str, Estimate, float]] = []
    for first, second in combinations(study.condition_names, 2):
        # Only sources that a rater has graded in both conditions.
        own = row_means(grades[first] - grades[second])
        mean = estimate(own)
        if mean is not None:
            rows.append((first, second, mean, sign_flip_p(own)))
    adjusted = holm([row[3] for row in rows])
    return [Difference(*row, p_holm) for row, p_holm in zip(rows, adjusted, strict=True)]


def _cmos(study: Study, raters: list[Rater], category: str, sources: list[str]) -> list[Preference]:
    if "ccr" not in study.methods:
        return []
    rows: list[tuple[str, str, Values, Estimate, float]] = []
    for first, second in study.pairs:
        own = matrix(study, raters, "ccr", f"{first}/{second}", sources)
        means = row_means(own)
        mean = estimate(means)
        if mean is not None:
            rows.append((first, second, own, mean, sign_flip_p(means)))
    adjusted = holm([row[4] for row in rows])
    return [
        Preference(first, second, category, mean, crossed_interval(own), _shares(own), p, p_holm)
        for (first, second, own, mean, p), p_holm in zip(rows, adjusted, strict=True)
    ]


def _shares(grades: Values) -> tuple[float, float, float]:
    given = grades[~np.isnan(grades)]
    return float(np.mean(given > 0)), float(np.mean(given == 0)), float(np.mean(given < 0))


def _stimuli(study: Study, raters: list[Rater]) -> list[StimulusScore]:
    if "acr" not in study.methods:
        return []
    scores = []
    for source in study.rated:
        for name in study.condition_names:
            mos = estimate(matrix(study, raters, "acr", name, [source.id])[:, 0])
            if mos is not None:
                scores.append(StimulusScore(source.file, source.category, name, mos))
    return scores
