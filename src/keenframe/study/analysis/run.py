"""`keenframe study analyse`: from the answers to the files of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keenframe.errors import InputError
from keenframe.study.analysis import figures, words
from keenframe.study.analysis.ratings import raters_of
from keenframe.study.analysis.report import report
from keenframe.study.analysis.robust import Screening, screenings
from keenframe.study.analysis.scores import Scores, scores_of
from keenframe.study.analysis.screening import RULES, Verdict, screen
from keenframe.study.analysis.statistics import Estimate
from keenframe.study.database import Database
from keenframe.study.design import Study, read_study
from keenframe.study.tables import Row, csv_text, json_text, write_files

# All files that an analysis may write; which ones depends on the methods, the categories and who counts.
FILES = (
    *("report.html", "results.json"),
    *("mos.csv", "differences.csv", "cmos.csv", "stimuli.csv", "raters.csv", "screenings.csv"),
    *("mos.svg", "categories.svg", "cmos.svg"),
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What came out. simulated: it is about programs. left_out: simulated raters not looked at. screenings: the main
    means under other screenings than the one that counts."""

    study: Study
    verdicts: list[Verdict]
    scores: Scores
    simulated: bool
    left_out: int
    screenings: list[Screening]

    @property
    def kept(self) -> int:
        """Raters who count."""
        return sum(verdict.kept for verdict in self.verdicts)


def analyse(folder: Path, simulated: bool = False) -> Analysis:
    """Screen the raters of the study in `folder` and score its conditions.

    simulated: look at the simulated raters, and only at them. Without it they are never looked at: InputError
    when there is nobody else.
    """
    study = read_study(folder)
    database = Database(folder, study, reading=True)
    try:
        everyone = raters_of(study, database.records())
    finally:
        database.close()
    chosen = [rater for rater in everyone if rater.simulated == simulated]
    others = len(everyone) - len(chosen)
    if not chosen and others and not simulated:
        raise InputError(
            f"'{folder}' holds answers of {others} simulated raters and of no person; they are nobody's opinion — "
            "to look at them as a trial, marked as such everywhere, pass --simulated"
        )
    if not chosen:
        kind = "simulated rater" if simulated else "rater"
        raise InputError(
            f"'{folder}' holds no answers of a {kind} yet — send out links: keenframe study invite"
        )
    verdicts = screen(study, chosen)
    kept = [verdict.rater for verdict in verdicts if verdict.kept]
    scores = scores_of(study, kept)
    return Analysis(
        study, verdicts, scores, simulated, 0 if simulated else others, screenings(study, verdicts)
    )


def write_analysis(folder: Path, analysis: Analysis, overwrite: bool) -> list[str]:
    """Write the report, its tables and figures into `folder`. Returns the names written.

    overwrite: in place of an earlier analysis, of which nothing stays; other files there do.
    """
    scores, simulated = analysis.scores, analysis.simulated
    html = report(
        analysis.study, analysis.verdicts, scores, simulated, analysis.left_out, analysis.screenings
    )
    files = {"report.html": html, "results.json": json_text(as_document(analysis))}
    for name, rows in _tables(analysis).items():
        if rows:
            # Every row says it, so that a table on its own cannot be taken for opinions.
            files[f"{name}.csv"] = csv_text([{**row, "simulated": int(simulated)} for row in rows])
    if scores.mos:
        files["mos.svg"] = figures.mos_figure(scores.mos, simulated)
    if scores.mos and scores.categories:
        files["categories.svg"] = figures.category_figure(scores.mos, simulated)
    if scores.cmos:
        files["cmos.svg"] = figures.cmos_figure(scores.cmos, simulated)
    write_files(folder, files, overwrite, FILES)
    return list(files)


def as_document(analysis: Analysis) -> dict[str, Any]:
    """Everything as JSON-ready values."""
    study, scores = analysis.study, analysis.scores
    return {
        "simulated": analysis.simulated,
        "study": study.id,
        "title": study.title,
        "about_numbers": words.about_numbers(analysis.kept, analysis.simulated),
        "raters": {
            "started": len(analysis.verdicts),
            "finished": sum(verdict.rater.finished for verdict in analysis.verdicts),
            "kept": analysis.kept,
            "simulated_left_out": analysis.left_out,
        },
        "screening": {"rules": RULES, "verdicts": _verdict_rows(analysis.verdicts)},
        "screenings": [asdict(screening) for screening in analysis.screenings],
        "findings": words.findings(scores, analysis.simulated),
        "mos": [asdict(score) for score in scores.mos],
        "differences": [asdict(row) for row in scores.differences],
        "cmos": [asdict(pair) for pair in scores.cmos],
        "stimuli": [asdict(score) for score in scores.stimuli],
        "order_effect": asdict(scores.order) if scores.order is not None else None,
        "cautions": words.cautions(study),
    }


def _tables(analysis: Analysis) -> dict[str, list[Row]]:
    scores = analysis.scores
    return {
        "mos": [
            {
                "condition": score.condition,
                "category": score.category,
                **_columns("mos", score.mos),
                **_pair("wide", score.wide),
                **_columns("dmos", score.dmos),
            }
            for score in scores.mos
        ],
        "differences": [
            {
                "first": row.first,
                "second": row.second,
                **_columns("difference", row.mean),
                "p": row.p,
                "p_holm": row.p_holm,
            }
            for row in scores.differences
        ],
        "cmos": [
            {
                "first": pair.first,
                "second": pair.second,
                "category": pair.category,
                **_columns("cmos", pair.cmos),
                **_pair("wide", pair.wide),
                "share_first": pair.shares[0],
                "share_neither": pair.shares[1],
                "share_second": pair.shares[2],
                "p": pair.p,
                "p_holm": pair.p_holm,
            }
            for pair in scores.cmos
        ],
        "stimuli": [
            {
                "source": score.source,
                "category": score.category,
                "condition": score.condition,
                **_columns("mos", score.mos),
            }
            for score in scores.stimuli
        ],
        "raters": _verdict_rows(analysis.verdicts),
        "screenings": [
            {"screening": screening.name, "of": name, **_columns("mean", mean)}
            for screening in analysis.screenings
            for name, mean in screening.means.items()
        ],
    }


def _columns(name: str, estimate: Estimate | None) -> Row:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None, f"{name}_raters": None}
    return {
        name: estimate.mean,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
        f"{name}_raters": estimate.count,
    }


def _pair(name: str, bounds: tuple[float, float] | None) -> Row:
    low, high = bounds if bounds is not None else (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _verdict_rows(verdicts: Sequence[Verdict]) -> list[Row]:
    return [
        {
            "rater": verdict.rater.name,
            "kept": int(verdict.kept),
            "reasons": " ".join(verdict.reasons),
            "finished": int(verdict.rater.finished),
            "traps_right": verdict.traps[0],
            "traps": verdict.traps[1],
            "golds_right": verdict.golds[0],
            "golds": verdict.golds[1],
            "hasty_share": verdict.hasty,
            "drift_acr": verdict.drift.get("acr"),
            "drift_ccr": verdict.drift.get("ccr"),
            "correlation": verdict.correlation,
            "below_vqeg": int(verdict.below_vqeg),
            "smallest_stroke": verdict.rater.stroke,
            "colour_plates": verdict.rater.checks.get("colour"),
        }
        for verdict in verdicts
    ]
