"""PSNR, SSIM and luma against scikit-image's and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from keenframe.errors import InputError
from keenframe.metrics import luma, psnr, ssim

TOLERANCE = 1e-6


def pair(seed: int, height: int, width: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with an edge, and the same with noise: (H, W) uint8 each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    clean = 96 + 60 * np.sin(x / 7.0 + seed) * np.cos(y / 5.0) + 60 * (x > width // 2)
    noisy = clean + rng.normal(0, noise, clean.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), np.clip(clean, 0, 255).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(11, 70),
    width=st.integers(11, 70),
    noise=st.floats(0.5, 60.0),
)
def test_both_agree_with_scikit_image(seed: int, height: int, width: int, noise: float) -> None:
    image, reference = pair(seed, height, width, noise)
    expected = structural_similarity(
        reference, image, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(image, reference) == pytest.approx(expected, abs=TOLERANCE)
    if (image != reference).any():
        expected_db = peak_signal_noise_ratio(reference, image, data_range=255)
        assert psnr(image, reference) == pytest.approx(expected_db, abs=TOLERANCE)


def test_unit_range_is_the_same_picture() -> None:
    image, reference = pair(3, 40, 50, 12.0)
    assert ssim(image / 255.0, reference / 255.0, data_range=1.0) == pytest.approx(
        ssim(image, reference), abs=1e-9
    )
    assert psnr(image / 255.0, reference / 255.0, data_range=1.0) == pytest.approx(
        psnr(image, reference), abs=1e-9
    )


def test_equal_planes() -> None:
    image, _ = pair(1, 33, 21, 5.0)
    assert psnr(image, image) == float("inf")
    assert ssim(image, image) == pytest.approx(1.0, abs=1e-12)


def test_colour_is_measured_over_all_channels() -> None:
    image, reference = (
        np.stack(planes, axis=-1)
        for planes in zip(*(pair(seed, 40, 52, 9.0) for seed in range(3)), strict=True)
    )
    assert psnr(image, reference) == pytest.approx(
        peak_signal_noise_ratio(reference, image, data_range=255), abs=TOLERANCE
    )
    expected = structural_similarity(
        reference,
        image,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
    )
    assert ssim(image, reference) == pytest.approx(expected, abs=TOLERANCE)


def test_psnr_in_closed_form() -> None:
    flat = np.full((16, 20), 100, np.uint8)
    assert psnr(flat + 10, flat) == pytest.approx(20 * np.log10(25.5))
    assert psnr(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)) == 0
    assert psnr(flat, flat, ceiling_db=60) == 60
    assert psnr(flat + 10, flat, ceiling_db=20) == 20


def test_luma_is_rgb2ycbcrs() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    exact = rgb2ycbcr(rgb)[..., 0]
    assert np.abs(luma(rgb) - exact).max() <= 0.5 + 1e-4
    grey = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    assert np.array_equal(luma(grey, full_range=True)[0], np.arange(256))
    assert luma(grey).min() == 16 and luma(grey).max() == 235


def test_wrong_shapes_say_what_came() -> None:
    grey, colour = np.zeros((20, 30), np.uint8), np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(InputError, match=r"\(20, 30, 3\)"):
        psnr(colour, grey)
    with pytest.raises(ValueError, match=r"\(30, 20\)"):
        ssim(grey, grey.T)
    with pytest.raises(InputError, match="11x11; got 10x12"):
        ssim(np.zeros((12, 10)), np.zeros((12, 10)))
