"""U-Net of one level (Ronneberger et al., MICCAI 2015): R4's teacher, 96 features, 906,915 parameters.

It works at the output's size, on an input that is enlarged first: by the caller, or with `scale` by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keenframe_train.nets.network import Network, at_least_one, conv, whiten


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, a ReLU after each."""
    return nn.Sequential(conv(inputs, outputs), nn.ReLU(), conv(outputs, outputs), nn.ReLU())


class UNet(Network):
    """(N, channels, H, W) -> (N, channels, scale*H, scale*W), scale*H and scale*W even.

    scale 2 or 4: the input is enlarged bicubically and clipped as a picture is, then treated at that size.
    The report's layer list names no sum with the input; `residual` (no parameters) adds it, False leaves it out.
    """

    taps = ("above", "below", "merge")

    def __init__(self, features: int = 96, scale: int = 1, channels: int = 3, residual: bool = True) -> None:
        super().__init__(
            channels=channels, scale=scale, residual=residual, body_multiple=2 if scale == 1 else 1
        )
        at_least_one(features=features)
        self.above = double_conv(channels, features)
        self.pool = nn.MaxPool2d(2)
        self.below = double_conv(features, 2 * features)
        self.up = nn.ConvTranspose2d(2 * features, features, 2, stride=2)
        self.merge = double_conv(2 * features, features)
        self.tail = self.last(conv(features, channels, 1))

    def calibrate(self, degraded: Tensor, pristine: Tensor, conditions: Tensor) -> None:
        whiten(self.above[0], self.base(degraded).clamp(0, 1))

    def body(self, x: Tensor) -> Tensor:
        above = self.above(x if self.scale == 1 else self.base(x).clamp(0, 1))
        up = self.up(self.below(self.pool(above)))
        output: Tensor = self.tail(self.merge(torch.cat([above, up], 1)))
        return output
