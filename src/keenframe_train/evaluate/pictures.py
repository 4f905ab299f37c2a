"""Before/after pictures: the run's own samples while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from keenframe_train.data.validation import Sample
from keenframe_train.evaluate.judge import restore
from keenframe_train.files import replacing

EDGE = 224
COLUMNS = 6


def save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W) or (H, W, 3) uint8 as PNG, whole or not at all."""
    with replacing(path) as file:
        Image.fromarray(picture).save(file, "PNG")


def before_after_sheet(model: nn.Module, samples: Sequence[Sample], path: Path) -> NDArray[np.uint8]:
    """Rows of degraded, restored and pristine middle windows, a column for each picture; written and given back.

    The columns take turns among the kinds, and among the pictures of a kind.
    """
    picked = pick(samples)
    edge = min(EDGE, *(size for sample in picked for size in sample.pristine.shape[:2]))
    columns = []
    for sample in picked:
        restored, before = restore(model, sample)
        rows = [_middle(picture, edge) for picture in (before, restored, sample.pristine)]
        columns.append(np.concatenate(rows))
    sheet = np.concatenate(columns, axis=1)
    save_png(path, sheet)
    return sheet


def pick(samples: Sequence[Sample], columns: int = COLUMNS) -> list[Sample]:
    """Samples of all kinds in turn, each of another category where there is one."""
    kinds = sorted({sample.kind for sample in samples})
    categories = sorted({sample.category for sample in samples})
    picked: list[Sample] = []
    for column in range(min(columns, len(samples))):
        kind = kinds[column % len(kinds)]
        category = categories[column % len(categories)]
        own = [s for s in samples if s.kind == kind and all(s is not taken for taken in picked)]
        if own:
            picked.append(next((sample for sample in own if sample.category == category), own[0]))
    return picked


def _middle(picture: NDArray[np.uint8], edge: int) -> NDArray[np.uint8]:
    top, left = (picture.shape[0] - edge) // 2, (picture.shape[1] - edge) // 2
    return picture[top : top + edge, left : left + edge]
