"""Which size of model a live stream goes through, so that its frames stay in time.

Levels count from 0, the largest model; the last one passes frames through. Pure logic without a clock: every call
brings its time, so that simulated machines test it in no time.
"""

from __future__ import annotations

from collections.abc import Sequence

from keenframe.errors import InputError

# Weight of a new frame in the running mean of its time: six frames to notice that the machine has become slow.
WEIGHT = 0.15
# One frame counts for at most this many budgets: a single hiccup is no reason to step down.
SPIKE = 2.0
# A level is too slow when its frames take more than this share of the budget, and the next larger one is worth a try
# when its frames are expected to take less than that one. What is between keeps the levels from alternating.
LATE, ROOM = 0.9, 0.75
# Drops that count, as a share of frames, where the stream is slower than its target by this factor.
DROPPED, SLOWER = 0.2, 1.05
# Seconds of room before a step up; doubled after each one that had to be taken back within TRIAL_S or that wait.
WAIT_S, WAIT_MAX_S, TRIAL_S = 2.0, 120.0, 10.0
# A stream that paused for so long says nothing about its rate.
PAUSE_S = 1.0
FPS_MIN, FPS_MAX = 1.0, 240.0


class Governor:
    """Chooses `level` from the time that frames take.

    costs: what a frame takes on each model, largest first, in seconds as measured once; only their ratios are relied
        on later. target_fps: 1..240. cpu_share: how much of the time may go into sharpening, 0..1 (several streams
        share one processor); a frame's budget is cpu_share / target_fps.
    """

    def __init__(self, costs: Sequence[float], target_fps: float = 30.0, cpu_share: float = 1.0) -> None:
        self._target_fps = checked_fps(target_fps)
        self._cpu_share = checked_share(cpu_share)
        self._pinned: int | None = None
        self._last_s: float | None = None
        self._room_since_s: float | None = None
        self._trial_ends_s: float | None = None
        self._wait_s = WAIT_S
        self.begin(costs)

    @property
    def level(self) -> int:
        """The level that the next frame is meant for: the pinned one, or the one that keeps up."""
        return self._level if self._pinned is None else self._pinned

    @property
    def pinned(self) -> int | None:
        """The level the user has fixed; None when the governor chooses."""
        return self._pinned

    @property
    def passing(self) -> int:
        """The last level, which passes frames through."""
        return len(self._costs)

    @property
    def target_fps(self) -> float:
        """Frames per second to hold."""
        return self._target_fps

    @property
    def budget_s(self) -> float:
        """Seconds that a frame may take."""
        return self._cpu_share / self._target_fps

    def begin(self, costs: Sequence[float]) -> None:
        """Start anew with other models or frames of another size: on the largest model that should keep up.

        costs: seconds a frame takes on each model, largest first. A pin stays where that level still exists.
        """
        if not costs or min(costs) <= 0:
            raise InputError(f"costs are {list(costs)}; expected positive seconds, one for each model")
        self._costs = tuple(costs)
        if self._pinned is not None and self._pinned > self.passing:
            self._pinned = None
        fitting = (level for level, cost in enumerate(costs) if cost <= ROOM * self.budget_s)
        self._level = next(fitting, len(costs) - 1)
        self._time_s = min(costs[self._level], LATE * self.budget_s)
        self._last_s = None
        self._interval_s = 1 / self._target_fps
        self._dropped = 0.0
        self._forget_trials()

    def retarget(self, target_fps: float | None = None, cpu_share: float | None = None) -> None:
        """Change the target or the share of the processor from the next frame on. InputError out of range."""
        if target_fps is not None and target_fps != self._target_fps:
            self._target_fps = checked_fps(target_fps)
            self._interval_s = 1 / self._target_fps
            self._forget_trials()
        if cpu_share is not None:
            self._cpu_share = checked_share(cpu_share)

    def pin(self, level: int | None) -> None:
        """Stay on `level` whatever it takes; None lets the governor choose, from there on. InputError for others."""
        if level is not None and not 0 <= level <= self.passing:
            raise InputError(
                f"level is {level}; expected 0 (largest model) to {self.passing} (pass), or None"
            )
        if level is None and self._pinned is not None:
            self._move(self._pinned)
        self._pinned = level

    def predict(self, level: int) -> float:
        """Seconds that a frame should take on `level` as fast as the machine is now; from the last level on, which
        measures nothing, as fast as it was at the beginning."""
        if level == self.passing:
            return 0.0
        if self._level == self.passing:
            return self._costs[level]
        return self._time_s * self._costs[level] / self._costs[self._level]

    def observe(self, now_s: float, processing_s: float, dropped: int = 0) -> None:
        """One frame went through `level`: it arrived at `now_s` (any steadily rising clock) and took `processing_s`.

        dropped: frames that were given up since the last one because this stream was busy.
        """
        self._note_rate(now_s, dropped)
        if self._pinned is not None:
            if self._pinned != self._level:
                self._move(self._pinned)
            self._note_time(processing_s)
            return
        self._note_time(processing_s)
        if self._level < self.passing and self._late():
            self._step_down(now_s)
        elif self._level > 0:
            self._consider_rise(now_s)

    def _note_rate(self, now_s: float, dropped: int) -> None:
        if self._last_s is not None and now_s - self._last_s < PAUSE_S:
            self._interval_s += WEIGHT * (now_s - self._last_s - self._interval_s)
            share = dropped / (dropped + 1)
            self._dropped += WEIGHT * (share - self._dropped)
        self._last_s = now_s

    def _note_time(self, processing_s: float) -> None:
        if self._level < self.passing:
            taken_s = min(processing_s, SPIKE * self.budget_s)
            self._time_s += WEIGHT * (taken_s - self._time_s)

    def _late(self) -> bool:
        starving = self._dropped > DROPPED and self._interval_s > SLOWER / self._target_fps
        return starving or self._time_s > LATE * self.budget_s

    def _step_down(self, now_s: float) -> None:
        if self._trial_ends_s is not None and now_s < self._trial_ends_s:
            self._wait_s = min(2 * self._wait_s, WAIT_MAX_S)
        else:
            self._wait_s = WAIT_S
        self._trial_ends_s = None
        self._move(self._level + 1)

    def _consider_rise(self, now_s: float) -> None:
        """Step up when there has been room for long enough. From the last level this is a guess, taken back soon."""
        guess = self._level == self.passing
        if not guess and self.predict(self._level - 1) > ROOM * self.budget_s:
            self._room_since_s = None
        elif self._room_since_s is None:
            self._room_since_s = now_s
        elif now_s - self._room_since_s >= self._wait_s:
            self._trial_ends_s = now_s + max(TRIAL_S, self._wait_s)
            self._move(self._level - 1)

    def _move(self, level: int) -> None:
        """Go on at `level`, with the time that it should take, or just fits, as what is known of it."""
        self._time_s = min(self.predict(level), ROOM * self.budget_s)
        self._level = level
        self._dropped = 0.0
        self._room_since_s = None

    def _forget_trials(self) -> None:
        self._wait_s = WAIT_S
        self._trial_ends_s = None
        self._room_since_s = None


def checked_fps(target_fps: float) -> float:
    """`target_fps`, InputError out of range."""
    if not FPS_MIN <= target_fps <= FPS_MAX:
        raise InputError(
            f"target_fps is {target_fps:g}; expected {FPS_MIN:g} to {FPS_MAX:g} frames per second"
        )
    return target_fps


def checked_share(cpu_share: float) -> float:
    """`cpu_share`, InputError out of range."""
    if not 0 < cpu_share <= 1:
        raise InputError(f"cpu_share is {cpu_share:g}; expected more than 0 up to 1 (all of the time)")
    return cpu_share
