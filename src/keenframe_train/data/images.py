"""Image folders of any layout: find, group by category, split, read, crop, flip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keenframe.errors import InputError
from keenframe.media.files import check_input
from keenframe.media.images import FORMAT_OF_SUFFIX
from keenframe.media.pictures import clear_errors
from keenframe_train.errors import TrainError

Uint8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One picture of a data set; `category` is the name of the folder it lies in."""

    path: Path
    category: str


def find_images(roots: Path | Iterable[Path]) -> list[ImageFile]:
    """All pictures below one or several folders, sorted by path so that every machine sees one order.

    Raises TrainError when a folder is missing or holds no picture.
    """
    folders = [roots] if isinstance(roots, Path) else list(roots)
    found: list[ImageFile] = []
    for folder in folders:
        if not folder.is_dir():
            raise TrainError(f"data folder '{folder}' does not exist; pass --data with a folder of images")
        found += [
            ImageFile(path, path.parent.name if path.parent != folder else "images")
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in FORMAT_OF_SUFFIX and path.is_file()
        ]
    if not found:
        names = ", ".join(str(folder) for folder in folders)
        raise TrainError(f"no image found below {names}; expected {', '.join(sorted(FORMAT_OF_SUFFIX))}")
    return found


def stratified_split(
    files: Sequence[ImageFile], validation: float = 0.2, seed: int = 42
) -> tuple[list[ImageFile], list[ImageFile]]:
    """Split into (train, validation), the same share of every category, deterministic in `seed`.

    A category of one picture is for training, unless all are such. Raises TrainError for fewer than two pictures.
    """
    if not 0.0 < validation < 1.0:
        raise TrainError(f"validation share must lie between 0 and 1; got {validation}")
    rng = np.random.default_rng(seed)
    train: list[ImageFile] = []
    held_out: list[ImageFile] = []
    for category in sorted({file.category for file in files}):
        members = [file for file in files if file.category == category]
        order = rng.permutation(len(members))
        cut = max(1, round(len(members) * validation)) if len(members) > 1 else 0
        held_out += [members[i] for i in order[:cut]]
        train += [members[i] for i in order[cut:]]
    if not held_out:  # one picture in every category: the categories have to share
        order, cut = rng.permutation(len(train)), max(1, round(len(train) * validation))
        held_out, train = [train[i] for i in order[:cut]], [train[i] for i in order[cut:]]
    if not train:
        raise TrainError(
            f"{len(files)} picture{'s' * (len(files) != 1)} cannot be split into training and validation; "
            "expected two at least, or the folders train and val"
        )
    return train, held_out


def first_of_each(files: Sequence[ImageFile], count: int | None) -> list[ImageFile]:
    """The first `count` pictures of every category (None: all), by category."""
    categories = sorted({file.category for file in files})
    return [file for c in categories for file in [f for f in files if f.category == c][:count]]


def draw_file(files: Sequence[ImageFile], index: int, rng: np.random.Generator) -> ImageFile:
    """The picture of item `index`: categories take turns, so that a large one does not crowd out the others."""
    categories = sorted({file.category for file in files})
    members = [file for file in files if file.category == categories[index % len(categories)]]
    return members[int(rng.integers(len(members)))]


def read_rgb(path: Path) -> Uint8:
    """(H, W, 3) uint8 RGB; 16 bits become 8, and what is transparent is laid over black.

    Raises TrainError for what is no readable picture, and for samples that have no known white.
    """
    try:
        check_input(path)
        with clear_errors(path), Image.open(path) as image:
            if image.mode in ("I", "F"):
                raise TrainError(
                    f"'{path}' has 32 bits a sample; convert it to 16 or 8 bits first, or remove it"
                )
            if image.mode.startswith("I;16"):  # Pillow would cut off all above 255
                gray = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
                return np.repeat(gray[..., None], 3, axis=2)
            if image.has_transparency_data:
                ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
                return np.asarray(Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB"))
            return np.asarray(image.convert("RGB"))
    except InputError as error:
        raise TrainError(str(error)) from error


def random_crop(image: Uint8, size: int, rng: np.random.Generator) -> Uint8:
    """A (size, size[, 3]) window; a picture smaller than the window is mirrored at its edges first."""
    short = [(0, max(0, size - edge)) for edge in image.shape[:2]]
    if any(pad for _, pad in short):
        image = np.pad(image, short + [(0, 0)] * (image.ndim - 2), mode="symmetric")
    top = int(rng.integers(0, image.shape[0] - size + 1))
    left = int(rng.integers(0, image.shape[1] - size + 1))
    return image[top : top + size, left : left + size]


def dihedral(image: NDArray, index: int) -> NDArray:
    """One of the eight flips and 90 degree rotations of an (H, W[, C]) array; 0 is the identity."""
    if index & 4:
        image = image.swapaxes(0, 1)
    if index & 2:
        image = image[::-1]
    if index & 1:
        image = image[:, ::-1]
    return image
