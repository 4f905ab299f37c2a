"""What `--data DIR` may look like."""

from __future__ import annotations

from pathlib import Path

from keenframe_train.data.images import ImageFile, find_images, stratified_split
from keenframe_train.errors import TrainError

_VALIDATION = ("val", "valid", "validation")
SETS = ("Set5", "Set14")


def train_and_validation(data: Path, seed: int = 42) -> tuple[list[ImageFile], list[ImageFile]]:
    """(train, validation) pictures of a data folder.

    With a `val` (or `valid`, `validation`) folder inside, that one, and what `training_only` gives; otherwise a
    stratified split of everything but `sets`, a fifth held out by `seed`.
    Raises TrainError for a missing or empty folder, and where nothing is left to train on.
    """
    if held_out := _held_out(data):
        return training_only(data), find_images(held_out)
    return stratified_split(_without(data, _sets(data)), seed=seed)


def training_only(data: Path) -> list[ImageFile]:
    """The pictures to train on: below the folders inside whose name starts with "train" where there are any, else
    all but those of a validation folder, which `evaluate` measures on, and of `sets`, Set5 and Set14.

    Raises TrainError when there is none.
    """
    inside = data.iterdir() if data.is_dir() else ()
    if training := sorted(path for path in inside if path.is_dir() and path.name.startswith("train")):
        return find_images(training)
    return _without(data, [*_held_out(data), *_sets(data)])


def validation_pictures(data: Path) -> list[ImageFile]:
    """The pictures to judge on: those of `train_and_validation`, even where there are no others beside them."""
    if folder := validation_folder(data):
        return find_images(folder)
    return train_and_validation(data)[1]


def validation_folder(data: Path) -> Path | None:
    """Where the validation pictures of a data folder lie; None where they are a split of all.

    Raises TrainError for a missing folder.
    """
    if not data.is_dir():
        raise TrainError(f"data folder '{data}' does not exist; pass --data with a folder of images")
    return next(iter(_held_out(data)), None)


def _held_out(data: Path) -> list[Path]:
    return [data / name for name in _VALIDATION if (data / name).is_dir()]


def _sets(data: Path) -> list[Path]:
    """What reproductions and `sets` measure on as the literature does: nothing to train on, nor to split."""
    return [data / name for name in ("sets", *SETS)]


def _without(data: Path, folders: list[Path]) -> list[ImageFile]:
    files = [
        file for file in find_images(data) if not any(file.path.is_relative_to(folder) for folder in folders)
    ]
    if not files:
        raise TrainError(
            f"'{data}' holds validation pictures alone; expected others beside them, for example below train/"
        )
    return files
