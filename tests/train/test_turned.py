from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from keenframe_train.errors import TrainError
from keenframe_train.lesson import prepare_lesson
from keenframe_train.nets.registry import build
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec
from keenframe_train.teachers import Turned, turned, unturned

TINY = NetworkSpec("keen", {"head": 8, "trunk": 8, "blocks": 1})


class Across(nn.Module):
    """Each pixel's difference from its left neighbour: no turn of the picture gives the same."""

    scale, channels, size_multiple = 1, 1, 1

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x - x.roll(1, 3)


def test_eight_different_turns_and_back() -> None:
    x = torch.arange(2 * 12.0).reshape(2, 1, 3, 4)
    views = [turned(x, turn) for turn in range(8)]
    assert all(torch.equal(unturned(view, turn), x) for turn, view in enumerate(views))
    assert len({tuple(view.flatten().tolist()) + tuple(view.shape) for view in views}) == 8


def test_the_turn_follows_from_the_batch_and_all_eight_come() -> None:
    teacher, answers = Turned(Across()), set()
    for value in range(8):
        x = torch.rand(1, 1, 4, 6, generator=torch.Generator().manual_seed(value))
        x[0, 0, 0, 0] = value / 255
        answer = teacher(x)
        assert torch.equal(answer, teacher(x)) and answer.shape == x.shape
        expected = unturned(Across()(turned(x, value)), value)
        assert torch.equal(answer, expected)
        answers.add(value)
    assert teacher.scale == 1 and teacher.channels == 1


def test_a_recipe_turns_its_teacher() -> None:
    recipe = Recipe(
        name="x",
        network=TINY,
        teachers=(TeacherSpec(TINY, None, turned=True),),
        distill={"response-rmse": 1.0},
    )
    assert Recipe.from_json(recipe.to_json()) == recipe
    student = build("keen", **TINY.options)
    lesson = prepare_lesson(recipe, student)
    x = torch.rand(2, 1, 32, 32)
    loss, terms = lesson(x, torch.zeros(2, 128), x)
    assert torch.isfinite(loss) and any("response" in name for name in terms)


def test_turned_features_are_refused() -> None:
    with pytest.raises(TrainError, match="lie elsewhere"):
        Recipe(name="x", teachers=(TeacherSpec(TINY, None, turned=True),), distill={"features": 1.0})
