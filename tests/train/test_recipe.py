from __future__ import annotations

import dataclasses
import json

import pytest

from keenframe_train.errors import TrainError
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec, changed, epoch_steps
from keenframe_train.schedule import Standing, learning_rate

DISTILLED = Recipe(
    name="student", network=NetworkSpec("light", {"features": 8}), teachers=(TeacherSpec(NetworkSpec("edsr"), "t.pt"),),
    distill={"response-l1": 0.3}, taps=(("blocks.0", "blocks.3"),), color="rgb", mix="r2", shares={"r2": 1.0},
)  # fmt: skip


def test_a_recipe_survives_its_checkpoint() -> None:
    assert Recipe.from_json(DISTILLED.to_json()) == DISTILLED


def test_a_card_does_not_say_where_files_lay() -> None:
    taught = dataclasses.replace(
        DISTILLED, teachers=(dataclasses.replace(DISTILLED.teachers[0], checkpoint="/a/b/run/best.pt"),)
    )
    assert Recipe.from_json(taught.to_card()).teachers[0].checkpoint == "run/best.pt"
    assert Recipe.from_json(taught.to_card()).same_run(taught)


def test_the_first_checkpoints_knew_keen_alone() -> None:
    old = {
        "name": "keen", "network": {"scale": 1, "head": 32, "trunk": 64, "blocks": 3, "embedding": 32}, "mix": "keen",
        "bank_items": 24000, "batch": 16, "patch": 128, "steps": 50000, "rate": 6e-4, "final_rate": 1e-6,
        "warmup": 500, "weight_decay": 1e-4, "clip": 1.0, "ema": 0.999, "seed": 42, "light": 0.15,
        "shares": {"clean": 0.1, "r2": 0.9}, "validate_every": 5000, "save_every": 1000, "description": "before",
    }  # fmt: skip
    today = Recipe(
        name="keen", network=NetworkSpec("keen", old["network"]), mix="keen", bank_items=24_000, steps=50_000,
        rate=6e-4, light=0.15, shares={"clean": 0.1, "r2": 0.9}, description="before",
    )  # fmt: skip
    assert Recipe.from_json(json.dumps(old)) == today


def test_a_run_may_be_moved_and_described_anew_and_nothing_else() -> None:
    moved = dataclasses.replace(
        DISTILLED,
        description="x",
        teachers=(dataclasses.replace(DISTILLED.teachers[0], checkpoint="/b/t.pt"),),
    )
    assert moved != DISTILLED and moved.same_run(DISTILLED)
    untaught = dataclasses.replace(DISTILLED.teachers[0], checkpoint=None)
    for change in ({"rate": 1.0}, {"teachers": (untaught,)}, {"taps": ()}, {"seed": 1}):
        assert not dataclasses.replace(DISTILLED, **change).same_run(DISTILLED)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"name": "x", "network": {"name": "keen"}, "unknown": 1}']
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(TrainError, match="no recipe of this or an earlier version"):
        Recipe.from_json(text)


