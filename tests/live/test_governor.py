"""The governor on simulated machines: it settles on what fits, soon, and stays there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from keenframe.errors import InputError
from keenframe.live.governor import Governor

COSTS = (0.020, 0.006)
PASS = 2


@dataclass
class Machine:
    """A camera at `fps` and a processor on which level L takes COSTS[L] * slow(t) * noise; newest frame wins."""

    governor: Governor
    slow: Callable[[float], float] = lambda _: 1.0
    noise: float = 0.0
    spike_every: int = 0
    fps: float = 30.0
    seed: int = 0
    costs: tuple[float, ...] = COSTS
    now_s: float = 0.0
    frames: int = 0
    drops: int = 0
    levels: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> list[int]:
        """The level of each frame that was processed in the next `seconds`."""
        random = np.random.default_rng(self.seed + self.frames)
        end_s, begun = self.now_s + seconds, len(self.levels)
        while self.now_s < end_s:
            level = self.governor.level
            cost_s = 0.0002 if level == len(self.costs) else self.costs[level] * self.slow(self.now_s)
            cost_s *= float(np.exp(random.normal(0, self.noise))) if self.noise else 1
            self.frames += 1
            if self.spike_every and self.frames % self.spike_every == 0:
                cost_s += 0.2
            missed = int(cost_s * self.fps)
            self.levels.append(level)
            self.times_s.append(cost_s)
            self.drops += max(0, missed - 1)
            self.governor.observe(self.now_s, cost_s, max(0, missed - 1))
            self.now_s += (missed + 1) / self.fps
        return self.levels[begun:]


def changes(levels: list[int]) -> int:
    return int(np.count_nonzero(np.diff(levels)))


def test_a_fast_machine_stays_on_the_largest_model() -> None:
    levels = Machine(Governor(COSTS), noise=0.1).run(60)
    assert set(levels) == {0}


@pytest.mark.parametrize("speed, expected", [(1.0, 0), (1.6, 1), (6.0, PASS)])
def test_it_begins_where_the_measured_costs_fit_and_ends_where_the_machine_is(
    speed: float, expected: int
) -> None:
    machine = Machine(Governor([speed * cost for cost in COSTS]), slow=lambda _: speed)
    assert machine.governor.level == min(expected, 1)
    assert machine.run(10)[-1] == expected


def test_a_load_step_is_answered_within_half_a_second_and_taken_back_when_it_ends() -> None:
    machine = Machine(Governor(COSTS), slow=lambda t: 3.0 if 10 <= t < 30 else 1.0, noise=0.1)
    assert set(machine.run(10)) == {0}
    loaded = machine.run(20)
    assert 1 in loaded[:12]
    assert set(loaded[12:]) == {1}
    after = machine.run(30)
    assert after[-1] == 0 and changes(after) == 1
    assert after.index(0) < 6 * 30


def test_under_a_heavy_load_it_goes_down_to_passing_within_a_second() -> None:
    machine = Machine(Governor(COSTS), slow=lambda _: 12.0)
    machine.run(1.5)
    assert machine.governor.level == PASS


def test_single_spikes_change_nothing() -> None:
    levels = Machine(Governor(COSTS), spike_every=60, noise=0.05).run(120)
    assert set(levels) == {0}


@pytest.mark.parametrize("noise", [0.1, 0.3])
@pytest.mark.parametrize("slow", np.linspace(0.8, 2.4, 9).tolist())
def test_it_does_not_alternate_on_any_steady_machine(slow: float, noise: float) -> None:
    machine = Machine(Governor(COSTS), slow=lambda _: slow, noise=noise)
    machine.run(60)
    assert changes(machine.run(300)) <= 10


def test_tries_that_fail_become_rare() -> None:
    """The second model is much cheaper than measured, so the prediction for the first one is always too low."""
    machine = Machine(Governor((0.020, 0.0199)), slow=lambda _: 2.0, costs=(0.02, 0.004))
    first, later = machine.run(60), machine.run(600)
    assert changes(first) <= 10
    assert changes(later) <= 14
    assert later.count(0) < 0.02 * len(later)


def test_from_passing_it_tries_again_and_succeeds_when_the_load_has_gone() -> None:
    machine = Machine(Governor(COSTS), slow=lambda t: 20.0 if t < 20 else 1.0)
    assert machine.run(20)[-1] == PASS
    assert machine.run(60)[-1] == 0


def test_a_share_of_the_processor_is_kept() -> None:
    machine = Machine(Governor(COSTS, target_fps=30, cpu_share=0.3), noise=0.1)
    machine.run(60)
    used = sum(machine.times_s) / machine.now_s
    assert used < 0.3
    assert machine.governor.level == 1


def test_target_and_share_change_while_running() -> None:
    governor = Governor(COSTS)
    machine = Machine(governor)
    machine.run(5)
    governor.retarget(target_fps=60)
    machine.fps = 60
    assert machine.run(5)[-1] == 1
    governor.retarget(target_fps=15)
    machine.fps = 15
    assert machine.run(10)[-1] == 0
    governor.retarget(cpu_share=0.1)
    assert machine.run(10)[-1] == 1


def test_drops_count_although_frames_are_quick_enough() -> None:
    """Something else in the process holds the stream up."""
    governor = Governor(COSTS)
    for index in range(60):
        governor.observe(index / 15, 0.010, dropped=1)
    assert governor.level > 0


def test_drops_of_a_faster_source_do_not_count() -> None:
    governor = Governor(COSTS)
    for index in range(600):
        governor.observe(index / 30, 0.020, dropped=1)
    assert governor.level == 0


def test_a_pause_is_no_sign_of_slowness() -> None:
    governor = Governor(COSTS)
    for index in range(20):
        governor.observe(20.0 * index, 0.020, dropped=0)
    assert governor.level == 0


def test_a_pin_holds_whatever_happens_and_the_governor_goes_on_from_there() -> None:
    governor = Governor(COSTS)
    machine = Machine(governor, slow=lambda _: 5.0)
    governor.pin(0)
    assert set(machine.run(10)) == {0}
    governor.pin(None)
    assert machine.run(2)[-1] >= 1
    governor.pin(PASS)
    assert set(machine.run(10)) == {PASS}
    machine.slow = lambda _: 1.0
    governor.pin(None)
    assert machine.run(30)[-1] == 0


@pytest.mark.parametrize("level", [-1, 3])
def test_a_level_that_is_not_there_is_refused(level: int) -> None:
    with pytest.raises(InputError, match="expected 0"):
        Governor(COSTS).pin(level)


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"target_fps": 0}, {"target_fps": float("nan")}, {"cpu_share": 0}, {"cpu_share": 1.5}):
        with pytest.raises(InputError):
            Governor(COSTS, **wrong)
    with pytest.raises(InputError):
        Governor([])
    with pytest.raises(InputError):
        Governor([0.0])
