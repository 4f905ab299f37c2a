"""Milliseconds of a frame: all methods in turn, round after round, so that the machine's moods hit all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from benchmarks.peers.methods import INPUT, Method, Ours, Uint8
from keenframe.cli.bench import make_frame
from keenframe.errors import KeenframeError
from keenframe_train.progress import progress

_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Job:
    """One method at one task: "same" for a frame sharpened, "x2" and "x4" for a smaller one enlarged to its size."""

    method: str
    task: str
    call: Callable[[], Uint8]


def jobs(methods: Sequence[Method], width: int, height: int) -> list[Job]:
    """What is measured of each method: enlarging to width x height where it enlarges, and sharpening at that size."""
    found = []
    luma_frame = make_frame(width, height, 0).planes[0]
    pictures = {"luma": luma_frame, "rgb": np.repeat(luma_frame[..., None], 3, 2)}
    for method in methods:
        if method.name == INPUT:
            continue
        for step in method.steps.values():
            if isinstance(step, Ours):
                step.streaming = True
        picture = pictures[method.color]
        if not method.small_only:
            found.append(Job(method.name, "same", partial(method.sharpen, picture)))
        for factor in (2, 4):
            if 1 not in method.steps and any(
                factor % step == 0 or step % factor == 0 for step in method.steps
            ):
                size = (width // factor, height // factor)
                small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
                found.append(Job(method.name, f"x{factor}", partial(method.enlarge, small, factor)))
    return found


def measure_speed(work: Sequence[Job], rounds: int, limit_s: float) -> list[dict[str, Any]]:
    """Rows of method, task, median, p95 and minimum in ms, and how many frames that is.

    rounds: frames of each job at most. limit_s: a job that has taken longer in all is left out of further rounds, after
    three; after one that takes so long by itself.
    """
    times: dict[tuple[str, str], list[float]] = {(job.method, job.task): [] for job in work}
    failed: dict[tuple[str, str], str] = {}
    with progress() as bar:
        row = bar.add_task("speed", total=(rounds + _WARM_UP) * len(work), note="")
        for index in range(rounds + _WARM_UP):
            for job in work:
                bar.update(row, advance=1, note=f"{job.method} {job.task}")
                key = (job.method, job.task)
                if key in failed or _enough(times[key], 1000 * limit_s):
                    continue
                try:
                    start = time.perf_counter()
                    job.call()
                except KeenframeError as error:
                    failed[key] = str(error)
                    continue
                # A slow method needs no warming up beyond its first frame.
                taken = 1000 * (time.perf_counter() - start)
                if index >= (1 if taken > 1000 else _WARM_UP):
                    times[key].append(taken)
    rows = []
    for (method, task), values in times.items():
        entry: dict[str, Any] = {"method": method, "task": task, "frames": len(values)}
        if values:
            entry |= {
                "median_ms": float(np.median(values)),
                "p95_ms": float(np.percentile(values, 95)),
                "least_ms": float(np.min(values)),
            }
        if (method, task) in failed:
            entry["failed"] = failed[method, task]
        rows.append(entry)
    return rows


def _enough(times_ms: Sequence[float], limit_ms: float) -> bool:
    return sum(times_ms) > limit_ms and (len(times_ms) >= 3 or times_ms[0] > limit_ms)
