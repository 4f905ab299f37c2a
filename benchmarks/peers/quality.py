"""PSNR, SSIM and edges of every method on every damaged picture; a journal, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.peers.methods import INPUT, Line, Method, Uint8
from keenframe.errors import KeenframeError
from keenframe.evaluate.run import Run
from keenframe.metrics import CEILING_DB, Edges, luma, psnr, ssim
from keenframe_train.data.call import CALL_HALF
from keenframe_train.data.degradations import R1, R2, R4, R5, DownUp
from keenframe_train.data.images import ImageFile
from keenframe_train.data.validation import make_sample
from keenframe_train.evaluate.damage import SEED, WINDOWS
from keenframe_train.progress import progress

KINDS = ("r1", "r2", "r3", "r4", "r5", "call", "call-half", "call-full")


def _blurred_and_halved(image: Uint8, rng: np.random.Generator) -> Uint8:
    blur, halving = R2.steps
    assert isinstance(halving, DownUp)
    return halving.small(blur(image, rng), rng)


# Damage that ends with enlarging by a whole factor: methods that enlarge get the picture before that.
SMALL = MappingProxyType(
    {
        "r1": (R1.small, 2),
        "r2": (_blurred_and_halved, 2),
        "r4": (R4.small, 4),
        "r5": (R5.small, 2),
        "call-half": (CALL_HALF.received, 2),
    }
)


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged picture. shown: as a viewer shows it, RGB, of the pristine one's size. small: what was enlarged to
    it, and the factor; None where nothing was, or it is not known."""

    kind: str
    category: str
    pristine: Uint8
    shown: Uint8
    small: tuple[Uint8, int] | None


def make_case(file: ImageFile, kind: str) -> Case:
    """A picture under a degradation, the same for the same file name."""
    sample = make_sample(file, kind, SEED, WINDOWS.get(kind), color="rgb")
    small = None
    if kind in SMALL:
        shrink, factor = SMALL[kind]
        # The random numbers of `make_sample`.
        key = [SEED, *file.path.name.encode(), *kind.encode()]
        small = (shrink(sample.pristine, np.random.default_rng(key)), factor)
        if small[0].shape[0] * factor != sample.pristine.shape[0]:
            small = None  # pictures that are too small to be sent at that size
    return Case(kind, file.category, sample.pristine, sample.degraded, small)


def restored(method: Method, case: Case) -> Uint8 | None:
    """The luma of what a method makes of a case; None where it has nothing to do."""

    def own(picture: Uint8) -> Uint8:
        return luma(picture) if method.color == "luma" else picture

    enlarges = 1 not in method.steps
    if enlarges and case.small is not None:
        found = method.enlarge(own(case.small[0]), case.small[1])
    elif method.small_only:
        return None
    else:
        found = method.sharpen(own(case.shown))
    return found if found.ndim == 2 else luma(found)


def measure(case: Case, methods: Sequence[Method]) -> tuple[dict[str, list[float]], dict[str, str]]:
    """(scores, failures) by method. A score: PSNR in dB (at most 60), SSIM, edge strength over the shown picture's."""
    pristine = luma(case.pristine)
    edges = Edges(pristine)
    before = edges.strength(luma(case.shown))
    scores: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    for method in methods:
        try:
            found = restored(method, case)
        except KeenframeError as error:
            failed[method.name] = str(error)
            continue
        if found is not None:
            values = (
                psnr(found, pristine, ceiling_db=CEILING_DB),
                ssim(found, pristine),
                edges.strength(found) / before,
            )
            scores[method.name] = [round(value, 5) for value in values]
    return scores, failed


def measure_all(
    files: Sequence[ImageFile], kinds: Sequence[str], line: Line, run: Run
) -> list[dict[str, Any]]:
    """Every picture under every degradation by every method; what the run's journal holds is not done again."""
    tasks = [(file, kind) for file in files for kind in kinds]
    digests = {file.path: _digest(file.path) for file in files}
    with progress() as bar:
        row = bar.add_task("quality", total=len(tasks), note="")
        for file, kind in tasks:
            digest = digests[file.path]
            if not run.known(kind, item_name(file), digest):
                bar.update(row, note=f"{file.path.name} {kind}")
                case = make_case(file, kind)
                scores, failed = measure(case, line.methods)
                run.add(
                    {
                        "preset": kind,
                        "name": item_name(file),
                        "category": file.category,
                        "digest": digest,
                        "scores": scores,
                        "failed": failed,
                    }
                )
            bar.advance(row)
    return run.records((kind, item_name(file)) for file, kind in tasks)


def item_name(file: ImageFile) -> str:
    """A picture's name in the journal: two categories may have files of one name."""
    return f"{file.category}/{file.path.name}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def mean_scores(
    records: Sequence[dict[str, Any]], kind: str, method: str, category: str | None = None
) -> tuple[float, float, float] | None:
    """Means (PSNR, SSIM, edge ratio) of a method over the pictures of a kind that it was run on; None for none."""
    found = [
        record["scores"][method]
        for record in records
        if record["preset"] == kind and category in (None, record["category"]) and method in record["scores"]
    ]
    if not found:
        return None
    psnr_db, similarity, ratio = np.nanmean(np.array(found, np.float64), axis=0)
    return float(psnr_db), float(similarity), float(ratio)


def gain(
    records: Sequence[dict[str, Any]], kind: str, method: str, category: str | None = None
) -> float | None:
    """PSNR of a method over the shown picture's, dB."""
    after, before = (mean_scores(records, kind, name, category) for name in (method, INPUT))
    return None if after is None or before is None else after[0] - before[0]
