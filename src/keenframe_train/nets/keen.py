"""`keen`: the student that runs on every frame of a call.

Luma goes through a space-to-depth body, where a pixel's neighbourhood lies in the channels and a convolution costs
a sixteenth (Shi et al. 2016, run backwards). Fed raw sub-pixels such a body learns nothing: the sixteen channels
are nearly equal and the useful differences drown. So the body sees each block's DCT with the mean removed and
every band scaled to unit size, and predicts DCT coefficients of the correction in the same manner; both steps
are linear 1x1 convolutions that fold into the first and last layer at export.

A half-resolution trunk gives the field of view of a coding block at a quarter of the cost, and the condition
vector (`keenframe.condition`) tells it what kind of damage it looks at (FiLM, Perez et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from keenframe.condition import CONDITION_SIZE, dct_matrix

BLOCK = 4
SLOPE = 0.1  # LeakyReLU: as fast as ReLU and it does not die; PReLU breaks the engines' fusion


@dataclass(frozen=True, slots=True)
class KeenConfig:
    """Shape of a `keen` network.

    scale 1 keeps the size, 2 doubles it, 4 takes it four times. head: channels at 1/4 of the output size. trunk:
    channels at 1/(4 * stride); 0: no trunk of its own, the blocks run on the head's positions without a step down and
    up. blocks: residual blocks of two 3x3 convolutions in the trunk. inner: channels between the two, one number for
    each block (what `keenframe-train prune` leaves of them); none: as many as a block reads. stride: edge of the
    positions of the head that become one of the trunk. branches: train every 3x3 convolution of the trunk as the sum
    of itself and a 1x1, which `fold` makes one again.
    """

    scale: int = 1
    head: int = 32
    trunk: int = 64
    blocks: int = 2
    embedding: int = 32
    inner: tuple[int, ...] = ()
    stride: int = 2
    branches: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", tuple(self.inner))  # a list, when it comes out of JSON

    @property
    def width(self) -> int:
        """Channels that a block reads and writes."""
        return self.trunk or self.head

    @property
    def inner_widths(self) -> tuple[int, ...]:
        """Channels between the two convolutions of each block."""
        return self.inner or (self.width,) * self.blocks

    @property
    def input_block(self) -> int:
        """Edge of the input block that becomes one position of the body."""
        return BLOCK // self.scale

    @property
    def size_multiple(self) -> int:
        """Input height and width must be multiples of this."""
        # A body without a deeper trunk would take less. But whole blocks are compared where a stream is steadied, and
        # the browser's engine pads frames to 8 whatever the body: one rule, so that borders come out alike.
        return max(max(self.stride, 2) * self.input_block, BLOCK)


class Film(nn.Module):
    """Scale and shift of channels by an embedding; the identity at the start."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.linear(embedding)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class Block(nn.Module):
    """The layers of x + second(act(film(first(x)))), (N, C, H, W) -> same, `inner` channels wide in between; `body`
    runs them."""

    def __init__(self, channels: int, inner: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, inner, 3, padding=1)
        self.film = Film(embedding, inner)
        self.second = nn.Conv2d(inner, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)


class Branch(nn.Module):
    """A 1x1 kernel beside a 3x3 one, added to its middle (Ding et al. 2021, RepVGG, without its normalisation).

    The two are one linear map: what differs is how they are trained, not what they can compute or cost to run.
    """

    def __init__(self, layer: nn.Conv2d, scale: float) -> None:
        super().__init__()
        start = nn.Conv2d(layer.in_channels, layer.out_channels, 1).weight.detach()
        self.point = nn.Parameter(start * scale)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + F.pad(self.point, (1, 1, 1, 1))


def upsample_base(x: Tensor, scale: int = 2) -> Tensor:
    """The enlarged input that a x2 or x4 network corrects: bicubic (a = -0.75), half-pixel centres, edges repeated."""
    return F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)


