"""Networks that help in training and are never trained or saved themselves: teachers, perceptual networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def freeze(module: Network) -> Network:
    """The module itself, in eval mode, its parameters without gradients."""
    module.eval()
    module.requires_grad_(False)
    return module


class Frozen(nn.Module):
    """Holds frozen networks that follow their owner from device to device and otherwise stay out of sight.

    They are in no `state_dict`, `parameters()` or `modules()` of the owner: no optimizer, average, checkpoint or
    distributed wrapper meets them, and the owner's `train()` leaves them in eval mode.
    """

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        # In a tuple, because nn.Module registers only what is a module itself.
        self._held = tuple(freeze(network) for network in networks)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._held)

    def __getitem__(self, index: int) -> nn.Module:
        return self._held[index]

    def _apply(self, fn: Callable[[Tensor], Any], recurse: bool = True) -> Self:
        # The one gate through which `to`, `cuda`, `float` … reach tensors.
        for network in self._held:
            network._apply(fn, recurse)
        return super()._apply(fn, recurse)
