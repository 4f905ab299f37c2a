"""Ladder: each model on as few threads as keep up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from keenframe.frame import Frame
from keenframe.live import ladder as module
from keenframe.live.ladder import FEW, Kind, Ladder
from keenframe.sharpener import Sharpener

GRAY = np.full((48, 64), 128, np.uint8)
LIKE = Frame((GRAY, GRAY[::2, ::2], GRAY[::2, ::2]), "i420", 64, 48, pts=0)


@pytest.fixture
def models(identity_model: Path, tmp_path: Path) -> list[Path]:
    small = tmp_path / "small.onnx"
    small.write_bytes(identity_model.read_bytes())
    return [identity_model, small]


@pytest.fixture(autouse=True)
def four_cores(models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated machine: the large model takes 40 ms on one thread, the small one 10; threads share the work."""
    whole = {models[0]: 0.04, models[1]: 0.01}

    class Timed(Sharpener):
        def __init__(self, model: Path, engine: str, threads: int | None) -> None:
            super().__init__(model, "onnxruntime", threads)
            self.threads, self.cost_s, self.closed = threads, whole[model] / (threads or 4), False

        def prepare(self, like: Frame, strength: float = 1.0) -> float:
            return self.cost_s

        def close(self) -> None:
            super().close()
            self.closed = True

    monkeypatch.setattr(module, "Sharpener", Timed)
    monkeypatch.setattr(module, "usable_cores", lambda: 4)


@pytest.fixture
def ladder(models: list[Path]) -> Iterator[Ladder]:
    ladder = Ladder(models, "auto", None)
    yield ladder
    ladder.close()


@pytest.mark.parametrize(
    ("fps", "threads"), [(5, [1, 1]), (20, [2, 1]), (30, [4, 1]), (60, [None, 2]), (240, [None, None])]
)
def test_a_model_takes_no_more_threads_than_it_needs(ladder: Ladder, fps: float, threads: list[int]) -> None:
    ready = ladder.prepare(LIKE, 1.0, fps)
    # What is left for four cores that share the work evenly: None and 4 threads are the same here.
    assert [s.threads or 4 for s in ready.sharpeners] == [count or 4 for count in threads]
    costs = [s.cost_s for s in ready.sharpeners]
    assert list(ready.costs) == costs and ready.target_fps == fps
    assert all(
        cost <= FEW / fps or s.threads is None for cost, s in zip(costs, ready.sharpeners, strict=True)
    )


def test_threads_that_are_asked_for_are_taken(models: list[Path]) -> None:
    ladder = Ladder(models, "auto", 3)
    assert [s.threads for s in ladder.prepare(LIKE, 1.0, 30).sharpeners] == [3, 3]
    ladder.close()


def test_what_was_only_tried_is_freed(ladder: Ladder) -> None:
    kind = Kind.of(LIKE, 1.0)
    slow = ladder.prepare(LIKE, 1.0, 5)
    ladder.adopt(kind, slow)
    fast = ladder.prepare(LIKE, 1.0, 60)
    assert not any(s.closed for s in slow.sharpeners)
    ladder.adopt(kind, fast)
    assert ladder.ready(kind) is fast
    assert all(s.closed for s in slow.sharpeners) and not any(s.closed for s in fast.sharpeners)
    assert len(ladder._sharpeners) == 2
