from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keenframe.study.analysis.ratings import matrix, raters_of
from keenframe.study.analysis.robust import screenings
from keenframe.study.analysis.screening import RULES, below_vqeg, outlier_counts, screen
from keenframe.study.database import Record
from keenframe.study.design import Study
from keenframe.study.plan import Step, session
from raters import Taste, reply, taste

QUALITY = {"reference": 4.4, "unsharp:2": 3.4, "input": 2.4}


def record(study: Study, index: int, own: Taste | None = None) -> Record:
    steps = session(study, index)
    own = own or taste(index, QUALITY, seed=3)
    answers = [(number, reply(study, step, own), float(number)) for number, step in enumerate(steps)]
    return Record(index, False, index, steps, answers)


def changed(record: Record, **by_kind: Any) -> Record:
    """The record with other answers: a function of (step, body) for a kind or a role."""
    answers = []
    for number, body, after in record.answers:
        step = record.steps[number]
        change = by_kind.get(step["role"], by_kind.get(step["kind"], lambda step, body: {}))
        answers.append((number, {**body, **change(step, body)}, after))
    return Record(record.rater, False, record.position, record.steps, answers)


def reasons(study: Study, odd: Record) -> list[str]:
    """Why `odd` is put out among eleven honest raters; nobody else is."""
    others = [record(study, index) for index in range(1, 12)]
    verdicts = screen(study, raters_of(study, [odd, *others]))
    assert all(verdict.kept for verdict in verdicts[1:])
    return verdicts[0].reasons


def wrong(step: Step, body: dict[str, Any]) -> dict[str, Any]:
    low, high = step["expects"]
    scale = range(1, 6) if step["kind"] == "acr" else range(-3, 4)
    return {"value": next(grade for grade in scale if not low <= grade <= high)}


def test_an_honest_rater_counts(study: Study) -> None:
    assert reasons(study, record(study, 0)) == []


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("traps", {"trap": wrong}),
        ("gold", {"gold": wrong}),
        ("fast", {"rated": lambda step, body: {"ms": 750 if step["kind"] == "acr" else 1700}}),
        ("screen", {"ramp": lambda step, body: {"value": "1"}}),
        ("eyes", {"acuity": lambda step, body: {"value": ["none"] * 10}}),
        ("control", {"plate": lambda step, body: {"value": ""}}),
        (
            "unsteady",
            {"repeat": lambda step, body: {"value": -body["value"] * 3 if step["kind"] == "ccr" else 1}},
        ),
    ],
)
def test_each_rule_finds_what_it_is_for(study: Study, reason: str, change: dict[str, Any]) -> None:
    assert reason in RULES
    odd = changed(record(study, 0), **change)
    found = reasons(study, odd)
    if reason == "unsteady" and not found:
        pytest.fail("repeats three grades apart were passed over")
    assert found == [reason]


def test_little_is_not_enough(study: Study) -> None:
    whole = record(study, 0)
    assert reasons(study, Record(0, False, 0, whole.steps, whole.answers[:20])) == ["little"]


def test_colour_plates_put_nobody_out(study: Study) -> None:
    def blind(step: Step, body: dict[str, Any]) -> dict[str, Any]:
        return {} if study.sheets[step["sheet"]].control else {"value": ""}

    odd = changed(record(study, 0), plate=blind)
    assert reasons(study, odd) == []
    (rater,) = raters_of(study, [odd])
    assert rater.checks == {"ramp": True, "control": True, "colour": False, "acuity": True}


@pytest.mark.parametrize("grade", [lambda value: 6 - value, lambda value: 3], ids=["opposite", "always 3"])
def test_who_agrees_with_nobody_is_out_by_correlation(study: Study, grade: Callable[[int], int]) -> None:
    def other(step: Step, body: dict[str, Any]) -> dict[str, Any]:
        return {"value": grade(body["value"])} if step["kind"] == "acr" else {}

    assert reasons(study, changed(record(study, 0), rated=other, repeat=other)) == ["correlation"]


def test_nobody_is_out_because_there_is_nothing_to_see(study: Study) -> None:
    """All conditions alike: honest raters correlate with nobody, and stay."""
    flat = dict.fromkeys(QUALITY, 3.0)
    records = [record(study, index, taste(index, flat, seed=8)) for index in range(20)]
    verdicts = screen(study, raters_of(study, records))
    assert sum(verdict.kept for verdict in verdicts) >= 17


def test_outliers_are_counted_as_bt_500_says() -> None:
    """Against the recommendation's own steps, one stimulus after the other, with scipy's kurtosis."""
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    grades = 3 + random.normal(0, 0.8, (24, 40))
    grades[-1, ::2], grades[-1, 1::2] = 5.4, 0.6
    grades[0, 3] = grades[5, 7] = math.nan
    above, below, count = outlier_counts(grades)
    expected = np.zeros((2, 24))
    for column in grades.T:
        given = column[~np.isnan(column)]
        normal = 2 <= stats.kurtosis(given, fisher=False) <= 4
        reach = (2 if normal else math.sqrt(20)) * given.std(ddof=1)
        expected[0] += column >= given.mean() + reach
        expected[1] += column <= given.mean() - reach
    assert (above == expected[0]).all() and (below == expected[1]).all()
    assert above[-1] > 10 and below[-1] > 10
    assert (count[0], count[1]) == (39, 40)
    assert all(part.sum() == 0 for part in outlier_counts(np.full((5, 3), 4.0))[:2])


