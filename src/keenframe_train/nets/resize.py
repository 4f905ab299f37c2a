"""A trained `keen` network made narrower or wider, its weights taken along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from keenframe_train.errors import TrainError
from keenframe_train.nets.keen import Keen, KeenConfig


@torch.no_grad()
def narrowed(net: Keen, kept: Sequence[Tensor]) -> Keen:
    """A copy without the inner channels that are not in `kept`: indices, for each block, in rising order.

    What computed a channel (first convolution and FiLM) and what read it (second convolution) go with it. Zeroed
    channels would compute the same picture in the old time; these are gone.
    """
    config = replace(net.config, inner=tuple(len(indices) for indices in kept))
    state = net.state_dict()
    for index, indices in enumerate(kept):
        name = f"blocks.{index}."
        both = torch.cat([indices, indices + net.config.inner_widths[index]])  # scales, then shifts
        for part, rows in (("first", indices), ("film.linear", both)):
            for kind in ("weight", "bias"):
                state[f"{name}{part}.{kind}"] = state[f"{name}{part}.{kind}"][rows]
        state[f"{name}second.weight"] = state[f"{name}second.weight"][:, indices]
    small = Keen(config)
    small.load_state_dict(state)
    return small.train(net.training)


def can_widen(small: KeenConfig, large: KeenConfig) -> bool:
    """Whether `widen` can take a network of the one shape into the other: nowhere smaller, and somewhere larger."""
    alike = [(each.scale, each.stride, each.branches, each.trunk > 0) for each in (small, large)]
    if alike[0] != alike[1]:
        return False
    pairs = [
        (small.head, large.head),
        (small.trunk, large.trunk),
        (small.blocks, large.blocks),
        (small.embedding, large.embedding),
        *zip(small.inner_widths, large.inner_widths, strict=False),
    ]
    return small != large and all(one <= other for one, other in pairs)


@torch.no_grad()
def widen(large: Keen, weights: dict[str, Tensor], small: KeenConfig) -> None:
    """Make a fresh network compute what a smaller one does, `weights` being the smaller one's state.

    Its tensors lie in the first rows and columns of the larger ones. What is new keeps its random start, but what is
    old does not read it yet: those weights are zero, as is all that a new block adds. Gradients reach both sides, so
    that the new channels are used from the first steps on. (Chen et al. 2016, Net2Net, copy channels instead and share
    their weights out; copies must first drift apart.) Raises TrainError when the shapes do not allow it.
    """
    if not can_widen(small, large.config):
        raise TrainError(
            f"a network of {small} cannot be widened to {large.config}: something would get smaller"
        )
    own = large.state_dict()
    for name, values in weights.items():
        parts = 2 if "film.linear" in name else 1  # FiLM's rows are scales, then shifts
        for target, source in zip(own[name].chunk(parts), values.chunk(parts), strict=True):
            _place(target, source)
    for block in large.blocks[small.blocks :]:
        block.second.weight.zero_()
        block.second.bias.zero_()


def _place(target: Tensor, source: Tensor) -> None:
    """Copy into the first rows and columns; the other columns of those rows become zero. target is changed."""
    if source.ndim == 0:
        target.copy_(source)
        return
    rows = target[: len(source)]
    if source.ndim > 1:
        rows.zero_()
        rows = rows[:, : source.shape[1]]
    rows.copy_(source)
