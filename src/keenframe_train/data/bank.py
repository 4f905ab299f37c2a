"""A bank of ready training pairs on disk: degraded and pristine windows, luma or RGB, memory-mapped.

Real codecs are too slow to run for every patch of every step on two cores, and a window that was paid for can be
cropped, flipped and rotated many times. Building is parallel, resumable and deterministic: item i depends only on
the seed, i, the image list and the mix.

Folder: `degraded.u8` (N, S/scale, S/scale[, 3]) and `pristine.u8` (N, S, S[, 3]) uint8, `conditions.f32` (N, 128)
float32 of the degraded luma, `kinds.u8` (N,) uint8 index into `bank.json`'s kinds, `done.u8` (N,) uint8.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import CONDITION_SIZE, band_statistics
from keenframe.metrics import luma
from keenframe_train.data.degradations import resize
from keenframe_train.data.images import ImageFile, dihedral, draw_file, random_crop, read_rgb
from keenframe_train.data.jobs import run
from keenframe_train.data.presets import Mix
from keenframe_train.data.render import KINDS, draw
from keenframe_train.data.render.fonts import families
from keenframe_train.data.scenes import scene
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.files import replacing
from keenframe_train.recipe import Color

Uint8 = NDArray[np.uint8]
SIZE = 320
# What of a bank's description is no name or number that tells by itself how two differ.
_DIGESTS = {
    "mix": "its mix is another one",
    "pictures": "its pictures are others",
    "fonts": "this machine's fonts are others",
}


@dataclass(frozen=True, slots=True)
class _Job:
    files: Sequence[ImageFile]
    mix: Mix
    seed: int
    size: int
    color: Color


def make_pair(job: _Job, index: int) -> tuple[Uint8, Uint8, int]:
    """(degraded, pristine, kind) of item `index`: uint8, pristine (size, size[, 3]), and the kind's position."""
    rng = np.random.default_rng((job.seed, index))
    window = _window(job, read_rgb(draw_file(job.files, index, rng).path), rng)
    camera, filmed = job.mix.camera, job.mix.filmed
    if camera is not None and not filmed:
        window = camera(window, rng)
    shares = np.array([share for share, _ in job.mix.shares.values()])
    kind = int(rng.choice(len(shares), p=shares / shares.sum()))
    name, (_, degradation) = list(job.mix.shares.items())[kind]
    if name in job.mix.screens:
        screen, number = list(KINDS)[int(rng.integers(len(KINDS)))], int(rng.integers(1 << 31))
        window = _window(job, draw(screen, number, size=(2 * job.size, 2 * job.size)), rng)
    elif members := [file for file in job.files if file.category in job.mix.subjects.get(name, ())]:
        window = _window(job, read_rgb(draw_file(members, int(rng.integers(1 << 31)), rng).path), rng)
        if camera is not None and not filmed:
            window = camera(window, rng)
    if camera is not None and name in filmed:
        window = camera(window, rng)
    if name in job.mix.drawn:
        window = scene(window, rng)
    return degradation(window, rng), window, kind


def _window(job: _Job, rgb: Uint8, rng: np.random.Generator) -> Uint8:
    """A pristine window out of a picture."""
    if job.mix.shrunk and rng.random() < job.mix.shrunk:
        factor = rng.uniform(0.45, 0.75)
        height, width = (max(job.size, int(side * factor)) for side in rgb.shape[:2])
        rgb = resize(rgb, width, height, "bicubic")
    # Shrinking a picture now and then gives sharper pristine pixels than many photographs have.
    if rng.random() < 0.4:
        factor = rng.uniform(0.5, 1.0)
        rgb = resize(
            rgb,
            max(job.size, int(rgb.shape[1] * factor)),
            max(job.size, int(rgb.shape[0] * factor)),
            "bicubic",
        )
    if job.color == "luma":
        # Video carries limited range, pictures full range: the network meets both.
        rgb = luma(rgb, full_range=bool(rng.random() < 0.5))
    window = random_crop(rgb, job.size, rng)
    return np.ascontiguousarray(dihedral(window, int(rng.integers(8))))


