"""Everything that was asked and answered, for others to analyse: no token, no secret, no clock time."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keenframe.study.database import Database, Record
from keenframe.study.design import Study, read_study
from keenframe.study.steps import passed
from keenframe.study.tables import Row, csv_text, json_text, write_files


def export(folder: Path, target: Path, overwrite: bool) -> tuple[int, int]:
    """Write answers.csv, answers.json and design.json into `target`; returns raters and answers.

    Raters go by their place in the study, so that nothing leads back to an invitation.
    """
    study = read_study(folder)
    database = Database(folder, study, reading=True)
    try:
        records = database.records()
    finally:
        database.close()
    rows = [row for record in records for row in _rows(study, record)]
    design = asdict(study)
    del design["_index"]
    files = {
        "answers.csv": csv_text(rows),
        "answers.json": json_text(
            {"study": study.id, "raters": [_session(record) for record in records], "answers": rows}
        ),
        "design.json": json_text(design),
    }
    write_files(target, files, overwrite)
    return len(records), len(rows)


def _session(record: Record) -> dict[str, Any]:
    return {
        "rater": record.name,
        "simulated": record.simulated,
        "finished": len(record.answers) == len(record.steps),
        "steps": record.steps,
    }


def _rows(study: Study, record: Record) -> list[Row]:
    rows = []
    for number, body, after_s in record.answers:
        step = record.steps[number]
        items = [study.stimulus(id) for id in step.get("items", [])]
        value = body["value"]
        rows.append(
            {
                "rater": record.name,
                "simulated": int(record.simulated),
                "step": number,
                "kind": step["kind"],
                "role": step["role"],
                "source": study.source(items[0].source).file if items else None,
                "category": study.source(items[0].source).category if items else None,
                "first": items[0].condition if items else None,
                "second": items[1].condition if len(items) > 1 else None,
                "value": value if isinstance(value, int | str) else json.dumps(value),
                "passed": passed(study, step, value),
                "expects": " to ".join(map(str, step["expects"])) if "expects" in step else None,
                "ms": body.get("ms"),
                "first_ms": body.get("first_ms"),
                "hidden_ms": body.get("hidden_ms"),
                "replays": body.get("replays"),
                "scale": body.get("scale"),
                "after_s": after_s,
            }
        )
    return rows