class Keen(nn.Module):
    """Luma and condition in, sharpened luma out.

    forward(luma (N, 1, H, W) float32 0-1, condition (N, 128) float32) -> (N, 1, scale*H, scale*W) float32, not
    clipped. H and W are multiples of `config.size_multiple`.
    """

    def __init__(self, config: KeenConfig = KeenConfig()) -> None:
        super().__init__()
        self.config = config
        # What the lab asks of every network (`nets.network.Network`). `body` runs the layers of the blocks and not
        # the blocks, so the layers are the taps.
        self.scale, self.channels, self.size_multiple = config.scale, 1, config.size_multiple
        inside = (f"blocks.{index}.second" for index in range(config.blocks))
        self.taps = ("down", *inside, "up") if config.trunk else ("head", *inside)
        r, head, trunk = config.input_block, config.head, config.trunk
        self.register_buffer("input_dct", _block_dct(r))
        self.register_buffer("output_dct", _block_dct(BLOCK))
        # Set from the training pairs by `calibrate`: without it the network would be badly scaled, not wrong.
        self.register_buffer("input_mean", torch.zeros(r * r))
        self.register_buffer("input_std", torch.ones(r * r))
        self.register_buffer("output_std", torch.full((BLOCK * BLOCK,), 0.02))
        self.register_buffer("condition_mean", torch.zeros(CONDITION_SIZE))
        self.register_buffer("condition_std", torch.ones(CONDITION_SIZE))
        self.embed = nn.Sequential(nn.Linear(CONDITION_SIZE, config.embedding), nn.LeakyReLU(SLOPE))
        self.head = nn.Conv2d(r * r, head, 3, padding=1)
        self.head_film = Film(config.embedding, head)
        if trunk:
            self.down = nn.Conv2d(head, trunk, config.stride, stride=config.stride)
            self.up = nn.Conv2d(trunk, config.stride**2 * head, 1)
        self.blocks = nn.ModuleList(
            Block(config.width, inner, config.embedding) for inner in config.inner_widths
        )
        if config.branches:
            for block in self.blocks:
                parametrize.register_parametrization(block.first, "weight", Branch(block.first, 1.0))
                parametrize.register_parametrization(block.second, "weight", Branch(block.second, 0.1))
        self.tail = nn.Conv2d(head, BLOCK * BLOCK, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)
        # Where a quantised network rounds its activations, by name; empty in a float network.
        self.points = nn.ModuleDict()

    @torch.no_grad()
    def calibrate(self, degraded: Tensor, pristine: Tensor, conditions: Tensor) -> None:
        """Set the band statistics from pairs: degraded (N, 1, H, W), pristine (N, 1, sH, sW) in 0-1."""
        bands = self._bands(degraded)
        self.input_mean.copy_(bands.mean((0, 2, 3)))
        self.input_std.copy_(bands.std((0, 2, 3)).clamp_min(1e-3))
        error = F.pixel_unshuffle(pristine - self.base(degraded), BLOCK)
        self.output_std.copy_(
            torch.einsum("kc,nchw->nkhw", self.output_dct, error).std((0, 2, 3)).clamp_min(1e-3)
        )
        self.condition_mean.copy_(conditions.mean(0))
        self.condition_std.copy_(conditions.std(0).clamp_min(0.1))

    def fold(self) -> None:
        """Make the kernels of `branches` one each, as the network is rounded, pruned and shipped."""
        for block in self.blocks if self.config.branches else ():
            for layer in (block.first, block.second):
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        self.config = replace(self.config, branches=False)

    def base(self, luma: Tensor) -> Tensor:
        """What the residual is added to."""
        return luma if self.scale == 1 else upsample_base(luma, self.scale)

    def _bands(self, luma: Tensor) -> Tensor:
        blocks = F.pixel_unshuffle(luma, self.config.input_block)
        return torch.einsum("kc,nchw->nkhw", self.input_dct, blocks)

    def residual_bands(self, luma: Tensor, condition: Tensor) -> Tensor:
        """DCT coefficients of the correction, unit-sized bands, (N, 16, sH/4, sW/4)."""
        embedding = self.embed((condition - self.condition_mean) / self.condition_std)
        bands = (self._bands(luma) - self.input_mean[:, None, None]) / self.input_std[:, None, None]
        return body(self, self.points, bands, embedding)

    def forward(self, luma: Tensor, condition: Tensor) -> Tensor:
        bands = self.residual_bands(luma, condition).float() * self.output_std[:, None, None]
        with torch.autocast(luma.device.type, enabled=False):
            residual = torch.einsum("kc,nkhw->nchw", self.output_dct, bands)
        return self.base(luma) + F.pixel_shuffle(residual, BLOCK)


def point(points: nn.ModuleDict, name: str, x: Tensor) -> Tensor:
    """x as the network rounds it at that place; x itself in a float network."""
    return points[name](x) if name in points else x


def body(net: Keen, points: nn.ModuleDict, bands: Tensor, embedding: Tensor) -> Tensor:
    """From normalised bands (N, r*r, h, w) to unit-sized residual bands (N, 16, h, w): all that costs time."""
    skip = F.leaky_relu(net.head_film(net.head(bands), embedding), SLOPE)
    skip = point(points, "skip", skip)
    x = point(points, "trunk", F.leaky_relu(net.down(skip), SLOPE)) if net.config.trunk else skip
    for index, block in enumerate(net.blocks):
        inner = F.leaky_relu(block.film(block.first(x), embedding), SLOPE)
        x = point(points, f"out{index}", x + block.second(point(points, f"inner{index}", inner)))
    if net.config.trunk:
        up = F.pixel_shuffle(net.up(x), net.config.stride)
        x = point(points, "fused", F.leaky_relu(skip + up, SLOPE))
    return net.tail(x)


def point_names(config: KeenConfig) -> list[str]:
    """Every place where activations are rounded in INT8: the inputs of all learned convolutions but the head.

    The head's input are the bands themselves, with the longest tails of all: in eight bits it alone would lose 0.1 dB.
    """
    inside = [f"{kind}{index}" for index in range(config.blocks) for kind in ("inner", "out")]
    return ["skip", "trunk", *inside, "fused"] if config.trunk else ["skip", *inside]


def _block_dct(size: int) -> Tensor:
    """Orthonormal 2-D DCT on flattened blocks, (size*size, size*size): bands = matrix @ pixels."""
    one = torch.from_numpy(dct_matrix(size))
    return torch.kron(one, one)
