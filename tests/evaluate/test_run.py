from __future__ import annotations

import json
from pathlib import Path

import pytest

from keenframe.errors import InputError, OutputError
from keenframe.evaluate.run import JOURNAL, RUN, Run

ARGUMENTS = {"presets": {"soft": "a blur"}, "limit": None}


def record(name: str, digest: str = "d") -> dict[str, object]:
    return {"preset": "soft", "name": name, "digest": digest, "scores": {}}


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    run = Run(folder, ARGUMENTS, {"begun": "2026-01-01"})
    run.add(record("a.png"))
    run.close()
    run = Run(folder, ARGUMENTS, {"begun": "2026-01-02"})
    assert run.about == {"begun": "2026-01-01"}
    assert run.known("soft", "a.png", "d")
    assert not run.known("soft", "a.png", "other content") and not run.known("soft", "b.png", "d")
    run.add(record("b.png"))
    run.add(record("a.png", "other content"))
    assert [r["name"] for r in run.records([("soft", "b.png"), ("soft", "c.png"), ("soft", "a.png")])] == [
        "b.png", "a.png",
    ]  # fmt: skip
    run.close()
    assert Run(folder, ARGUMENTS, {}).known("soft", "a.png", "other content")


@pytest.mark.parametrize("wrong", [{"error": "memory"}, {"failed": {"keen, VMAF": "no such model"}}])
def test_what_failed_is_not_done(tmp_path: Path, wrong: dict[str, object]) -> None:
    run = Run(tmp_path / "a", ARGUMENTS, {})
    run.add(record("a.png") | wrong)
    assert not run.known("soft", "a.png", "d")
    run.add(record("a.png"))
    run.close()
    run = Run(tmp_path / "a", ARGUMENTS, {})
    assert run.known("soft", "a.png", "d") and run.records([("soft", "a.png")]) == [record("a.png")]
    run.close()


@pytest.mark.parametrize("torn", ['{"preset": "soft", "na', '{"preset": "soft"}\n', "\x00\x00"])
def test_a_torn_line_is_dropped_and_nothing_is_glued_to_it(tmp_path: Path, torn: str) -> None:
    run = Run(tmp_path / "a", ARGUMENTS, {})
    run.add(record("a.png"))
    run.close()
    journal = tmp_path / "a" / JOURNAL
    journal.write_text(journal.read_text() + torn)
    run = Run(tmp_path / "a", ARGUMENTS, {})
    run.add(record("b.png"))
    run.close()
    assert [json.loads(line)["name"] for line in journal.read_text().splitlines()] == ["a.png", "b.png"]


def test_other_arguments_are_refused_with_their_difference(tmp_path: Path) -> None:
    Run(tmp_path / "a", ARGUMENTS, {}).close()
    with pytest.raises(InputError, match=r"other arguments — limit: null then, 3 now — give the same ones"):
        Run(tmp_path / "a", ARGUMENTS | {"limit": 3}, {})
    with pytest.raises(InputError, match="shrink: null then, 2 now"):
        Run(tmp_path / "a", ARGUMENTS | {"shrink": 2}, {})


def test_folders_that_are_no_runs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something that is no run"):
        Run(tmp_path, ARGUMENTS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(OutputError, match="cannot be used"):
        Run(tmp_path / "thesis.txt" / "run", ARGUMENTS, {})
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / RUN).write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        Run(tmp_path / "torn", ARGUMENTS, {})
