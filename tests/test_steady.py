from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from keenframe import Frame, Sharpener
from keenframe.errors import ModelError
from keenframe.routing import MARGIN, Router, layers_of, scores
from keenframe.steady import ENLARGED, FULL_SIZE, Memory, Steadier, block_change
from keenframe.zoo.spec import ModelSpec, load_spec
from models import CONDITION, build

ROUTE = (*([0.0] * 127), 1.0, -1.0)  # the second expert when the last number of the condition is above 1


def noise(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def test_block_change_is_the_mean_difference_around_a_block() -> None:
    a, b = noise(1), noise(2)
    difference = np.abs(a.astype(float) - b)[::2]
    cells = difference.reshape(12, 2, 16, 4).mean((1, 3))
    padded = np.pad(cells, 1, mode="edge")
    expected = sum(padded[y : y + 12, x : x + 16] for y in range(3) for x in range(3)) / 9
    np.testing.assert_allclose(block_change(a[::2], b[::2]), expected, rtol=1e-5)


@pytest.mark.parametrize("memory", [FULL_SIZE, ENLARGED])
@pytest.mark.parametrize("scale", [1, 2])
def test_what_stands_still_is_kept_and_what_moves_is_not(scale: int, memory: Memory) -> None:
    steadier = Steadier(scale)
    luma = noise(3)
    assert not steadier.look(luma).keep.any()
    blocks = np.full((12 * scale, 16 * scale, 16), 7, np.uint8)
    steadier.remember(blocks)
    moved = luma.copy()
    moved[:, 32:] ^= 128
    past = steadier.look(moved, memory=memory)
    assert past.keep.shape == blocks.shape[:2] and np.array_equal(past.previous, blocks)
    assert np.allclose(past.keep[:, : 7 * scale], memory.share) and not past.keep[:, 8 * scale :].any()
    steadier.remember(blocks)
    faint = moved + np.uint8(1) * (moved < 255)
    expected = memory.share * (1 - 1 / memory.change)
    assert np.allclose(steadier.look(faint, memory=memory).keep[:, : 7 * scale], expected, atol=0.02)


def test_a_stream_begins_anew_at_another_size_and_after_a_reset() -> None:
    steadier = Steadier(1)

    def kept(luma: np.ndarray) -> np.ndarray:
        keep = steadier.look(luma).keep.copy()
        steadier.remember(np.zeros((*keep.shape, 16), np.uint8))
        return keep

    assert not kept(noise(4)).any() and kept(noise(4)).all()
    assert not kept(noise(4, 64, 64)).any() and kept(noise(4, 64, 64)).all()
    steadier.reset()
    assert not kept(noise(4, 64, 64)).any()


def test_after_a_frame_without_a_result_nothing_is_kept() -> None:
    steadier = Steadier(1)
    blocks = np.full((12, 16, 16), 9, np.uint8)
    steadier.look(noise(4))  # the engine failed: there is no result to remember
    assert not steadier.look(noise(4)).keep.any()
    steadier.remember(blocks)
    assert steadier.look(noise(4)).keep.all()
    assert not steadier.look(noise(4)).keep.any()


@pytest.fixture
def steady_model(tmp_path: Path) -> Path:
    return build(tmp_path / "steady.onnx", amount=0.5, conditioned=False, steady=True)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_stream_flickers_less_and_a_still_is_its_own(
    engine: str, steady_model: Path, strength: float
) -> None:
    rng = np.random.default_rng(5)
    scene = np.repeat(np.repeat(rng.integers(30, 220, (12, 16)), 4, 0), 4, 1)
    frames = [(scene + rng.integers(-1, 2, scene.shape)).astype(np.uint8) for _ in range(8)]
    with Sharpener(steady_model, engine=engine, threads=1) as sharpener:
        stills = [np.asarray(sharpener.sharpen(f, strength)).astype(int) for f in frames]
        stream = [np.array(sharpener.sharpen(f, strength, still=False)).astype(int) for f in frames]
        again = np.asarray(sharpener.sharpen(frames[-1], strength)).astype(int)
    assert np.array_equal(again, stills[-1]) and np.array_equal(stream[0], stills[0])
    flicker = [np.mean([np.abs(b - a).mean() for a, b in pairwise(x)]) for x in (stills, stream)]
    assert flicker[1] < 0.8 * flicker[0]
    assert np.abs(stream[-1] - stills[-1]).max() <= 8


def test_a_cut_leaves_no_ghost(engine: str, steady_model: Path) -> None:
    first, second = np.full((48, 64), 40, np.uint8), noise(6)
    with Sharpener(steady_model, engine=engine, threads=1) as sharpener:
        expected = np.asarray(sharpener.sharpen(second))
        sharpener.sharpen(first, still=False)
        assert np.array_equal(np.asarray(sharpener.sharpen(second, still=False)), expected)


def test_another_strength_shows_at_once(engine: str, steady_model: Path) -> None:
    luma = noise(9)
    with Sharpener(steady_model, engine=engine, threads=1) as sharpener:
        expected = np.asarray(sharpener.sharpen(luma, 0.5))
        for strength in (1.0, 0.0, 2.0):
            sharpener.sharpen(luma, strength, still=False)
        assert np.array_equal(np.asarray(sharpener.sharpen(luma, 0.5, still=False)), expected)


def test_a_steady_model_at_twice_the_size(engine: str, tmp_path: Path) -> None:
    path = build(tmp_path / "x2.onnx", amount=0.5, scale=2, conditioned=False, steady=True)
    luma = noise(7)
    chroma = np.full((24, 32), 128, np.uint8)
    frame = Frame((luma, chroma, chroma), "i420", 64, 48, pts=0)
    with Sharpener(path, engine=engine, threads=1) as sharpener:
        first = np.array(sharpener.sharpen(frame).planes[0])
        second = np.array(sharpener.sharpen(frame).planes[0])
    assert first.shape == (96, 128) and np.abs(first.astype(int) - second).max() <= 1


def test_the_condition_picks_the_expert(engine: str, tmp_path: Path) -> None:
    path = build(tmp_path / "two.onnx", amount=0.05, route=ROUTE, steady=True)
    spec = load_spec(path)
    assert spec.outputs == {"blocks", "residual", "steady", "blocks.1", "residual.1", "steady.1"}
    with Sharpener(path, engine=engine, threads=1) as sharpener:
        runner = sharpener._engine
        luma, condition = noise(8), np.ones(128, np.float32)
        first, second = (runner.run_residual(luma, condition, expert).copy() for expert in (0, 1))
        np.testing.assert_allclose(second, -first, atol=1e-3)
        assert np.abs(first).max() > 1
        blocks = runner.run(luma, condition, 1.0, expert=1)
        base = luma.reshape(12, 4, 16, 4).swapaxes(1, 2).reshape(12, 16, 16)
        assert np.abs(blocks - (base + second).clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize(("bias", "kept"), [(-1.0, True), (1.0, False)])
def test_what_was_enlarged_is_steadied_more(engine: str, tmp_path: Path, bias: float, kept: bool) -> None:
    path = build(tmp_path / "two.onnx", amount=0.05, route=(*([0.0] * 128), bias), steady=True)
    first = noise(10) // 2
    second = first + np.uint8(4)
    with Sharpener(path, engine=engine, threads=1) as sharpener:
        still = np.asarray(sharpener.sharpen(second))
        sharpener.sharpen(first, still=False)
        # A change of 4 code values is more than a frame of full size forgives, and half of what an enlarged one does.
        stream = np.asarray(sharpener.sharpen(second, still=False))
    assert np.array_equal(stream, still) != kept


def test_a_frame_that_is_known_to_be_enlarged_goes_to_the_first_expert(engine: str, tmp_path: Path) -> None:
    path = build(tmp_path / "two.onnx", amount=0.05, route=(*([0.0] * 128), 1.0))
    luma = noise(11)
    frames = {known: Frame((luma,), "gray", 64, 48, enlarged=known) for known in (None, True, False)}
    with Sharpener(path, engine=engine, threads=1) as sharpener:
        results = {known: sharpener.sharpen(frame).luma.astype(int) - luma for known, frame in frames.items()}
        assert np.array_equal(results[None], results[False])
        assert np.abs(results[True]).max() > 1 and not np.array_equal(results[True], results[False])
        assert np.array_equal(sharpener.sharpen(luma).astype(int) - luma, results[None])


def test_a_rule_of_two_layers() -> None:
    # |x - 1| - 0.5 of the last number, but for the slope: two units, each of which sees one side.
    units = np.zeros((2, 128), np.float32)
    units[:, -1] = 1.0, -1.0
    numbers = [*units.reshape(-1).tolist(), -1.0, 1.0, 1.0, 1.0, -0.5]
    layers = layers_of(numbers)
    assert [part.shape for layer in layers for part in layer] == [(2, 128), (2,), (1, 2), (1,)]
    conditions = np.zeros((4, 128), np.float32)
    conditions[:, -1] = 0.0, 0.9, 1.1, 2.0
    found = scores(layers, conditions)
    np.testing.assert_allclose(found[:, 1], [0.4, -0.41, -0.41, 0.4], atol=1e-6)
    assert (found[:, 0] == 0).all()
    assert [Router(numbers).expert(condition, still=True) for condition in conditions] == [1, 0, 0, 1]
    for count in (128, 130, 132, 261 + 129):
        with pytest.raises(
            ValueError, match=f"{count} numbers for 2 experts; expected 129, or 130 for each unit"
        ):
            layers_of([0.0] * count)


def between(count: int) -> list[float]:
    """A rule of one layer between `count` experts: the k-th behind the first is preferred by the k-th number."""
    weights = np.eye(128, dtype=np.float32)[: count - 1]
    return [*weights.reshape(-1).tolist(), *[0.0] * (count - 1)]


def condition_of(*preferences: float) -> NDArray[np.float32]:
    condition = np.zeros(128, np.float32)
    condition[: len(preferences)] = preferences
    return condition


def test_a_rule_between_four_experts() -> None:
    layers = layers_of(between(4), 4)
    assert [part.shape for layer in layers for part in layer] == [(3, 128), (3,)]
    router = Router(between(4), 4)
    for condition, expert in (((-1, -2, -3), 0), ((1, 2, -3), 2), ((1, 2, 3), 3), ((0.1, 0, 0), 1)):
        assert router.expert(condition_of(*condition), still=True) == expert
    # Of what is known to be enlarged the last one takes nothing, of what is not it takes all.
    assert router.expert(condition_of(1, 2, 3), True, enlarged=True) == 2
    assert router.expert(condition_of(1, 2, -3), True, enlarged=False) == 3
    # And of two for frames of full size alike.
    two_whole = Router(between(4), 4, full_size=2)
    assert two_whole.expert(condition_of(1, 2, 3), True, enlarged=True) == 1
    assert two_whole.expert(condition_of(3, 2, 1), True, enlarged=False) == 2
    assert two_whole.expert(condition_of(3, 2, 1), True) == 1
    two = [0.0] * (5 * 129 + 3 * 6)
    assert [part.shape for layer in layers_of(two, 4) for part in layer] == [(5, 128), (5,), (3, 5), (3,)]
    for count in (128, 129, 3 * 129 + 1, len(two) + 1):
        with pytest.raises(ValueError, match=r"for 4 experts; expected 387, or 132 for each unit .* and 3"):
            layers_of([0.0] * count, 4)


def test_a_stream_between_four_experts_does_not_flap() -> None:
    router = Router(between(4), 4)

    def at(*preferences: float, enlarged: bool | None = None) -> int:
        return router.expert(condition_of(*preferences), False, enlarged)

    assert [at(1, 0.9, 0), at(1, 1 + 0.9 * MARGIN, 0), at(1, 1 + 1.1 * MARGIN, 0)] == [1, 1, 2]
    assert [at(1, 1, 1), at(1, 1, 1.1 + MARGIN), at(1, 2, 1.5), at(1, 1.5, 2)] == [2, 3, 2, 3]
    # The last one is given up at once when the frame turns out to be enlarged.
    assert [at(0, 0, 3), at(0.1, 0, 3, enlarged=True), at(0, 0, 0.1)] == [3, 1, 1]
    router = Router(between(4), 4, full_size=2)
    known = [at(0, 3, 2.9), at(0.1, 3, 2.9, enlarged=True), at(0, 2, 2.1, enlarged=False), at(0, 2, 2.1)]
    assert known == [2, 1, 3, 3]


def test_four_experts_of_a_file(engine: str, tmp_path: Path) -> None:
    luma = noise(12)
    changes = []
    for preferred in range(4):
        bias = [float(10 * (preferred == expert)) - 1 for expert in range(1, 4)]
        route = (*[0.0] * (3 * 128), *bias)
        path = build(tmp_path / f"{preferred}.onnx", amount=0.02, route=route, experts=4, conditioned=True)
        with Sharpener(path, engine=engine, threads=1) as sharpener:
            changes.append(np.asarray(sharpener.sharpen(luma)).astype(int) - luma)
            assert sharpener.spec.experts == 4
    inside = (luma > 80) & (luma < 170)
    for change, factor in zip(changes[1:], (-1, 3, -5), strict=True):
        assert np.abs(change - factor * changes[0])[inside].max() <= 0.5 * (abs(factor) + 1) + 0.01


def test_two_of_four_experts_for_frames_of_full_size(engine: str, tmp_path: Path) -> None:
    luma = noise(12)
    route = (*[0.0] * (3 * 128), 1.0, 0.5, -1.0)
    path = build(tmp_path / "x.onnx", amount=0.02, route=route, experts=4, full_size=2)
    changes = {}
    with Sharpener(path, engine=engine, threads=1) as sharpener:
        for known in (True, False, None):
            frame = Frame((luma,), "gray", 64, 48, enlarged=known)
            changes[known] = sharpener.sharpen(frame).planes[0].astype(int) - luma
        memories = [sharpener._memory(expert) for expert in range(4)]
    assert memories == [ENLARGED, ENLARGED, FULL_SIZE, FULL_SIZE]
    assert np.array_equal(changes[True], changes[None]) and not np.array_equal(changes[True], changes[False])


def test_a_stream_does_not_flap() -> None:
    router = Router(ROUTE)

    def at(value: float, still: bool = False) -> int:
        condition = np.zeros(128, np.float32)
        condition[-1] = value
        return router.expert(condition, still)

    assert [at(0.9, still=True), at(1.1, still=True)] == [0, 1]
    assert [at(0.9), at(1 + 0.9 * MARGIN), at(1 + 1.1 * MARGIN), at(1 - 0.9 * MARGIN)] == [0, 0, 1, 1]
    router.reset()
    assert at(0.9) == 0
    # What is known of a frame goes before the rule.
    for known in (True, False):
        assert router.expert(np.full(128, 9.0, np.float32), True, known) == int(not known)
    assert Router(None).expert(np.zeros(128, np.float32), True) == 0


def test_a_rule_may_leave_a_frame_as_it_is(engine: str, tmp_path: Path) -> None:
    luma = noise(12)
    results = {}
    for preferred in range(3):
        bias = [float(preferred == choice) - 0.5 for choice in (1, 2)]
        route = (*[0.0] * 256, *bias)
        path = build(tmp_path / f"{preferred}.onnx", amount=0.02, steady=True, route=route, leaves=True)
        with Sharpener(path, engine=engine, threads=1) as sharpener:
            assert sharpener.spec.experts == 2 and sharpener.spec.leaves
            for kind, x in {
                "still": luma,
                "stream": Frame((luma,), "gray", 64, 48, pts=0),
                "fine": luma.astype(np.uint16) * 257,
                "rgb": np.repeat(luma[:, :, None], 3, 2),
                "full": Frame((luma,), "gray", 64, 48, pts=1, enlarged=False),
                "small": Frame((luma,), "gray", 64, 48, pts=2, enlarged=True),
            }.items():
                found = sharpener.sharpen(x, strength=1.5)
                same = np.array_equal(found.planes[0] if isinstance(found, Frame) else found,
                                      x.planes[0] if isinstance(x, Frame) else x)  # fmt: skip
                results[kind, preferred] = same
            assert sharpener.prepare(Frame((luma,), "gray", 64, 48, pts=3)) >= 0
    assert all(results[kind, 2] for kind in ("still", "stream", "fine", "rgb", "full"))
    assert not any(results[kind, choice] for kind in ("still", "stream", "fine", "rgb") for choice in (0, 1))
    # What is known to be enlarged is not left, what is known not to be goes to the last expert at most.
    assert not any(results["small", choice] for choice in range(3))


def test_a_stream_goes_on_after_frames_that_were_left() -> None:
    router = Router((*[0.0] * 254, 1.0, 0.0, 0.0, 0.0), 2, leaves=True)

    def at(value: float, enlarged: bool | None = None) -> int:
        seen = np.zeros(128, np.float32)
        seen[126] = value
        return router.expert(seen, False, enlarged)

    assert [at(1.0), at(0.5), at(-0.1), at(-1.1 * MARGIN)] == [2, 2, 2, 0]
    assert [at(1.0, enlarged=True), at(-1.0, enlarged=False), at(1.0, enlarged=False)] == [0, 1, 2]


def test_descriptions_that_cannot_be() -> None:
    with pytest.raises(ModelError, match="full_size=3 of 3 experts; expected 1 to 2"):
        ModelSpec("x", experts=3, route=(0.0,) * 258, condition=dict(CONDITION), full_size=3)
    with pytest.raises(ModelError, match="leaves frames as they are, at scale 2 and with a route"):
        ModelSpec("x", experts=2, route=(0.0,) * 258, condition=dict(CONDITION), scale=2, leaves=True)
    with pytest.raises(ModelError, match="at scale 1 and with no route"):
        ModelSpec("x", condition=dict(CONDITION), leaves=True)
    with pytest.raises(ModelError, match="expected 129"):
        ModelSpec("x", experts=2, route=(1.0, 2.0), condition=dict(CONDITION))
    for experts, route in ((1, ROUTE), (2, None), (0, None)):
        with pytest.raises(ModelError, match=f"{experts} experts and .* route; expected a route where"):
            ModelSpec("x", experts=experts, route=route, condition=dict(CONDITION))
    with pytest.raises(ModelError, match="9 experts; this keenframe knows up to 8"):
        ModelSpec("x", experts=9, route=tuple(between(9)), condition=dict(CONDITION))
    with pytest.raises(ModelError, match="luma"):
        ModelSpec("x", color="rgb", steady=True)
    with pytest.raises(ModelError, match="steady with size_multiple=2"):
        ModelSpec("x", scale=2, size_multiple=2, radius=0, steady=True)
    with pytest.raises(ModelError, match="route"):
        ModelSpec.from_json('{"name": "x", "route": "left"}')
    spec = ModelSpec("x", experts=2, route=ROUTE, steady=True, condition=dict(CONDITION))
    assert ModelSpec.from_json(spec.to_json()) == spec
    # Files that were written before experts were counted have two where they have a route.
    assert ModelSpec.from_json(spec.to_json().replace('"experts": 2, ', "")) == spec
