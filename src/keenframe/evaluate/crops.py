"""Before and after, chosen by rule and not by taste, and made again from the run's arguments when they are shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keenframe.errors import KeenframeError
from keenframe.evaluate.clips import load_clip, stream
from keenframe.evaluate.judge import View
from keenframe.evaluate.material import File
from keenframe.evaluate.methods import INPUT
from keenframe.evaluate.presets import Preset
from keenframe.evaluate.stills import PRISTINE, Record, Runner, outputs_of
from keenframe.evaluate.summary import gain
from keenframe.frame import Frame
from keenframe.metrics import CEILING_DB, psnr

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 144, 108
_CELL = 12
FAILURES = 6


@dataclass(frozen=True, slots=True)
class Pick:
    """An item to show. why: "best", "median", "worst" or "failure". better: whether to show where the method helps
    most, or where it harms most."""

    record: Record
    why: str
    better: bool


@dataclass(frozen=True, slots=True)
class Crop:
    """One window of an item through several methods. pictures: (what, pixels (H, W, 3), PSNR-Y within the window or
    None). frame: of a clip."""

    pick: Pick
    frame: int | None
    left: int
    top: int
    pictures: Sequence[tuple[str, Pixels, float | None]]


def choose(records: Sequence[Record], method: str) -> list[Pick]:
    """The items of one preset whose PSNR-Y gain by `method` is the best, in the middle, and the worst."""
    ordered = _by_gain(records, method)
    if not ordered:
        return []
    places = {"best": len(ordered) - 1, "median": len(ordered) // 2, "worst": 0}
    seen: set[int] = set()
    picks = []
    for why, place in places.items():
        if place not in seen:
            seen.add(place)
            picks.append(Pick(ordered[place], why, better=why != "worst"))
    return picks


def choose_failures(records: Sequence[Record], method: str) -> list[Pick]:
    """Over all presets the items that `method` makes worse than they arrived, the worst first, at most six.

    Those that arrived pristine are left out: they can only become worse, and `to_input` says by how much.
    """
    worse = [record for record in _by_gain(records, method) if gain(record, method) < 0]
    return [Pick(record, "failure", better=False) for record in worse[:FAILURES]]


def _by_gain(records: Sequence[Record], method: str) -> list[Record]:
    """Measured records whose input was damaged, the lowest gain first."""
    measured = [
        record
        for record in records
        if method in record.get("scores", {}) and record["scores"][INPUT]["psnr_y"] < CEILING_DB
    ]
    return sorted(measured, key=lambda record: (gain(record, method), record["preset"], record["name"]))


def make_crop(
    pick: Pick, file: File, preset: Preset, method: str, columns: Sequence[str], runner: Runner
) -> Crop | None:
    """The window of 144x108 pixels where `method` helps, or harms, most; None for an item that is gone or changed so
    that it can't be made again. columns: methods to show, between nothing and the pristine one."""
    try:
        if file.clip:
            pictures, frame = _clip_pictures(pick, file, preset, method, columns, runner)
        else:
            outputs = outputs_of(file, preset, runner)
            pictures = {name: outputs.pictures[name] for name in columns if name in outputs.pictures}
            pictures[PRISTINE] = outputs.pristine
            frame = None
    except KeenframeError:
        return None
    views = {name: View.of(pixels) for name, pixels in pictures.items()}
    left, top = _window(views[INPUT].luma, views[method].luma, views[PRISTINE].luma, pick.better)
    rows, columns_of = slice(top, top + HEIGHT), slice(left, left + WIDTH)
    pristine = views[PRISTINE].luma[rows, columns_of]
    shown = []
    for name, pixels in pictures.items():
        window = pixels[rows, columns_of]
        rgb = window if window.ndim == 3 else np.repeat(window[..., None], 3, axis=2)
        value = psnr(views[name].luma[rows, columns_of], pristine, ceiling_db=CEILING_DB)
        shown.append((name, rgb, None if name == PRISTINE else value))
    return Crop(pick, frame, left, top, shown)


def _clip_pictures(
    pick: Pick, file: File, preset: Preset, method: str, columns: Sequence[str], runner: Runner
) -> tuple[dict[str, Pixels], int]:
    """The frame of a clip with the best, or the worst, gain in PSNR-Y, through every column, as RGB or luma."""
    clip = load_clip(file, preset, runner)
    frames = pick.record["frames"]
    gains = np.subtract(frames[method]["psnr_y"], frames[INPUT]["psnr_y"])
    index = clip.settle + int(gains.argmax() if pick.better else gains.argmin())
    chosen = [m for m in runner.plan.methods if m.name in columns and runner.fits(m, clip.factor)]
    found = {m.name: next(islice(stream(clip, m, runner), index, None)) for m in chosen}
    found[PRISTINE] = clip.pristine[index]
    ordered = [name for name in (*columns, PRISTINE) if name in found]
    return {name: _shown(found[name]) for name in ordered}, index


def _shown(frame: Frame) -> Pixels:
    """A frame as RGB, or as its luma where it has no colours."""
    return frame.to_rgb() if frame.chroma else np.array(frame.luma)


def _window(shown: Pixels, output: Pixels, pristine: Pixels, better: bool) -> tuple[int, int]:
    """(left, top) of the window with the largest gain, or loss, in squared error, on a grid of 12 pixels."""
    reference = pristine.astype(np.int32)
    gained = np.square(shown - reference) - np.square(output - reference)
    gained = gained if better else -gained
    height, width = gained.shape
    if height <= HEIGHT or width <= WIDTH:
        return max(0, (width - WIDTH) // 2), max(0, (height - HEIGHT) // 2)
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = gained.cumsum(0, dtype=np.int64).cumsum(1)
    tops = np.arange(0, height - HEIGHT + 1, _CELL)[:, None]
    lefts = np.arange(0, width - WIDTH + 1, _CELL)[None, :]
    totals = (
        sums[tops + HEIGHT, lefts + WIDTH]
        - sums[tops, lefts + WIDTH]
        - sums[tops + HEIGHT, lefts]
        + sums[tops, lefts]
    )
    row, column = np.unravel_index(int(totals.argmax()), totals.shape)
    return int(lefts[0, column]), int(tops[row, 0])


def data_uri(pixels: Pixels) -> str:
    """(H, W, 3) uint8 as a WebP picture within an address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=95, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
