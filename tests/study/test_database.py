from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keenframe.errors import InputError, OutputError
from keenframe.study.database import Counts, Database, OutOfOrderError, RefusedError, Session
from keenframe.study.design import Study
from keenframe.study.plan import session


@pytest.fixture
def database(folder: Path, study: Study) -> Iterator[Database]:
    opened = Database(folder, study)
    yield opened
    opened.close()


def started(database: Database, simulated: bool = False) -> tuple[Session, str, str]:
    (token,) = database.invite(1, simulated)
    secret = secrets.token_hex(32)
    return database.start(token, secret), token, secret


def test_commits_wait_for_the_disk(database: Database) -> None:
    ask = database._connection.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ask("PRAGMA synchronous").fetchone() == (2,)  # FULL


@pytest.mark.parametrize("open_elsewhere", [False, True])
def test_a_copy_that_may_not_be_written_can_be_read(
    folder: Path, study: Study, monkeypatch: pytest.MonkeyPatch, open_elsewhere: bool
) -> None:
    writing = Database(folder, study)
    session, _, _ = started(writing)
    writing.answer(session.rater, 0, "a" * 32, {"value": 1})
    if not open_elsewhere:
        writing.close()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may do everything
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    reading = Database(folder, study, reading=True)
    assert reading.counts(False) == Counts(1, 1, 0, 1)
    assert [record.answers[0][:2] for record in reading.records()] == [(0, {"value": 1})]
    with pytest.raises(OutputError, match="readonly"):
        reading.invite(1)
    reading.close()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    writing.close()
    with pytest.raises(InputError, match="another study"):
        Database(folder, replace(study, id="other"), reading=True)


def test_a_copy_without_answers_can_be_read(
    folder: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    reading = Database(folder, study, reading=True)
    assert reading.counts(False) == Counts(0, 0, 0, 0) and reading.records() == []
    reading.close()
    assert not reading.path.exists()


def test_an_invitation_belongs_to_the_first_secret(database: Database, study: Study) -> None:
    first, token, secret = started(database)
    assert first.steps == session(study, 0)
    assert first.done == 0
    assert database.start(token, secret) == first
    with pytest.raises(RefusedError):
        database.start(token, secrets.token_hex(32))
    with pytest.raises(RefusedError):
        database.start("unheard-of", secret)
    assert database.session(secret) == first
    assert database.session(secrets.token_hex(32)) is None


def test_a_rater_keeps_the_plan_that_he_started_with(
    folder: Path, study: Study, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, token, secret = started(database)
    # The rule of another version.
    monkeypatch.setattr("keenframe.study.database.session", lambda study, position: [])
    assert database.session(secret) == database.start(token, secret) == first
    later = Database(folder, study)
    assert later.records()[0].steps == first.steps
    later.close()


def test_raters_get_places_in_the_order_of_their_start(database: Database, study: Study) -> None:
    tokens = database.invite(3)
    late, early = database.start(tokens[2], "a" * 64), database.start(tokens[0], "b" * 64)
    assert (late.steps, early.steps) == (session(study, 0), session(study, 1))
    trial, _, _ = started(database, simulated=True)
    assert trial.steps == session(study, 0)


def test_an_answer_counts_once(database: Database) -> None:
    rater, _, secret = started(database)
    assert database.answer(rater.rater, 0, "a" * 32, {"value": 1}) == 1
    assert database.answer(rater.rater, 0, "a" * 32, {"value": 2}) == 1
    assert database.answer(rater.rater, 0, "b" * 32, {"value": 3}) == 1
    with pytest.raises(OutOfOrderError, match="next step is 1"):
        database.answer(rater.rater, 2, "c" * 32, {"value": 4})
    assert database.answer(rater.rater, 1, "c" * 32, {"value": 5}) == 2
    (record,) = database.records()
    assert [(step, body) for step, body, _ in record.answers] == [(0, {"value": 1}), (1, {"value": 5})]
    assert database.counts(simulated=False) == Counts(1, 1, 0, 2)
    found = database.session(secret)
    assert found is not None and found.done == 2


def test_the_same_id_of_two_raters_is_two_answers(database: Database) -> None:
    first, second = started(database)[0], started(database)[0]
    for rater in (first, second):
        assert database.answer(rater.rater, 0, "a" * 32, {"value": 1}) == 1


def test_one_of_many_equal_answers_at_once_is_kept(folder: Path, study: Study) -> None:
    database = Database(folder, study)
    rater = started(database)[0].rater
    others = [Database(folder, study) for _ in range(4)]

    def answer(own: Database) -> None:
        for number in range(10):
            own.answer(rater, number, f"{number:032x}", {"value": number})

    threads = [threading.Thread(target=answer, args=(own,)) for own in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (record,) = database.records()
    assert [(step, body["value"]) for step, body, _ in record.answers] == [(n, n) for n in range(10)]
    for own in (database, *others):
        own.close()


def test_neither_token_nor_secret_is_in_the_file(folder: Path, study: Study) -> None:
    database = Database(folder, study)
    _, token, secret = started(database)
    database.close()
    stored = b"".join(path.read_bytes() for path in folder.glob("answers.sqlite*"))
    assert token.encode() not in stored
    assert secret.encode() not in stored and bytes.fromhex(secret) not in stored


def test_what_is_kept_of_a_rater(database: Database) -> None:
    """No address, no browser: a new column is a decision, and this test asks for it."""
    columns = {
        table: [row[1] for row in database._connection.execute(f"PRAGMA table_info({table})")]
        for table in ("raters", "answers")
    }
    assert columns == {
        "raters": ["id", "invitation", "simulated", "secret", "position", "plan", "started_s"],
        "answers": ["rater", "step", "id", "body", "after_s"],
    }


def test_answers_of_another_study_are_refused(folder: Path, study: Study, tmp_path: Path) -> None:
    Database(folder, study).close()
    other = shutil.copytree(folder, tmp_path / "other")
    text = json.loads((other / "study.json").read_text())
    from keenframe.study.design import read_study

    (other / "study.json").write_text(json.dumps({**text, "id": "another"}))
    with pytest.raises(InputError, match="another study"):
        Database(other, read_study(other))


def test_a_damaged_database_is_named(folder: Path, study: Study) -> None:
    (folder / "answers.sqlite").write_bytes(b"this is no database, however long it may be" * 100)
    with pytest.raises(OutputError, match="cannot be used"):
        Database(folder, study)


def test_a_full_disk_is_an_error_and_not_an_answer(database: Database) -> None:
    rater = started(database)[0].rater
    pages = database._connection.execute("PRAGMA page_count").fetchone()[0]
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutputError, match="full"):
        for number in range(60):
            database.answer(rater, number, f"{number:032x}", {"value": "x" * 4000})
    done = database.records()[0].answers
    database._connection.execute("PRAGMA max_page_count = 100000")
    assert database.answer(rater, len(done), "f" * 32, {"value": 1}) == len(done) + 1


def test_a_transaction_that_was_cut_off_leaves_nothing(folder: Path, study: Study) -> None:
    """What a kill in the middle of a write leaves behind: a lock that ends with its process, and no half row."""
    database = Database(folder, study)
    rater = started(database)[0].rater
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO answers VALUES (?, 0, 'x', '{}', 0)", (rater,))
    other.close()
    assert database.records()[0].answers == []
    assert database.answer(rater, 0, "a" * 32, {"value": 1}) == 1
    database.close()
