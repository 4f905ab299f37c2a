"""What `--data DIR` may look like."""

from __future__ import annotations

from pathlib import Path

from keenframe_train.data.images import ImageFile, find_images, stratified_split
from keenframe_train.errors import TrainError

_VALIDATION = ("val", "valid", "validation")


def train_and_validation(data: Path, seed: int = 42) -> tuple[list[ImageFile], list[ImageFile]]:
    """(train, validation) pictures of a data folder.

    With a `val` (or `validation`) folder inside, that one, and every folder inside whose name starts with
    "train"; otherwise a stratified split of everything, a fifth held out by `seed`.
    Raises TrainError for a missing or empty folder.
    """
    if not data.is_dir():
        raise TrainError(f"data folder '{data}' does not exist; pass --data with a folder of images")
    held_out = [data / name for name in _VALIDATION if (data / name).is_dir()]
    training = sorted(path for path in data.iterdir() if path.is_dir() and path.name.startswith("train"))
    if held_out and training:
        return find_images(training), find_images(held_out)
    return stratified_split(find_images(data), seed=seed)


def validation_only(data: Path) -> list[ImageFile]:
    """The validation pictures of a data folder; all pictures when it has no such folder inside."""
    for name in _VALIDATION:
        if (data / name).is_dir():
            return find_images(data / name)
    return find_images(data)
