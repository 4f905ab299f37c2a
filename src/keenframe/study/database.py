"""Invitations, raters and answers in SQLite: what is acknowledged is on the disk.

One row of `raters` is an invitation until somebody starts with it. Tokens and secrets are stored as SHA-256 only:
who reads the file cannot answer in anybody's name. No address and no browser name is kept of a rater, and no clock
time but that of the start, from which the times of answers count.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keenframe.errors import InputError, KeenframeError, OutputError
from keenframe.study.design import DATABASE_FILE, Study
from keenframe.study.plan import Step, session

TOKEN_BYTES = 24
_BUSY_MS = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    invitation BLOB NOT NULL UNIQUE,
    simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)),
    secret BLOB UNIQUE,
    position INTEGER,
    plan TEXT,
    started_s INTEGER,
    UNIQUE (simulated, position)
);
CREATE TABLE IF NOT EXISTS answers (
    rater INTEGER NOT NULL REFERENCES raters (id),
    step INTEGER NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    after_s REAL NOT NULL,
    PRIMARY KEY (rater, step),
    UNIQUE (rater, id)
) WITHOUT ROWID;
"""


class RefusedError(KeenframeError):
    """The link is unknown, or was used in another browser."""


class OutOfOrderError(KeenframeError):
    """The answer is to a step that is not the rater's next one."""


@dataclass(frozen=True, slots=True)
class Session:
    """A rater who has started. done: how many of the steps are answered."""

    rater: int
    steps: list[Step]
    done: int


@dataclass(frozen=True, slots=True)
class Record:
    """All that is kept of one rater: the plan and (step, answer, seconds since the start) in step order."""

    rater: int
    simulated: bool
    position: int
    steps: list[Step]
    answers: list[tuple[int, dict[str, Any], float]]

    @property
    def name(self) -> str:
        """What he is called in all results, by his place in the study: the invitation cannot be told from it."""
        return f"{'S' if self.simulated else 'R'}{self.position + 1:03d}"


@dataclass(frozen=True, slots=True)
class Counts:
    """Invitations, raters who started and who finished, and answers; simulated ones apart."""

    invited: int
    started: int
    finished: int
    answers: int


