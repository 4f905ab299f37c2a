"""What the shipped models' rules make of the sample: enlarged frames are sharpened, good ones are left in peace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import keenframe
from keenframe import Sharpener
from keenframe.metrics import luma, psnr
from keenframe.zoo.store import read_spec

STILL = Path(keenframe.__file__).parent / "samples" / "still.jpg"
Plane = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pristine() -> Plane:
    """The sample at half its size, so that no compression of its own is left."""
    plane = luma(np.array(Image.open(STILL).convert("RGB")))
    height, width = (side // 16 * 8 for side in plane.shape)
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BOX))


def sent(plane: Plane, factor: float) -> Plane:
    height, width = plane.shape
    small = Image.fromarray(plane).resize(
        (round(width / factor), round(height / factor)), Image.Resampling.BOX
    )
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def blurred(plane: Plane, sigma: float) -> Plane:
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / (2 * sigma**2))
    wide = np.pad(plane.astype(float), 3, mode="edge")
    for axis in (0, 1):
        wide = np.apply_along_axis(np.convolve, axis, wide, kernel / kernel.sum(), "same")
    return np.rint(wide[3:-3, 3:-3]).astype(np.uint8)


@pytest.mark.parametrize("model", ["keen", "keen-base", "keen-nano", "keen-float"])
def test_enlarged_frames_are_sharpened_and_good_ones_are_not(model: str, pristine: Plane) -> None:
    with Sharpener(model, threads=1) as sharpener:
        assert sharpener.spec.periodicity and sharpener.spec.leaves
        degraded = sent(pristine, 2)
        sharp = np.asarray(sharpener.sharpen(degraded))
        assert psnr(sharp, pristine) > psnr(degraded, pristine) + 2
        # Soft because of the lens, not of the call; and as it is.
        for sigma in (0.4, 0.5):
            soft = blurred(pristine, sigma)
            assert psnr(np.asarray(sharpener.sharpen(soft)), soft, ceiling_db=60) > 45, sigma
        assert psnr(np.asarray(sharpener.sharpen(pristine)), pristine, ceiling_db=60) > 45


def test_both_files_of_a_model_have_one_rule() -> None:
    models = Path(keenframe.__file__).parent / "zoo" / "models"
    for name in ("keen", "keen-base", "keen-nano"):
        plain, int8 = (read_spec(models / f"{name}{suffix}.onnx") for suffix in ("", "-int8"))
        assert plain.route == int8.route and plain.version == int8.version