@dataclass(frozen=True, slots=True)
class Bank:
    """An opened bank; arrays are memory maps: luma (N, S, S) or RGB (N, S, S, 3), and as the module says."""

    degraded: Uint8
    pristine: Uint8
    conditions: NDArray[np.float32]
    kinds: Uint8
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds)

    def picked(self, count: int) -> list[int]:
        """Up to `count` items, drawn by lot but always the same ones, in rising order."""
        chosen = np.random.default_rng(0).choice(len(self), min(count, len(self)), replace=False)
        return sorted(chosen.tolist())

    def calibration(self, count: int) -> list[Sample]:
        """The `picked` pairs, for the ranges of INT8."""
        return [
            Sample("pair", "", str(i), self.degraded[i], self.pristine[i], self.conditions[i])
            for i in self.picked(count)
        ]

    @property
    def color(self) -> Color:
        """What the windows hold."""
        return "rgb" if self.pristine.ndim == 4 else "luma"

    @property
    def size(self) -> int:
        """Edge of the pristine windows."""
        return int(self.pristine.shape[1])

    @property
    def scale(self) -> int:
        """Pristine edge over degraded edge."""
        return int(self.pristine.shape[1] // self.degraded.shape[1])


def _arrays(folder: Path, card: dict[str, Any], mode: str) -> dict[str, np.memmap]:
    count, size, small = card["count"], card["size"], card["size"] // card["scale"]
    color = (3,) if card.get("color") == "rgb" else ()
    shapes = {
        "degraded": ("degraded.u8", np.uint8, (count, small, small, *color)),
        "pristine": ("pristine.u8", np.uint8, (count, size, size, *color)),
        "conditions": ("conditions.f32", np.float32, (count, CONDITION_SIZE)),
        "kinds": ("kinds.u8", np.uint8, (count,)),
        "done": ("done.u8", np.uint8, (count,)),
    }
    maps = {}
    for key, (name, dtype, shape) in shapes.items():
        path = folder / name
        fresh = mode == "r+" and not path.exists()
        maps[key] = np.memmap(path, dtype=dtype, mode="w+" if fresh else mode, shape=shape)
    return maps


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time in a folder: the others of a distributed run wait and then find everything made."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def build_bank(
    folder: Path,
    files: Sequence[ImageFile],
    mix: Mix,
    count: int,
    *,
    seed: int = 0,
    size: int = SIZE,
    color: Color = "luma",
    workers: int = 2,
) -> Bank:
    """Make the missing items of a bank and open it. Interrupt and call again: it goes on where it stopped.

    Raises TrainError when the folder holds a bank of another description, for a size that the mix's scale does not
    divide, and for a full disk.
    """
    if size % mix.scale:
        raise TrainError(f"a bank for scale {mix.scale} needs windows of a multiple of it; got {size}")
    description: dict[str, Any] = {
        "count": count,
        "seed": seed,
        "size": size,
        "scale": mix.scale,
        "kinds": list(mix.shares),
        "images": len(files),
        "mix": _short(repr(replace(mix, validation=()))),
        "pictures": _listing(files),
    }
    if mix.drawn:
        description["drawn"] = list(mix.drawn)
    if mix.subjects:
        description["subjects"] = {name: list(categories) for name, categories in mix.subjects.items()}
    if mix.screens:
        description["screens"] = list(mix.screens)
        description["fonts"] = _short(repr([family.name for family in families()]))
    if color == "rgb":  # the first banks, all luma, say nothing
        description["color"] = color
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        card = folder / "bank.json"
        if card.exists():
            if differences := _differences(_description(card), description):
                raise TrainError(
                    f"'{folder}' holds another bank: {'; '.join(differences)}; repeat the command that made it, name "
                    "another folder with --bank, or remove it"
                )
        else:
            _check_space(folder, description, count)
            with replacing(card) as file:
                file.write(json.dumps(description).encode())
        maps = _arrays(folder, description, "r+")
        missing = np.flatnonzero(maps["done"] == 0)
        if len(missing):
            _check_space(folder, description, len(missing))
            _fill(maps, missing, _Job(files, mix, seed, size, color), workers)
    return open_bank(folder)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _listing(files: Sequence[ImageFile]) -> str:
    """A short name of the pictures, by category, size and place below their common folder: data may be moved."""
    root = os.path.commonpath([file.path.parent for file in files])
    return _short(
        "\n".join(
            f"{file.category}/{file.path.relative_to(root).as_posix()} {file.path.stat().st_size}"
            for file in files
        )
    )


def _differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """In words; the first banks do not say what mix and pictures they are of, and are taken at their word."""
    keys = [key for key in {**expected, **found} if key in found or key not in _DIGESTS]
    return [
        _DIGESTS.get(key, f"{key} is {found.get(key)}, expected {expected.get(key)}")
        for key in keys
        if found.get(key) != expected.get(key)
    ]


def _check_space(folder: Path, description: dict[str, Any], pairs: int) -> None:
    """The files are sparse at first: a full disk would come later, as a crash of the memory map."""
    size, small = description["size"], description["size"] // description["scale"]
    colors = 3 if description.get("color") == "rgb" else 1
    needed = pairs * (colors * (size**2 + small**2) + 4 * CONDITION_SIZE + 2)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TrainError(
            f"{pairs:,} pairs take {needed / 1e9:.1f} GB in '{folder}', {free / 1e9:.1f} GB are free; make room, or "
            "choose another folder with --bank or fewer pairs"
        )


def _description(card: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(card.read_text()))
    except (ValueError, TypeError) as error:
        raise TrainError(f"'{card}' is damaged ({error}); remove '{card.parent}'") from error


def _fill(maps: dict[str, np.memmap], missing: NDArray[np.intp], job: _Job, workers: int) -> None:
    made = run(
        partial(make_pair, job),
        missing.tolist(),
        workers,
        label="pairs",
        done=len(maps["done"]) - len(missing),
    )
    for index, (degraded, pristine, kind) in made:
        maps["degraded"][index], maps["pristine"][index] = degraded, pristine
        maps["conditions"][index] = band_statistics(degraded if degraded.ndim == 2 else luma(degraded))
        maps["kinds"][index] = kind
        maps["done"][index] = 1
    for array in maps.values():
        array.flush()


def open_bank(folder: Path) -> Bank:
    """Open a finished bank. Raises TrainError when there is none or it is unfinished."""
    card = folder / "bank.json"
    if not card.exists():
        raise TrainError(f"no bank in '{folder}'; make one with `keenframe-train bank`")
    description = _description(card)
    try:
        maps = _arrays(folder, description, "r")
    except (OSError, ValueError, KeyError) as error:
        raise TrainError(f"bank '{folder}' is damaged ({error}); run `keenframe-train bank` again") from error
    if not maps["done"].all():
        done = int(np.count_nonzero(maps["done"]))
        raise TrainError(
            f"bank '{folder}' has {done} of {len(maps['done'])} pairs; run `keenframe-train bank` again"
        )
    return Bank(
        maps["degraded"], maps["pristine"], maps["conditions"], maps["kinds"], tuple(description["kinds"])
    )
