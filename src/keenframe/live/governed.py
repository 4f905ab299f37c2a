"""A sharpener for live frames that keeps up: it steps through model sizes and, last, passes frames through."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from keenframe.errors import KeenframeError
from keenframe.frame import Frame
from keenframe.live.budget import CpuBudget
from keenframe.live.governor import ROOM, Governor
from keenframe.live.ladder import Kind, Ladder, Ready, check_models, default_models
from keenframe.live.stats import Stats
from keenframe.sharpener import Sharpener, check_strength

# Where no size has been measured yet the governor knows only that each model is about half the work of the one before.
_UNMEASURED_S = 1e-3


class _Job(NamedTuple):
    """What the loader is at: making `models` ready for one kind of frame."""

    kind: Kind
    future: Future[tuple[Ladder, Ready]]


class GovernedSharpener:
    """Sharpens one stream's frames within `cpu_share` / `target_fps` seconds each, on the largest model that can.

    models: same-size luma models, largest first; None takes keen and keen-nano as far as they are installed. The
        levels are their places in this list, and one more that passes frames through.
    target_fps: 1..240, the rate to hold. cpu_share: part of the time, 0..1, that sharpening may take. budget: one
        `CpuBudget` for all streams of a process, whose parts then take the place of cpu_share.
    strength: 0..2. engine: as `Sharpener` takes it. threads: of each model; None takes as few as keep up. stats: where
        to count, kept as `numbers`; whoever feeds the stream adds frames in, frames out and drops there.

    Models are loaded, compiled and measured in the background: until a new size of frame, strength or list of models
    is ready, frames pass through or go on as before. One thread calls `sharpen`; the rest may be called by any.
    """

    def __init__(
        self,
        models: Sequence[str | Path] | None = None,
        target_fps: float = 30.0,
        cpu_share: float = 1.0,
        strength: float = 1.0,
        engine: str = "auto",
        threads: int | None = None,
        budget: CpuBudget | None = None,
        stats: Stats | None = None,
    ) -> None:
        self._engine, self._threads = engine, threads
        self._strength = check_strength(strength)
        wanted = default_models() if models is None else check_models(models)
        self._governor = Governor(_unmeasured(len(wanted)), target_fps, cpu_share)
        self._budget = budget
        self._ladder = Ladder(wanted, engine, threads)
        self._wanted = wanted
        # The strength in use; where 0 is wanted frames pass, and the models stay ready for this one.
        self._served = self._strength or 1.0
        self._running: Sharpener | None = None
        self._begun: object = None
        self._refused: Kind | None = None
        self._ready = False
        self.numbers = stats if stats is not None else Stats()
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(1, "keenframe-loader")
        self._job: _Job | None = None

    @property
    def level(self) -> int:
        """The level that the next frame is meant for: 0 is the largest model, the last passes frames through."""
        return self._governor.level

    @property
    def levels(self) -> list[str]:
        """What each level is: the models' names, and "pass"."""
        return [*self._ladder.names, "pass"]

    @property
    def pinned(self) -> int | None:
        """The level that `pin` has fixed; None while the governor chooses."""
        return self._governor.pinned

    @property
    def target_fps(self) -> float:
        """Frames per second to hold."""
        return self._governor.target_fps

    @property
    def strength(self) -> float:
        """The strength that was asked for last."""
        return self._strength

    def pin(self, level: int | None) -> None:
        """Stay on one level whatever it takes; None lets the governor choose again. InputError for other levels."""
        with self._lock:
            self._governor.pin(level)

    def set(
        self,
        strength: float | None = None,
        target_fps: float | None = None,
        models: Sequence[str | Path] | None = None,
        cpu_share: float | None = None,
    ) -> None:
        """Change what is given; the stream goes on as before until it is ready.

        KeenframeError, and no change, for values that `GovernedSharpener` would not take.
        """
        wanted = None if models is None else check_models(models)
        strength = None if strength is None else check_strength(strength)
        with self._lock:
            self._governor.retarget(target_fps, cpu_share)
            self._strength = self._strength if strength is None else strength
            if wanted is not None:
                self._wanted, self._refused = wanted, None

    def prepare(self, like: Frame) -> None:
        """Wait until the models are ready for frames like this one, so that none passes at the start.

        KeenframeError when they cannot take such frames.
        """
        while True:
            with self._lock:
                self._collect()
                kind = Kind.of(like, self._strength or self._served)
                if self._serves(self._ladder.ready(kind)):
                    return
                self._load(like, kind)
                job = self._job
            if job is not None:
                job.future.result()

    def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
        """`frame` sharpened on the present level; the frame itself where that is to pass, or where it cannot be done.

        frame: the stream's next one, of any kind; those that no model takes (sides below 16 or above 8192) pass.
        dropped: frames given up since the last call because this stream was busy. Not to be called after `close`.
        """
        now_s = time.perf_counter()
        with self._lock:
            model, strength = self._choose(frame)
        result, done = frame, False
        if model is not None:
            result, done = self._run(model, frame, strength)
        taken_s = time.perf_counter() - now_s
        if done:
            self.numbers.processed(now_s, taken_s)
        else:
            self.numbers.count("passed")
        with self._lock:
            # While models are compiled beside it, a frame's time says nothing about the model.
            if self._job is None and (done or self._governor.level == self._governor.passing):
                self._governor.observe(now_s, taken_s, dropped)
                self._claim(now_s)
        return result

    def stats(self) -> dict[str, Any]:
        """`Stats.snapshot`, and before it level, levels, pinned, strength, target_fps and the budget of a frame.

        ready: whether there are models for the last frame; until then frames pass, whatever the level.
        """
        with self._lock:
            levels, level = self.levels, self._governor.level
            state = {
                "level": level,
                "level_name": levels[level],
                "levels": levels,
                "ready": self._ready,
                "pinned": self._governor.pinned,
                "strength": self._strength,
                "target_fps": self._governor.target_fps,
                "budget_ms": round(1000 * self._governor.budget_s, 2),
            }
        return state | self.numbers.snapshot()

    def close(self) -> None:
        """Wait for the loader and free the models."""
        self._loader.shutdown(cancel_futures=True)
        if self._job is not None:
            with suppress(Exception, CancelledError):
                self._job.future.result()[0].close()
        self._ladder.close()
        if self._budget is not None:
            self._budget.leave(self)

    def __enter__(self) -> GovernedSharpener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _choose(self, frame: Frame) -> tuple[Sharpener | None, float]:
        """The model for `frame`, None to pass it, and the strength; sets the loader to work where it is needed."""
        self._collect()
        wanted = self._strength or self._served
        kind = Kind.of(frame, wanted)
        ready = self._ladder.ready(kind)
        if not self._serves(ready) and kind != self._refused:
            self._load(frame, kind)
        if ready is not None:
            self._served = wanted
        else:
            # Another strength may be in the making, and the old one serves until then.
            ready = self._ladder.ready(Kind.of(frame, self._served))
        self._ready = ready is not None
        if ready is None:
            self.numbers.count("refused" if kind == self._refused else "warming")
            return None, self._served
        begun = (ready.sharpeners, frame.width, frame.height, frame.format)
        if begun != self._begun:
            self._begun = begun
            self._governor.begin(ready.costs)
        if self._strength == 0 or self._governor.level == self._governor.passing:
            return None, self._served
        return ready.sharpeners[self._governor.level], self._served

    def _run(self, model: Sharpener, frame: Frame, strength: float) -> tuple[Frame, bool]:
        """The frame sharpened, and True; or itself, and False."""
        if model is not self._running:
            # What this model last saw may be minutes old.
            model.reset()
            self._running = model
        try:
            return model.sharpen(frame, strength, still=False), True
        except KeenframeError as error:
            self.numbers.error(str(error))
            return frame, False

    def _load(self, like: Frame, kind: Kind) -> None:
        """Set the loader to work for this kind, unless it is at something."""
        if self._job is None:
            strength, target_fps = 1.0 if kind.unit else 0.5, self._governor.target_fps
            future = self._loader.submit(self._prepared, self._wanted, like, strength, target_fps)
            self._job = _Job(kind, future)

    def _serves(self, ready: Ready | None) -> bool:
        """Whether `ready` is of the models and the rate that are wanted."""
        same = self._wanted == self._ladder.models
        return same and ready is not None and ready.target_fps == self._governor.target_fps

    def _prepared(
        self, models: tuple[str | Path, ...], like: Frame, strength: float, target_fps: float
    ) -> tuple[Ladder, Ready]:
        """The loader's work: the present ladder, or a new one, and what it has for frames like this one."""
        if models == self._ladder.models:
            return self._ladder, self._ladder.prepare(like, strength, target_fps)
        ladder = Ladder(models, self._engine, self._threads)
        try:
            return ladder, ladder.prepare(like, strength, target_fps)
        except BaseException:
            ladder.close()
            raise

    def _collect(self) -> None:
        """Take over what the loader has made ready, or note why it could not."""
        if self._job is None or not self._job.future.done():
            return
        job, self._job = self._job, None
        try:
            ladder, ready = job.future.result()
        except Exception as error:
            self._refused, self._wanted = job.kind, self._ladder.models
            self.numbers.error(str(error) or type(error).__name__)
            return
        self._refused = None
        ladder.adopt(job.kind, ready)
        if ladder is not self._ladder:
            self._ladder.close()
            self._ladder, self._begun = ladder, None
            self._governor.begin(ready.costs)

    def _claim(self, now_s: float) -> None:
        if self._budget is not None:
            governor = self._governor
            wish = governor.predict(governor.pinned or 0) * governor.target_fps / ROOM
            governor.retarget(cpu_share=self._budget.claim(self, now_s, wish))


def _unmeasured(models: int) -> list[float]:
    return [_UNMEASURED_S * 2**place for place in reversed(range(models))]
