"""Material for evaluations, and presets that no package brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from clips import Clip, make
from conftest import picture
from keenframe.evaluate import presets
from keenframe.evaluate.presets import Preset
from keenframe.frame import Frame

SIZES = {"faces/a.png": (96, 128), "faces/b.png": (80, 112), "text/c.png": (112, 96)}


def blurred(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A blur whose width is drawn from `rng`."""
    sigma = rng.uniform(0.8, 1.6)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def halved(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    small = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.BICUBIC))


def dimmed(frames: list[Frame]) -> list[Frame]:
    """Every second frame darker: flicker of a known size."""
    return [
        frame.with_planes((frame.planes[0] - np.uint8(4 * (index % 2)), *frame.chroma))
        for index, frame in enumerate(frames)
    ]


@pytest.fixture
def pristine(tmp_path: Path) -> Path:
    """Three pictures in two categories."""
    for index, (name, (height, width)) in enumerate(SIZES.items()):
        path = tmp_path / "pristine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(height, width, index)).save(path)
    return tmp_path / "pristine"


@pytest.fixture
def degraded(pristine: Path, tmp_path: Path) -> Path:
    """Their blurred twins, in another format."""
    for name in SIZES:
        path = (tmp_path / "degraded" / name).with_suffix(".webp")
        path.parent.mkdir(parents=True, exist_ok=True)
        soft = blurred(np.asarray(Image.open(pristine / name)), np.random.default_rng(1))
        Image.fromarray(soft).save(path, lossless=True)
    return tmp_path / "degraded"


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """One clip of 12 frames, 96x64."""
    (tmp_path / "clips").mkdir()
    make(tmp_path / "clips" / "a.mkv", Clip(96, 64, codec="ffv1"))
    return tmp_path / "clips"


class Plugin:
    """What an entry point looks like."""

    value = "tests.plugin:presets"

    def __init__(self, provide: Callable[[], object]) -> None:
        self._provide = provide

    def load(self) -> object:
        return self._provide()


PRESETS = [
    Preset("soft", "a blur", picture=blurred),
    Preset("half", "half the size", picture=halved),
    Preset("clean", "nothing", picture=lambda pixels, rng: pixels),
    Preset("dim", "every second frame darker", clip=lambda frames: dimmed(list(frames)), settle=2),
]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four presets, within this process."""
    install(monkeypatch, [Plugin(lambda: lambda: PRESETS)])


def install(monkeypatch: pytest.MonkeyPatch, plugins: list[Plugin]) -> None:
    monkeypatch.setattr(presets, "entry_points", lambda group: plugins if group == presets.GROUP else [])
