from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from keenframe import Sharpener
from keenframe.conditioning import ConditionTracker, look_at
from keenframe.errors import ModelError
from keenframe.periodicity import FREQUENCIES, PERIODICITY_SIZE, WINDOW, periodicity
from keenframe.routing import MARGIN, Router, inputs_of, layers_of
from keenframe.zoo.spec import ModelSpec
from models import CONDITION, build

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def blurred(plane: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """By a Gaussian, around the edges."""
    height, width = plane.shape
    squares = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width)[None] ** 2
    passed = np.fft.rfft2(plane) * np.exp(-2 * (np.pi * sigma) ** 2 * squares)
    return np.fft.irfft2(passed, (height, width))


def scene(height: int, width: int, seed: int = 3) -> NDArray[np.uint8]:
    """Noise of several sizes with some edges: detail at all frequencies and no period."""
    rng = np.random.default_rng(seed)
    plane = np.zeros((height, width))
    for size in (0.5, 1.5, 4.0, 11.0):
        plane += blurred(rng.normal(size=(height, width)), size) * 18 * size
    plane[height // 3 :, width // 4 :] += 40
    return np.clip(plane + 110, 0, 255).astype(np.uint8)


def enlarged(
    factor: float, kernel: Image.Resampling, height: int = 360, width: int = 480
) -> NDArray[np.uint8]:
    small = scene(round(height / factor), round(width / factor))
    return np.asarray(Image.fromarray(small).resize((width, height), kernel))


@pytest.mark.parametrize("kernel", [BILINEAR, BICUBIC])
@pytest.mark.parametrize("factor", [4 / 3, 1.5, 1.6])
def test_enlarging_shows_at_its_period(factor: float, kernel: Image.Resampling) -> None:
    # 1 / factor, which above one half comes back as its distance to 1.
    line = WINDOW * (1 - 1 / factor)
    found = periodicity(enlarged(factor, kernel))
    assert abs(FREQUENCIES[found.argmax()] - line) <= 1
    assert found.max() > 1.2 and found.max() > periodicity(scene(360, 480)).max() + 0.4


def test_blocks_show_at_eighths() -> None:
    # But for one half: each edge moves two neighbouring differences, which cancel there.
    plane = scene(360, 480).astype(int)
    blocks = plane.reshape(45, 8, 60, 8).mean(axis=(1, 3), keepdims=True)
    blocky = np.broadcast_to(blocks, (45, 8, 60, 8)).reshape(360, 480)
    mixed = (0.8 * blocky + 0.2 * plane).astype(np.uint8)
    found = periodicity(mixed)
    lines = np.isin(FREQUENCIES, (8, 16, 24))
    assert found[lines].min() > found[~lines & ~np.isin(FREQUENCIES, (7, 9, 15, 17, 23, 25))].max() + 0.5


def test_it_is_of_both_directions_and_of_any_size() -> None:
    plane = enlarged(1.5, BILINEAR)
    assert periodicity(plane).shape == (PERIODICITY_SIZE,) and periodicity(plane).dtype == np.float32
    np.testing.assert_allclose(periodicity(plane.T), periodicity(plane), atol=1e-5)
    # A large frame is seen as a small one: lines are skipped and windows averaged.
    large = enlarged(1.5, BILINEAR, 1080, 1920)
    assert np.abs(periodicity(large) - periodicity(plane)).max() < 0.8
    assert periodicity(large).argmax() == periodicity(plane).argmax()
    # A view, such as a row of a padded frame, is read like its copy.
    view = np.pad(plane, 8)[8:-8, 8:-8]
    assert np.array_equal(periodicity(view), periodicity(plane))


def test_small_and_flat_pictures() -> None:
    assert (periodicity(scene(65, 65)) == 0).all() and (periodicity(scene(16, 40)) == 0).all()
    strip = enlarged(1.5, BILINEAR)[:40]
    assert abs(FREQUENCIES[periodicity(strip).argmax()] - WINDOW / 3) <= 1  # one side is enough
    flat = periodicity(np.full((200, 200), 90, np.uint8))
    assert np.isfinite(flat).all() and np.abs(flat).max() < 1e-3


def test_a_look_and_a_stream() -> None:
    plane = scene(120, 160)
    both = look_at(plane, periods=True)
    assert both.shape == (159,) == (inputs_of(True),) and look_at(plane).shape == (128,) == (
        inputs_of(False),
    )
    assert np.array_equal(both[:128], look_at(plane)) and np.array_equal(both[128:], periodicity(plane))
    tracker = ConditionTracker(periods=True)
    assert np.array_equal(tracker.update(plane), both)
    # Another periodicity alone is no cut: the stream goes on, and follows.
    other = enlarged(1.5, BILINEAR, 120, 160)
    for _ in range(9):
        seen = tracker.update(other)
    assert seen[128:].argmax() == periodicity(other).argmax()


def rule(frequency: int, threshold: float) -> list[float]:
    """A rule of one layer: the second expert where the amplitude at a frequency is below the threshold."""
    weights = np.zeros(159, np.float32)
    weights[128 + np.flatnonzero(frequency == FREQUENCIES)[0]] = -1
    return [*weights.tolist(), threshold]


def test_a_rule_reads_it(engine: str, tmp_path: Path) -> None:
    numbers = rule(21, 0.8)
    assert [part.shape for part in layers_of(numbers, 2, 159)[0]] == [(1, 159), (1,)]
    with pytest.raises(ValueError, match="159 numbers for 2 experts; expected 160, or 161 for each unit"):
        layers_of(numbers[1:], 2, 159)
    path = build(tmp_path / "periodic.onnx", amount=0.02, steady=True, route=tuple(numbers), periodicity=True)
    changes = {}
    for name, plane in (("small", enlarged(1.5, BILINEAR, 96, 128)), ("full", scene(96, 128))):
        for still in (True, False):
            with Sharpener(path, engine=engine, threads=1) as sharpener:
                difference = np.asarray(sharpener.sharpen(plane, still=still)).astype(int) - plane
            wide = plane.astype(float)
            laplacian = sum(np.roll(wide, step, axis) - wide for axis in (0, 1) for step in (-1, 1))
            changes[name, still] = float((difference * laplacian)[4:-4, 4:-4].mean())
    # The first sharpens, against the Laplacian; the second does the opposite.
    assert changes["small", True] < 0 and changes["small", False] < 0
    assert changes["full", True] > 0 and changes["full", False] > 0


def test_a_stream_keeps_its_expert_at_the_border() -> None:
    router = Router(rule(21, 1.0), 2, 159)

    def at(amplitude: float) -> int:
        seen = np.zeros(159, np.float32)
        seen[128 + 19] = amplitude
        return router.expert(seen, still=False)

    assert [at(1.2), at(1 - 0.9 * MARGIN), at(1 - 1.1 * MARGIN), at(1 + 0.9 * MARGIN)] == [0, 0, 1, 1]


def test_descriptions_say_what_the_rule_reads() -> None:
    spec = ModelSpec("x", experts=2, route=tuple(rule(21, 1.0)), periodicity=True, condition=dict(CONDITION))
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert not ModelSpec.from_json('{"name": "older"}').periodicity
    with pytest.raises(ModelError, match="160 numbers for 2 experts; expected 129"):
        ModelSpec("x", experts=2, route=spec.route, condition=dict(CONDITION))
    with pytest.raises(ModelError, match="periodicity=1, which is not of the right type"):
        ModelSpec.from_json('{"name": "x", "periodicity": 1}')
