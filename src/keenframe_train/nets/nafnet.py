"""NAFNet: a U-shape of blocks whose only nonlinearity is a product (Chen et al., "Simple Baselines", ECCV 2022).

Width 32 with encoder 1, 1, 1, 28, middle 1 and decoder 1, 1, 1, 1 (the paper's deblurring shape) has 17,111,907
parameters, width 64 has 67,888,835 (R5's teacher).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.errors import TrainError
from keenframe_train.nets.network import Network, at_least_one, conv


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, (N, C, H, W) -> same, computed in float32.

    The permuted view of a channels-last tensor is contiguous, so nothing is copied there; others become so here.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            y = x.permute(0, 2, 3, 1).to(self.weight.dtype)
            y = F.layer_norm(y, self.weight.shape, self.weight, self.bias, 1e-6)
            return y.permute(0, 3, 1, 2)


def gate(x: Tensor) -> Tensor:
    """Half of the channels times the other half: the paper's SimpleGate."""
    one, other = x.chunk(2, dim=1)
    return one * other


class NAFBlock(nn.Module):
    """Depthwise convolution with simplified channel attention, then a pixel's own layers; both added with a learnt
    factor that starts at zero. (N, C, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.expand1 = conv(channels, 2 * channels, 1)
        self.depthwise = conv(2 * channels, 2 * channels, groups=2 * channels)
        self.attention = conv(channels, channels, 1)
        self.project1 = conv(channels, channels, 1)
        self.norm2 = ChannelNorm(channels)
        self.expand2 = conv(channels, 2 * channels, 1)
        self.project2 = conv(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = gate(self.depthwise(self.expand1(self.norm1(x))))
        y = y * self.attention(y.mean((2, 3), keepdim=True))
        x = x + self.beta * self.project1(y)
        y = self.gamma * self.project2(gate(self.expand2(self.norm2(x))))
        output: Tensor = x + y
        return output


class NAFNet(Network):
    """(N, channels, H, W) -> same, H and W multiples of `unshuffle` * 2 ** len(encoder).

    encoder, decoder: blocks at each level, both from the input to the output, as many levels in one as in the other.
    middle: blocks at the bottom. The paper's network has unshuffle 1 and adds the input (residual=True).
    """

    def __init__(
        self,
        width: int = 32,
        encoder: Sequence[int] = (1, 1, 1, 28),
        middle: int = 1,
        decoder: Sequence[int] = (1, 1, 1, 1),
        unshuffle: int = 1,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        at_least_one(width=width, middle=middle)
        encoder, decoder = _levels("encoder", encoder), _levels("decoder", decoder)
        if len(encoder) != len(decoder):
            raise TrainError(
                f"encoder and decoder have as many levels; got {len(encoder)} and {len(decoder)}"
            )
        super().__init__(
            channels=channels, unshuffle=unshuffle, residual=residual, body_multiple=2 ** len(encoder)
        )
        widths = [width * 2**level for level in range(len(encoder) + 1)]
        self.head = conv(self.inner, width)
        self.encoders = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, encoder, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.middle = _blocks(widths[-1], middle)
        self.ups = nn.ModuleList(
            nn.Sequential(conv(2 * w, 4 * w, 1, bias=False), nn.PixelShuffle(2)) for w in widths[-2::-1]
        )
        self.decoders = nn.ModuleList(_blocks(w, n) for w, n in zip(widths[-2::-1], decoder, strict=True))
        self.tail = self.last(conv(width, self.inner))
        levels = range(len(encoder))
        self.taps = (
            *(f"encoders.{level}" for level in levels),
            "middle",
            *(f"decoders.{level}" for level in levels),
        )

    def body(self, x: Tensor) -> Tensor:
        x = self.head(x)
        skips = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            skips.append(blocks(x))
            x = down(skips[-1])
        x = self.middle(x)
        for up, blocks in zip(self.ups, self.decoders, strict=True):
            x = blocks(up(x) + skips.pop())
        output: Tensor = self.tail(x)
        return output


def _levels(name: str, counts: object) -> tuple[int, ...]:
    """The number of blocks at each level, one level at least."""
    if not isinstance(counts, Sequence) or isinstance(counts, str) or not counts:
        raise TrainError(f"{name} is a list of blocks at each level, such as [1, 1, 2]; got {counts!r}")
    at_least_one(**{f"{name}[{index}]": count for index, count in enumerate(counts)})
    return tuple(counts)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))
