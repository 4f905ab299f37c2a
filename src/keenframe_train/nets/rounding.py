"""Rounding as INT8 does it, for training with it: the network learns weights and ranges that bear eight bits.

Gradients pass the rounding unchanged (straight-through, Bengio et al. 2013); the step size of the activations is
learnt (LSQ, Esser et al. 2020), that of the weights follows each output channel's largest weight.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

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
    steps = [(net.down, 1), (net.up, net.config.stride**2)] if net.config.trunk else []
    return [*((layer, 1) for layer in (*inside, net.tail)), *steps]


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
def add_points(net: Keen, luma: Tensor, condition: Tensor) -> None:
    """Put a rounding at every place, with the range that its values have.

    luma (N, 1, H, W) in 0-1 and condition (N, 128): what the ranges are taken from.
    """
    seen: dict[str, Tensor] = {}

    class Recorder(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: Tensor) -> Tensor:
            seen[self.name] = x.detach()
            return x

    names = point_names(net.config)
    net.points = nn.ModuleDict({name: Recorder(name) for name in names})
    net(luma, condition)
    net.points = nn.ModuleDict({name: fitting(seen[name]) for name in names})


def fitting(values: Tensor, share: float = 1e-4) -> Rounding:
    """A rounding with a range such that `share` of the values lie outside on either side."""
    ordered = values.flatten().sort().values
    cut = int(len(ordered) * share)
    return Rounding(float(ordered[cut]), float(ordered[-1 - cut]))


def empty_points(net: Keen) -> None:
    """Roundings at every place, to be filled from a checkpoint."""
    net.points = nn.ModuleDict({name: Rounding(-1.0, 1.0) for name in point_names(net.config)})


def round_layers(net: nn.Module, x: Tensor) -> None:
    """Let a network of the lab compute in INT8: what its convolutions read and their weights are rounded.

    x (N, C, H, W) in 0-1: what the ranges are taken from. The first convolution stays in float, as `keen`'s does: it
    reads the picture itself. So do those of a single position, as attention has them, which cost nothing.
    """
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)}
    seen: dict[str, Tensor] = {}

    def remember(name: str) -> RemovableHandle:
        def hook(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0]

        return layers[name].register_forward_pre_hook(hook)

    hooks = [remember(name) for name in layers]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    for name, values in list(seen.items())[1:]:
        if values.shape[-1] * values.shape[-2] > 1:
            _attach(layers[name], fitting(values))
            parametrize.register_parametrization(layers[name], "weight", RoundedWeight())


def settle_layers(net: nn.Module) -> None:
    """Make the rounded weights the network's own; what its convolutions read is rounded as before."""
    for layer in net.modules():
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def empty_layers(net: nn.Module, names: Iterable[str]) -> None:
    """Roundings before the convolutions whose roundings are among `names`, to be filled from a checkpoint."""
    for name in names:
        if name.endswith(".rounding.zero"):
            _attach(net.get_submodule(name.removesuffix(".rounding.zero")), Rounding(-1.0, 1.0))


def frozen_layers(net: nn.Module) -> nn.Module:
    """A copy of such a network whose roundings can be exported."""
    copied = copy.deepcopy(net)
    for layer in list(copied.modules()):
        if isinstance(getattr(layer, "rounding", None), Rounding):
            layer.rounding = frozen(layer.rounding)
    return copied


def _attach(layer: nn.Module, rounding: nn.Module) -> None:
    layer.rounding = rounding
    layer.register_forward_pre_hook(_round_input)


def _round_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (layer.rounding(inputs[0]),)