class Database:
    """The answers of one study. Calls from several threads are safe; several processes may share the file.

    reading: nothing is going to be written, so a copy of the study that may not be written will do.
    """

    def __init__(self, folder: Path, study: Study, reading: bool = False) -> None:
        self.path = folder / DATABASE_FILE
        self._study = study
        self._lock = threading.Lock()
        frozen = reading and not _may_be_written(self.path)
        with self._clear_errors():
            self._connection = sqlite3.connect(
                _reading_address(self.path) if frozen else self.path,
                isolation_level=None,
                check_same_thread=False,
                timeout=_BUSY_MS / 1000,
                uri=frozen,
            )
            if not frozen or not self.path.exists():
                self._set_up()
            self._check_study()

    def _set_up(self) -> None:
        connection, study = self._connection, self._study
        connection.execute("PRAGMA journal_mode = WAL")
        # With FULL, a commit returns when the log is on the disk; on macOS only the second makes that true.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        if connection.execute("SELECT id FROM study").fetchone() is None:
            connection.execute("INSERT INTO study VALUES (?)", (study.id,))
        connection.execute("COMMIT")

    def _check_study(self) -> None:
        (known,) = self._connection.execute("SELECT id FROM study").fetchone()
        if known != self._study.id:
            raise InputError(
                f"'{self.path}' holds the answers of another study ({known}); this one is {self._study.id}: "
                "put study.json and answers back together"
            )

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise OutputError(f"'{self.path}' cannot be used: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in the block or nothing; when it has ended, it is on the disk."""
        with self._lock, self._clear_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def invite(self, count: int, simulated: bool = False) -> list[str]:
        """`count` new tokens; they are not kept and cannot be shown again."""
        tokens = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(count)]
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO raters (invitation, simulated) VALUES (?, ?)",
                [(_hash(token), int(simulated)) for token in tokens],
            )
        return tokens

    def start(self, token: str, secret: str) -> Session:
        """Bind an invitation to the secret that the browser made. The same two again change nothing.

        RefusedError for an unknown token, and for one that is bound to another secret.
        """
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT id, secret, simulated FROM raters WHERE invitation = ?", (_hash(token),)
            ).fetchone()
            if row is None or row[1] not in (None, _hash(secret)):
                raise RefusedError("this link is not valid, or it was used in another browser already")
            if row[1] is None:
                (position,) = connection.execute(
                    "SELECT COALESCE(MAX(position), -1) + 1 FROM raters WHERE simulated = ?", (row[2],)
                ).fetchone()
                connection.execute(
                    "UPDATE raters SET secret = ?, position = ?, plan = ?, started_s = ? WHERE id = ?",
                    (
                        _hash(secret),
                        position,
                        json.dumps(session(self._study, position)),
                        int(time.time()),
                        row[0],
                    ),
                )
        started = self.session(secret)
        assert started is not None
        return started

    def session(self, secret: str) -> Session | None:
        """Where the rater with this secret is; None for nobody's."""
        with self._lock, self._clear_errors():
            row = self._connection.execute(
                "SELECT id, plan FROM raters WHERE secret = ?", (_hash(secret),)
            ).fetchone()
            if row is None:
                return None
            return Session(row[0], json.loads(row[1]), self._done(row[0]))

    def _done(self, rater: int) -> int:
        (done,) = self._connection.execute(
            "SELECT COUNT(*) FROM answers WHERE rater = ?", (rater,)
        ).fetchone()
        return int(done)

    def answer(self, rater: int, step: int, id: str, body: dict[str, Any]) -> int:
        """Keep an answer; returns how many steps are done when it is on the disk.

        An id that is known, or a step that is answered, changes nothing: the first answer stays. Otherwise
        OutOfOrderError unless `step` is the next one.
        """
        with self._transaction() as connection:
            known = connection.execute(
                "SELECT 1 FROM answers WHERE rater = ? AND (id = ? OR step = ?)", (rater, id, step)
            ).fetchone()
            done = self._done(rater)
            if known is not None:
                return done
            if step != done:
                raise OutOfOrderError(f"the next step is {done}; got an answer to {step}")
            connection.execute(
                "INSERT INTO answers (rater, step, id, body, after_s) "
                "SELECT id, ?, ?, ?, ROUND(? - started_s, 1) FROM raters WHERE id = ?",
                (step, id, json.dumps(body), time.time(), rater),
            )
        return done + 1

    def counts(self, simulated: bool) -> Counts:
        """How far the study is."""
        with self._lock, self._clear_errors():
            flag = (int(simulated),)
            (invited,) = self._connection.execute(
                "SELECT COUNT(*) FROM raters WHERE simulated = ?", flag
            ).fetchone()
            rows = self._connection.execute(
                "SELECT plan, (SELECT COUNT(*) FROM answers WHERE rater = raters.id) FROM raters "
                "WHERE simulated = ? AND plan IS NOT NULL",
                flag,
            ).fetchall()
        finished = sum(done == len(json.loads(plan)) for plan, done in rows)
        return Counts(invited, len(rows), finished, sum(done for _, done in rows))

    def records(self) -> list[Record]:
        """Everyone who started, in the order of the start; people first. That of the invitations would tell whose
        they were."""
        with self._lock, self._clear_errors():
            raters = self._connection.execute(
                "SELECT id, simulated, position, plan FROM raters WHERE plan IS NOT NULL "
                "ORDER BY simulated, position"
            ).fetchall()
            answers: dict[int, list[tuple[int, dict[str, Any], float]]] = {row[0]: [] for row in raters}
            for rater, step, body, after_s in self._connection.execute(
                "SELECT rater, step, body, after_s FROM answers ORDER BY rater, step"
            ):
                if rater in answers:
                    answers[rater].append((step, json.loads(body), after_s))
        return [Record(row[0], bool(row[1]), row[2], json.loads(row[3]), answers[row[0]]) for row in raters]


def _may_be_written(path: Path) -> bool:
    """Whether SQLite may change the file and put its log beside it."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def _reading_address(path: Path) -> str:
    """For SQLite, of a file that may not be written; in memory where nobody has been invited yet."""
    if not path.exists():
        return ":memory:"
    path = path.resolve()  # beside the file itself are those that belong to it
    log, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    # Without a log the file has everything, and must be read as one that nobody changes: SQLite would make a log.
    whole = not log.exists() or (log.stat().st_size == 0 and not index.exists())
    return f"{path.as_uri()}?mode=ro" + ("&immutable=1" if whole else "")


def _hash(text: str) -> bytes:
    """SHA-256: the tokens are 24 random bytes, so a slow hash would add nothing."""
    return hashlib.sha256(text.encode()).digest()
