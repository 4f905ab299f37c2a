"""Whose ratings count. Every rule is fixed, named in the report, and applied without looking at conditions.

One rater at a time: too little answered, checks of screen and eyes, attention checks, known answers, speed,
repeated items. Then against each other, on the five-grade scale: correlation with the others, which comes from the
VQEG Multimedia test plan (Annex VI) and P.913, and the outlier count of ITU-R BT.500-12, Annex 2, 2.3.1.
docs/study.md says what of this was checked against which text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from keenframe.study.analysis.ratings import Rater, matrix
from keenframe.study.analysis.statistics import Values, pearson
from keenframe.study.design import Method, Study

ANSWERED_MIN = 0.5
TRAPS_MIN = 2 / 3
GOLDS_MIN = 2 / 3
HASTE_MS, HASTY_MAX = 400, 0.25
REPEATS_MIN = 2
# Wide: an honest grade varies by a step from one time to the next, and there are few repeats.
DRIFT_MAX: dict[Method, float] = {"acr": 2.0, "ccr": 3.0}
# VQEG Multimedia test plan, Annex VI: out is who correlates less than 0.75 by stimulus and less than 0.80 by
# condition. These were set for stimuli from bad to excellent. Where there is little to see, honest raters agree
# little, and the first limit would throw them out; so here it is half of what is usual in the study, and where hardly
# anybody agrees with anybody, correlation decides nothing. Who misses the limits as they stand is reported
# (`Verdict.below_vqeg`), with what the results would be without him.
R_STIMULUS_VQEG, R_CONDITION_MIN, R_OF_USUAL, R_USUAL_MIN = 0.75, 0.80, 0.5, 0.3
CORRELATED_MIN = 5
# BT.500-12, Annex 2, 2.3.1: grades beyond 2 deviations of a stimulus whose kurtosis is from 2 to 4, beyond the root
# of 20 deviations of another; out when they are more than 5 % of a rater's, and above and below differ by less than
# 30 % of them.
NORMAL_KURTOSIS, NORMAL_REACH, OTHER_REACH = (2.0, 4.0), 2.0, math.sqrt(20.0)
OUTLIER_SHARE, OUTLIER_SKEW = 0.05, 0.3

RULES = {
    "little": f"fewer than {ANSWERED_MIN:.0%} of the ratings given",
    "screen": "fewer than four of six faint digits read",
    "eyes": "letters of 2-pixel strokes not read",
    "control": "the plate that everybody sees misread",
    "traps": "fewer than two thirds of the attention checks right",
    "gold": "fewer than two thirds of the questions with a known answer right",
    "fast": f"more than {HASTY_MAX:.0%} of the grades within {HASTE_MS} ms of the end of looking",
    "unsteady": f"repeated items graded more than {DRIFT_MAX['acr']:g} (pairs: {DRIFT_MAX['ccr']:g}) apart on average",
    "correlation": f"correlation with the others below {R_CONDITION_MIN:.2f} by condition, and by stimulus below half "
    "of what is usual in this study",
    "outlier": f"more than {OUTLIER_SHARE:.0%} of the grades outside the range of the others, on both sides (BT.500)",
}


@dataclass(slots=True)
class Verdict:
    """What the rules say of a rater; `reasons` are keys of `RULES`, none when he counts.

    below_vqeg: whether he misses the VQEG plan's limits as they stand, which alone puts nobody out.
    """

    rater: Rater
    reasons: list[str] = field(default_factory=list)
    traps: tuple[int, int] = (0, 0)
    golds: tuple[int, int] = (0, 0)
    hasty: float = 0.0
    drift: dict[Method, float] = field(default_factory=dict)
    correlation: float | None = None
    below_vqeg: bool = False

    @property
    def kept(self) -> bool:
        return not self.reasons


def screen(study: Study, raters: list[Rater]) -> list[Verdict]:
    """A verdict for each rater, in the order given."""
    verdicts = [_alone(rater) for rater in raters]
    if "acr" in study.methods:
        _hold_to_vqeg(study, verdicts)
        _by_correlation(study, verdicts)
        _by_outliers(study, verdicts)
    return verdicts


def _alone(rater: Rater) -> Verdict:
    verdict = Verdict(rater)
    rated = [rating for rating in rater.ratings if rating.role == "rated"]
    if len(rated) < ANSWERED_MIN * rater.planned or not rated:
        verdict.reasons.append("little")
    for check, reason in (("ramp", "screen"), ("acuity", "eyes"), ("control", "control")):
        if not rater.checks.get(check, True):
            verdict.reasons.append(reason)
    verdict.traps, verdict.golds = _right(rater, "trap"), _right(rater, "gold")
    for (right, asked), least, reason in (
        (verdict.traps, TRAPS_MIN, "traps"),
        (verdict.golds, GOLDS_MIN, "gold"),
    ):
        if right < least * asked:
            verdict.reasons.append(reason)
    if rated:
        verdict.hasty = float(np.mean([rating.ms < rating.least_ms + HASTE_MS for rating in rated]))
        if verdict.hasty > HASTY_MAX:
            verdict.reasons.append("fast")
    methods: tuple[Method, ...] = ("acr", "ccr")
    for method in methods:
        drift = _drift(rater, method)
        if drift is not None:
            verdict.drift[method] = drift
    if any(drift > DRIFT_MAX[method] for method, drift in verdict.drift.items()):
        verdict.reasons.append("unsteady")
    return verdict


def _right(rater: Rater, role: str) -> tuple[int, int]:
    """How many control questions were answered right, and how many were asked."""
    asked = [rating for rating in rater.ratings if rating.role == role and rating.expects is not None]
    right = [r for r in asked if r.expects is not None and r.expects[0] <= r.given <= r.expects[1]]
    return len(right), len(asked)


def _drift(rater: Rater, method: Method) -> float | None:
    """Mean distance between the two grades of repeated items; None for fewer than two of them."""
    first = {(r.source, r.condition): r.value for r in rater.of(method, "rated")}
    again = rater.of(method, "repeat")
    apart = [abs(r.value - first[r.source, r.condition]) for r in again if (r.source, r.condition) in first]
    return float(np.mean(apart)) if len(apart) >= REPEATS_MIN else None


def _grades(study: Study, verdicts: list[Verdict]) -> tuple[Values, Values]:
    """(raters, stimuli) of ACR grades, and the index of each stimulus's condition, (stimuli,)."""
    sources = [source.id for source in study.rated]
    raters = [verdict.rater for verdict in verdicts]
    blocks = [matrix(study, raters, "acr", name, sources) for name in study.condition_names]
    conditions = np.repeat(np.arange(len(blocks)), len(sources)).astype(np.float64)
    return np.concatenate(blocks, axis=1), conditions


