from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from keenframe import Sharpener
from keenframe.condition import band_statistics
from keenframe.metrics import luma
from keenframe.routing import layers_of, scores
from keenframe.zoo.spec import CONDITION_KIND, ModelSpec, load_spec
from keenframe_train.data.bank import Bank
from keenframe_train.errors import TrainError
from keenframe_train.export.experts import (
    Route,
    expert_of,
    extend_route,
    fit_route,
    join,
    only,
    provisional,
    qualities,
)
from keenframe_train.export.onnx_file import run_file, to_graph, write_model
from keenframe_train.export.package import share_bias
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.recipe import NetworkSpec, Recipe

from .conftest import picture

SHAPE = KeenConfig(head=8, trunk=16, blocks=1)
FLAT = KeenConfig(head=8, trunk=8, blocks=1, stride=1)  # the trunk lies where the head does
BARE = KeenConfig(head=8, trunk=0, blocks=2, stride=1)  # no trunk: the blocks run on the head's channels
SPEC = ModelSpec(
    "tiny", size_multiple=8, radius=64, enlarging="bicubic", steady=True, parameters=10,
    condition={"kind": CONDITION_KIND, "size": 128}, recipe="{}",
)  # fmt: skip


def network(seed: int, shape: KeenConfig = SHAPE) -> Keen:
    torch.manual_seed(seed)
    model = Keen(shape).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    share_bias(model)
    return model


def test_the_rule_follows_what_is_better() -> None:
    rng = np.random.default_rng(1)
    conditions = rng.normal(2, 1, (400, 128)).astype(np.float32)
    # No single layer tells these apart.
    better = np.abs(conditions[:, 5] - 2) > 0.8
    advantage = np.where(better, 0.4, -0.2).astype(np.float32)
    route = fit_route(conditions, np.stack([np.zeros_like(advantage), advantage], 1))
    chosen = scores(layers_of(route.numbers()), conditions).argmax(1) == 1
    assert len(route.numbers()) == 32 * 130 + 1 and (chosen == better).mean() > 0.9
    # Where it is wrong it takes the second expert: harm counts more than a gain that is not won.
    assert (better & ~chosen).sum() <= (chosen & ~better).sum()
    assert route.lost < 0.02 and abs(route.shares[1] - chosen.mean()) < 0.01


def test_a_rule_that_leaves_pictures_as_they_are() -> None:
    rng = np.random.default_rng(3)
    seen = rng.normal(0, 1, (600, 159)).astype(np.float32)
    # The first is right where a number of the condition is large, none where one of the periodicity is.
    quality = np.stack([seen[:, 4], np.zeros(600, np.float32), seen[:, 140]], 1)
    route = fit_route(seen, quality, leaves=True)
    assert route.leaves and route.periodicity and len(route.numbers()) == 32 * (159 + 1 + 2) + 2
    chosen = scores(layers_of(route.numbers(), 2, 159, leaves=True), seen).argmax(1)
    assert (chosen == quality.argmax(1)).mean() > 0.8 and len(route.shares) == 3
    # What the first does to a picture that is best left alone is harm: where nothing can be told, and the first wins a
    # little more than it loses, it is not taken.
    even = np.arange(600)[:, None] % 2 == 0
    blind = fit_route(np.zeros_like(seen), np.where(even, [0.6, 0, 0], [-0.4, 0, 0.1]), leaves=True)
    assert blind.shares[0] == 0
    without = fit_route(seen, quality)
    assert not without.leaves and without.shares == pytest.approx(route.shares, abs=0.1)
    with pytest.raises(TrainError, match="same pictures"):
        fit_route(seen, np.stack([seen[:, 4]] * 2 + [seen[:, 5]], 1), leaves=True)


def test_a_rule_between_four_experts_follows_the_best() -> None:
    rng = np.random.default_rng(2)
    conditions = rng.normal(2, 1, (600, 128)).astype(np.float32)
    # One is as good as another by itself: which one is better says the sum of two numbers each.
    quality = np.stack([conditions[:, 2 * k] + conditions[:, 2 * k + 1] for k in range(4)], 1) / 4
    route = fit_route(conditions, quality)
    assert (len(route.numbers()) - 3) % (129 + 3) == 0 and sum(route.shares) == pytest.approx(1)
    chosen = scores(layers_of(route.numbers(), 4), conditions).argmax(1)
    assert (chosen == quality.argmax(1)).mean() > 0.75 and min(route.shares) > 0.15
    # Where two are for frames of full size, what the two others do to such a frame counts twice: the even chance of
    # winning a little more is not taken.
    even = np.arange(600)[:, None] % 2 == 0
    quality_of_three = np.where(even, [0.6, 0.0, 0.0], [-0.4, 0.02, 0.0])
    shares = [fit_route(np.zeros_like(conditions), quality_of_three, full_size=k).shares for k in (1, 2)]
    assert shares == [(1, 0, 0), (0, 1, 0)]
    # A tenth at most of what taking one of them for all would lose.
    assert route.lost < 0.1 * (quality.max(1) - quality[:, 0]).mean()


