"""What a live stream does, as numbers: for the status line, JSON lines and the /metrics endpoint."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Any

import numpy as np
import psutil

# Frames that a rate or a percentile looks back on: 10 seconds at 30 FPS, bounded whatever comes.
WINDOW = 300
# A rate looks back no further than this, so that a stream that stops soon shows 0.
RATE_S = 3.0
# Processor time is measured over at least so long, however often somebody looks.
CPU_S = 0.5
PERCENTILES = (50, 95, 99)

HELP = {
    "fps_in": "Frames per second that the source gave, over the last seconds",
    "fps_out": "Frames per second that came out sharpened or passed, over the last seconds",
    "level": "Model in use: 0 is the largest, the last level passes frames through",
    "latency_ms": "Added latency of the last frames in milliseconds, by quantile",
    "processing_ms": "Time in the sharpener of the last frames in milliseconds, by quantile",
    "cpu_percent": "Processor time of this process, 100 for one core",
    "rss_mb": "Resident memory of this process in megabytes",
    "uptime_s": "Seconds since the stream was opened",
}


class Window:
    """The last `WINDOW` values, with the times they came at. Not thread-safe: `Stats` guards it."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=WINDOW)
        self._times_s: deque[float] = deque(maxlen=WINDOW)

    def add(self, now_s: float, value: float = 0.0) -> None:
        self._values.append(value)
        self._times_s.append(now_s)

    def rate(self, now_s: float) -> float:
        """Values per second over the last `RATE_S` seconds."""
        recent = [time_s for time_s in self._times_s if now_s - time_s <= RATE_S]
        if len(recent) < 2:
            return 0.0
        # A stream that stopped a while ago is not as fast as its last frames were.
        span_s = max(recent[-1], now_s - RATE_S / len(recent)) - recent[0]
        return (len(recent) - 1) / span_s if span_s > 0 else 0.0

    def percentiles(self) -> dict[str, float]:
        """{"p50": …, "p95": …, "p99": …} of the values; empty without any."""
        if not self._values:
            return {}
        found = np.percentile(np.array(self._values), PERCENTILES)
        return {f"p{rank}": float(value) for rank, value in zip(PERCENTILES, found, strict=True)}


class Process:
    """Processor time and memory of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._looked_s = time.perf_counter()
        self._cpu_percent = 0.0

    def look(self) -> dict[str, float]:
        """cpu_percent (100 is one core) since an earlier look, at least `CPU_S` ago, and rss_mb."""
        now_s = time.perf_counter()
        if now_s - self._looked_s >= CPU_S:
            self._looked_s, self._cpu_percent = now_s, self._process.cpu_percent()
        return {"cpu_percent": self._cpu_percent, "rss_mb": self._process.memory_info().rss / 1e6}


class Stats:
    """Counters and windows of one stream; any thread may add, any may look.

    Counters: frames_in, frames_out, sharpened, passed (went through unsharpened, whatever the reason), dropped
    (given up because a newer frame came or the stream was stopped), and whatever else is counted by name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_s = time.perf_counter()
        self._counters: Counter[str] = Counter(
            {"frames_in": 0, "frames_out": 0, "sharpened": 0, "passed": 0, "dropped": 0, "errors": 0}
        )
        self._in = Window()
        self._latency_ms = Window()
        self._processing_ms = Window()
        self._process = Process()
        self._last_error: str | None = None

    def frame_in(self, now_s: float) -> None:
        """The source gave a frame. now_s: `time.perf_counter()`, as everywhere here."""
        with self._lock:
            self._counters["frames_in"] += 1
            self._in.add(now_s)

    def frame_out(self, now_s: float, latency_s: float) -> None:
        """A frame was handed to the sinks `latency_s` after the source had given it."""
        with self._lock:
            self._counters["frames_out"] += 1
            self._latency_ms.add(now_s, 1000 * latency_s)

    def processed(self, now_s: float, processing_s: float) -> None:
        """A frame took so long in a model."""
        with self._lock:
            self._counters["sharpened"] += 1
            self._processing_ms.add(now_s, 1000 * processing_s)

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter; names are lower case with underscores."""
        with self._lock:
            self._counters[name] += number

    def error(self, message: str) -> None:
        """Count an error and keep its words."""
        with self._lock:
            self._counters["errors"] += 1
            self._last_error = message

    def snapshot(self) -> dict[str, Any]:
        """All numbers now; ready for JSON."""
        now_s = time.perf_counter()
        with self._lock:
            return {
                "uptime_s": round(now_s - self._started_s, 3),
                "fps_in": round(self._in.rate(now_s), 2),
                "fps_out": round(self._latency_ms.rate(now_s), 2),
                "latency_ms": _rounded(self._latency_ms.percentiles()),
                "processing_ms": _rounded(self._processing_ms.percentiles()),
                **{name: round(value, 1) for name, value in self._process.look().items()},
                "counters": dict(self._counters),
                "last_error": self._last_error,
            }


def prometheus(snapshot: dict[str, Any], prefix: str = "keenframe") -> str:
    """A snapshot in Prometheus' text format: counters end in _total, percentiles are quantiles, texts are left out."""
    lines: list[str] = []
    for name, value in snapshot.items():
        if name == "counters":
            for counter, number in value.items():
                lines += [f"# TYPE {prefix}_{counter}_total counter", f"{prefix}_{counter}_total {number}"]
        elif name == "sinks":
            lines += _of_sinks(prefix, value)
        elif isinstance(value, dict):
            lines += _head(prefix, name)
            lines += [
                f'{prefix}_{name}{{quantile="{int(rank[1:]) / 100:g}"}} {number}'
                for rank, number in value.items()
            ]
        elif isinstance(value, int | float):
            lines += [*_head(prefix, name), f"{prefix}_{name} {float(value):g}"]
    return "\n".join(lines) + "\n"


def _of_sinks(prefix: str, sinks: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for number in ("written", "dropped", "failures"):
        name = f"{prefix}_sink_{number}_total"
        lines.append(f"# TYPE {name} counter")
        for sink, values in sinks.items():
            label = sink.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
            lines.append(f'{name}{{sink="{label}"}} {values[number]}')
    return lines


def _head(prefix: str, name: str) -> list[str]:
    help_text = [f"# HELP {prefix}_{name} {HELP[name]}"] if name in HELP else []
    return [*help_text, f"# TYPE {prefix}_{name} gauge"]


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}