def test_the_control_lacks_the_teacher_and_nothing_else() -> None:
    control = DISTILLED.control()
    assert control.name == "student-control" and control.bank_name == "student"
    assert not control.teachers and not control.distill
    again = dataclasses.replace(
        control,
        name="student",
        bank="",
        teachers=DISTILLED.teachers,
        distill=DISTILLED.distill,
        taps=DISTILLED.taps,
    )
    assert again == DISTILLED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "linear"}, "schedule is 'linear'; known: constant, plateau, step, cosine"),
        ({"color": "yuv"}, "color is 'yuv'"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'"),
        ({"steps": 0}, "steps is 0"),
        ({"patch": 10}, "patch is 10; expected 11 or more"),
        ({"batch": 2.5}, "batch is 2.5; expected 1 or more"),
        ({"batch": True}, "batch is True; expected 1 or more"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"warmup": -1}, "warmup is -1; expected 0 or more"),
        ({"patience": None}, "patience is None; expected 0 or more"),
        ({"rate": 0.0}, "rate is 0.0; expected a number above 0"),
        ({"rate": float("nan")}, "rate is nan; expected a number above 0"),
        ({"rate": "fast"}, "rate is 'fast'; expected a number above 0"),
        ({"clip": -1.0}, "clip is -1.0; expected a number from 0 up"),
        ({"weight_decay": float("inf")}, "weight_decay is inf; expected a number from 0 up"),
        ({"jitter": 2.0}, "jitter is 2.0; expected a number from 0 to 1"),
        ({"light": -0.5}, "light is -0.5; expected a number from 0 to 1"),
        ({"ema": 1.5}, "ema is 1.5; expected a number from 0 to 1"),
        ({"factor": 0.0}, "factor is 0.0; expected a number above 0, at most 1"),
        ({"early_stopping": 0}, "early_stopping is 0; expected 1 or more, or None"),
        ({"losses": {"l1": "1"}}, "losses has 'l1' at '1'; expected a number from 0 up"),
        ({"distill": {"response-l1": -0.3}}, "distill has 'response-l1' at -0.3"),
        ({"shares": {"r2": -1.0, "r1": 2.0}}, "shares has 'r2' at -1.0"),
        ({"teachers": (TeacherSpec(NetworkSpec("edsr"), weight=-1.0),)}, "teachers has '0' at -1.0"),
        ({"shares": {"r2": 0.0}}, "no kind in shares has any"),
        ({"shares": {}}, "no kind in shares has any"),
        ({"losses": {"l1": 0.0}, "distill": {}, "teachers": ()}, "no loss has a weight"),
        ({"patch": 400}, "patches of 400 do not fit bank_size 320"),
        ({"distill": {}}, "teachers and distill come together"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(TrainError, match=message):
        dataclasses.replace(DISTILLED, **change)  # type: ignore[arg-type]


def test_epochs_in_steps() -> None:
    assert (epoch_steps(800, 4), epoch_steps(801, 4), epoch_steps(1, 8)) == (200, 201, 1)


def rates(schedule: str, **options: object) -> list[float]:
    recipe = Recipe(name="x", schedule=schedule, steps=20, warmup=4, rate=1.0, **options)  # type: ignore[arg-type]
    return [learning_rate(recipe, step) for step in range(20)]


def test_schedules() -> None:
    assert rates("constant") == [0.25, 0.5, 0.75] + [1.0] * 17
    assert rates("step", step_every=10, factor=0.5)[4:] == [1.0] * 6 + [0.5] * 10
    cosine = rates("cosine", final_rate=0.1)
    assert cosine[4:] == sorted(cosine[4:], reverse=True) and 0.1 < cosine[-1] < 0.12


def test_plateaus_let_the_rate_fall_and_end_the_run() -> None:
    recipe = Recipe(
        name="x",
        schedule="plateau",
        patience=1,
        factor=0.5,
        rate=1.0,
        final_rate=0.3,
        warmup=0,
        early_stopping=5,
    )
    standing = Standing()
    best, seen = [], []
    for score in (1.0, 2.0, 2.0, 1.5, 1.9, 1.0, 2.0):
        best.append(standing.judge(score, recipe))
        seen.append((learning_rate(recipe, 10, standing.drops), standing.exhausted(recipe)))
    assert best == [True, True, False, False, False, False, False]
    assert [rate for rate, _ in seen] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3]
    assert [done for _, done in seen] == [False] * 6 + [True]
    assert Standing(**standing.to_dict()) == standing


def test_values_can_be_set_without_another_recipe_file() -> None:
    told = changed(
        DISTILLED,
        [
            "rate=3e-4",
            "clip=0",
            "batch=8",
            'shares={"r1": 0.5}',
            "early_stopping=3",
            "schedule=step",
            "inherit=false",
        ],
    )
    assert (told.rate, told.clip, told.batch, told.early_stopping) == (3e-4, 0.0, 8, 3)
    assert (told.shares, told.schedule, told.name) == ({"r1": 0.5}, "step", DISTILLED.name)
    assert changed(told, ["shares=null"]).shares is None


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("rate", "expected FIELD=VALUE with one of bank_items"),
        ("speed=3", "expected FIELD=VALUE with one of bank_items"),
        ("name=x", "expected FIELD=VALUE with one of bank_items"),
        ("batch=8.5", "batch is a whole number"),
        ("batch=true", "batch is a whole number"),
        ("rate=fast", "rate is a number"),
        ("shares=3", "shares is an object such as .* or null"),
        ("steps=0", "steps is 0; expected 1 or more"),
        ("schedule=linear", "schedule is 'linear'; known: constant"),
    ],
)
def test_what_cannot_be_set_is_told(assignment: str, message: str) -> None:
    with pytest.raises(TrainError, match=message):
        changed(DISTILLED, [assignment])
