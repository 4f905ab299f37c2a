"""R1's data: high-resolution patches and their blurred twins, under equal names in `HR_patches/` and `LR/`.

The report makes the low-resolution half by x2 down- and up-sampling, bicubic or bilinear. Here the whole picture
is degraded and both are cut afterwards, on even coordinates: a patch that is shrunk by itself has borders that
no frame has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keenframe.metrics import luma
from keenframe_train.data.degradations import DownUp
from keenframe_train.data.fingerprint import without_leaks
from keenframe_train.data.images import ImageFile, read_rgb
from keenframe_train.data.jobs import run
from keenframe_train.data.manifest import Manifest, Record, encode_png, write_files
from keenframe_train.errors import TrainError

Uint8 = NDArray[np.uint8]
KERNELS = ("bicubic", "bilinear")
HR, LR = "HR_patches", "LR"
TRIES = 8  # places looked at for each random patch that is to have detail


@dataclass(frozen=True, slots=True)
class Cutting:
    """size: edge in pixels, even. per_picture: random patches of each picture, or with `stride` (pixels, even) all
    of a grid. min_detail: mean absolute gradient of the luma, code values a pixel, below which a patch is too flat
    to learn from."""

    size: int = 128
    per_picture: int = 8
    stride: int | None = None
    seed: int = 0
    min_detail: float = 2.0

    def __post_init__(self) -> None:
        if self.size < 8 or self.size % 2:
            raise TrainError(f"--size is an even number of pixels from 8 on; got {self.size}")
        if self.per_picture < 1:
            raise TrainError(f"--per-picture is at least 1; got {self.per_picture}")
        if self.stride is not None and (self.stride < 2 or self.stride % 2):
            raise TrainError(f"--stride is an even number of pixels from 2 on; got {self.stride}")


def detail(rgb: Uint8) -> float:
    """Mean absolute difference of neighbouring luma samples, code values."""
    plane = luma(rgb, full_range=True).astype(np.int16)
    return float(np.abs(np.diff(plane, axis=0)).mean() + np.abs(np.diff(plane, axis=1)).mean()) / 2


def _places(rgb: Uint8, cutting: Cutting, rng: np.random.Generator) -> list[tuple[int, int]]:
    rows, columns = (edge - cutting.size for edge in rgb.shape[:2])
    if rows < 0 or columns < 0:
        return []

    def rich(place: tuple[int, int]) -> bool:
        top, left = place
        return detail(rgb[top : top + cutting.size, left : left + cutting.size]) >= cutting.min_detail

    if cutting.stride is not None:
        grid = [
            (y, x) for y in range(0, rows + 1, cutting.stride) for x in range(0, columns + 1, cutting.stride)
        ]
        return [place for place in grid if rich(place)]
    found: dict[tuple[int, int], None] = {}
    for _ in range(TRIES * cutting.per_picture):
        place = (2 * int(rng.integers(rows // 2 + 1)), 2 * int(rng.integers(columns // 2 + 1)))
        if place not in found and rich(place):
            found[place] = None
        if len(found) == cutting.per_picture:
            break
    return list(found)


def cut(files: Sequence[ImageFile], cutting: Cutting, index: int) -> tuple[dict[str, bytes], Record]:
    """(PNG files by name, manifest record) of picture `index`: a function of the picture, the index and the seed.

    A picture that can't be read, or is smaller than a patch, gives no files and a record that says so.
    """
    file = files[index]
    record: Record = {"index": index, "source": str(file.path), "patches": []}
    try:
        rgb = read_rgb(file.path)
    except TrainError as error:
        return {}, {**record, "error": str(error)}
    rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
    if min(rgb.shape[:2]) < cutting.size:
        return {}, {**record, "error": f"smaller than {cutting.size} pixels"}
    rng = np.random.default_rng((cutting.seed, index))
    blurred = {
        kernel: DownUp(down=(kernel,), up=(kernel,))(rgb, rng)  # type: ignore[arg-type]
        for kernel in KERNELS
    }
    out: dict[str, bytes] = {}
    for number, (top, left) in enumerate(_places(rgb, cutting, rng)):
        kernel = KERNELS[int(rng.integers(len(KERNELS)))]
        name = f"{index:06d}-{number:04d}.png"
        window = (slice(top, top + cutting.size), slice(left, left + cutting.size))
        out[f"{HR}/{name}"] = encode_png(rgb[window])
        out[f"{LR}/{name}"] = encode_png(blurred[kernel][window])
        record["patches"].append({"file": name, "top": top, "left": left, "kernel": kernel})
    return out, record


def listing(files: Sequence[ImageFile]) -> str:
    """A short name of a list of pictures, for descriptions: another list gives other files."""
    return hashlib.sha256("\n".join(str(file.path) for file in files).encode()).hexdigest()[:16]


def cut_patches(
    files: Sequence[ImageFile],
    folder: Path,
    cutting: Cutting,
    *,
    exclude: Sequence[Path] = (),
    workers: int = 1,
    ray_address: str | None = None,
) -> tuple[list[Record], int]:
    """(a record for every picture, how many pictures were left out for `exclude`).

    Writes `HR_patches/` and `LR/` below `folder`, and goes on where it was interrupted.
    Raises TrainError for a folder that can't be used, and when `exclude` leaves nothing.
    """
    files, _, left_out = without_leaks(files, exclude, workers, ray_address)
    with Manifest(folder, "patches", {**asdict(cutting), "pictures": listing(files)}, "index") as manifest:
        todo = [index for index in range(len(files)) if index not in manifest.records]
        job = partial(cut, files, cutting)
        done = len(files) - len(todo)
        for _, (made, record) in run(job, todo, workers, ray_address, label="pictures", done=done):
            write_files(folder, made)
            manifest.add(record)
        return [manifest.records[index] for index in range(len(files))], left_out
