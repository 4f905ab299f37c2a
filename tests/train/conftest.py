"""Small pictures and banks, made on the spot: no data set is needed to test the training side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import torch

from keenframe_train import loop
from keenframe_train.data.bank import Bank, build_bank
from keenframe_train.data.images import find_images
from keenframe_train.data.presets import MIXES
from keenframe_train.figures import write_figures

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_figures() -> Iterator[None]:
    """A run of a few steps takes less time than its figures: they are drawn within `drawing` alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "write_figures", lambda *_: [])
        yield


@contextmanager
def drawing() -> Iterator[None]:
    """Runs within the block end with their figures, as they do outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "write_figures", write_figures)
        yield


def picture(seed: int, height: int = 200, width: int = 240) -> np.ndarray:
    """Smooth colour patches with sharp edges and lines: something to blur and to restore, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, (height // 25 + 1, width // 25 + 1, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).copy()
    for _ in range(30):
        y, x = int(rng.integers(0, height - 30)), int(rng.integers(0, width - 30))
        h, w = (int(v) for v in rng.integers(2, 28, 2))
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return image


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: train-0/{faces,text} and val/{faces,text}."""
    root = tmp_path_factory.mktemp("data")
    for part, count in (("train-0", 4), ("val", 2)):
        for category in ("faces", "text"):
            folder = root / part / category
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(picture(100 * len(part) + 10 * len(category) + index)).save(
                    folder / f"{index}.png"
                )
    return root


@pytest.fixture(scope="session")
def bank(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """48 pairs of the keen mix, 160 pixels wide."""
    folder = tmp_path_factory.mktemp("bank")
    return build_bank(folder, find_images(data / "train-0"), MIXES["keen"], 48, size=160, workers=2)
