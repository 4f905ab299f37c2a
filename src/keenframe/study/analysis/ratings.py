"""Answers with their meaning: who rated what, in which role, and how the checks went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keenframe.study.analysis.statistics import Values
from keenframe.study.database import Record
from keenframe.study.design import Method, Study
from keenframe.study.plan import Role, Step
from keenframe.study.steps import passed, smallest_stroke


@dataclass(frozen=True, slots=True)
class Rating:
    """One judgement. condition: of one stimulus; for a pair "a/b" (empty for control questions). value: a grade;
    for a rated pair how much better a is than b, whatever the order. ms: from first sight to confirmation.
    least_ms: what looking took at least. given: the grade as it was given, the second against the first."""

    step: int
    method: Method
    role: Role
    source: str
    condition: str
    value: int
    given: int
    ms: int
    least_ms: int
    replays: int
    scale: float
    expects: tuple[int, int] | None


@dataclass(slots=True)
class Rater:
    """One person, or one program that says so. name: as in exports. planned: ratings that count in his session."""

    name: str
    simulated: bool
    planned: int
    finished: bool
    ratings: list[Rating] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    stroke: int | None = None
    about: dict[str, str] = field(default_factory=dict)
    screen: dict[str, Any] = field(default_factory=dict)

    def of(self, method: Method, *roles: Role) -> list[Rating]:
        """The ratings by one method in some roles."""
        return [r for r in self.ratings if r.method == method and r.role in roles]


# The page shows each stimulus for so long before it takes a grade, with a gap before the second of a pair.
_LOOK_MS, _GAP_MS = 700, 250


def raters_of(study: Study, records: Iterable[Record]) -> list[Rater]:
    """Everyone who started, with all that he answered."""
    return [_rater(study, record) for record in records]


def _rater(study: Study, record: Record) -> Rater:
    planned = sum(step["role"] == "rated" for step in record.steps)
    rater = Rater(record.name, record.simulated, planned, len(record.answers) == len(record.steps))
    for number, body, _ in record.answers:
        step = record.steps[number]
        kind = step["kind"]
        if kind in ("acr", "ccr"):
            rater.ratings.append(_rating(study, number, step, body))
        elif kind == "about":
            rater.about = body["value"]
        elif kind == "screen":
            rater.screen = body["value"]
        elif (good := passed(study, step, body["value"])) is not None:
            name: str = kind
            if kind == "plate":
                name = "control" if study.sheets[step["sheet"]].control else "colour"
            if kind == "acuity":
                rater.stroke = smallest_stroke(step, body["value"])
            # Of several plates, one may be misread.
            rater.checks[name] = good or (name == "colour" and rater.checks.get(name, False))
    return rater


def _rating(study: Study, number: int, step: Step, body: dict[str, Any]) -> Rating:
    method: Method = "acr" if step["kind"] == "acr" else "ccr"
    items = [study.stimulus(id) for id in step["items"]]
    given = int(body["value"])
    condition, value = items[0].condition, given
    if method == "ccr":
        pair = step.get("pair")
        condition = "/".join(pair) if pair else ""
        # The grade is of the second; a is the second one when the pair was swapped.
        value = given if step.get("swapped", True) else -given
    least = sum(max(_LOOK_MS, round(1000 * item.seconds)) for item in items) + _GAP_MS * (len(items) - 1)
    expects = step.get("expects")
    return Rating(
        number,
        method,
        step["role"],
        items[0].source,
        condition,
        value,
        given,
        int(body["ms"]),
        least,
        int(body.get("replays", 0)),
        float(body.get("scale", 1.0)),
        (expects[0], expects[1]) if expects else None,
    )


def matrix(study: Study, raters: list[Rater], method: Method, condition: str, sources: list[str]) -> Values:
    """(raters, sources) of the rated values in one condition or pair; NaN where there is none."""
    values = np.full((len(raters), len(sources)), np.nan)
    place = {source: index for index, source in enumerate(sources)}
    for row, rater in enumerate(raters):
        for rating in rater.of(method, "rated"):
            if rating.condition == condition and rating.source in place:
                values[row, place[rating.source]] = rating.value
    return values
