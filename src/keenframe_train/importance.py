"""Which channels inside the blocks of a `keen` network the loss would miss least.

Importance is the first-order Taylor estimate of Molchanov et al. 2019 ("Importance Estimation for Neural Network
Pruning"): how much the loss of a crop would change if a channel were zero, squared, mean over crops.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches, item_weights
from keenframe_train.losses import Losses
from keenframe_train.nets.keen import Keen
from keenframe_train.progress import progress
from keenframe_train.recipe import Recipe


def importance(net: Keen, recipe: Recipe, bank: Bank, batches: int, seed: int = 4321) -> list[Tensor]:
    """How much each inner channel matters on `batches` batches of the recipe's crops, (width,) for each block."""
    losses = Losses(recipe.losses)
    weights = None if recipe.shares is None else item_weights(bank, recipe.shares, recipe.light)
    data = BankBatches(bank, recipe.batch, recipe.patch, batches, seed, net.scale, weights=weights)
    seen: dict[int, Tensor] = {}

    def remember(index: int) -> RemovableHandle:
        def hook(_module: object, inputs: tuple[Tensor, ...]) -> None:
            inputs[0].retain_grad()
            seen[index] = inputs[0]

        return net.blocks[index].second.register_forward_pre_hook(hook)

    hooks = [remember(index) for index in range(len(net.blocks))]
    found = [torch.zeros(width) for width in net.config.inner_widths]
    try:
        with progress() as bar:
            row = bar.add_task("importance", total=batches, note="")
            for step in range(batches):
                degraded, pristine, condition = data[step]
                loss, _ = losses(net(degraded / 255, condition), pristine / 255)
                net.zero_grad()
                loss.backward()
                for index, total in enumerate(found):
                    # The loss is a mean over crops: times the batch, each crop's part is that of its own loss.
                    change = (seen[index].detach() * seen[index].grad).sum((2, 3)) * len(degraded)
                    total += change.square().mean(0) / batches
                bar.advance(row)
    finally:
        for hook in hooks:
            hook.remove()
        net.zero_grad()
    return found
