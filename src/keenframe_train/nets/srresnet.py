"""SRResNet: the generator of SRGAN (Ledig et al., "Photo-Realistic Single Image Super-Resolution", CVPR 2017).

16 blocks x 64 features with batch normalisation and PReLU (one slope a layer): 1,547,350 parameters at x4,
1,251,924 without an upsampler (R3's teacher).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from keenframe_train.nets.network import (
    Network,
    at_least_one,
    conv,
    make_activation,
    one_of,
    spread,
    upsampler,
)


def _normalised(features: int, norm: bool) -> list[nn.Module]:
    """A convolution and its batch normalisation, whose shift takes the place of the bias."""
    layer = conv(features, features, bias=not norm)
    return [layer, nn.BatchNorm2d(features)] if norm else [layer]


class SRBlock(nn.Module):
    """x + norm(conv(act(norm(conv(x))))), (N, C, H, W) -> same."""

    def __init__(self, features: int, act: str, norm: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normalised(features, norm), make_activation(act), *_normalised(features, norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


class SRResNet(Network):
    """(N, channels, H, W) -> (N, channels, scale*H, scale*W), H and W multiples of `unshuffle`.

    norm: batch normalisation as in the paper. activation: "prelu" as in the paper, "relu", "relu6" or "leaky".
    The paper adds no input to the output (residual=False) and knows no unshuffle (1).
    """

    def __init__(
        self,
        features: int = 64,
        blocks: int = 16,
        scale: int = 1,
        norm: bool = True,
        activation: str = "prelu",
        unshuffle: int = 1,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(channels=channels, scale=scale, unshuffle=unshuffle, residual=residual)
        at_least_one(features=features, blocks=blocks)
        one_of("norm", norm, (True, False))
        act = partial(make_activation, activation)
        self.head = nn.Sequential(conv(self.inner, features, 9), act())
        self.blocks = nn.Sequential(*(SRBlock(features, activation, norm) for _ in range(blocks)))
        self.fuse = nn.Sequential(*_normalised(features, norm))
        self.enlarge = upsampler(features, scale, act)
        self.tail = self.last(conv(features, self.inner, 9))
        self.taps = spread("blocks", blocks)

    def body(self, x: Tensor) -> Tensor:
        x = self.head(x)
        output: Tensor = self.tail(self.enlarge(x + self.fuse(self.blocks(x))))
        return output
