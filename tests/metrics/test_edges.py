"""Edge strength and overshoot: steps and ramps with answers that follow from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import sobel_h, sobel_v

from conftest import picture
from keenframe.errors import InputError
from keenframe.metrics import Edges, gradient


def step(low: int = 60, high: int = 180, side: int = 40) -> np.ndarray:
    """(side, side) uint8 with one vertical edge in the middle."""
    plane = np.full((side, side), low, np.uint8)
    plane[:, side // 2 :] = high
    return plane


def test_the_gradient_of_a_ramp_is_its_slope() -> None:
    rows, columns = np.mgrid[0:30, 0:40]
    assert np.allclose(gradient(3 * columns), 3)
    assert np.allclose(gradient(4 * rows + 3 * columns), 5)


def test_the_gradient_is_sobels() -> None:
    plane = picture(50, 60)[..., 0]
    # scikit-image's kernels take the difference of two smoothed columns two pixels apart, and do not halve it.
    expected = np.hypot(sobel_h(plane.astype(float)), sobel_v(plane.astype(float))) / 2
    assert np.allclose(gradient(plane), expected[1:-1, 1:-1], atol=1e-3)


def test_strength_is_half_the_step_and_doubles_with_it() -> None:
    edges = Edges(step())
    assert edges.strength_of_reference == pytest.approx(60)
    assert edges.strength(step(90, 150)) == pytest.approx(30)
    assert edges.strength(step(0, 240)) / edges.strength(step()) == pytest.approx(2)


def test_blur_lowers_strength_and_never_overshoots() -> None:
    sharp = step()
    padded = np.pad(sharp.astype(float), ((0, 0), (2, 2)), mode="edge")
    blurred = np.rint(np.mean([padded[:, i : i + 40] for i in range(5)], axis=0)).astype(np.uint8)
    edges = Edges(sharp)
    assert edges.strength(blurred) == pytest.approx(24)
    assert edges.overshoot(blurred) == 0 and edges.overshoot(sharp) == 0


def test_overshoot_is_the_mean_height_of_the_halo() -> None:
    sharp = step()
    halo = sharp.copy()
    halo[:, 19] -= 12  # one pixel wide on the dark side
    halo[:, 20] += 12
    edges = Edges(sharp)
    # The edge is two pixels wide (19 and 20), so beside it lie six columns: 17 to 22.
    assert edges.overshoot(halo) == pytest.approx(2 * 12 / 6)
    far = sharp.copy()
    far[:, 5] += 50
    assert edges.overshoot(far) == 0


def test_without_edges_there_is_no_figure() -> None:
    flat = np.full((20, 20), 90, np.uint8)
    assert np.isnan(Edges(flat).strength(flat)) and np.isnan(Edges(flat).overshoot(flat))


def test_other_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"at least 16x16 pixels; got \(4, 9\)"):
        Edges(np.zeros((4, 9), np.uint8))
    with pytest.raises(InputError, match="got one of"):
        Edges(step()).strength(step(side=44))