def _hold_to_vqeg(study: Study, verdicts: list[Verdict]) -> None:
    """The plan's own procedure on those who passed alone: once, against the mean of all, the rater included."""
    kept = [verdict for verdict in verdicts if verdict.kept]
    if len(kept) < CORRELATED_MIN:
        return
    grades, conditions = _grades(study, kept)
    for verdict, own in zip(kept, below_vqeg(grades, conditions), strict=True):
        verdict.below_vqeg = own


def below_vqeg(grades: Values, conditions: Values) -> list[bool]:
    """For each rater of (raters, stimuli) grades, NaN where missing, whether he misses both limits.

    conditions: (stimuli,), the condition of each. Correlation is Pearson's with the mean of all raters, by stimulus,
    and by condition after averaging; who gives one grade to everything correlates with nothing.
    """
    everybody = _column_means(grades)
    missed = []
    for own in grades:
        by_stimulus = pearson(own, everybody)
        by_condition = pearson(_means_of(own, conditions), _means_of(everybody, conditions))
        missed.append(not by_stimulus >= R_STIMULUS_VQEG and not by_condition >= R_CONDITION_MIN)
    return missed


def _by_correlation(study: Study, verdicts: list[Verdict]) -> None:
    """The worst is put out, then the others are compared anew, until none is below the limits."""
    kept = [verdict for verdict in verdicts if verdict.kept]
    while len(kept) >= CORRELATED_MIN:
        grades, conditions = _grades(study, kept)
        rows = []
        for index, verdict in enumerate(kept):
            others = _column_means(np.delete(grades, index, axis=0))
            by_stimulus = pearson(grades[index], others)
            by_condition = pearson(_means_of(grades[index], conditions), _means_of(others, conditions))
            verdict.correlation = None if math.isnan(by_stimulus) else by_stimulus
            # Who gives one grade to everything correlates with nothing.
            rows.append((0.0 if math.isnan(by_stimulus) else by_stimulus, by_condition, verdict))
        usual = float(np.median([row[0] for row in rows]))
        if usual < R_USUAL_MIN:
            return
        low = [
            (by_stimulus, verdict)
            for by_stimulus, by_condition, verdict in rows
            if by_stimulus < R_OF_USUAL * usual and not by_condition >= R_CONDITION_MIN
        ]
        if not low:
            return
        worst = min(low, key=lambda pair: pair[0])[1]
        worst.reasons.append("correlation")
        kept.remove(worst)


