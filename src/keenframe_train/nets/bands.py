"""Blocks of the picture as channels, and back: space-to-depth in a form that a network can learn from.

A body that is fed raw sub-pixels sees r*r nearly equal channels, and the differences that matter drown. So each
block's DCT is taken, with every band scaled to about unit size. Both ways are one strided convolution, linear and
fixed, that folds into a neighbouring 1x1 convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe.condition import dct_matrix

# Standard deviation of the DCT coefficients of pictures in 0-1, per unit of block edge: the mean's, and that of bands
# that fall off with frequency. Fitted to 60 training pictures of all kinds, at edges 2 and 4;
# each band is within 30 %.
_FLAT, _BAND, _FALL = 0.36, 0.045, 0.75
# Correction coefficients of unit size make a picture that differs by this much: that of a badly damaged frame.
_CORRECTION = 0.05


def _basis(block: int) -> Tensor:
    """Orthonormal 2-D DCT, (block*block, block, block)."""
    one = torch.tensor(dct_matrix(block))  # on the default device, unlike from_numpy
    return torch.kron(one, one).reshape(-1, block, block)


def _size(block: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each band of a picture, (block*block,) each."""
    edge = torch.arange(1, block + 1, dtype=torch.float32)
    order = (edge[:, None] * edge - 1).flatten()
    size = _BAND * block / order.clamp_min(1) ** _FALL
    size[0] = _FLAT * block
    mean = torch.zeros(block * block)
    mean[0] = 0.5 * block
    return mean, size


class ToBands(nn.Module):
    """(N, C, H, W) in 0-1 -> (N, C*block*block, H/block, W/block): DCT bands of about zero mean and unit size."""

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, block: int) -> None:
        super().__init__()
        self.channels, self.block = channels, block
        mean, size = _size(block)
        weight = _basis(block) / size[:, None, None]
        self.register_buffer("weight", weight[:, None].repeat(channels, 1, 1, 1))
        self.register_buffer("bias", (-mean / size).repeat(channels))

    def forward(self, x: Tensor) -> Tensor:
        # In bfloat16 a pixel is known to half a code value: too coarse for the high bands.
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, self.weight, self.bias, stride=self.block, groups=self.channels)


class FromBands(nn.Module):
    """The way back, (N, C*block*block, h, w) -> (N, C, block*h, block*w): of a correction, or of the picture."""

    weight: Tensor

    def __init__(self, channels: int, block: int, correction: bool) -> None:
        super().__init__()
        self.channels, self.block, self.offset = channels, block, 0.0 if correction else 0.5
        size = torch.full((block * block,), _CORRECTION) if correction else _size(block)[1]
        weight = _basis(block) * size[:, None, None]
        self.register_buffer("weight", weight[:, None].repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            bands = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            return (
                F.conv_transpose2d(bands, self.weight, stride=self.block, groups=self.channels) + self.offset
            )