def test_ranges_of_bt_500_by_hand() -> None:
    """Kurtosis and ranges worked out on paper."""
    # Ten raters, one at 5, nine at 3: mean 3.2, moments 0.36 and 1.0512, kurtosis 8.1, deviation 0.632. Beyond the
    # root of 20 of these, 2.83, lies nobody; beyond 2 of them, 1.26, the one would.
    one_far = np.array([[5.0]] + [[3.0]] * 9)
    assert [part.tolist() for part in outlier_counts(one_far)[:2]] == [[0.0] * 10, [0.0] * 10]
    # 1, 2, 2, 3, 3, 3, 3, 4, 4, 5 has mean 3, moments 1.2 and 3.6, kurtosis 2.5, deviation 1.155; 2 of these are
    # 2.31, so 1 and 5 lie within. With two more at 3 the deviation is 1.044, 2 of it 2.09; with four more 0.961: 1.92.
    spread = [1.0, 2, 2, 3, 3, 3, 3, 4, 4, 5]
    for more, outside in ((0, 0.0), (2, 0.0), (4, 1.0)):
        above, below, count = outlier_counts(np.array(spread + [3.0] * more)[:, None])
        assert (above[9], below[0]) == (outside, outside), more
        assert above.sum() == below.sum() == outside and (count == 1).all()


def test_the_limits_of_vqeg_as_they_stand() -> None:
    """Three conditions of four stimuli each; correlations with the mean of all, as numpy has them."""
    conditions = np.repeat([0.0, 1.0, 2.0], 4)
    truth = np.array([1.0, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5])
    shifts = [0.0, 0.5, -0.5, 0.2, 0.0]
    # One sees the conditions and not the stimuli, one grades all alike, one the wrong way round.
    turned = truth.reshape(3, 4)[:, ::-1].ravel()
    grades = np.array([*(truth + shift for shift in shifts), turned, np.full(12, 3.0), 6 - truth])
    everybody = grades.mean(axis=0)
    by_stimulus = [np.corrcoef(own, everybody)[0, 1] for own in grades if own.std()]
    assert by_stimulus[0] > 0.75 and by_stimulus[-1] < -0.75
    assert below_vqeg(grades, conditions) == [False] * 6 + [True, True]
    # Missing one of the two limits puts nobody out: low by stimulus, but the order of the conditions is right.
    noisy = np.array([4.0, 1, 1, 1, 5, 1, 1, 4, 5, 5, 1, 3])
    assert np.corrcoef(noisy, truth)[0, 1] < 0.75
    assert below_vqeg(np.array([truth] * 9 + [noisy]), conditions)[-1] is False


def test_other_screenings_are_set_beside_the_studys_own(study: Study) -> None:
    def upside_down(step: Step, body: dict[str, Any]) -> dict[str, Any]:
        return {"value": 6 - body["value"]} if step["kind"] == "acr" else {}

    odd = changed(record(study, 0), rated=upside_down, repeat=upside_down)
    records = [odd, *(record(study, index) for index in range(1, 12))]
    everybody, own, limits = screenings(study, screen(study, raters_of(study, records)))
    assert (everybody.raters, own.raters, limits.raters) == (12, 11, 11)
    names = {*study.condition_names, *("/".join(pair) for pair in study.pairs)}
    assert set(everybody.means) == set(own.means) == names
    assert everybody.means["reference"].mean < own.means["reference"].mean
    assert everybody.means["input"].mean > own.means["input"].mean
    assert own.means["reference"] == limits.means["reference"]


def test_ratings_mean_the_same_in_both_orders(study: Study) -> None:
    """A rater without noise: each pair's value is the difference of its qualities, whichever came first."""
    exact = Taste({**QUALITY, "ruined": 1.0}, 0.0, 0.0)
    raters = raters_of(study, [record(study, index, exact) for index in range(4)])
    sources = [source.id for source in study.rated]
    for first, second in study.pairs:
        values = matrix(study, raters, "ccr", f"{first}/{second}", sources)
        assert not np.isnan(values).any()
        assert (values == round(QUALITY[first] - QUALITY[second])).all()
    for name, quality in QUALITY.items():
        assert (matrix(study, raters, "acr", name, sources) == round(quality)).all()


def test_training_controls_and_repeats_never_count(study: Study, folder: Path) -> None:
    rater = raters_of(study, [record(study, 0)])[0]
    counted = {r.step for method in ("acr", "ccr") for r in rater.of(method, "rated")}  # type: ignore[arg-type]
    assert len(counted) == rater.planned == 6 * 3 + 6 * 1
    assert {r.role for r in rater.ratings} == {"training", "rated", "trap", "gold", "repeat"}
