"""When the rate falls, when the weights are the best so far, and when enough is enough."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from keenframe_train.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, drops: int = 0) -> float:
    """The rate of step `step`, counted from 0: linear warm-up, then the recipe's schedule.

    Cosine (Loshchilov and Hutter 2017, one cycle) ends at `final_rate`; step and plateau never go below it. drops:
    how often a plateau was met.
    """
    if step < recipe.warmup:
        return recipe.rate * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.rate
    if recipe.schedule == "cosine":
        done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
        return recipe.final_rate + 0.5 * (recipe.rate - recipe.final_rate) * (
            1 + math.cos(math.pi * min(1.0, done))
        )
    if recipe.schedule == "step":
        drops = step // recipe.step_every
    return max(recipe.final_rate, recipe.rate * recipe.factor**drops)


@dataclass
class Standing:
    """What the validations of a run have decided so far; a part of every checkpoint, so that resuming is exact.

    score: the best so far. waited: validations since then. stale: the same, or since the rate last fell. drops: how
    often it fell.
    """

    score: float = -math.inf
    waited: int = 0
    stale: int = 0
    drops: int = 0

    def judge(self, score: float, recipe: Recipe) -> bool:
        """Take a validation into account; True when it is the best so far."""
        if score > self.score:
            self.score, self.waited, self.stale = score, 0, 0
            return True
        self.waited += 1
        self.stale += 1
        if recipe.schedule == "plateau" and self.stale > recipe.patience:
            self.drops, self.stale = self.drops + 1, 0
        return False

    def exhausted(self, recipe: Recipe) -> bool:
        """Whether early stopping ends the run."""
        return recipe.early_stopping is not None and self.waited >= recipe.early_stopping

    def to_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return asdict(self)
