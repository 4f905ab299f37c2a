"""A soak of the live pipeline: a picture as camera, sharpened, thrown away; FPS, latency, memory, drops, levels.

    python benchmarks/live.py --minutes 10 --size 1080p --json benchmarks/results/live/1080p.json
    python benchmarks/live.py --minutes 5 --size 720p --load 0.5 --json benchmarks/results/live/720p-loaded.json
    python benchmarks/live.py --minutes 1 --source meeting.mp4

--load takes that share of the processor's cores away by processes that do nothing but run. What is measured begins
after the warm-up. The source runs in this process, too: its time is part of what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import typer

from keenframe.cli.bench import parse_size
from keenframe.engines.cpu import machine, usable_cores
from keenframe.errors import KeenframeError
from keenframe.live.governed import GovernedSharpener
from keenframe.live.pipeline import Pipeline
from keenframe.live.sinks import Shot
from keenframe.media.files import check_output, write_text
from keenframe.media.pattern import Pattern
from keenframe.media.playback import Playback

# Latencies are kept in bins of a tenth of a millisecond, up to a second: bounded however long it runs.
BIN_MS, BINS = 0.1, 10_000
FPS_HELD, P95_MS, SLOPE_MB = 0.99, 33.0, 1.0


class Measuring:
    """A sink that takes no time and notes the latency of every frame. `begin` forgets the warm-up."""

    name, retries = "measuring", False

    def __init__(self) -> None:
        self.bins = np.zeros(BINS, np.int64)
        self.frames = 0

    def begin(self) -> None:
        self.bins[:] = 0
        self.frames = 0

    def write(self, shot: Shot) -> None:
        latency_ms = 1000 * (time.perf_counter() - shot.came_s)
        self.bins[min(int(latency_ms / BIN_MS), BINS - 1)] += 1
        self.frames += 1

    def close(self) -> None:
        pass

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of the frames stays below."""
        reached = np.searchsorted(np.cumsum(self.bins), share * self.bins.sum())
        return float((reached + 1) * BIN_MS)


@contextlib.contextmanager
def load(share: float) -> Iterator[int]:
    """Processes that take `share` of the cores; how many."""
    count = round(share * usable_cores())
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield count
    finally:
        for process in processes:
            process.kill()
            process.wait()


def soak(given: argparse.Namespace) -> dict[str, Any]:
    """Run, and return what was measured."""
    width, height = parse_size(given.size)
    if given.source == "test":
        open_source: Any = partial(Pattern, width, height, given.fps)
    else:
        open_source = partial(Playback, Path(given.source), loop=True)
    process, sink = psutil.Process(), Measuring()
    samples: list[tuple[float, float, int]] = []
    levels: Counter[str] = Counter()
    options = {"engine": given.engine, "threads": given.threads, "cpu_share": given.cpu_share}
    with (
        load(given.load) as loaders,
        GovernedSharpener(given.model or None, given.fps, **options) as sharpener,
    ):
        pipeline = Pipeline(open_source, sharpener, [sink])
        with pipeline:
            pipeline.wait(given.warm_up)
            before = pipeline.snapshot()["counters"]
            process.cpu_percent()
            sink.begin()
            started_s = time.perf_counter()
            while (elapsed_s := time.perf_counter() - started_s) < 60 * given.minutes:
                if pipeline.wait(1):
                    break
                samples.append((elapsed_s, process.memory_info().rss / 1e6, sink.frames))
                levels[sharpener.levels[sharpener.level]] += 1
                if sys.stderr.isatty():
                    print(f"\r{elapsed_s:6.0f} s  {sink.frames} frames", end="", file=sys.stderr)
            seconds, frames = time.perf_counter() - started_s, sink.frames
            cpu_percent = process.cpu_percent()
        last = pipeline.snapshot()
    if pipeline.error is not None:
        raise pipeline.error
    times_s, rss_mb, counts = np.array(samples).T
    gained = {name: number - before.get(name, 0) for name, number in last["counters"].items()}
    counters = last["counters"]
    declared = counters["frames_out"] + counters["dropped"] + counters.get("skipped", 0)
    taken = last["sinks"]["measuring"]
    undeclared = (
        counters["frames_in"] - declared + counters["frames_out"] - taken["written"] - taken["dropped"]
    )
    per_second = np.diff(counts) / np.diff(times_s)
    return {
        "machine": machine(),
        "input": last["input"],
        "target_fps": given.fps,
        "busy_processes_beside": loaders,
        "minutes": round(seconds / 60, 2),
        "levels_seconds": dict(levels),
        "fps": round(frames / seconds, 2),
        "fps_slowest_5_s": round(float(np.convolve(per_second, np.ones(5) / 5, "valid").min()), 2),
        "latency_ms": {f"p{rank}": round(sink.percentile(rank / 100), 1) for rank in (50, 95, 99)},
        "cpu_percent": round(cpu_percent, 1),
        "rss_mb": {
            "first": round(rss_mb[0], 1),
            "last": round(rss_mb[-1], 1),
            "most": round(rss_mb.max(), 1),
        },
        "rss_slope_mb_per_minute": round(float(60 * np.polyfit(times_s, rss_mb, 1)[0]), 3),
        "dropped": gained["dropped"],
        "skipped": gained.get("skipped", 0),
        "dropped_by_sink": taken["dropped"],
        "undeclared_drops": undeclared,
        "sharpened": gained["sharpened"],
        "passed": gained["passed"],
        "errors": gained["errors"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=10.0, help="seconds before measuring")
    parser.add_argument("--source", default="test", help="test, or a video file, repeated")
    parser.add_argument("--size", default="1080p", help="of the test picture")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--model", action="append", help="may be repeated, largest first")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cpu-share", type=float, default=1.0)
    parser.add_argument(
        "--load", type=float, default=0.0, help="share of the cores that other processes take"
    )
    parser.add_argument("--json", type=Path, help="write the numbers, too")
    given = parser.parse_args()
    try:
        if given.json is not None:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            check_output(given.json, overwrite=True)  # rather than after minutes of measuring
        numbers = soak(given)
    except (KeenframeError, OSError, typer.BadParameter) as error:
        parser.error(str(error))
    print(json.dumps(numbers, indent=2))
    if given.json is not None:
        write_text(given.json, json.dumps(numbers, indent=2) + "\n")
    verdicts = {
        f"FPS held ({FPS_HELD:.0%} of the target)": numbers["fps"] >= FPS_HELD * given.fps,
        f"p95 latency ≤ {P95_MS:g} ms": numbers["latency_ms"]["p95"] <= P95_MS,
        f"memory ≤ {SLOPE_MB:g} MB/min": numbers["rss_slope_mb_per_minute"] <= SLOPE_MB,
        "no undeclared drops": numbers["undeclared_drops"] == 0,
    }
    for name, holds in verdicts.items():
        print(f"{'✓' if holds else '✗'} {name}", file=sys.stderr)
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
