from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from keenframe.errors import InputError, OutputError
from keenframe.study.analysis import words
from keenframe.study.analysis.run import FILES, analyse, write_analysis
from keenframe.study.database import Database
from keenframe.study.design import TOP, read_study
from keenframe.study.export import export
from raters import fill, taste

QUALITY = {"reference": 4.4, "unsharp:2": 3.4, "input": 2.4}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Checker(HTMLParser):
    """Counts tags and remembers what would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "line", "rect", "circle"):
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("line", "rect", "circle"):
            return
        assert self.open.pop() == tag


def written(folder: Path, simulated: bool) -> Path:
    write_analysis(folder / "report", analyse(folder, simulated), overwrite=False)
    return folder / "report"


def test_simulated_answers_are_never_presented_as_opinions(folder: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(8)], simulated=True)
    with pytest.raises(InputError, match="nobody's opinion"):
        analyse(folder)
    report = written(folder, simulated=True)
    html = (report / "report.html").read_text(encoding="utf-8")
    assert html.count("<strong>SIMULATED</strong>") == 2
    assert "<title>SIMULATED: " in html and "people" not in html.lower()
    assert "Nothing here is an opinion" in html
    document = json.loads((report / "results.json").read_text(encoding="utf-8"))
    assert document["simulated"] is True
    assert document["findings"] and all(text.startswith("SIMULATED: ") for text in document["findings"])
    for figure in report.glob("*.svg"):
        assert ">SIMULATED</text>" in figure.read_text(encoding="utf-8")
    for table in report.glob("*.csv"):
        assert {row["simulated"] for row in rows(table)} == {"1"}


def test_people_and_programs_are_kept_apart(folder: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(6)], simulated=False)
    backwards = {"reference": 1.5, "unsharp:2": 2.5, "input": 4.5}
    fill(folder, [taste(index, backwards) for index in range(9)], simulated=True)
    result = analyse(folder)
    assert (len(result.verdicts), result.left_out, result.simulated) == (6, 9, False)
    mos = {score.condition: score.mos.mean for score in result.scores.mos if score.category == "all"}
    assert mos["reference"] > mos["unsharp:2"] > mos["input"]
    html = (written(folder, simulated=False) / "report.html").read_text(encoding="utf-8")
    assert "<strong>SIMULATED" not in html and ">SIMULATED<" not in html
    assert "9 simulated raters are left out" in html
    assert len(analyse(folder, simulated=True).verdicts) == 9


@pytest.mark.parametrize("file", ["all/{}", "{}"], ids=["a folder called all", "files at top level"])
def test_no_category_stands_for_the_whole_study(folder: Path, file: str) -> None:
    path = folder / "study.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    for source in document["sources"]:
        if source["category"] == "faces":  # as earlier versions wrote them
            source |= {"category": "all", "file": file.format(Path(source["file"]).name)}
    path.write_text(json.dumps(document), encoding="utf-8")
    study = read_study(folder)
    fill(folder, [taste(index, QUALITY) for index in range(4)], simulated=False)
    scores = analyse(folder).scores
    own = "all/" if "/" in file else TOP
    assert set(scores.categories) == {own, "slides", "views"} == {source.category for source in study.rated}
    rows = {row.category: row for row in scores.mos if row.condition == "input"}
    parts = [rows[category].mos.mean for category in scores.categories]  # of two sources each
    assert rows["all"].mos.mean == pytest.approx(sum(parts) / 3)


def test_the_report_stands_alone_and_is_well_formed(folder: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(6)], simulated=False)
    report = written(folder, simulated=False)
    html = (report / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(html)
    assert checker.open == [] and checker.loads == []
    assert not re.findall(r"https?://(?!www\.w3\.org)", html) and "<script" not in html
    for name in ("mos.svg", "categories.svg", "cmos.svg"):
        ElementTree.fromstring((report / name).read_text(encoding="utf-8"))
    for condition in ("reference", "unsharp:2", "input", "faces", "slides", "views"):
        assert condition in html
    assert "a first try" in html


def test_tables_and_json_say_the_same(folder: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(6)], simulated=False)
    report = written(folder, simulated=False)
    document = json.loads((report / "results.json").read_text(encoding="utf-8"))
    table = rows(report / "mos.csv")
    assert len(table) == len(document["mos"]) == 3 * 4
    for row, score in zip(table, document["mos"], strict=True):
        assert float(row["mos"]) == pytest.approx(score["mos"]["mean"], rel=1e-5)
        assert float(row["mos_low"]) == pytest.approx(score["mos"]["low"], rel=1e-5)
    assert {row["first"] for row in rows(report / "cmos.csv")} == {"unsharp:2"}
    assert len(rows(report / "stimuli.csv")) == 6 * 3
    assert len(rows(report / "raters.csv")) == 6
    assert len(rows(report / "screenings.csv")) == 3 * (3 + len(document["cmos"]) // 4)
    kept = [row for row in rows(report / "screenings.csv") if row["screening"] == "these rules"]
    assert float(kept[0]["mean"]) == pytest.approx(document["mos"][0]["mos"]["mean"], rel=1e-5)
    assert not document["simulated"]


def test_titles_are_text_and_never_markup(folder: Path) -> None:
    path = folder / "study.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["title"] = "<script>alert(1)</script>"
    path.write_text(json.dumps(document), encoding="utf-8")
    fill(folder, [taste(index, QUALITY) for index in range(3)], simulated=False)
    html = (written(folder, simulated=False) / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html


def test_an_analysis_is_the_same_each_time_and_overwrites_only_when_told(folder: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(4)], simulated=False)
    report = written(folder, simulated=False)
    before = {path.name: path.read_bytes() for path in report.iterdir()}
    with pytest.raises(OutputError, match="--overwrite"):
        written(folder, simulated=False)
    write_analysis(report, analyse(folder), overwrite=True)
    assert {path.name: path.read_bytes() for path in report.iterdir()} == before


def test_nothing_of_an_earlier_analysis_stays_beside_a_new_one(folder: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(4)], simulated=False)
    report = written(folder, simulated=False)
    assert {path.name for path in report.iterdir()} == set(FILES)
    (report / "notes.csv").write_text("mine")
    fill(folder, [taste(9, QUALITY)], simulated=True)
    alone = analyse(folder, simulated=True)
    assert alone.kept == 1
    scores = replace(alone.scores, cmos=[], differences=[])  # as without pairs
    names = write_analysis(report, replace(alone, scores=scores), overwrite=True)
    assert {path.name for path in report.iterdir()} == {*names, "notes.csv"}
    assert not {"cmos.csv", "cmos.svg", "differences.csv"} & set(names)


def test_one_rater_makes_a_report_without_intervals(folder: Path) -> None:
    fill(folder, [taste(0, QUALITY)], simulated=False)
    html = (written(folder, simulated=False) / "report.html").read_text(encoding="utf-8")
    assert "1 person: anecdotes" in html
    assert "not enough ratings" in html


def test_nobody_yet_is_said(folder: Path) -> None:
    with pytest.raises(InputError, match="no answers"):
        analyse(folder)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 person: anecdotes"),
        (3, "anecdotes"),
        (14, "a first try"),
        (23, "a pilot"),
        (34, "short of"),
        (35, "as many"),
    ],
)
def test_words_on_numbers(count: int, said: str) -> None:
    text = words.about_numbers(count, simulated=False)
    assert said in text and "P.913" in text


def test_a_rater_has_one_name_in_all_results(folder: Path, tmp_path: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(2)], simulated=True)
    study = read_study(folder)
    database = Database(folder, study)
    tokens = database.invite(3)
    for token in reversed(tokens):
        database.start(token, token)
    assert [record.name for record in database.records()] == ["R001", "R002", "R003", "S001", "S002"]
    assert [record.rater for record in database.records()][:3] == [5, 4, 3]
    database.close()
    report = written(folder, simulated=False)
    assert [row["rater"] for row in rows(report / "raters.csv")] == ["R001", "R002", "R003"]
    html = (report / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<td>([RS]\d+)</td>", html) == ["R001", "R002", "R003"]
    document = json.loads((report / "results.json").read_text(encoding="utf-8"))
    assert [verdict["rater"] for verdict in document["screening"]["verdicts"]] == ["R001", "R002", "R003"]
    export(folder, tmp_path / "export", overwrite=False)
    assert {row["rater"] for row in rows(tmp_path / "export" / "answers.csv")} == {"S001", "S002"}


def test_export_is_whole_and_anonymous(folder: Path, tmp_path: Path) -> None:
    fill(folder, [taste(index, QUALITY) for index in range(3)], simulated=False)
    fill(folder, [taste(7, QUALITY)], simulated=True)
    target = tmp_path / "export"
    raters, answers = export(folder, target, overwrite=False)
    table = rows(target / "answers.csv")
    assert raters == 4 and answers == len(table)
    assert {row["rater"] for row in table} == {"R001", "R002", "R003", "S001"}
    assert {row["simulated"] for row in table if row["rater"].startswith("S")} == {"1"}
    document = json.loads((target / "answers.json").read_text(encoding="utf-8"))
    assert len(document["answers"]) == answers
    assert [len(session["steps"]) for session in document["raters"]] == [answers // 4] * 4
    design = json.loads((target / "design.json").read_text(encoding="utf-8"))
    study = read_study(folder)
    assert design["id"] == study.id and len(design["stimuli"]) == len(study.stimuli)
    text = "".join(path.read_text(encoding="utf-8") for path in target.iterdir())
    assert "started_s" not in text and "invitation" not in text and "secret" not in text
    with pytest.raises(OutputError, match="--overwrite"):
        export(folder, target, overwrite=False)
    export(folder, target, overwrite=True)
