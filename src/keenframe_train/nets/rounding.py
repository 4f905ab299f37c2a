"""Rounding as INT8 does it, for training with it: the network learns weights and ranges that bear eight bits.

Gradients pass the rounding unchanged (straight-through, Bengio et al. 2013); the step size of the activations is
learnt (LSQ, Esser et al. 2020), that of the weights follows each output channel's largest weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from keenframe_train.nets.keen import Keen, point_names

LEVELS = 255


class Rounding(nn.Module):
    """Activations in 256 levels of a learnt step, one range for the whole tensor, zero exactly a level."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        low, high = min(low, -1e-6), max(high, 1e-6)
        step = (high - low) / LEVELS
        self.log_step = nn.Parameter(torch.tensor(step).log())
        self.register_buffer("zero", torch.tensor(float(round(-low / step))))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            step = self.log_step.exp()
            levels = (x.float() / step + self.zero).clamp(0, LEVELS)
            levels = levels + (levels.round() - levels).detach()
            return (levels - self.zero) * step


class Frozen(nn.Module):
    """A learnt rounding for export: it becomes QuantizeLinear and DequantizeLinear."""

    def __init__(self, rounding: Rounding) -> None:
        super().__init__()
        self.step = float(rounding.log_step.detach().exp())
        self.zero = int(rounding.zero)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.step, self.zero, 0, LEVELS)


def frozen(rounding: nn.Module) -> nn.Module:
    """The exportable form of a rounding."""
    return Frozen(rounding) if isinstance(rounding, Rounding) else rounding


class RoundedWeight(nn.Module):
    """Weights in -127..127 steps; each run of `shared` output channels has a step of its own."""

    def __init__(self, shared: int = 1) -> None:
        super().__init__()
        self.shared = shared

    def forward(self, weight: Tensor) -> Tensor:
        largest = weight.detach().abs().flatten(1).amax(1).reshape(-1, self.shared).amax(1).clamp_min(1e-8)
        step = (largest / 127).repeat_interleave(self.shared).reshape(-1, *[1] * (weight.ndim - 1))
        levels = weight / step
        return (levels + (levels.round() - levels).detach()) * step


def learned_convolutions(net: Keen) -> list[tuple[nn.Conv2d, int]]:
    """The convolutions that run in INT8, with how many of their output channels share a step.

    The upward step's positions of a channel are one output channel of the transposed convolution it becomes.
    """
    inside = [layer for block in net.blocks for layer in (block.first, block.second)]
    return [(layer, 1) for layer in (net.down, *inside, net.tail)] + [(net.up, net.config.stride**2)]


def stored_layers(net: Keen) -> list[tuple[nn.Module, int]]:
    """All layers whose weights a file holds in eight bits: the linear ones, too, whose arithmetic stays in float."""
    films = [net.head_film, *(block.film for block in net.blocks)]
    return [*learned_convolutions(net), (net.embed[0], 1), *((film.linear, 1) for film in films)]


def round_weights(net: Keen) -> None:
    """Let the network compute with rounded weights while the weights themselves stay trainable."""
    for layer, shared in stored_layers(net):
        parametrize.register_parametrization(layer, "weight", RoundedWeight(shared))


def settle_weights(net: Keen) -> None:
    """Make the rounded weights the network's own."""
    for layer, _ in stored_layers(net):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


@torch.no_grad()
def add_points(net: Keen, luma: Tensor, condition: Tensor, share: float = 1e-4) -> None:
    """Put a rounding at every place, its range such that `share` of the values seen lie outside on either side.

    luma (N, 1, H, W) in 0-1 and condition (N, 128): what the ranges are taken from.
    """
    seen: dict[str, Tensor] = {}

    class Recorder(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: Tensor) -> Tensor:
            seen[self.name] = x.detach().flatten()
            return x

    names = point_names(net.config)
    net.points = nn.ModuleDict({name: Recorder(name) for name in names})
    net(luma, condition)
    points = {}
    for name in names:
        values = seen[name].sort().values
        cut = int(len(values) * share)
        points[name] = Rounding(float(values[cut]), float(values[-1 - cut]))
    net.points = nn.ModuleDict(points)


def empty_points(net: Keen) -> None:
    """Roundings at every place, to be filled from a checkpoint."""
    net.points = nn.ModuleDict({name: Rounding(-1.0, 1.0) for name in point_names(net.config)})
