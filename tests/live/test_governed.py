"""GovernedSharpener: frames keep coming whatever is changed, and what comes is what the level's model gives."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import picture
from keenframe.engines.base import Variant
from keenframe.errors import InputError, KeenframeError, ModelError
from keenframe.frame import Frame
from keenframe.live.budget import CpuBudget
from keenframe.live.governed import GovernedSharpener
from keenframe.live.ladder import Ladder, Ready
from keenframe.sharpener import Sharpener
from models import build

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A strong and a weak unsharp mask: what comes out says which of them it went through."""
    folder = tmp_path_factory.mktemp("ladder")
    return [
        build(folder / "strong.onnx", amount=0.8, conditioned=False),
        build(folder / "weak.onnx", amount=0.3, conditioned=False),
    ]


def governed(models: list[Path], **options: Any) -> GovernedSharpener:
    # A frame may take a second: these tests are not about speed.
    options = {"target_fps": 1, "engine": "onnxruntime", "threads": 1} | options
    return GovernedSharpener(models, **options)


def frame(width: int = 64, height: int = 48, seed: int = 0, format: str = "i420") -> Frame:
    return Frame.from_rgb(picture(height, width, seed), format=format, pts=seed)  # type: ignore[arg-type]


def expected(model: Path, frame: Frame, strength: float = 1.0) -> np.ndarray[Any, Any]:
    with Sharpener(model, "onnxruntime", threads=1) as sharpener:
        return sharpener.sharpen(frame, strength).planes[0]


def until(condition: Callable[[], bool], step: Callable[[], object]) -> int:
    """Do `step` until `condition` holds; how often that was."""
    end_s = time.monotonic() + DEADLINE_S
    for times in range(10**9):
        if condition():
            return times
        assert time.monotonic() < end_s, "it never came"
        step()
        threading.Event().wait(0.005)
    raise AssertionError


def until_sharp(sharpener: GovernedSharpener, source: Frame) -> list[Frame]:
    """What came of `source` until it came sharpened."""
    outs: list[Frame] = []
    until(lambda: bool(outs) and outs[-1] is not source, lambda: outs.append(sharpener.sharpen(source)))
    return outs


def test_each_level_gives_what_its_model_gives(ladder: list[Path]) -> None:
    source = frame()
    with governed(ladder) as sharpener:
        sharpener.prepare(source)
        assert sharpener.levels == ["strong", "weak", "pass"]
        for level, model in enumerate(ladder):
            sharpener.pin(level)
            result = sharpener.sharpen(source)
            assert np.array_equal(result.planes[0], expected(model, source))
            assert result.chroma is not source.luma and np.array_equal(result.planes[1], source.planes[1])
            assert (result.pts, result.matrix, result.range) == (source.pts, source.matrix, source.range)
        sharpener.pin(2)
        assert sharpener.sharpen(source) is source


