from __future__ import annotations

import numpy as np
import pytest

from keenframe.metrics import psnr
from keenframe_train.data import degradations as d
from keenframe_train.data.presets import MIXES, PRESETS, preset
from keenframe_train.errors import TrainError

from .conftest import picture

SHRINKING = {"x2": 2, "received-half": 2, "r4-small": 4, "x4": 4, "received-quarter": 4}
SAME_SIZE = [name for name in PRESETS if name not in SHRINKING]


@pytest.mark.parametrize("name", SAME_SIZE)
@pytest.mark.parametrize("gray", [True, False])
def test_presets_keep_shape_and_repeat_with_the_seed(name: str, gray: bool) -> None:
    image = picture(1, 96, 128)
    image = image[..., 0] if gray else image
    one, two = (PRESETS[name](image, np.random.default_rng(5)) for _ in range(2))
    assert one.shape == image.shape and one.dtype == np.uint8
    assert np.array_equal(one, two)


@pytest.mark.parametrize("name", [n for n in SAME_SIZE if n != "clean"])
def test_presets_damage(name: str) -> None:
    image = picture(2, 128, 128)[..., 0]
    losses = [psnr(PRESETS[name](image, np.random.default_rng(seed)), image) for seed in range(4)]
    assert min(losses) < 45


def test_clean_changes_nothing() -> None:
    image = picture(3, 64, 64)
    assert PRESETS["clean"](image, np.random.default_rng(0)) is image


@pytest.mark.parametrize(("name", "factor"), SHRINKING.items())
def test_presets_for_networks_that_enlarge_give_a_part_of_the_size(name: str, factor: int) -> None:
    image = picture(4, 256, 320)[..., 0]
    small = PRESETS[name](image, np.random.default_rng(0))
    assert small.shape == (256 // factor, 320 // factor) and small.dtype == np.uint8


def test_unknown_preset_names_the_known() -> None:
    with pytest.raises(TrainError, match=r"unknown degradation 'r9'; known: clean, r1"):
        preset("r9")


def test_r2_is_the_reports_blur_then_half_size() -> None:
    blur, down_up = d.R2.steps  # type: ignore[misc]
    assert blur == d.GaussianBlur((1.0, 2.5), (5, 7, 9))
    assert down_up.factors == (2.0,) and set(down_up.down) == {"bicubic", "bilinear"}


def test_kernels_are_those_of_the_libraries_that_are_named() -> None:
    """Along one line: Pillow widens a kernel to shrink, OpenCV and PyTorch do not, the box filter is the mean."""
    line = np.zeros((8, 32), np.uint8)
    line[:, 16] = 160
    widths = {}
    for kernel in ("bilinear", "bicubic", "lanczos", "area"):
        for antialias in (True, False):
            small = d.resize(line, 16, 4, kernel, antialias)[2].astype(int)
            widths[kernel, antialias] = small[6:11].tolist()
    assert widths["bilinear", True] == [0, 20, 60, 0, 0]
    assert widths["bilinear", False] == widths["area", False] == widths["area", True] == [0, 0, 80, 0, 0]
    for library in (True, False):
        assert widths["lanczos", library][2] > widths["bicubic", library][2] > 60
    assert widths["bicubic", False][2] > widths["bicubic", True][2] > widths["bilinear", True][2]


def test_r1_comes_in_both_libraries_kernels() -> None:
    """What aliases is the sharper picture, and nearer to the pristine one."""
    image = picture(11, 128, 128)[..., 0]
    for seed in range(4):
        plain, aliased = (PRESETS[n](image, np.random.default_rng(seed)) for n in ("r1", "r1-opencv"))
        assert psnr(aliased, image) > psnr(plain, image)


@pytest.mark.parametrize("name", ["keen", "keen-route", "keen-rule"])
def test_what_networks_learn_from_has_both(name: str) -> None:
    image = picture(12, 128, 128)[..., 0]
    mixed = MIXES[name].shares["r1"][1]
    made = [mixed(image, np.random.default_rng(seed)) for seed in range(40)]
    both = [
        d.resize(d.resize(image, 64, 64, "bicubic", antialias), 128, 128, "bicubic", antialias)
        for antialias in (True, False)
    ]
    assert all(any(np.array_equal(each, wanted) for each in made) for wanted in both)


def test_r4_small_picture_is_a_quarter() -> None:
    small = d.R4.small(picture(5, 128, 160), np.random.default_rng(0))
    assert small.shape == (32, 40, 3)


def test_gaussian_blur_is_the_gaussian() -> None:
    impulse = np.zeros((31, 31), np.uint8)
    impulse[15, 15] = 255
    blurred = d.GaussianBlur((1.0, 1.0), (9,))(impulse, np.random.default_rng(0))
    x = np.arange(-4, 5)
    taps = np.exp(-(x**2) / 2)
    expected = 255 * np.outer(taps / taps.sum(), taps / taps.sum())
    assert np.abs(blurred[11:20, 11:20] - expected).max() <= 1


def test_noise_has_its_deviation() -> None:
    gray = np.full((256, 256), 128, np.uint8)
    noisy = d.GaussianNoise((5.0, 5.0))(gray, np.random.default_rng(0))
    assert abs(noisy.astype(float).std() - 5.0) < 0.1 and abs(noisy.mean() - 128) < 0.1


def test_motion_blur_keeps_brightness_and_smears_along_one_direction() -> None:
    dot = np.zeros((41, 41), np.uint8)
    dot[20, 20] = 255
    smeared = d.MotionBlur((9.0, 9.0))(dot, np.random.default_rng(1)).astype(float)
    assert abs(smeared.sum() - 255) < 25
    ys, xs = np.nonzero(smeared)
    spread = np.linalg.eigvalsh(np.cov(np.stack([ys, xs]), aweights=smeared[ys, xs]))
    assert spread[1] > 8 * spread[0]


def test_slice_loss_repeats_the_line_above() -> None:
    image = picture(6, 64, 64)[..., 0]
    damaged = d.SliceLoss((1, 1))(image, np.random.default_rng(3))
    changed = np.flatnonzero((damaged != image).any(axis=1))
    top = changed[0] // 16 * 16
    columns = np.flatnonzero((damaged != image).any(axis=0))
    assert np.array_equal(damaged[top + 3, columns], image[top - 1, columns])
    assert len(changed) <= 16


def test_sometimes_and_color_jitter() -> None:
    image = picture(7, 48, 48)
    always = d.Sometimes(d.ColorJitter(), 1.0)(image, np.random.default_rng(0))
    never = d.Sometimes(d.ColorJitter(), 0.0)(image, np.random.default_rng(0))
    assert not np.array_equal(always, image) and never is image


def test_the_small_picture_is_the_one_that_is_enlarged() -> None:
    image = picture(5, 96, 128)
    small, shown = (each(image, np.random.default_rng(8)) for each in (d.R1.small, d.R1))
    assert small.shape == (48, 64, 3)
    enlarged = [d.resize(small, 128, 96, kernel) for kernel in ("bicubic", "bilinear")]
    assert any(np.array_equal(each, shown) for each in enlarged)