def test_a_rule_learns_of_a_further_expert_and_forgets_nothing() -> None:
    rng = np.random.default_rng(4)
    seen = rng.normal(0, 1, (800, 159)).astype(np.float32)
    # Two numbers decide between two experts and none; the new one is better where the first is best by far.
    quality = np.stack([seen[:, 0], seen[:, 1], np.zeros(800, np.float32)], 1)
    known = fit_route(seen, quality, leaves=True)
    new = np.where(seen[:, 0] > 1, quality[:, 0] + 2, -2)
    four = np.insert(quality, 1, new, 1)
    grown = extend_route(known, [1], seen, four, full_size=1)
    assert grown.leaves and len(grown.shares) == 4 and len(grown.numbers()) == len(known.numbers()) + 33
    before = layers_of(known.numbers(), 2, 159, leaves=True)
    after = layers_of(grown.numbers(), 3, 159, leaves=True)
    found, kept = scores(after, seen), scores(before, seen)
    np.testing.assert_allclose(found[:, [0, 2, 3]], kept, atol=1e-3)
    # Where it is not taken, everything is as it was, and it is taken where it should be.
    chosen, was = found.argmax(1), np.array([0, 2, 3])[kept.argmax(1)]
    assert (chosen == was)[chosen != 1].all()
    assert (chosen == 1)[four.argmax(1) == 1].mean() > 0.7
    assert grown.lost < 0.7 * (four.max(1) - four[np.arange(800), was]).mean()


def test_a_rule_that_cannot_learn_of_a_further_expert_is_refused() -> None:
    rng = np.random.default_rng(5)
    seen = rng.normal(0, 1, (60, 159)).astype(np.float32)
    quality = rng.normal(0, 1, (60, 4)).astype(np.float32)
    known = fit_route(seen, quality[:, :3], leaves=True)
    for rule, new, read in (
        (provisional(3), [1], seen),
        (known, [1, 2], seen),
        (known, [1], seen[:, :128]),
    ):
        with pytest.raises(TrainError, match="expected a rule of 2 layers that reads"):
            extend_route(rule, new, read, quality)
    with pytest.raises(TrainError, match="first expert is new"):
        extend_route(known, [0], seen, quality)


def test_a_rule_without_anything_to_choose_is_refused() -> None:
    with pytest.raises(TrainError, match="same pictures"):
        fit_route(np.ones((8, 128), np.float32), np.zeros((8, 2), np.float32))


def test_the_better_expert_is_measured_on_the_pairs(bank: Bank, tmp_path: Path) -> None:
    paths = [tmp_path / "nothing.onnx", tmp_path / "noisy.onnx"]
    for path, each in zip(paths, (Keen(SHAPE).eval(), network(1)), strict=True):
        write_model(path, to_graph(each), SPEC)

    def measured(parts: list[Path]) -> np.ndarray:
        join(parts, provisional(2), tmp_path / "both.onnx", name="both")
        return qualities(tmp_path / "both.onnx", bank, np.arange(3))

    found = measured(paths)
    # A network that adds nothing is as good as the picture itself, which comes last.
    assert found.shape == (3, 3) and (found[:, 1] < found[:, 0]).all()
    np.testing.assert_array_equal(found[:, 2], found[:, 0])
    np.testing.assert_allclose(measured(paths[::-1]), found[:, [1, 0, 2]], atol=1e-6)
    with pytest.raises(TrainError, match="holds one network"):
        qualities(paths[0], bank, np.arange(3))
    with pytest.raises(TrainError, match="has scale 1, the pairs have 2"):
        larger = replace(bank, pristine=np.repeat(np.repeat(bank.pristine, 2, 1), 2, 2))
        qualities(tmp_path / "both.onnx", larger, np.arange(3))


