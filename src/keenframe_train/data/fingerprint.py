"""Perceptual hashes: is this picture, at another size or after another encoder, already over there?

The hash is pHash: the luma plane shrunk to 32x32, its DCT-II, and of the 8x8 lowest frequencies the sign against
their median, 64 bits of which the first (the mean) is always 0 (Zauner, "Implementation and benchmarking of
perceptual image hash functions", 2010). Equal pictures differ in a few bits, different ones in about half, but
pages of text and windows on white are alike for any 64 bits, so a pair that the hash finds must also correlate
as a 32x32 thumbnail. A crop, a turn or a mirror image of a picture is a different picture here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keenframe.metrics import luma
from keenframe_train.data.degradations import resize
from keenframe_train.data.images import ImageFile, find_images, read_rgb
from keenframe_train.data.jobs import run
from keenframe_train.errors import TrainError

Uint8 = NDArray[np.uint8]
EDGE = 32
BITS = 8  # frequencies in each direction
# Set on 1,995 pictures: JPEG 30, half and double size differ in at most 4 bits and correlate above 0.99, windows
# of one program scrolled by a few lines in up to 8 bits and 0.82; no two different pictures come within both.
DISTANCE = 10
CORRELATION = 0.8


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """phash: 64 bits. thumbnail: (32, 32) uint8 luma, full range."""

    phash: int
    thumbnail: Uint8


def fingerprint(picture: Uint8) -> Fingerprint:
    """Of an (H, W, 3) RGB or (H, W) luma uint8 picture of any size."""
    plane = luma(picture, full_range=True) if picture.ndim == 3 else picture
    thumbnail = resize(plane, EDGE, EDGE, "bilinear")
    low = cv2.dct(thumbnail.astype(np.float32))[:BITS, :BITS].ravel()
    bits = low > np.median(low[1:])
    bits[0] = False
    return Fingerprint(int.from_bytes(np.packbits(bits).tobytes()), thumbnail)


def _of_file(file: ImageFile) -> Fingerprint | None:
    try:
        return fingerprint(read_rgb(file.path))
    except TrainError:
        return None


def _normal(thumbnails: Uint8) -> NDArray[np.float32]:
    """Thumbnails (N, 32, 32) as rows of mean 0 and length 1, (N, 1024); a flat one stays 0."""
    rows = thumbnails.reshape(-1, EDGE * EDGE).astype(np.float32)
    rows = rows - rows.mean(1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-3), np.float32)


def alike(one: Fingerprint, two: Fingerprint) -> tuple[int, float]:
    """(bits that differ, correlation of the thumbnails)."""
    first, second = _normal(one.thumbnail[None])[0], _normal(two.thumbnail[None])[0]
    return (one.phash ^ two.phash).bit_count(), float(first @ second)


class Collection:
    """Fingerprints to compare with, and the name of each."""

    def __init__(self, names: Sequence[str] = (), prints: Sequence[Fingerprint] = ()) -> None:
        self.names = list(names)
        self._hashes = np.array([item.phash for item in prints], np.uint64)
        shape = (len(prints), EDGE, EDGE)
        self._rows = _normal(np.array([item.thumbnail for item in prints], np.uint8).reshape(shape))

    def near(
        self, item: Fingerprint, distance: int = DISTANCE, correlation: float = CORRELATION
    ) -> list[tuple[str, int, float]]:
        """(name, bits that differ, correlation) of all that show the same picture, nearest first."""
        bits = np.bitwise_count(self._hashes ^ np.uint64(item.phash))
        found = np.flatnonzero(bits <= distance)
        alike = self._rows[found] @ _normal(item.thumbnail[None])[0]
        hits = [
            (self.names[i], int(bits[i]), float(c))
            for i, c in zip(found, alike, strict=True)
            if c >= correlation
        ]
        return sorted(hits, key=lambda hit: (hit[1], -hit[2], hit[0]))

    def digest(self) -> str:
        """A short name of the content, for the description of what was made with it."""
        return hashlib.sha256(np.sort(self._hashes).tobytes()).hexdigest()[:16]


def fingerprints(
    files: Sequence[ImageFile], workers: int = 1, ray_address: str | None = None, label: str = "hashes"
) -> dict[Path, Fingerprint]:
    """Fingerprints by path, in the files' order; unreadable files are left out."""
    made = {file.path: found for file, found in run(_of_file, files, workers, ray_address, label=label)}
    return {file.path: found for file in files if (found := made[file.path]) is not None}


def collection(roots: Sequence[Path], workers: int = 1, ray_address: str | None = None) -> Collection:
    """All pictures below some folders (none: an empty collection). Raises TrainError like `find_images`."""
    prints = fingerprints(find_images(roots), workers, ray_address) if roots else {}
    return Collection([str(path) for path in prints], list(prints.values()))


@dataclass(frozen=True, slots=True)
class Leak:
    """A training picture that shows what a validation picture shows."""

    train: str
    val: str
    bits: int
    correlation: float


def find_leaks(
    train: Sequence[Path],
    val: Sequence[Path],
    workers: int = 1,
    ray_address: str | None = None,
    distance: int = DISTANCE,
    correlation: float = CORRELATION,
) -> list[Leak]:
    """Every pair of a training and a validation picture that are near-identical, nearest first.

    train, val: folders. distance: bits of 64 that may differ. Raises TrainError for a missing or empty folder.
    """
    known = collection(val, workers, ray_address)
    leaks = [
        Leak(str(path), name, bits, alike)
        for path, item in fingerprints(find_images(train), workers, ray_address).items()
        for name, bits, alike in known.near(item, distance, correlation)
    ]
    return sorted(leaks, key=lambda leak: (leak.bits, -leak.correlation, leak.train))


def without_leaks(
    files: Sequence[ImageFile], exclude: Sequence[Path], workers: int = 1, ray_address: str | None = None
) -> tuple[list[ImageFile], Collection, int]:
    """(files that show nothing of the `exclude` folders, these folders' collection, how many were left out).

    Unreadable files stay in: whoever reads them says so. Raises TrainError when nothing is left.
    """
    if not exclude:
        return list(files), Collection(), 0
    known = collection(exclude, workers, ray_address)
    prints = fingerprints(files, workers, ray_address)
    kept = [f for f in files if f.path not in prints or not known.near(prints[f.path])]
    if not kept:
        raise TrainError(f"all {len(files)} pictures show what --exclude holds; pass other --data")
    return kept, known, len(files) - len(kept)
