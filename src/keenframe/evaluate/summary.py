"""What many records say together: means, gains over the input, tails; as one JSON value, and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from keenframe.evaluate.measures import MEASURES, OF_ITEMS
from keenframe.evaluate.methods import INPUT
from keenframe.evaluate.stills import PRISTINE, Record
from keenframe.metrics import mean_interval, share_above, worst_mean

ALL = "all"
SCHEMA = 1
Values = dict[str, float]
# preset -> category (first `all`) -> method -> measure -> value
Results = dict[str, dict[str, dict[str, Values]]]


def summarise(records: Sequence[Record]) -> Results:
    """Everything by preset, category and method; `items` is how many went into it."""
    measured = [record for record in records if "scores" in record]
    results: Results = {}
    for preset in dict.fromkeys(record["preset"] for record in measured):
        own = [record for record in measured if record["preset"] == preset]
        categories = [ALL, *sorted({_category(record) for record in own})]
        results[preset] = {
            category: _by_method([r for r in own if category in (ALL, _category(r))])
            for category in categories
        }
    return results


def _category(record: Record) -> str:
    """A record's category. One called as the whole keeps its slash, which no folder's name has."""
    category: str = record["category"]
    return f"{category}/" if category == ALL else category


def _by_method(records: Sequence[Record]) -> dict[str, Values]:
    methods = dict.fromkeys(method for record in records for method in record["scores"])
    ordered = sorted(methods, key=lambda method: (method == PRISTINE, method != INPUT))
    return {method: _together([r for r in records if method in r["scores"]], method) for method in ordered}


def _together(records: Sequence[Record], method: str) -> Values:
    """The values of one method over records that have it."""
    scores = [record["scores"][method] for record in records]
    values: Values = {"items": float(len(records))}
    for name in OF_ITEMS:
        column = [score[name] for score in scores if name in score]
        if column:
            values[name] = fmean(column)
    if method == PRISTINE:
        return values
    quality = [single for record in records for single in _singles(record, method, "ssim_y")]
    fidelity = [single for record in records for single in _singles(record, method, "psnr_y")]
    values["share_ssim_090"] = 100 * share_above(quality)
    values["worst_psnr"] = worst_mean(fidelity)
    if method != INPUT:
        gains = [gain(record, method) for record in records]
        values["psnr_gain"], values["worst_gain"] = fmean(gains), min(gains)
        low, high = mean_interval(gains)
        if not math.isnan(low):
            values["psnr_gain_low"], values["psnr_gain_high"] = low, high
        values["share_worse"] = 100 * fmean(one < 0 for one in gains)
        values["ssim_gain"] = fmean(gain(record, method, "ssim_y") for record in records)
    return {name: round(value, 5) for name, value in values.items()}


def _singles(record: Record, method: str, name: str) -> list[float]:
    """A clip's values frame by frame, a picture's own; so a clip's whose frames are not there, as earlier versions left
    them where VMAF had failed."""
    frames = record.get("frames", {})
    return list(frames[method][name]) if method in frames else [record["scores"][method][name]]


def gain(record: Record, method: str, name: str = "psnr_y") -> float:
    """A method's value over the input's, of one record."""
    return float(record["scores"][method][name] - record["scores"][INPUT][name])


def problems(records: Iterable[Record]) -> list[str]:
    """One line for everything that could not be measured; the same trouble under several presets is told once."""
    lines: dict[str, None] = {}
    for record in records:
        if "error" in record:
            lines[f"{record['name']}: {record['error']}"] = None
        for method, message in record.get("failed", {}).items():
            lines[f"{record['name']}: {method}: {message}"] = None
    return list(lines)


def items_csv(records: Sequence[Record]) -> str:
    """A line for each item and method: every single value, for other tables than ours."""
    measured = [record for record in records if "scores" in record]
    present = {name for r in measured for scores in r["scores"].values() for name in scores}
    columns = [name for name in OF_ITEMS if name in present]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["preset", "category", "name", "method", *columns])
    for record in measured:
        for method, scores in record["scores"].items():
            cells = [
                f"{scores[name]:.{MEASURES[name].decimals + 1}f}" if name in scores else ""
                for name in columns
            ]
            writer.writerow([record["preset"], _category(record), record["name"], method, *cells])
    return text.getvalue()


def summary(
    arguments: dict[str, Any], about: dict[str, Any], records: Sequence[Record], notes: Sequence[str]
) -> dict[str, Any]:
    """The whole of a run but its single items. notes: further problems."""
    return {
        "schema": SCHEMA,
        "arguments": arguments,
        "about": about,
        "pictures": len({r["name"] for r in records if r.get("kind") == "picture"}),
        "clips": len({r["name"] for r in records if r.get("kind") == "clip"}),
        "results": summarise(records),
        "problems": [*notes, *problems(records)],
    }
