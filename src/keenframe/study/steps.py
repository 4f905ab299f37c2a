"""What the page learns of a step, what it may answer, and how the checks of screen and eyes are scored.

The page learns what to show and nothing else: no condition, no source, no role. A trap, a gold question and a
repeated item look like any other.
"""

from __future__ import annotations

import re
from typing import Any

from keenframe.errors import InputError
from keenframe.study.design import GRADES, Study
from keenframe.study.plan import STROKES, TURNS, Step

# How many steps ahead the page may fetch media.
AHEAD = 4
ID_PATTERN = re.compile(r"[0-9a-f]{32}")
_LIMIT_MS = 24 * 3600 * 1000
_TIMES = ("ms", "first_ms", "hidden_ms", "replays")
_SCREEN = ("width", "height", "screen_width", "screen_height")
_SIDE_MAX = 100_000


def public(study: Study, step: Step, number: int) -> dict[str, Any]:
    """A step as the page gets it."""
    kind = step["kind"]
    seen: dict[str, Any] = {"number": number, "kind": kind, "practice": step["role"] == "training"}
    if "method" in step:
        seen["method"] = step["method"]
    if "items" in step:
        items = [study.stimulus(id) for id in step["items"]]
        seen |= {"width": items[0].width, "height": items[0].height}
        seen["moving"] = study.source(items[0].source).moving
    if "sheet" in step:
        sheet = study.sheets[step["sheet"]]
        seen |= {"width": sheet.width, "height": sheet.height}
    if kind == "acuity":
        seen |= {"turns": step["turns"], "strokes": [stroke for stroke in STROKES for _ in range(2)]}
    if kind == "intro":
        seen |= {"part": study.methods.index(step["method"]) + 1, "parts": len(study.methods)}
        moving = {source.moving for source in study.rated}
        seen |= {"moving": True in moving, "still": False in moving}
    if kind == "about":
        seen["questions"] = [
            {"id": question.id, "text": question.text, "choices": list(question.choices)}
            for question in study.questions
        ]
    if kind == "screen":
        seen |= {
            "width": max(item.width for item in study.stimuli),
            "height": max(item.height for item in study.stimuli),
        }
    seen["media"] = media(study, step)
    return seen


def media(study: Study, step: Step) -> list[str]:
    """Names of the files that a step shows, in order."""
    if "sheet" in step:
        return [study.sheets[step["sheet"]].file]
    return [study.stimulus(id).file for id in step.get("items", [])]


def state(study: Study, steps: list[Step], done: int) -> dict[str, Any]:
    """Where a rater is: the next step, or None at the end, and what to fetch ahead."""
    ahead = [name for step in steps[done + 1 : done + 1 + AHEAD] for name in media(study, step)]
    return {
        "title": study.title,
        "done": done,
        "total": len(steps),
        "step": public(study, steps[done], done) if done < len(steps) else None,
        "ahead": list(dict.fromkeys(ahead)),
    }


def checked(study: Study, step: Step, given: dict[str, Any]) -> dict[str, Any]:
    """The part of a posted answer that is kept. InputError when it does not answer the step."""
    kind = step["kind"]
    value: Any = given.get("value")
    kept: dict[str, Any] = {}
    if kind in ("intro", "ready"):
        kept["value"] = None
    elif kind == "about":
        choices = {question.id: question.choices for question in study.questions}
        fits = isinstance(value, dict) and set(value) == set(choices)
        if not fits or any(value[id] not in choices[id] for id in choices):
            raise InputError("expected one choice for each question")
        kept["value"] = value
    elif kind == "screen":
        if not isinstance(value, dict):
            raise InputError("expected the sizes of window and screen")
        kept["value"] = {name: _number(value, name, _SIDE_MAX) for name in _SCREEN}
        kept["value"]["ratio"] = round(_number(value, "ratio", 100), 3)
        kept["value"]["full_screen"] = value.get("full_screen") is True
    elif kind in ("ramp", "plate"):
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{0,6}", value):
            raise InputError("expected up to six digits")
        kept["value"] = value
    elif kind == "acuity":
        fits = isinstance(value, list) and len(value) == len(step["turns"])
        if not fits or any(turn not in (*TURNS, "none") for turn in value):
            raise InputError("expected a direction for each letter")
        kept["value"] = value
    else:
        grades = GRADES["acr" if kind == "acr" else "ccr"]
        if type(value) is not int or value not in grades:
            raise InputError(f"expected a grade from {min(grades)} to {max(grades)}")
        kept["value"] = value
        kept["scale"] = round(_number(given, "scale", 100), 3)
    for name in _TIMES:
        if name in given or name == "ms":
            kept[name] = round(_number(given, name, _LIMIT_MS))
    return kept


def _number(values: dict[str, Any], name: str, limit: float) -> float:
    value: Any = values.get(name)
    if type(value) not in (int, float) or not 0 <= value <= limit:
        raise InputError(f"expected {name} as a number from 0 to {limit}")
    return float(value)


def passed(study: Study, step: Step, value: Any) -> bool | None:
    """Whether a check of screen or eyes was passed; None for steps that are no such check.

    ramp: four of the six digits. acuity: both letters of 2-pixel strokes, read or exceeded. plate: its digit.
    """
    kind = step["kind"]
    if kind == "ramp":
        return len(set(value) & set(study.sheets[step["sheet"]].answer)) >= 4
    if kind == "plate":
        return bool(value == study.sheets[step["sheet"]].answer)
    if kind == "acuity":
        return (smallest_stroke(step, value) or STROKES[0] + 1) <= 2
    return None


def smallest_stroke(step: Step, value: list[str]) -> int | None:
    """The finest stroke in CSS pixels of which both letters were read; None when there is none."""
    right = [given == turn for given, turn in zip(value, step["turns"], strict=True)]
    read = [stroke for index, stroke in enumerate(STROKES) if all(right[2 * index : 2 * index + 2])]
    return min(read, default=None)
