"""Pairs and triplets as PNG files, for training elsewhere: any degradation preset, RGB, with a manifest.

Item i is a function of (seed, i, the list of pictures, the preset): the same on any number of processes or
machines, and `count` can be raised later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keenframe.metrics import luma, psnr
from keenframe_train.data import degradations as d
from keenframe_train.data.fingerprint import without_leaks
from keenframe_train.data.images import ImageFile, dihedral, draw_file, random_crop, read_rgb
from keenframe_train.data.jobs import run
from keenframe_train.data.manifest import Manifest, Record, encode_png, write_files
from keenframe_train.data.patches import listing
from keenframe_train.data.presets import preset
from keenframe_train.errors import TrainError

Uint8 = NDArray[np.uint8]
TRIPLET_SCALE = 4
TRIPLET_SIZE = 128
PAIR_SIZE = 256


@dataclass(frozen=True, slots=True)
class Making:
    """preset: a name in `presets.PRESETS`. size: edge of the pristine window, pixels, a multiple of 16 from 64 on.
    triplets: R4's, whose degradation is R4's whatever the preset; `preset` must be r4 then."""

    preset: str
    size: int
    seed: int = 0
    triplets: bool = False

    def __post_init__(self) -> None:
        preset(self.preset)
        if self.size < 64 or self.size % 16:
            raise TrainError(f"--size is a multiple of 16 pixels from 64 on; got {self.size}")
        if self.triplets and self.preset != "r4":
            raise TrainError(f"triplets are R4's: expected --preset r4 with --triplets; got {self.preset}")


@dataclass(frozen=True, slots=True)
class Triplet:
    """R4's training item, (H, W, 3) uint8 RGB. hr: (S, S). student: (S / 4, S / 4). teacher: (S, S), the student's
    input enlarged x4 bicubic."""

    hr: Uint8
    student: Uint8
    teacher: Uint8


def make_triplet(rgb: Uint8, size: int, rng: np.random.Generator) -> tuple[Triplet, tuple[int, int]]:
    """(R4's triplet, (top, left) of its HR patch) from a picture, (H, W, 3) uint8.

    The whole picture is shrunk x4, JPEG-coded and perhaps given noise, and enlarged; then aligned patches are cut.
    Each with probability 0.5: brightness, contrast and saturation of both inputs, alike; flips and quarter turns
    of all three.
    """
    short = [(0, max(0, size - edge)) for edge in rgb.shape[:2]]
    rgb = np.pad(rgb, [*short, (0, 0)], mode="symmetric") if any(pad for _, pad in short) else rgb
    height, width = (edge // TRIPLET_SCALE * TRIPLET_SCALE for edge in rgb.shape[:2])
    rgb = np.ascontiguousarray(rgb[:height, :width])
    small = d.Sometimes(d.ColorJitter(), 0.5)(d.R4.small(rgb, rng), rng)
    enlarged = d.resize(small, width, height, d.R4.up)
    edge = size // TRIPLET_SCALE
    top = int(rng.integers(small.shape[0] - edge + 1))
    left = int(rng.integers(small.shape[1] - edge + 1))
    turn = int(rng.integers(1, 8)) if rng.random() < 0.5 else 0

    def patch(image: Uint8, scale: int) -> Uint8:
        window = image[top * scale : (top + edge) * scale, left * scale : (left + edge) * scale]
        return np.ascontiguousarray(dihedral(window, turn))

    triplet = Triplet(patch(rgb, TRIPLET_SCALE), patch(small, 1), patch(enlarged, TRIPLET_SCALE))
    return triplet, (top * TRIPLET_SCALE, left * TRIPLET_SCALE)


def _psnr(degraded: Uint8, pristine: Uint8) -> float:
    """Of luma, the degraded picture enlarged bicubic where it is smaller. Equal pictures: 100 dB."""
    height, width = pristine.shape[:2]
    if degraded.shape != pristine.shape:
        degraded = d.resize(degraded, width, height, "bicubic")
    return round(psnr(luma(degraded, full_range=True), luma(pristine, full_range=True), ceiling_db=100.0), 3)


def make(files: Sequence[ImageFile], making: Making, index: int) -> tuple[dict[str, bytes], Record]:
    """(PNG files by name, manifest record) of item `index`. Raises TrainError for an unreadable picture."""
    rng = np.random.default_rng((making.seed, index))
    file = draw_file(files, index, rng)
    rgb = read_rgb(file.path)
    record: Record = {"index": index, "source": str(file.path), "seed": making.seed, "preset": making.preset}
    name = f"{index:06d}.png"
    if making.triplets:
        triplet, (top, left) = make_triplet(rgb, making.size, rng)
        pictures = {"hr": triplet.hr, "student": triplet.student, "teacher": triplet.teacher}
        degraded, pristine = triplet.teacher, triplet.hr
    else:
        top = int(rng.integers(max(0, rgb.shape[0] - making.size) + 1))
        left = int(rng.integers(max(0, rgb.shape[1] - making.size) + 1))
        window = rgb[top : top + making.size, left : left + making.size]
        # A picture smaller than the window is mirrored at its edges.
        pristine = np.ascontiguousarray(random_crop(window, making.size, rng))
        degraded = preset(making.preset)(pristine, rng)
        pictures = {"degraded": degraded, "pristine": pristine}
    record |= {
        "crop": {"left": left, "top": top, "width": making.size, "height": making.size},
        "psnr_y": _psnr(degraded, pristine),
        "files": {role: f"{role}/{name}" for role in pictures},
    }
    return {f"{role}/{name}": encode_png(picture) for role, picture in pictures.items()}, record


def make_pairs(
    files: Sequence[ImageFile],
    folder: Path,
    making: Making,
    count: int,
    *,
    exclude: Sequence[Path] = (),
    workers: int = 1,
    ray_address: str | None = None,
) -> tuple[list[Record], int]:
    """(records of the first `count` items, how many pictures were left out for `exclude`).

    Writes `degraded/` and `pristine/`, or `hr/`, `student/` and `teacher/`, below `folder`, and makes only what is
    missing there. Raises TrainError for a count below 1, a folder that can't be used, an unreadable picture.
    """
    if count < 1:
        raise TrainError(f"--count is at least 1; got {count}")
    files, _, left_out = without_leaks(files, exclude, workers, ray_address)
    with Manifest(folder, "pairs", {**asdict(making), "pictures": listing(files)}, "index") as manifest:
        todo = [index for index in range(count) if index not in manifest.records]
        job = partial(make, files, making)
        done = count - len(todo)
        for _, (made, record) in run(job, todo, workers, ray_address, label="pairs", done=done):
            write_files(folder, made)
            manifest.add(record)
        return [manifest.records[index] for index in range(count)], left_out
