"""Thirty raters at once, a server that is killed in between, and an analysis that must find what they prefer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

pytest.importorskip("uvicorn", reason="the extra 'web' is not installed")

from keenframe.errors import InputError
from keenframe.study.analysis.run import analyse
from keenframe.study.database import Database
from keenframe.study.design import ALL, read_study
from raters import RemoteRater, Server, fill, serving, taste

RATERS = 30
KILLS = (200, 700)
QUALITY = {"reference": 4.4, "unsharp:2": 3.4, "input": 2.4}


async def rate(raters: list[RemoteRater], server: Server) -> None:
    """All raters at once; kill -9 and a new start whenever one of `KILLS` answers is acknowledged."""
    count = 0

    async def acknowledged() -> None:
        nonlocal count
        count += 1
        if count in KILLS:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

    limits = httpx.Limits(max_connections=RATERS)
    async with httpx.AsyncClient(timeout=10, limits=limits) as client, asyncio.TaskGroup() as group:
        for rater in raters:
            group.create_task(rater.run(client, acknowledged))


def test_no_answer_is_lost_or_doubled_and_preferences_are_found(folder: Path) -> None:
    study = read_study(folder)
    database = Database(folder, study)
    tokens = database.invite(RATERS, simulated=True)
    database.close()
    with serving(folder) as server:
        raters = [
            RemoteRater(server.url, study, token, taste(index, QUALITY)) for index, token in enumerate(tokens)
        ]
        asyncio.run(rate(raters, server))
    assert sum(rater.retries for rater in raters) > 0, "nobody noticed that the server was killed"

    database = Database(folder, study)
    records = database.records()
    stored = {rater.secret: database.session(rater.secret) for rater in raters}
    rows = database._connection.execute("SELECT rater, step, id, body FROM answers").fetchall()
    counts = database.counts(simulated=True)
    database.close()
    expected = {
        (stored[rater.secret].rater, answer.step, answer.id)  # type: ignore[union-attr]
        for rater in raters
        for answer in rater.acknowledged
    }
    assert {(rater, step, id) for rater, step, id, _ in rows} == expected
    assert len(rows) == len(expected) == counts.answers
    assert counts.finished == counts.started == RATERS
    assert sorted(record.position for record in records) == list(range(RATERS))
    for record in records:
        assert [step for step, _, _ in record.answers] == list(range(len(record.steps)))
        assert record.simulated
    values = {
        (stored[rater.secret].rater, answer.step): answer.value  # type: ignore[union-attr]
        for rater in raters
        for answer in rater.acknowledged
    }
    for record in records:
        for step, body, after_s in record.answers:
            assert body["value"] == values[record.rater, step]
            assert after_s >= 0

    check_preferences(folder)


def check_preferences(folder: Path) -> None:
    """The analysis must find the order, the distances and the pairs of `QUALITY`."""
    with pytest.raises(InputError, match="simulated"):
        analyse(folder)
    result = analyse(folder, simulated=True)
    assert result.simulated
    # Who gets which place in the plan is a matter of who connects first. BT.500's count of outliers puts out 2 % of
    # honest raters with so few grades each: up to 3 of 30 in 40 trials.
    assert {reason for verdict in result.verdicts for reason in verdict.reasons} <= {"outlier"}
    assert result.kept >= RATERS - 6
    mos = {score.condition: score.mos for score in result.scores.mos if score.category == ALL}
    for condition, quality in QUALITY.items():
        # The scale's end cuts off some of the reference's grades: up to 0.2.
        assert mos[condition].mean == pytest.approx(quality, abs=0.3)
        assert mos[condition].low < mos[condition].mean < mos[condition].high
    for row in result.scores.differences:
        assert row.p_holm < 0.01
        assert row.mean.mean == pytest.approx(QUALITY[row.first] - QUALITY[row.second], abs=0.3)
    (pair,) = [pair for pair in result.scores.cmos if pair.category == ALL]
    assert (pair.first, pair.second) == ("unsharp:2", "input")
    assert pair.cmos.mean == pytest.approx(1.0, abs=0.2)
    assert pair.p_holm < 0.01
    assert result.scores.order is not None
    assert abs(result.scores.order.mean) < 0.2


def test_no_preference_is_found_where_there_is_none(folder: Path) -> None:
    fill(folder, [taste(index, dict.fromkeys(QUALITY, 3.0), seed=5) for index in range(24)])
    result = analyse(folder, simulated=True)
    assert all(row.p_holm > 0.05 for row in result.scores.differences)
    assert all(pair.p > 0.05 for pair in result.scores.cmos if pair.category == ALL)
    for score in result.scores.mos:
        if score.category == ALL:
            assert score.mos.low is not None and score.mos.high is not None
            assert score.mos.low < 3.0 < score.mos.high


def test_who_clicks_at_random_is_screened_out(folder: Path) -> None:
    careless = {3, 11, 17}
    fill(folder, [taste(i, QUALITY, seed=2, careless=i in careless) for i in range(20)])
    result = analyse(folder, simulated=True)
    out = {index for index, verdict in enumerate(result.verdicts) if not verdict.kept}
    assert out == careless
