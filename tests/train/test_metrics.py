from __future__ import annotations

import numpy as np
import pytest

from keenframe import metrics as runtime
from keenframe_train.evaluate.metrics import psnr, ssim

from .conftest import picture


@pytest.mark.parametrize("shape", [(11, 11), (64, 48), (200, 133)])
@pytest.mark.parametrize("noise", [0, 3, 60])
def test_ssim_is_the_runtimes(shape: tuple[int, int], noise: int) -> None:
    reference = picture(1, 200, 200)[: shape[0], : shape[1], 0]
    rng = np.random.default_rng(2)
    plane = np.clip(reference + noise * rng.standard_normal(shape), 0, 255).astype(np.uint8)
    assert ssim(plane, reference) == pytest.approx(runtime.ssim(plane, reference), abs=1e-9)


def test_what_cannot_be_compared() -> None:
    small, large = np.zeros((10, 30), np.uint8), np.zeros((30, 30), np.uint8)
    with pytest.raises(ValueError, match="11x11 or more"):
        ssim(small, small)
    with pytest.raises(ValueError, match="of one shape"):
        ssim(large, large[:20])


def test_psnr_has_a_ceiling() -> None:
    flat = np.zeros((16, 16), np.uint8)
    assert psnr(flat, flat) == 60 and psnr(flat, flat, 50) == 50
    assert psnr(flat + 255, flat) == 0
