"""What all restoration networks of the lab share: the picture's ends. A network itself is its `body`.

The picture comes in as it is (or in blocks), the body computes, and its output is the picture or, by default, what
to add to the enlarged input: then the last layer starts at zero and the network as the identity, so that even a
small budget begins with a sound picture (Kim et al. 2016, VDSR).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.errors import TrainError
from keenframe_train.nets.bands import FromBands, ToBands

SCALES = (1, 2, 4)
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "prelu": nn.PReLU,
}


class Network(nn.Module, ABC):
    """A restoration network: picture in, picture out.

    scale: output size over input size, 1, 2 or 4.
    channels: 1 (luma) or 3 (RGB).
    unshuffle: 1, 2 or 4: the body sees blocks of that edge as channels and returns such blocks, at 1/unshuffle of
      the size and 1/unshuffle^2 of the cost; the blocks come as scaled DCT bands (`bands`). 1: no blocks.
    residual: the body's output is added to `base`; else it is the picture.
    body_multiple: H and W of what the body sees must be multiples of it.
    Anything else: TrainError.

    After construction: `size_multiple` (H and W of the input are multiples of it; not checked, see `padded`), `inner`
    (channels that the body takes and gives) and `taps`: names of submodules, shallow to deep, whose outputs suit
    feature distillation.
    """

    taps: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        channels: int = 3,
        scale: int = 1,
        unshuffle: int = 1,
        residual: bool = True,
        body_multiple: int = 1,
    ) -> None:
        super().__init__()
        one_of("channels", channels, (1, 3))
        one_of("scale", scale, SCALES)
        one_of("unshuffle", unshuffle, SCALES)
        one_of("residual", residual, (True, False))
        self.channels, self.scale, self.residual = channels, scale, residual
        self.size_multiple = unshuffle * body_multiple
        self.inner = channels * unshuffle**2
        self.split: nn.Module = ToBands(channels, unshuffle) if unshuffle > 1 else nn.Identity()
        self.join: nn.Module = FromBands(channels, unshuffle, residual) if unshuffle > 1 else nn.Identity()

    @abstractmethod
    def body(self, x: Tensor) -> Tensor:
        """(N, inner, h, w) -> (N, inner, scale*h, scale*w): all that is learnt."""

    def base(self, x: Tensor) -> Tensor:
        """What a residual network corrects: x, or x enlarged bicubically (a = -0.75, half-pixel centres)."""
        if self.scale == 1:
            return x
        return F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)

    def calibrate(self, degraded: Tensor, pristine: Tensor, conditions: Tensor) -> None:
        """Set what is taken from training pairs before the first step, as `Keen.calibrate` does: here nothing is."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) float32 in 0-1 -> (N, C, scale*H, scale*W) of the same dtype.

        Clipped to 0-1 in eval mode; in training mode not, as a clipped pixel has no gradient. `condition` is taken
        so that all networks are called alike; these do not use it.
        """
        output = self.join(self.body(self.split(x))).to(x.dtype)
        if self.residual:
            output = output + self.base(x)
        clipped: Tensor = output if self.training else output.clamp(0, 1)
        return clipped

    def last(self, layer: nn.Conv2d) -> nn.Conv2d:
        """The layer that makes the body's output; of a residual network it starts at zero."""
        if self.residual:
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        return layer


def padded(network: nn.Module, x: Tensor, condition: Tensor | None = None) -> Tensor:
    """Run a network on any H and W: edges are repeated up to its `size_multiple`, the output is cropped.

    x (N, C, H, W) -> (N, C, scale*H, scale*W).
    """
    multiple, scale = int(getattr(network, "size_multiple", 1)), int(getattr(network, "scale", 1))
    height, width = x.shape[-2:]
    right, bottom = -width % multiple, -height % multiple
    if right or bottom:
        x = F.pad(x, (0, right, 0, bottom), mode="replicate")
    output: Tensor = network(x) if condition is None else network(x, condition)
    return output[..., : scale * height, : scale * width]


def parameters(network: nn.Module) -> int:
    """Trained numbers of a network."""
    return sum(p.numel() for p in network.parameters())


def conv(inputs: int, outputs: int, size: int = 3, **options: int | bool) -> nn.Conv2d:
    """A convolution that keeps the size, size odd."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, **options)  # type: ignore[arg-type]


def make_activation(name: str) -> nn.Module:
    """A new activation; TrainError for an unknown name."""
    one_of("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]()


def upsampler(features: int, scale: int, act: Callable[[], nn.Module] | None = None) -> nn.Sequential:
    """Sub-pixel enlargement by steps of two (Shi et al. 2016), each followed by `act`; empty at scale 1."""
    layers: list[nn.Module] = []
    for _ in range(scale.bit_length() - 1):
        layers += [conv(features, 4 * features), nn.PixelShuffle(2)]
        if act is not None:
            layers.append(act())
    return nn.Sequential(*layers)


def spread(name: str, count: int, most: int = 4) -> tuple[str, ...]:
    """Names of at most `most` of `count` numbered submodules, evenly spaced, the last one among them."""
    picks = min(count, most)
    return tuple(f"{name}.{(index + 1) * count // picks - 1}" for index in range(picks))


@torch.no_grad()
def whiten(layer: nn.Conv2d, pictures: Tensor, noise: float = 1e-3) -> None:
    """First weights for a network's first convolution: what it sees of pictures, decorrelated and of unit size.

    Neighbouring pixels are nearly equal, and all that a restorer is to change lies in their small differences, a
    hundredth of what an ordinary start hears. So the weights are the principal components of the pictures' patches,
    each over its own deviation (PCA whitening; LeCun et al. 1998, "Efficient BackProp"), turned at random among the
    layer's outputs; the bias takes the mean away. A start, no layer: every weight goes on learning.

    pictures: (N, C, H, W) in 0-1. noise: deviation below which a component is taken for noise and not raised further.
    """
    patches = (
        F.unfold(pictures.float(), layer.kernel_size).transpose(1, 2).reshape(-1, layer.weight[0].numel())
    )
    power, components = torch.linalg.eigh(torch.cov(patches.T))
    whitened = components.T / (power.clamp_min(0) + noise**2).sqrt()[:, None]
    larger = torch.randn(max(layer.out_channels, len(whitened)), max(layer.out_channels, len(whitened)))
    turn = torch.linalg.qr(larger)[0][: layer.out_channels, : len(whitened)]
    weight = turn @ whitened
    weight /= (patches @ weight.T).std()
    layer.weight.copy_(weight.reshape(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.copy_(-weight @ patches.mean(0))


def one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not among those allowed; True is not 1 here."""
    if not any(value == option and type(value) is type(option) for option in allowed):
        raise TrainError(f"{name} is one of {', '.join(map(str, allowed))}; got {value!r}")


def at_least_one(**counts: object) -> None:
    """Refuse counts that are not whole numbers from 1 up."""
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise TrainError(f"{name} is a whole number of at least 1; got {value!r}")


def positive(**numbers: object) -> None:
    """Refuse what is not a number above zero."""
    for name, value in numbers.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise TrainError(f"{name} is a number above 0; got {value!r}")


@torch.no_grad()
def kaiming(module: nn.Module, gain: float = 1.0) -> None:
    """He et al. 2015 weights for all convolutions inside, times gain; biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.mul_(gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
