"""The students of the five source systems; R4's is `RRDBNetLite`.

| name | class | parameters |
|---|---|---|
| plain (R1) | PlainStudent | 372,803 |
| light (R2) | LightStudent | 334,147 |
| separable (R3) | SeparableStudent | 75,856 |
| rrdbnet-lite (R4) | RRDBNetLite | 758,755 |
| enhanced (R5) | EnhancedStudent | 274,140 |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.nets.edsr import ResidualBlock
from keenframe_train.nets.network import Network, at_least_one, conv, kaiming, spread, whiten
from keenframe_train.nets.rrdbnet import RRDBNet


class PlainStudent(Network):
    """R1: EDSR without what costs: head, 5 residual blocks, tail, 12 convolutions, 372,803 parameters.

    (N, channels, H, W) -> same, any size. residual_scale: factor on each block's output.
    """

    def __init__(
        self,
        features: int = 64,
        blocks: int = 5,
        residual_scale: float = 0.1,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(channels=channels, residual=residual)
        at_least_one(features=features, blocks=blocks)
        self.head = conv(channels, features)
        self.blocks = nn.Sequential(*(ResidualBlock(features, residual_scale) for _ in range(blocks)))
        self.tail = self.last(conv(features, channels))
        self.taps = spread("blocks", blocks)

    def body(self, x: Tensor) -> Tensor:
        output: Tensor = self.tail(self.blocks(self.head(x)))
        return output


class LightStudent(Network):
    """R2: convolutions 3→32→64, four residual blocks, 64→32→3; 334,147 parameters.

    (N, channels, H, W) -> same, any size. The report's listing names no sum with the input; `residual` (no
    parameters) adds it, False is the listing to the letter.
    """

    def __init__(self, features: int = 64, blocks: int = 4, channels: int = 3, residual: bool = True) -> None:
        super().__init__(channels=channels, residual=residual)
        at_least_one(features=features, blocks=blocks)
        half = max(1, features // 2)
        self.head = nn.Sequential(conv(channels, half), nn.ReLU(), conv(half, features), nn.ReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        # Linear: the report names ReLU inside the blocks only, and one here, before a last layer that starts at zero,
        # died within fifty steps.
        self.narrow = conv(features, half)
        self.tail = self.last(conv(half, channels))
        self.taps = spread("blocks", blocks)

    def calibrate(self, degraded: Tensor, pristine: Tensor, conditions: Tensor) -> None:
        # Ten times as fast: 300 steps have what took 3,000 from an ordinary start (docs/log.md).
        whiten(self.head[0], degraded)

    def body(self, x: Tensor) -> Tensor:
        output: Tensor = self.tail(self.narrow(self.blocks(self.head(x))))
        return output


class RRDBNetLite(RRDBNet):
    """R4: RRDBNet x4 with 32 features, 4 blocks, growth 16; 758,755 parameters. Options as RRDBNet's."""

    def __init__(
        self,
        features: int = 32,
        blocks: int = 4,
        growth: int = 16,
        scale: int = 4,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(features, blocks, growth, scale, channels, residual)


class SqueezeExcite(nn.Module):
    """A factor in 0-1 for each channel from the picture's means (Hu et al. 2018), (N, C, H, W) -> same.

    The gate is clip(x + 3, 0, 6) / 6: clip and multiply are what every INT8 engine has.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.squeeze = conv(channels, max(1, channels // reduction), 1)
        self.excite = conv(max(1, channels // reduction), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Leaky: of so few units none may die.
        y = F.leaky_relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)), 0.2)
        return x * (F.relu6(self.excite(y) + 3) * (1 / 6))


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """Depthwise 3x3, then 1x1 (Chollet 2017): a ninth of the cost of a full 3x3."""
    return nn.Sequential(conv(inputs, inputs, groups=inputs, bias=False), conv(inputs, outputs, 1))


class SeparableBlock(nn.Module):
    """x + attention(second(relu6(first(x)))) of separable convolutions, (N, C, H, W) -> same."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first, self.act = separable(features, features), nn.ReLU6()
        self.second, self.attention = separable(features, features), SqueezeExcite(features)
        kaiming(self.first)
        kaiming(self.second, 0.3)  # blocks add little at first: sums stay where ReLU6 is not yet flat

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.attention(self.second(self.act(self.first(x))))
        return x + y


class SeparableStudent(Network):
    """R3: depthwise-separable convolutions on 4x4 blocks with light attention; 75,856 parameters.

    (N, channels, H, W) -> same, H and W multiples of `unshuffle`. Made for INT8: ranges bounded by ReLU6, no
    normalisation layer, every layer a convolution, a sum, a product or a clip; 8 GMAC at 1920x1080. The report gives
    no layer list: width, depth and blocks are this project's choice. The attention reads the whole picture's means,
    so a picture cut in tiles is not exactly the picture.
    """

    def __init__(
        self,
        features: int = 64,
        blocks: int = 6,
        unshuffle: int = 4,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(channels=channels, unshuffle=unshuffle, residual=residual)
        at_least_one(features=features, blocks=blocks)
        self.head = nn.Sequential(conv(self.inner, features, 1), nn.ReLU6())
        self.blocks = nn.Sequential(*(SeparableBlock(features) for _ in range(blocks)))
        kaiming(self.head)
        self.tail = self.last(conv(features, self.inner, 1))
        self.taps = spread("blocks", blocks)

    def body(self, x: Tensor) -> Tensor:
        output: Tensor = self.tail(self.blocks(self.head(x)))
        return output


class NormBlock(nn.Module):
    """x + norm(conv(leaky(norm(conv(x))))) with instance normalisation, (N, C, H, W) -> same."""

    def __init__(self, features: int) -> None:
        super().__init__()
        # No bias before a normalisation that takes the mean away.
        self.layers = nn.Sequential(
            conv(features, features, bias=False),
            nn.InstanceNorm2d(features, affine=True),
            nn.LeakyReLU(0.2),
            conv(features, features, bias=False),
            nn.InstanceNorm2d(features, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


class ChannelAttention(nn.Module):
    """A factor for each channel from its mean and its maximum (CBAM, Woo et al. 2018), (N, C, H, W) -> same."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.layers = nn.Sequential(conv(channels, inner, 1), nn.LeakyReLU(0.2), conv(inner, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * torch.sigmoid(self.layers(mean) + self.layers(peak))


class SpatialAttention(nn.Module):
    """A factor for each pixel from its channels' mean and maximum (CBAM), (N, C, H, W) -> same."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = conv(2, 1, 7)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.layer(seen))


class EnhancedStudent(Network):
    """R5's StudentNetEnhanced: residual blocks with instance normalisation, attention, refinement.

    (N, channels, H, W) -> same, any size from 2x2 up. The report gives neither width nor kernel sizes; with 48
    features it has 274,140 parameters and fits 1 MB in half precision. Instance normalisation and attention read the
    whole picture, so a picture cut in tiles is not exactly the picture.
    """

    def __init__(self, features: int = 48, blocks: int = 6, channels: int = 3, residual: bool = True) -> None:
        super().__init__(channels=channels, residual=residual)
        at_least_one(features=features, blocks=blocks)
        self.head = nn.Sequential(conv(channels, features), nn.LeakyReLU(0.2))
        self.blocks = nn.Sequential(*(NormBlock(features) for _ in range(blocks)))
        self.channel, self.spatial = ChannelAttention(features), SpatialAttention()
        self.refine = nn.Sequential(conv(features, features), nn.LeakyReLU(0.2))
        self.tail = self.last(conv(features, channels))
        self.taps = (*spread("blocks", blocks, 3), "spatial")

    def body(self, x: Tensor) -> Tensor:
        x = self.head(x)
        x = x + self.spatial(self.channel(self.blocks(x)))
        output: Tensor = self.tail(self.refine(x))
        return output
