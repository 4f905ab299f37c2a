"""RRDBNet: residual-in-residual dense blocks (Wang et al., "ESRGAN", ECCVW 2018; BSRGAN, Zhang et al., ICCV 2021).

64 features, 23 blocks, growth 32: 16,697,987 parameters at x4 (R2's teacher), 16,703,171 at x2 and 16,723,907 at
scale 1. R4's student is the same at 32, 4 and 16: 758,755.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.nets.network import Network, at_least_one, conv, kaiming, spread, whiten

SLOPE = 0.2
BLOCK_SCALE = 0.2
NATIVE_SCALE = 4


class DenseBlock(nn.Module):
    """Five convolutions, each on all that came before; 0.2 of the last is added to the input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            conv(features + index * growth, growth if index < 4 else features) for index in range(5)
        )
        # The papers' start: near the identity, else 23 blocks of dense sums blow up.
        kaiming(self, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for layer in self.convs[:-1]:
            seen.append(F.leaky_relu(layer(torch.cat(seen, 1)), SLOPE))
        y: Tensor = self.convs[-1](torch.cat(seen, 1))
        return x + BLOCK_SCALE * y


class RRDB(nn.Module):
    """Three dense blocks; 0.2 of what they make is added to the input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dense(x)
        return x + BLOCK_SCALE * y


class RRDBNet(Network):
    """(N, channels, H, W) -> (N, channels, scale*H, scale*W).

    The network enlarges by four, by nearest neighbours and convolutions. At scale 2 and 1 the input is first taken
    apart, pixels to channels, by 2 and 4, as Real-ESRGAN does it (Wang et al. 2021); H and W are then multiples of
    that. The papers add no input to the output: residual=False is theirs.
    """

    def __init__(
        self,
        features: int = 64,
        blocks: int = 23,
        growth: int = 32,
        scale: int = 4,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(channels=channels, scale=scale, residual=residual)
        at_least_one(features=features, blocks=blocks, growth=growth)
        self.reduce = NATIVE_SCALE // scale
        self.size_multiple = self.reduce
        self.head = conv(channels * self.reduce**2, features)
        self.blocks = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.fuse = conv(features, features)
        self.enlarge = nn.ModuleList(conv(features, features) for _ in range(2))
        self.refine = conv(features, features)
        self.tail = self.last(conv(features, channels))
        self.taps = spread("blocks", blocks)

    def calibrate(self, degraded: Tensor, pristine: Tensor, conditions: Tensor) -> None:
        whiten(self.head, self._apart(degraded))

    def _apart(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x, self.reduce) if self.reduce > 1 else x

    def body(self, x: Tensor) -> Tensor:
        x = self.head(self._apart(x))
        x = x + self.fuse(self.blocks(x))
        for layer in self.enlarge:
            x = F.leaky_relu(layer(F.interpolate(x, scale_factor=2, mode="nearest")), SLOPE)
        output: Tensor = self.tail(F.leaky_relu(self.refine(x), SLOPE))
        return output
