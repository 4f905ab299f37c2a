"""Blockiness in closed form; CIELAB against scikit-image's."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from keenframe.errors import InputError
from keenframe.metrics import blockiness, colour_drift, lab


def test_flat_blocks_give_their_step() -> None:
    checks = np.indices((8, 8)).sum(0) % 2
    plane = np.kron(100 + 10 * checks, np.ones((8, 8))).astype(np.uint8)
    assert blockiness(plane) == pytest.approx(10)
    # Of a grid twice as wide, 4 of the other 60 neighbours are borders, too.
    assert blockiness(plane, block=16) == pytest.approx(10 - 10 * 4 / 60)


def test_a_ramp_and_a_flat_plane_have_no_blocks() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    assert blockiness(ramp) == 0
    assert blockiness(np.full((32, 40), 7, np.uint8)) == 0
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), np.uint8)
    assert abs(blockiness(noise)) < 1


def test_jpeg_blocks_show() -> None:
    rows, columns = np.mgrid[0:128, 0:128]
    smooth = (128 + 60 * np.sin(rows / 17) * np.cos(columns / 23)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=5)
    coded = np.asarray(Image.open(buffer))
    assert blockiness(coded) > 1 > abs(blockiness(smooth))


def test_lab_is_scikit_images() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)
    assert np.abs(lab(rgb) - rgb2lab(rgb)).max() < 0.01


def test_drift_is_the_distance_of_the_colours() -> None:
    reference = np.zeros((24, 32, 3), np.uint8) + np.array([120, 90, 60], np.uint8)
    shifted = np.zeros((24, 32, 3), np.uint8) + np.array([120, 96, 66], np.uint8)
    expected = np.hypot(*(rgb2lab(shifted)[0, 0] - rgb2lab(reference)[0, 0])[1:])
    assert colour_drift(shifted, reference) == pytest.approx(expected, abs=0.01)
    assert colour_drift(reference, reference) == 0


def test_detail_that_keeps_its_mean_is_no_drift() -> None:
    grey = np.full((32, 32, 3), 120, np.uint8)
    checks = (np.indices((32, 32)).sum(0) % 2)[..., None]
    assert colour_drift((grey + 20 * (2 * checks - 1)).astype(np.uint8), grey) == pytest.approx(0, abs=1e-6)


def test_small_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="at least 16 pixels"):
        blockiness(np.zeros((15, 40), np.uint8))
    with pytest.raises(InputError, match="colour drift"):
        colour_drift(np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8))
