"""Training curves from the history that a run of `keenframe-train fit` leaves: lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from keenframe.errors import InputError
from keenframe.evaluate.svg import Series, lines

HISTORY = "history.jsonl"
_POINTS = 120


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a run's folder or of its history.jsonl; a cut-off last line is left out.

    InputError when there is none, when it is damaged, or when it holds neither training nor validation.
    """
    file = path / HISTORY if path.is_dir() else path
    try:
        lines_of_text = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--history '{path}' cannot be read; expected a run's folder of keenframe-train fit, or its {HISTORY}"
        ) from error
    records = []
    for number, line in enumerate(lines_of_text, 1):
        try:
            record = json.loads(line)
            records.append(record | {"event": record["event"], "step": int(record["step"])})
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines_of_text):
                raise InputError(
                    f"--history '{file}': line {number} is damaged or of another kind"
                ) from error
    if not any(record["event"] in ("train", "validation") for record in records):
        raise InputError(f"--history '{file}' holds no training and no validation")
    return records


def curves(records: list[dict[str, Any]], standalone: bool = False) -> list[str]:
    """Charts of the loss and, for every kind of damage, of PSNR and SSIM on validation with the input's dotted."""
    charts = []
    train = [record for record in records if record["event"] == "train" and "loss" in record]
    if train:
        loss = Series("loss", _thinned([(record["step"], record["loss"]) for record in train]))
        charts.append(lines([loss], "Loss", "step", "", width=560, height=280, standalone=standalone))
    validations = [record for record in records if record["event"] == "validation" and record.get("quality")]
    if validations:
        kinds = [kind for kind in validations[-1]["quality"] if kind != "clean"]
        for name, title in (("psnr", "PSNR on validation, dB"), ("ssim", "SSIM on validation")):
            series = [
                Series(
                    kind,
                    [(r["step"], r["quality"][kind][name]) for r in validations if kind in r["quality"]],
                    validations[-1]["quality"][kind].get(f"base_{name}"),
                )
                for kind in kinds
            ]
            if series:
                charts.append(
                    lines(
                        series,
                        title,
                        "step",
                        "dotted: the input",
                        width=560,
                        height=320,
                        standalone=standalone,
                    )
                )
    return charts


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about 120 points: means over equal runs of them."""
    run = max(1, len(points) // _POINTS)
    groups = [points[start : start + run] for start in range(0, len(points), run)]
    return [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]
