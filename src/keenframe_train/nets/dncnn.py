"""DnCNN: a plain chain with batch normalisation that predicts the noise (Zhang et al., TIP 2017).

17 layers x 64 in RGB: 558,403 parameters; 20 layers: 669,379. A baseline restorer.
"""

from __future__ import annotations

from torch import Tensor, nn

from keenframe_train.errors import TrainError
from keenframe_train.nets.network import Network, at_least_one, conv, one_of, spread


class DnCNN(Network):
    """(N, channels, H, W) -> same, H and W multiples of `unshuffle`.

    layers: convolutions in all, at least 3; 17 (known noise) or 20 (blind) in the paper. norm: batch normalisation
    after all of them but the first and the last.
    """

    def __init__(
        self,
        features: int = 64,
        layers: int = 17,
        norm: bool = True,
        unshuffle: int = 1,
        channels: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(channels=channels, unshuffle=unshuffle, residual=residual)
        at_least_one(features=features, layers=layers)
        one_of("norm", norm, (True, False))
        if layers < 3:
            raise TrainError(f"layers is at least 3 (first, middle, last); got {layers}")
        self.head = nn.Sequential(conv(self.inner, features), nn.ReLU())
        self.layers = nn.Sequential(*(_layer(features, norm) for _ in range(layers - 2)))
        self.tail = self.last(conv(features, self.inner))
        self.taps = spread("layers", layers - 2)

    def body(self, x: Tensor) -> Tensor:
        output: Tensor = self.tail(self.layers(self.head(x)))
        return output


def _layer(features: int, norm: bool) -> nn.Sequential:
    """Convolution, batch normalisation (its shift is the bias), ReLU."""
    middle = [nn.BatchNorm2d(features)] if norm else []
    return nn.Sequential(conv(features, features, bias=not norm), *middle, nn.ReLU())
