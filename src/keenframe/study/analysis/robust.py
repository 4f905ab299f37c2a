"""Whether the screening decides the result: the main means with nobody put out, and with more put out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keenframe.study.analysis.scores import main_means
from keenframe.study.analysis.screening import Verdict
from keenframe.study.analysis.statistics import Estimate
from keenframe.study.design import Study


@dataclass(frozen=True, slots=True)
class Screening:
    """Means under one screening. means: MOS by condition ("a"), CMOS by pair ("a/b"); raters: who counts in it."""

    name: str
    raters: int
    means: dict[str, Estimate]


def screenings(study: Study, verdicts: Sequence[Verdict]) -> list[Screening]:
    """Everybody who rated anything; the study's own rules, by which all else is reported; and these and the VQEG
    plan's limits as they stand."""
    chosen = {
        "nobody put out": [v for v in verdicts if any(rating.role == "rated" for rating in v.rater.ratings)],
        "these rules": [v for v in verdicts if v.kept],
        "and VQEG's limits": [v for v in verdicts if v.kept and not v.below_vqeg],
    }
    return [
        Screening(name, len(own), main_means(study, [verdict.rater for verdict in own]))
        for name, own in chosen.items()
    ]
