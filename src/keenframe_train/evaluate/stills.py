"""Quality on whole pictures: every degradation, by category, through the runtime that users run."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keenframe import Sharpener
from keenframe_train.data.images import ImageFile
from keenframe_train.data.presets import preset
from keenframe_train.data.validation import make_sample
from keenframe_train.evaluate.metrics import psnr, ssim
from keenframe_train.files import write_text
from keenframe_train.progress import progress

Uint8 = NDArray[np.uint8]
SEED = 7
KINDS = ("r1", "r2", "r3", "r4", "r5", "call-half", "call-full", "clean")
# R5 works on 256x256 windows.
WINDOWS: dict[str, int] = {"r5": 256}


@dataclass(frozen=True, slots=True)
class Score:
    """One picture under one degradation: PSNR (dB, at most 60) and SSIM of luma, per method.

    `to_input` is the PSNR of the model's output against its own input: how much a clean picture is touched.
    """

    kind: str
    category: str
    name: str
    method: str
    psnr: float
    ssim: float
    to_input: float


def unsharp_mask(luma: Uint8, amount: float = 1.0, sigma: float = 1.0) -> Uint8:
    """luma + amount * (luma - blurred), (H, W) uint8: what players and cameras do."""
    blurred = cv2.GaussianBlur(luma, (0, 0), sigma).astype(np.float32)
    return np.clip(np.rint(luma + amount * (luma - blurred)), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class _Job:
    models: tuple[str, ...]
    engine: str


_sharpeners: dict[str, Sharpener] = {}


def _start(job: _Job) -> None:
    cv2.setNumThreads(1)
    for model in job.models:
        _sharpeners[model] = Sharpener(model, engine=job.engine, threads=1)


def _score(task: tuple[ImageFile, str]) -> list[Score]:
    file, kind = task
    sample = make_sample(file, kind, SEED, WINDOWS.get(kind))
    same_size = sample.degraded.shape == sample.pristine.shape
    enlarged = sample.degraded if same_size else _enlarged(sample.degraded, sample.pristine.shape)
    outputs = {"input": enlarged, "unsharp mask": unsharp_mask(enlarged)}
    for model, sharpener in _sharpeners.items():
        if (sharpener.scale == 1) == same_size:
            outputs[model] = np.asarray(sharpener.sharpen(sample.degraded))
    return [
        Score(
            kind,
            sample.category,
            sample.name,
            method,
            psnr(output, sample.pristine),
            ssim(output, sample.pristine),
            psnr(output, enlarged),
        )
        for method, output in outputs.items()
    ]


def _enlarged(plane: Uint8, shape: tuple[int, ...]) -> Uint8:
    """What a viewer without a x2 network would show: bicubic."""
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def evaluate_stills(
    files: Sequence[ImageFile],
    models: Sequence[str],
    kinds: Sequence[str] = KINDS,
    *,
    engine: str = "auto",
    workers: int | None = None,
) -> list[Score]:
    """Scores of the damaged input, an unsharp mask and every model on every picture and degradation.

    Deterministic in the file names. A x2 model is scored on the kinds that come at half size, the others on the
    rest. workers: processes, each with one thread; None takes one a processor.
    """
    for kind in kinds:
        preset(kind)
    # One picture's damages follow each other: engines compile once for its size.
    tasks = [(file, kind) for file in files for kind in kinds]
    job = _Job(tuple(models), engine)
    workers = workers or os.cpu_count() or 1
    scores: list[Score] = []
    with multiprocessing.get_context("spawn").Pool(workers, _start, (job,)) as pool, progress() as bar:
        row = bar.add_task("stills", total=len(tasks), note="")
        for found in pool.imap(_score, tasks, chunksize=len(kinds)):
            scores += found
            bar.advance(row)
    return scores


def means(
    scores: Sequence[Score], kind: str, method: str, category: str | None = None
) -> tuple[float, float]:
    """Mean (PSNR, SSIM) over the pictures of one kind and method, of one category or of all."""
    chosen = [
        score
        for score in scores
        if score.kind == kind and score.method == method and category in (None, score.category)
    ]
    if not chosen:
        return float("nan"), float("nan")
    return float(np.mean([s.psnr for s in chosen])), float(np.mean([s.ssim for s in chosen]))


def save_scores(path: Path, scores: Sequence[Score]) -> None:
    """Every single score as JSON lines, for other tables than ours."""
    write_text(path, "".join(json.dumps(asdict(score), sort_keys=True) + "\n" for score in scores))


def stills_table(scores: Sequence[Score], model: str) -> str:
    """Markdown: PSNR and SSIM of input -> model by degradation and category, with the gain."""
    kinds = list(dict.fromkeys(score.kind for score in scores if score.method == model))
    categories = sorted({score.category for score in scores})
    head = "| damage | " + " | ".join(["all", "unsharp mask", *categories]) + " |"
    lines = [head, "|" + " --- |" * (len(categories) + 3)]
    for kind in kinds:
        before, after = means(scores, kind, "input"), means(scores, kind, model)
        if kind == "clean":
            touched = np.mean([s.to_input for s in scores if s.kind == kind and s.method == model])
            # For the clean picture the input is the reference: the figure is how little it is touched.
            cells = [f"{touched:.1f} dB to the input, {after[1]:.4f}", "—"]
            cells += [f"{means(scores, kind, model, c)[0]:.1f} dB" for c in categories]
        else:
            mask = means(scores, kind, "unsharp mask")
            cells = [
                f"{before[0]:.2f} → **{after[0]:.2f}** dB, {before[1]:.4f} → **{after[1]:.4f}**",
                f"{mask[0] - before[0]:+.2f} dB, {mask[1] - before[1]:+.4f}",
            ]
            for category in categories:
                b, a = means(scores, kind, "input", category), means(scores, kind, model, category)
                cells.append(f"{a[0] - b[0]:+.2f} dB, {a[1] - b[1]:+.4f}")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