def _by_outliers(study: Study, verdicts: list[Verdict]) -> None:
    """BT.500-12, Annex 2, 2.3.1, with each rater's own number of grades in place of a full session's."""
    kept = [verdict for verdict in verdicts if verdict.kept]
    if len(kept) < CORRELATED_MIN:
        return
    grades, _ = _grades(study, kept)
    above, below, count = outlier_counts(grades)
    for index, verdict in enumerate(kept):
        total = above[index] + below[index]
        if count[index] and total / count[index] > OUTLIER_SHARE:
            skew = abs(above[index] - below[index]) / total
            if skew < OUTLIER_SKEW:
                verdict.reasons.append("outlier")


def outlier_counts(grades: Values) -> tuple[Values, Values, Values]:
    """For each rater of (raters, stimuli) grades, NaN where missing: how many lie above and below the range of
    their stimulus (P and Q of BT.500-12, Annex 2, 2.3.1), and how many there are.

    The deviation divides by the raters less one, the moments of the kurtosis by the raters; a stimulus that all grade
    alike has no range.
    """
    present = ~np.isnan(grades)
    number = np.maximum(present.sum(axis=0), 1)
    filled = np.where(present, grades, 0.0)
    mean = filled.sum(axis=0) / number
    apart = np.where(present, grades - mean, 0.0)
    second = (apart**2).sum(axis=0) / number
    fourth = (apart**4).sum(axis=0) / number
    kurtosis = np.divide(fourth, second**2, out=np.full_like(second, 3.0), where=second > 0)
    deviation = np.sqrt((apart**2).sum(axis=0) / np.maximum(number - 1, 1))
    low, high = NORMAL_KURTOSIS
    reach = np.where((kurtosis >= low) & (kurtosis <= high), NORMAL_REACH, OTHER_REACH) * deviation
    spread = second > 0
    above = (present & spread & (apart >= reach)).sum(axis=1).astype(np.float64)
    below = (present & spread & (apart <= -reach)).sum(axis=1).astype(np.float64)
    return above, below, present.sum(axis=1).astype(np.float64)


def _column_means(grades: Values) -> Values:
    present = ~np.isnan(grades)
    number = present.sum(axis=0)
    sums = np.where(present, grades, 0.0).sum(axis=0)
    return np.where(number > 0, sums / np.maximum(number, 1), np.nan)


def _means_of(values: Values, conditions: Values) -> Values:
    """Mean of the values of each condition; NaN where there are none."""
    means = []
    for condition in np.unique(conditions):
        own = values[conditions == condition]
        own = own[~np.isnan(own)]
        means.append(own.mean() if own.size else np.nan)
    return np.asarray(means)
