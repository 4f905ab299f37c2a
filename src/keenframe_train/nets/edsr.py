"""EDSR: residual blocks without normalisation (Lim et al., "Enhanced Deep Residual Networks", CVPRW 2017).

Same-size with 16 blocks x 256 features it has 19,486,723 parameters (R1's teacher, "~20M"); the paper's baseline,
16 x 64, has 1,222,147 without an upsampler and 1,369,859 at x2.
"""

from __future__ import annotations

from torch import Tensor, nn

from keenframe_train.nets.network import Network, at_least_one, conv, positive, spread, upsampler


class ResidualBlock(nn.Module):
    """x + residual_scale * second(relu(first(x))), (N, C, H, W) -> same."""

    def __init__(self, features: int, residual_scale: float = 1.0) -> None:
        super().__init__()
        positive(residual_scale=residual_scale)
        self.first, self.act, self.second = conv(features, features), nn.ReLU(), conv(features, features)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.act(self.first(x)))
        return x + (y if self.residual_scale == 1 else self.residual_scale * y)


class EDSR(Network):
    """(N, channels, H, W) -> (N, channels, scale*H, scale*W), H and W multiples of `unshuffle`.

    residual_scale: factor on each block's output, 0.1 in the paper for 256 features and 1 for 64.
    unshuffle 2 or 4 makes a large teacher affordable without a GPU; 1 is the paper's network.
    The paper adds no input to the output (residual=False) and subtracts DIV2K's mean colour; with the input added
    the mean is of no account.
    """

    def __init__(
        self,
        features: int = 256,
        blocks: int = 16,
        scale: int = 1,
        residual_scale: float = 0.1,
        unshuffle: int = 1,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(channels=channels, scale=scale, unshuffle=unshuffle, residual=residual)
        at_least_one(features=features, blocks=blocks)
        self.head = conv(self.inner, features)
        self.blocks = nn.Sequential(*(ResidualBlock(features, residual_scale) for _ in range(blocks)))
        self.fuse = conv(features, features)
        self.enlarge = upsampler(features, scale)
        self.tail = self.last(conv(features, self.inner))
        self.taps = spread("blocks", blocks)

    def body(self, x: Tensor) -> Tensor:
        x = self.head(x)
        output: Tensor = self.tail(self.enlarge(x + self.fuse(self.blocks(x))))
        return output
