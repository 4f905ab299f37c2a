"""What one rater sees, in which order: a balanced plan that depends on the study's seed and the rater's place.

Sources move past raters in a window, so that each is rated about equally often. A rater sees the window once
per round; in a round every source has one condition, and from round to round and from rater to rater the
conditions move on as in a Latin square. So each condition is met early and late, after every other, equally
often. Pairs are treated the same way. Which of a pair comes first is drawn, for half of a rater's sources one and for
half the other; who has the same window next gets it the other way round.

A rater's plan is stored when he starts: another rule later on changes only the plans of those who start then.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import gcd
from typing import Literal, NotRequired, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from keenframe.study.design import INPUT, REFERENCE, RUINED, Method, Source, Stimulus, Study

Kind = Literal["about", "screen", "ramp", "acuity", "plate", "intro", "ready", "acr", "ccr"]
# rated: counts; the others: practice, known answers, and the same question a second time.
Role = Literal["check", "page", "training", "rated", "trap", "gold", "repeat"]
Turn = Literal["up", "right", "down", "left"]

TURNS: tuple[Turn, ...] = ("up", "right", "down", "left")
# Stroke widths of the acuity letters in CSS pixels, each shown twice; a letter is five strokes high.
STROKES = (6, 4, 3, 2, 1)
# Repeats come in the last third of a list, of items from its first half.
_FIRST_HALF, _LAST_THIRD = 1 / 2, 2 / 3

_ORDERS = 0x0D

T = TypeVar("T")


class Step(TypedDict):
    """One page of a session, as stored with the rater.

    items: stimulus ids (one, or first and second of a pair); sheet: index of a vision check's picture. turns:
    right answers of the acuity check. expects: lowest and highest grade that is right. pair: (a, b) of
    `Study.pairs`, with swapped telling whether b came first.
    """

    kind: Kind
    role: Role
    method: NotRequired[Method]
    items: NotRequired[list[str]]
    sheet: NotRequired[int]
    turns: NotRequired[list[Turn]]
    expects: NotRequired[list[int]]
    pair: NotRequired[list[str]]
    swapped: NotRequired[bool]


def session(study: Study, position: int) -> list[Step]:
    """All steps of the rater who starts as number `position`, from 0; the same each time for the same study."""
    random = np.random.default_rng([study.seed, position])
    steps = _checks(study, position, random)
    for method in study.methods:
        steps.append(Step(kind="intro", role="page", method=method))
        steps += _training(study, method)
        steps.append(Step(kind="ready", role="page", method=method))
        rated = _acr(study, position, random) if method == "acr" else _ccr(study, position, random)
        rated = _with_repeats(rated, study.repeats, random)
        controls = _controls(study, method, position, random)
        steps += _spread(rated, controls, random)
    return steps


def _checks(study: Study, position: int, random: np.random.Generator) -> list[Step]:
    steps: list[Step] = [Step(kind="about", role="page")] if study.questions else []
    steps.append(Step(kind="screen", role="check"))
    ramps = [index for index, sheet in enumerate(study.sheets) if sheet.kind == "ramp"]
    plates = [index for index, sheet in enumerate(study.sheets) if sheet.kind == "plate"]
    if ramps:
        steps.append(Step(kind="ramp", role="check", sheet=ramps[position % len(ramps)]))
    turns = [TURNS[int(turn)] for turn in random.integers(len(TURNS), size=2 * len(STROKES))]
    steps.append(Step(kind="acuity", role="check", turns=turns))
    # The plate that everybody sees comes first: it shows what is asked.
    hidden = [index for index in plates if not study.sheets[index].control]
    random.shuffle(hidden)
    for index in [*(index for index in plates if study.sheets[index].control), *hidden]:
        steps.append(Step(kind="plate", role="check", sheet=index))
    return steps


def _training(study: Study, method: Method) -> list[Step]:
    """The ends of the scale and something between, the same for everyone: they set what the grades mean."""
    sources = study.practice
    first, second, third = (sources[index % len(sources)].id for index in range(3))
    middle = INPUT if INPUT in study.condition_names else study.condition_names[0]
    if method == "acr":
        shown = [(first, REFERENCE), (second, RUINED), (third, middle)]
        items = [study.find(source, condition) for source, condition in shown]
        return [Step(kind="acr", role="training", items=[item.id]) for item in items]
    pairs = [(first, RUINED, REFERENCE), (second, REFERENCE, middle), (third, middle, middle)]
    return [
        Step(kind="ccr", role="training", items=[study.find(source, one).id, study.find(source, other).id])
        for source, one, other in pairs
    ]


def _window(study: Study, position: int) -> tuple[list[tuple[int, Source]], int]:
    """The sources of a rater with their numbers, and how often this window has been there before."""
    sources = study.rated
    count = min(study.per_rater, len(sources))
    start = position * count
    laps = position // _windows(study)
    numbers = [(start + index) % len(sources) for index in range(count)]
    return [(number, sources[number]) for number in numbers], laps


def _windows(study: Study) -> int:
    """How many windows there are before they come again."""
    count = len(study.rated)
    return count // gcd(count, min(study.per_rater, count))


def _rounds(
    window: list[tuple[int, Source]], options: Sequence[T], shift: int, random: np.random.Generator
) -> list[tuple[int, Source, T, int]]:
    """(number, source, option, index of the option), each source with each option once, round by round."""
    sequence: list[tuple[int, Source, T, int]] = []
    for round_number in range(len(options)):
        row = []
        for number, source in window:
            index = (number + round_number + shift) % len(options)
            row.append((number, source, options[index], index))
        order = random.permutation(len(row))
        row = [row[int(index)] for index in order]
        # Never the same source twice running.
        if sequence and len(row) > 1 and row[0][0] == sequence[-1][0]:
            row[0], row[-1] = row[-1], row[0]
        sequence += row
    return sequence


def _acr(study: Study, position: int, random: np.random.Generator) -> list[Step]:
    window, laps = _window(study, position)
    return [
        Step(kind="acr", role="rated", items=[study.find(source.id, condition).id])
        for _, source, condition, _ in _rounds(window, study.condition_names, laps, random)
    ]


def _ccr(study: Study, position: int, random: np.random.Generator) -> list[Step]:
    window, laps = _window(study, position)
    swapped = _orders(study, position)
    places = {number: place for place, (number, _) in enumerate(window)}
    return [
        _pair_step(study, source.id, pair, bool(swapped[index, places[number]]), "rated")
        for number, source, pair, index in _rounds(window, study.pairs, laps, random)
    ]


def _orders(study: Study, position: int) -> NDArray[np.bool_]:
    """(pairs, sources of the window) whether b is shown first: of each pair for half of the sources.

    Drawn, so that no order can be guessed from others; the same for two laps, and turned round in the second.
    """
    laps, place = divmod(position, _windows(study))
    # A last word that is not 0: to numpy [1, 2] and [1, 2, 0] are one seed, and the first is the session's own.
    random = np.random.default_rng([study.seed, place, laps // 2, _ORDERS])
    halves = np.add.outer(np.arange(len(study.pairs)), np.arange(min(study.per_rater, len(study.rated)))) % 2
    swapped: NDArray[np.bool_] = random.permuted(halves, axis=1) != laps % 2
    return swapped


def _pair_step(study: Study, source: str, pair: tuple[str, str], swapped: bool, role: Role) -> Step:
    """swapped: b is shown first."""
    items = [study.find(source, condition).id for condition in (pair[::-1] if swapped else pair)]
    return Step(kind="ccr", role=role, items=items, pair=list(pair), swapped=swapped)


def _with_repeats(rated: list[Step], count: int, random: np.random.Generator) -> list[Step]:
    """Some items of the first half once more in the last third; pairs in the other order."""
    half = max(1, int(len(rated) * _FIRST_HALF))
    chosen = random.choice(half, size=min(count, half), replace=False)
    sequence = list(rated)
    for index in chosen:
        again = Step(**{**rated[int(index)], "role": "repeat"})
        if "pair" in again:
            again["items"] = again["items"][::-1]
            again["swapped"] = not again["swapped"]
        first = int(len(rated) * _LAST_THIRD) + 1
        sequence.insert(int(random.integers(min(first, len(sequence)), len(sequence) + 1)), again)
    return sequence


def _controls(study: Study, method: Method, position: int, random: np.random.Generator) -> list[Step]:
    """Traps and gold questions of one method. The gold ones alternate between the two ends of the scale."""
    traps = [item for item in study.stimuli if item.instructs and item.instructs[0] == method]
    steps = []
    for index in random.permutation(len(traps))[: study.traps]:
        steps.append(_trap(study, traps[int(index)], method))
    for index in range(study.golds):
        source = study.practice[(position + index) % len(study.practice)].id
        good, bad = study.find(source, REFERENCE).id, study.find(source, RUINED).id
        high = (index + position) % 2 == 0
        if method == "acr":
            expects = [3, 5] if high else [1, 2]
            steps.append(Step(kind="acr", role="gold", items=[good if high else bad], expects=expects))
        else:
            items, expects = ([bad, good], [1, 3]) if high else ([good, bad], [-3, -1])
            steps.append(Step(kind="ccr", role="gold", items=items, expects=expects))
    return steps


def _trap(study: Study, item: Stimulus, method: Method) -> Step:
    assert item.instructs is not None
    grade = item.instructs[1]
    items = [item.id] if method == "acr" else [study.find(item.source, REFERENCE).id, item.id]
    return Step(kind=method, role="trap", items=items, expects=[grade, grade])


def _spread(rated: list[Step], controls: list[Step], random: np.random.Generator) -> list[Step]:
    """The control questions in random order, one in each of as many equal stretches, never the very first."""
    if not controls:
        return rated
    controls = [controls[int(index)] for index in random.permutation(len(controls))]
    edges = np.linspace(1, len(rated) + 1, len(controls) + 1).astype(int)
    places = [int(random.integers(low, max(low + 1, high))) for low, high in pairwise(edges)]
    sequence = list(rated)
    # From the back, so that the earlier places stay valid.
    for place, control in sorted(zip(places, controls, strict=True), key=lambda pair: -pair[0]):
        sequence.insert(place, control)
    return sequence