@pytest.mark.parametrize("format", ["i420", "nv12", "rgb24", "gray"])
@pytest.mark.parametrize("strength", [1.0, 0.7])
@pytest.mark.parametrize("model", ["unsharp", "keen", "keen-float"])
def test_what_is_prepared_compiles_nothing_more(
    model: str, strength: float, format: str, unsharp_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first frame is as fast as the others, whichever expert it goes through."""
    source = frame(64, 48, format=format)
    name = unsharp_model if model == "unsharp" else model
    with (
        Sharpener(name, "onnxruntime", threads=1) as plain,
        Sharpener(name, "onnxruntime", threads=1) as ready,
    ):
        expected = [plain.sharpen(frame(64, 48, seed, format), strength, still=False) for seed in range(3)]
        assert ready.prepare(source, strength) > 0

        def compile(*_: object) -> None:
            raise AssertionError("compiled again")

        monkeypatch.setattr(ready._engine, "_prepare", compile)
        for seed in range(3):
            got = ready.sharpen(frame(64, 48, seed, format), strength, still=False)
            assert np.array_equal(got.planes[0], expected[seed].planes[0])
        assert ready.prepare(source, 0.0) == 0.0


def test_a_frame_costs_what_the_slowest_expert_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sharpener("keen", "onnxruntime", threads=1) as sharpener:
        prepare = sharpener._engine.prepare

        def timed(height: int, width: int, variant: Variant) -> tuple[Any, float]:
            return prepare(height, width, variant)[0], 0.02 if variant.expert == 1 else 0.01

        monkeypatch.setattr(sharpener._engine, "prepare", timed)
        assert sharpener.prepare(frame()) == 0.02


def test_the_first_frames_of_a_new_size_pass_and_then_come_sharp(ladder: list[Path]) -> None:
    with governed(ladder) as sharpener:
        for size in ((64, 48), (96, 64), (64, 48)):
            source = frame(*size)
            outs = until_sharp(sharpener, source)
            assert all(out is source for out in outs[:-1])
            assert np.array_equal(outs[-1].planes[0], expected(ladder[0], source))
        numbers = sharpener.stats()["counters"]
        assert numbers["errors"] == 0 and numbers["warming"] == numbers["passed"]
        # The first size was still ready when it came back.
        assert len(outs) == 1


def test_strength_changes_without_a_gap(ladder: list[Path]) -> None:
    source = frame()
    with governed(ladder) as sharpener:
        sharpener.prepare(source)
        allowed = [expected(ladder[0], source, strength) for strength in (1.0, 0.5)]
        sharpener.set(strength=0.5)
        outs: list[Frame] = []
        until(
            lambda: bool(outs) and np.array_equal(outs[-1].planes[0], allowed[1]),
            lambda: outs.append(sharpener.sharpen(source)),
        )
        assert all(np.array_equal(out.planes[0], allowed[0]) for out in outs[:-1])
        sharpener.set(strength=0.0)
        assert sharpener.sharpen(source) is source
        sharpener.set(strength=1.0)
        assert np.array_equal(sharpener.sharpen(source).planes[0], allowed[0])
        assert sharpener.stats()["counters"].get("warming", 0) == 0


def test_another_rate_is_prepared_without_a_gap(ladder: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, made = frame(), threading.Event()
    with governed(ladder) as sharpener:
        sharpener.prepare(source)
        prepare = Ladder.prepare

        def noted(self: Ladder, like: Frame, strength: float, target_fps: float) -> Ready:
            ready = prepare(self, like, strength, target_fps)
            if target_fps == 2:
                made.set()
            return ready

        monkeypatch.setattr(Ladder, "prepare", noted)
        sharpener.set(target_fps=2)
        outs: list[Frame] = []
        until(made.is_set, lambda: outs.append(sharpener.sharpen(source)))
        sharp = expected(ladder[0], source)
        assert all(np.array_equal(out.planes[0], sharp) for out in outs)


def test_models_change_without_a_gap(ladder: list[Path], identity_model: Path) -> None:
    source = frame()
    with governed(ladder) as sharpener:
        sharpener.prepare(source)
        before = expected(ladder[0], source)
        sharpener.set(models=[identity_model])
        outs: list[Frame] = []
        until(
            lambda: sharpener.levels == ["identity", "pass"],
            lambda: outs.append(sharpener.sharpen(source)),
        )
        # The last of them collected the new models and went through them.
        assert all(np.array_equal(out.planes[0], before) for out in outs[:-1])
        assert np.array_equal(outs[-1].planes[0], source.planes[0])
        assert sharpener.stats()["counters"]["passed"] == 0


def test_a_model_that_cannot_be_is_refused_and_nothing_changes(
    ladder: list[Path], double_model: Path, tmp_path: Path
) -> None:
    source = frame()
    with governed(ladder) as sharpener:
        sharpener.prepare(source)
        with pytest.raises(InputError, match="keeps the size"):
            sharpener.set(models=[double_model])
        with pytest.raises(ModelError, match="there is no model 'keen-huge'"):
            sharpener.set(models=["keen-huge"])
        with pytest.raises(InputError, match="list of model names"):
            sharpener.set(models="keen")
        with pytest.raises(InputError):
            sharpener.set(strength=3)
        assert sharpener.levels == ["strong", "weak", "pass"]
        assert sharpener.sharpen(source) is not source


def test_a_model_that_fails_while_loading_leaves_the_old_one_in_service(
    ladder: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    build(broken, amount=0.1)
    source = frame()
    with governed(ladder) as sharpener:
        sharpener.prepare(source)
        sharpener.set(models=[broken])
        broken.write_bytes(broken.read_bytes()[:200])
        outs: list[Frame] = []
        until(
            lambda: sharpener.stats()["counters"]["errors"] > 0,
            lambda: outs.append(sharpener.sharpen(source)),
        )
        assert all(out is not source for out in outs)
        assert "broken" in sharpener.stats()["last_error"]
        assert sharpener.levels == ["strong", "weak", "pass"]


@pytest.mark.parametrize("format", ["i420", "nv12", "gray", "rgb24", "i422", "i444"])
def test_every_format_comes_back_sharpened_as_it_is(ladder: list[Path], format: str) -> None:
    source = frame(format=format)
    with governed(ladder) as sharpener:
        sharpener.prepare(source)
        result = sharpener.sharpen(source)
        assert result.format == source.format and not np.array_equal(result.planes[0], source.planes[0])


def test_frames_that_no_model_takes_pass_and_are_counted(ladder: list[Path]) -> None:
    tiny = frame(8, 8)
    with governed(ladder) as sharpener:
        until(
            lambda: sharpener.stats()["counters"].get("refused", 0) > 3,
            lambda: sharpener.sharpen(tiny) is tiny or pytest.fail("not passed"),
        )
        assert sharpener.stats()["counters"]["errors"] == 1
        assert "8x8" in sharpener.stats()["last_error"]
        with pytest.raises(InputError, match="8x8"):
            sharpener.prepare(tiny)
        # A frame of another size is taken again.
        source = frame()
        until(lambda: sharpener.stats()["counters"]["sharpened"] > 0, lambda: sharpener.sharpen(source))


def test_an_engine_that_fails_lets_frames_pass(ladder: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source = frame()
    with governed(ladder) as sharpener:
        sharpener.prepare(source)

        def fail(*_: object, **__: object) -> Frame:
            raise KeenframeError("the engine is gone")

        monkeypatch.setattr(Sharpener, "sharpen", fail)
        assert sharpener.sharpen(source) is source
        monkeypatch.undo()
        assert sharpener.sharpen(source) is not source
        assert sharpener.stats()["counters"]["errors"] == 1
        assert sharpener.stats()["last_error"] == "the engine is gone"


def test_frames_without_time_are_a_stream_too(ladder: list[Path], tmp_path: Path) -> None:
    """A still would be conditioned on its own and not be steadied."""
    model = build(tmp_path / "steady.onnx", amount=0.5, steady=True)
    source = Frame(frame().planes, "i420", 64, 48)
    with governed([model]) as sharpener:
        sharpener.prepare(source)
        first = sharpener.sharpen(source)
        second = sharpener.sharpen(source)
        assert first is not source and first.pts is None
        assert np.array_equal(first.planes[0], second.planes[0])


def test_it_steps_down_when_a_frame_takes_too_long(ladder: list[Path]) -> None:
    source = frame(320, 240)
    with governed(ladder, target_fps=240, cpu_share=0.001) as sharpener:
        sharpener.prepare(source)
        until(lambda: sharpener.level == 2, lambda: sharpener.sharpen(source))
        sharpener.pin(0)
        assert sharpener.sharpen(source) is not source


def test_settings_from_other_threads(ladder: list[Path]) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def fiddle() -> None:
        random = np.random.default_rng(1)
        try:
            while not done.is_set():
                strength, fps = random.choice([0, 0.5, 1, 1.5]), random.integers(1, 60)
                sharpener.set(strength=float(strength), target_fps=float(fps))
                sharpener.set(models=ladder[: random.integers(1, 3)])
                # The shorter list may be in use already, and has no level 2.
                with suppress(InputError):
                    sharpener.pin([None, 0, 1, 2][random.integers(4)])
                json.dumps(sharpener.stats())
                done.wait(0.01)
        except BaseException as error:
            failures.append(error)

    with governed(ladder) as sharpener:
        thread = threading.Thread(target=fiddle)
        thread.start()
        for seed in range(150):
            width = 64 + 32 * (seed // 50)
            assert sharpener.sharpen(frame(width, 48, seed % 5)).width == width
        done.set()
        thread.join()
    assert not failures


@pytest.mark.parametrize("busy_s", [0.0, 0.02])
def test_several_streams_share_one_budget(
    ladder: list[Path], monkeypatch: pytest.MonkeyPatch, busy_s: float
) -> None:
    """Whether each could use its equal part or more, as on a busy machine, or not."""
    source, plain = frame(), Sharpener.sharpen

    def slow(*arguments: Any, **options: Any) -> Frame:
        threading.Event().wait(busy_s)
        return plain(*arguments, **options)

    monkeypatch.setattr(Sharpener, "sharpen", slow)
    budget = CpuBudget(0.8)
    with (
        governed(ladder, budget=budget, target_fps=30) as one,
        governed(ladder, budget=budget, target_fps=30) as two,
    ):
        for sharpener in (one, two):
            sharpener.prepare(source)
            if busy_s:
                sharpener.pin(0)
        for _ in range(30):
            one.sharpen(source)
            two.sharpen(source)
        # stats() rounds: what is 0.4 may be a little less there.
        parts = [sharpener._governor.budget_s * 30 for sharpener in (one, two)]
        assert all(0.4 <= round(part, 6) <= 0.8 for part in parts)
        if busy_s:
            assert parts == pytest.approx([0.4, 0.4])


def test_a_budget_is_divided_fairly() -> None:
    budget = CpuBudget(0.9)
    a, b, c = "abc"
    assert budget.claim(a, 0.0, 0.5) == pytest.approx(0.9)
    assert budget.claim(b, 0.0, 0.5) == pytest.approx(0.45)
    assert budget.claim(c, 0.0, 0.1) == pytest.approx(0.4)
    assert budget.claim(a, 0.1, 2.0) == pytest.approx(0.4)
    budget.leave(b)
    assert budget.claim(a, 0.2, 2.0) == pytest.approx(0.8)
    # c has been silent for too long.
    assert budget.claim(a, 5.0, 2.0) == pytest.approx(0.9)


def test_the_default_models_are_keenframes_own() -> None:
    with GovernedSharpener(target_fps=30) as sharpener:
        assert sharpener.levels[0].startswith("keen") and sharpener.levels[-1] == "pass"