@pytest.mark.parametrize("first", [SHAPE, FLAT, BARE], ids=["alike", "another body", "no trunk"])
def test_two_experts_in_one_file_give_what_each_gave_alone(first: KeenConfig, tmp_path: Path) -> None:
    paths = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for seed, (path, shape) in enumerate(zip(paths, (first, SHAPE), strict=True)):
        spec = replace(SPEC, size_multiple=shape.size_multiple, measured={"seed": seed})
        write_model(path, to_graph(network(seed, shape)), spec)
    plane = luma(picture(41, 64, 96))
    condition = band_statistics(plane)
    expected = [run_file(path, plane, condition)[0] for path in paths]
    assert not np.array_equal(*expected)
    for bias, wanted in zip((-1000.0, 1000.0), expected, strict=True):
        route = Route([(np.zeros((1, 128), np.float32), np.float32([bias]))])
        spec = join(paths, route, tmp_path / "both.onnx", name="both")
        assert spec == load_spec(tmp_path / "both.onnx") and spec.parameters == 20
        assert spec.size_multiple == 8
        assert spec.measured == {"experts": [{"seed": 0}, {"seed": 1}]}
        for engine in ("openvino", "onnxruntime"):
            with Sharpener(tmp_path / "both.onnx", engine=engine, threads=1) as sharpener:
                found = np.asarray(sharpener.sharpen(plane))
                assert np.abs(found.astype(int) - wanted).max() <= 1
                stream = np.asarray(sharpener.sharpen(plane, still=False))
                assert np.array_equal(stream, found)


def test_an_expert_is_taken_out_of_the_file_again(tmp_path: Path) -> None:
    paths = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for seed, path in enumerate(paths):
        write_model(path, to_graph(network(seed)), SPEC)
    route = Route([(np.zeros((1, 128), np.float32), np.zeros(1, np.float32))])
    spec = join(paths, route, tmp_path / "both.onnx", name="both")
    plane = luma(picture(41, 64, 96))
    condition = band_statistics(plane)
    for expert, path in enumerate(paths):
        part = only(onnx.load(tmp_path / "both.onnx"), spec, expert)
        onnx.checker.check_model(part)
        assert {tensor.name for tensor in part.graph.initializer}.isdisjoint(
            tensor.name
            for tensor in only(onnx.load(tmp_path / "both.onnx"), spec, 1 - expert).graph.initializer
        )
        onnx.save(part, tmp_path / "part.onnx")
        for found, wanted in zip(
            run_file(tmp_path / "part.onnx", plane, condition), run_file(path, plane, condition), strict=True
        ):
            assert np.array_equal(found, wanted)


def test_the_last_expert_of_a_file_goes_into_another_one(tmp_path: Path) -> None:
    recipes = [
        Recipe(name=name, network=NetworkSpec("keen", asdict(SHAPE)), mix="keen", bank="x") for name in "abc"
    ]
    paths = [tmp_path / f"{recipe.name}.onnx" for recipe in recipes]
    for seed, (path, recipe) in enumerate(zip(paths, recipes, strict=True)):
        spec = replace(SPEC, recipe=recipe.to_card(), measured={"seed": seed})
        write_model(path, to_graph(network(seed)), spec)
    join(paths[:2], provisional(2), tmp_path / "both.onnx", name="both")
    taken = expert_of(tmp_path / "both.onnx", 1, tmp_path / "taken.onnx")
    assert taken.experts == 1 and taken.route is None and taken.measured == {"seed": 1}
    assert taken.parameters == sum(p.numel() for p in network(1).parameters())
    plane = luma(picture(41, 64, 96))
    condition = band_statistics(plane)
    for found, wanted in zip(
        run_file(tmp_path / "taken.onnx", plane, condition), run_file(paths[1], plane, condition), strict=True
    ):
        assert np.array_equal(found, wanted)
    names = [
        {tensor.name for tensor in onnx.load(path).graph.initializer}
        for path in (tmp_path / "taken.onnx", paths[1])
    ]
    assert names[0] == names[1]
    anew = join([paths[2], tmp_path / "taken.onnx"], provisional(2), tmp_path / "anew.onnx", name="anew")
    assert [json.loads(anew.recipe)["experts"][k]["name"] for k in (0, 1)] == ["c", "b"]
    again = expert_of(tmp_path / "anew.onnx", 1, tmp_path / "again.onnx")
    assert again.measured == {"seed": 1}
    with pytest.raises(TrainError, match="holds one network; expected a model of several experts"):
        expert_of(paths[0], 0, tmp_path / "none.onnx")
    write_model(tmp_path / "plain.onnx", to_graph(network(4)), SPEC)
    join([tmp_path / "plain.onnx"] * 2, provisional(2), tmp_path / "mute.onnx")
    with pytest.raises(TrainError, match="does not say how its experts were trained"):
        expert_of(tmp_path / "mute.onnx", 1, tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()


def test_experts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    write_model(first, to_graph(network(0)), SPEC)
    write_model(second, to_graph(network(1)), replace(SPEC, precision="int8"))
    route = fit_route(np.eye(128, dtype=np.float32), np.eye(128, dtype=np.float32)[:, :2])
    with pytest.raises(TrainError, match="differ in precision"):
        join([first, second], route, tmp_path / "both.onnx")
    assert not (tmp_path / "both.onnx").exists()
