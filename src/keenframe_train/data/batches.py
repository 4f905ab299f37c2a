"""Batches as a pure function of (seed, step): resuming needs no sampler state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from keenframe_train.data.bank import Bank
from keenframe_train.data.degradations import ColorJitter
from keenframe_train.data.images import dihedral
from keenframe_train.errors import TrainError

Batch = tuple[Tensor, Tensor, Tensor]
GRID = 16  # a macroblock: crops on this grid keep the codec's blocks where a whole frame has them
ALIGNED = 0.8


class Draw(NamedTuple):
    """A crop of a bank's item: pixels of the pristine plane from (top, left), turned as `dihedral` does.

    jitter: seed of the degraded crop's colour jitter; None leaves its colours.
    """

    item: int
    top: int
    left: int
    turn: int
    jitter: int | None = None


class BankBatches(Dataset[Batch]):
    """Item k is the batch of step k: (degraded, pristine, condition).

    degraded (B, C, patch/scale, patch/scale) and pristine (B, C, patch, patch) uint8, C 1 (luma) or 3 (RGB) as the
    bank has it, condition (B, 128) float32.
    weights: how often each item of the bank is drawn, (N,) and not negative; None draws all alike.
    jitter: probability of colour jitter on a degraded crop, its twin left as it is (R4). condition_noise: deviation of
    what is added to the numbers of a condition, in each one's own deviations over the bank.
    `rank` and `world` give each process of a distributed run its own share of the batch.
    """

    def __init__(
        self,
        bank: Bank,
        batch: int,
        patch: int,
        steps: int,
        seed: int,
        scale: int = 1,
        rank: int = 0,
        world: int = 1,
        weights: NDArray[np.float64] | None = None,
        jitter: float = 0.0,
        condition_noise: float = 0.0,
    ) -> None:
        self.bank, self.batch, self.patch, self.steps, self.seed = bank, batch, patch, steps, seed
        self.scale, self.rank, self.world = scale, rank, world
        self.jitter = jitter
        self.noise = condition_noise * bank.conditions.std(0) if condition_noise else None
        # Over the last sum itself, so that it ends at 1 whatever was rounded.
        self.shares = None if weights is None else np.cumsum(weights) / np.cumsum(weights)[-1]

    def __len__(self) -> int:
        return self.steps

    def draws(self, step: int) -> list[Draw]:
        """Where this process's share of the batch of a step lies in the bank."""
        rng = np.random.default_rng((self.seed, step))
        items = rng.integers(0, len(self.bank), self.batch)
        if self.shares is not None:
            items = np.searchsorted(self.shares, rng.random(self.batch), side="right")
        return [self._draw(int(item), rng) for item in items][self.rank :: self.world]

    def __getitem__(self, step: int) -> Batch:
        degraded, pristine, conditions = zip(*map(self._crop, self.draws(step)), strict=True)
        return (
            _planes(np.stack(degraded)),
            _planes(np.stack(pristine)),
            torch.from_numpy(self._noisy(np.stack(conditions), step)),
        )

    def _noisy(self, conditions: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        if self.noise is None:
            return conditions
        # Numbers of its own, so that the crops stay those of a run without.
        drawn = np.random.default_rng((self.seed, step, 1)).standard_normal(
            (self.batch, len(self.noise)), np.float32
        )
        return conditions + self.noise * drawn[self.rank :: self.world]

    def _draw(self, item: int, rng: np.random.Generator) -> Draw:
        span = self.bank.pristine.shape[1] - self.patch
        if rng.random() < ALIGNED:
            top, left = (GRID * rng.integers(0, span // GRID + 1, 2)).tolist()
        else:
            top, left = (self.scale * rng.integers(0, span // self.scale + 1, 2)).tolist()
        turn = int(rng.integers(8))
        # Without jitter nothing more is drawn, so that old runs see their old crops.
        jitter = int(rng.integers(2**32)) if self.jitter and rng.random() < self.jitter else None
        return Draw(item, top, left, turn, jitter)

    def _crop(self, draw: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        item, top, left, turn, jitter = draw
        small, s = self.patch // self.scale, self.scale
        x = self.bank.degraded[item, top // s : top // s + small, left // s : left // s + small]
        y = self.bank.pristine[item, top : top + self.patch, left : left + self.patch]
        if jitter is not None:
            x = ColorJitter()(x, np.random.default_rng(jitter))
        return (
            np.ascontiguousarray(dihedral(x, turn)),
            np.ascontiguousarray(dihedral(y, turn)),
            np.array(self.bank.conditions[item]),
        )


def _planes(crops: np.ndarray) -> Tensor:
    """(B, H, W) or (B, H, W, 3) uint8 -> (B, 1 or 3, H, W)."""
    channels_first = crops[:, None] if crops.ndim == 3 else crops.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(channels_first))


def item_weights(bank: Bank, shares: Mapping[str, float], light: float) -> NDArray[np.float64]:
    """(N,) weights that draw the kinds in the given shares, and items whose damaged plane stands above 40 dB only
    `light` times as often as the others of their kind: there is little to learn on them.

    Kinds that are not named are not drawn. Items whose sizes differ (a x2 bank) all count as damaged. Raises TrainError
    for kinds that the bank does not know, and when nothing is left to draw.
    """
    if unknown := sorted(set(shares) - set(bank.names)):
        raise TrainError(
            f"shares name {', '.join(unknown)}; the bank's kinds are {', '.join(bank.names)}: check shares and mix"
        )
    weights = np.zeros(len(bank))
    for position, kind in enumerate(bank.names):
        items = np.flatnonzero(bank.kinds == position)
        own = np.ones(len(items))
        if light != 1 and kind != "clean" and bank.degraded.shape == bank.pristine.shape:
            for row, item in enumerate(items):
                error = bank.degraded[item].astype(np.float32) - bank.pristine[item]
                own[row] = light if np.square(error).mean() < 255**2 / 10**4 else 1
        if own.any():
            weights[items] = own / own.sum() * shares.get(kind, 0.0)
    if not weights.sum() > 0:
        raise TrainError(
            f"none of the bank's {len(bank)} items is of a kind that shares name ({', '.join(shares)}); "
            "make more items, or change shares"
        )
    return weights
