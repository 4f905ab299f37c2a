"""Numbers of a live stream: bounded, right, and in both formats."""

from __future__ import annotations

import json
import re

import pytest

from keenframe.live.stats import WINDOW, Stats, Window, prometheus


def test_a_rate_is_that_of_the_last_seconds() -> None:
    window = Window()
    for index in range(200):
        window.add(index / 25)
    assert window.rate(8.0) == pytest.approx(25, rel=0.02)
    assert 0 < window.rate(9.5) < 25
    assert window.rate(60.0) == 0.0


def test_percentiles_are_of_a_bounded_number_of_values() -> None:
    window = Window()
    for index in range(10 * WINDOW):
        window.add(index / 30, index % 100)
    found = window.percentiles()
    assert found == pytest.approx({"p50": 49.5, "p95": 94.05, "p99": 98.01}, abs=0.1)
    assert len(window._values) == WINDOW
    assert Window().percentiles() == {}


def test_a_snapshot_is_json_and_prometheus() -> None:
    stats = Stats()
    for index in range(30):
        stats.frame_in(index / 30)
        stats.processed(index / 30, 0.010)
        stats.frame_out(index / 30, 0.012)
    stats.count("dropped", 3)
    stats.error("the cable was pulled")
    snapshot = stats.snapshot()
    assert json.loads(json.dumps(snapshot)) == snapshot
    assert snapshot["counters"] == {
        "frames_in": 30,
        "frames_out": 30,
        "sharpened": 30,
        "passed": 0,
        "dropped": 3,
        "errors": 1,
    }
    assert snapshot["latency_ms"]["p95"] == pytest.approx(12)
    assert snapshot["rss_mb"] > 10
    text = prometheus(snapshot | {"level": 1, "levels": ["keen", "pass"], "pinned": None})
    assert "keenframe_dropped_total 3\n" in text
    assert 'keenframe_latency_ms{quantile="0.95"} 12' in text
    assert "keenframe_level 1\n" in text
    assert "levels" not in text and "None" not in text and "cable" not in text
    line = re.compile(r'# (HELP|TYPE) \w+ .+|\w+(\{quantile="[\d.]+"\})? -?[\d.e+-]+')
    assert all(line.fullmatch(row) for row in text.splitlines())
