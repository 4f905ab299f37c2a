"""How far a network looks, measured on the network itself: what tiles have to overlap by."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from keenframe_train.errors import TrainError

# The measuring strip: longer than any network here looks, so what reaches both its ends looks everywhere.
_LENGTH, _ACROSS = 1024, 16


def receptive_radius(network: nn.Module) -> int | None:
    """Pixels of the input, beyond its own position, that an output pixel depends on; None for the whole picture.

    network: (N, C, H, W) 0-1 -> (N, C, sH, sW), with `channels`, `scale` and `size_multiple`. Rounded up to a
    multiple of `size_multiple`, with one to spare where there is one: pooling by maximum passes a gradient to one
    pixel only. Raises TrainError when the output depends on no input at all.

    The input's gradient is taken of a block in the middle of a long strip, along both axes, once with the network's
    own weights and twice with positive ones: those cannot cancel each other, and no activation is dead.
    """
    multiple = int(getattr(network, "size_multiple", 1))
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    try:
        reaches = [
            _reach(probe, network, vertical)
            for probe in (_probe(network), _positive(network), _positive(network))
            for vertical in (False, True)
        ]
    finally:
        torch.random.set_rng_state(torch_state)
    known = [reach for reach in reaches if reach is not None]
    if len(known) < len(reaches):
        return None
    # What is added to: a bicubic enlargement looks two pixels far.
    reach = max(*known, 2 if int(getattr(network, "scale", 1)) > 1 else 0)
    return -(-reach // multiple) * multiple + (multiple if multiple > 1 else 0)


def _probe(network: nn.Module) -> nn.Module:
    """A copy in double precision that does not clip its output, while normalisations are as in use."""
    probe = copy.deepcopy(network).double().eval()
    probe.requires_grad_(False)
    probe.training = True  # of the network itself alone: its parts stay in eval mode
    return probe


@torch.no_grad()
def _positive(network: nn.Module) -> nn.Module:
    """The probe with positive weights of a sum near 1/3, so that bounded activations stay within their bounds."""
    probe = _probe(network)
    for parameter in probe.parameters():
        if parameter.ndim > 1:
            parameter.copy_((0.5 + torch.rand_like(parameter)) / (3 * parameter[0].numel()))
        else:
            parameter.fill_(0.3)
    return probe


def _reach(probe: nn.Module, network: nn.Module, vertical: bool) -> int | None:
    """The farthest pixel along one axis that a block of outputs depends on; None when that is both ends."""
    multiple, scale = int(getattr(network, "size_multiple", 1)), int(getattr(network, "scale", 1))
    length, across = (-(-size // multiple) * multiple for size in (_LENGTH, _ACROSS))
    shape = (1, int(getattr(network, "channels", 3)), across, length)
    strip = (0.2 + 0.6 * torch.rand(shape, dtype=torch.float64)).requires_grad_()
    output = probe(strip.mT if vertical else strip)
    output = output.mT if vertical else output
    start = length // 2 // multiple * multiple
    block = output[..., start * scale : (start + multiple) * scale]
    (gradient,) = torch.autograd.grad((block * torch.rand_like(block)).sum(), strip)
    touched: Tensor = (gradient != 0).any(2).any(1)[0].nonzero()[:, 0]
    if len(touched) == 0:
        raise TrainError(
            "the network's output does not depend on its input, so its receptive field cannot be measured: "
            "train it first, or check that it was loaded"
        )
    first, last = int(touched[0]), int(touched[-1])
    if first == 0 or last == length - 1:
        return None
    return max(start - first, last - (start + multiple - 1))
