from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from math import gcd

import pytest

from keenframe.study.design import REFERENCE, RUINED, Study
from keenframe.study.plan import Step, session

RATERS = 12


def rated(steps: list[Step], kind: str) -> list[Step]:
    return [step for step in steps if step["kind"] == kind and step["role"] == "rated"]


def seen(study: Study, step: Step) -> tuple[str, ...]:
    """(source, condition …) of a step."""
    items = [study.stimulus(id) for id in step["items"]]
    return (items[0].source, *(item.condition for item in items))


def test_the_same_rater_always_gets_the_same_plan_and_others_get_others(study: Study) -> None:
    assert session(study, 3) == session(study, 3)
    assert session(study, 3) != session(study, 4)
    assert session(replace(study, seed=study.seed + 1), 3) != session(study, 3)


def test_a_rater_sees_every_stimulus_and_every_pair_once(study: Study) -> None:
    for position in range(RATERS):
        steps = session(study, position)
        singles = Counter(seen(study, step) for step in rated(steps, "acr"))
        wanted = {(source.id, name) for source in study.rated for name in study.condition_names}
        assert singles == Counter(dict.fromkeys(wanted, 1))
        pairs = Counter(
            (study.stimulus(step["items"][0]).source, *step["pair"]) for step in rated(steps, "ccr")
        )
        assert pairs == Counter({(source.id, *pair): 1 for source in study.rated for pair in study.pairs})


def test_each_condition_comes_early_and_late_equally_often(study: Study) -> None:
    """A Latin square: within a rater each round has each source once, over raters each stimulus is in each round."""
    count, sources = len(study.conditions), len(study.rated)
    places: dict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
    for position in range(RATERS):
        items = [seen(study, step) for step in rated(session(study, position), "acr")]
        for round_number in range(count):
            part = items[round_number * sources : (round_number + 1) * sources]
            assert len({source for source, _ in part}) == sources
            assert set(Counter(condition for _, condition in part).values()) == {sources // count}
            for item in part:
                places[item][round_number] += 1
        assert all(one[0] != other[0] for one, other in pairwise(items))
    assert all(set(rounds.values()) == {RATERS // count} for rounds in places.values())


def test_pairs_come_in_both_orders_equally_often(study: Study) -> None:
    orders: dict[tuple[str, ...], Counter[bool]] = defaultdict(Counter)
    for position in range(RATERS):
        steps = rated(session(study, position), "ccr")
        within = Counter(step["swapped"] for step in steps)
        assert within[True] == within[False]
        for step in steps:
            source, first, second = seen(study, step)
            assert (second, first) == tuple(step["pair"]) if step["swapped"] else (first, second)
            orders[(source, *step["pair"])][step["swapped"]] += 1
    assert all(order[True] == order[False] for order in orders.values())


@pytest.mark.parametrize("per_rater", [4, 6])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_order_of_a_pair_can_be_guessed(study: Study, count: int, per_rater: int) -> None:
    pairs = (("unsharp:2", "input"), ("unsharp:2", "reference"), ("input", "reference"))[:count]
    part = replace(study, pairs=pairs, per_rater=per_rater)
    windows = 6 // gcd(6, per_rater)
    plans: list[dict[tuple[str, ...], bool]] = []
    halves, patterns = set(), set()
    for position in range(20 * windows):
        steps = rated(session(part, position), "ccr")
        plans.append({(seen(part, step)[0], *step["pair"]): step["swapped"] for step in steps})
        halves.add(sum(step["swapped"] for step in steps[: len(steps) // 2]))
        patterns.add(tuple(plans[-1].values()))
        assert abs(len(steps) - 2 * sum(step["swapped"] for step in steps)) <= len(steps) % 2
    assert len(halves) > 2 and len(patterns) >= 6  # of four orders two are swapped: six ways at the least
    for position, plan in enumerate(plans):
        if position // windows % 2 == 0:
            again = plans[position + windows]
            assert again == {key: not swapped for key, swapped in plan.items()}


def test_a_window_moves_over_the_sources(study: Study) -> None:
    part = replace(study, per_rater=4)
    counts: Counter[str] = Counter()
    for position in range(RATERS):
        sources = {seen(part, step)[0] for step in rated(session(part, position), "acr")}
        assert len(sources) == 4
        counts.update(sources)
    assert set(counts.values()) == {RATERS * 4 // 6}


def test_repeats_come_late_and_pairs_turned_round(study: Study) -> None:
    for kind in ("acr", "ccr"):
        steps = [s for s in session(study, 0) if s["kind"] == kind and s["role"] in ("rated", "repeat")]
        repeats = [index for index, step in enumerate(steps) if step["role"] == "repeat"]
        assert len(repeats) == study.repeats
        for index in repeats:
            again = steps[index]
            same = [sorted(step["items"]) == sorted(again["items"]) for step in steps].index(True)
            assert index - same >= len(steps) // 8
            if kind == "ccr":
                assert again["items"] == steps[same]["items"][::-1]
                assert again["swapped"] != steps[same]["swapped"]


def test_controls_are_spread_and_know_their_answers(study: Study) -> None:
    for position in range(RATERS):
        steps = session(study, position)
        for kind, grades in (("acr", range(1, 6)), ("ccr", range(-3, 4))):
            part = [s for s in steps if s["kind"] == kind and s["role"] != "training"]
            controls = [index for index, step in enumerate(part) if step["role"] in ("trap", "gold")]
            assert len(controls) == study.traps + study.golds
            assert controls[0] > 0
            assert part[0]["role"] == "rated"
            assert max(controls) - min(controls) > len(part) // 3
            for index in controls:
                low, high = part[index]["expects"]
                assert low in grades and high in grades and low <= high
        golds = [step for step in steps if step["role"] == "gold" and step["kind"] == "acr"]
        assert {seen(study, step)[1] for step in golds} == {REFERENCE, RUINED}


def test_practice_sources_are_never_rated(study: Study) -> None:
    practice = {source.id for source in study.practice}
    for step in session(study, 1):
        if "items" in step:
            inside = {study.stimulus(id).source in practice for id in step["items"]}
            assert inside == {step["role"] not in ("rated", "repeat")}
