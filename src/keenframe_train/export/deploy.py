"""The network as it is shipped: uint8 luma in, uint8 blocks out, every linear step folded into a neighbour.

What the engines run best was found by timing (docs/log.md): the space-to-depth as a strided convolution, all
element-wise work on (N, 16, H/4, W/4) with per-channel factors (a scalar makes OpenVINO reorder the whole plane),
and the depth-to-space left to the caller, who does it ten times faster with a strided copy of int32 words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.nets.keen import BLOCK, SLOPE, Film, Keen, point, upsample_base
from keenframe_train.nets.rounding import frozen

PEAK = 255.0


class DeployedFilm(nn.Module):
    """Film with its 1 + scale folded into the bias: two small layers give scale and shift."""

    def __init__(self, film: Film) -> None:
        super().__init__()
        scale_weight, shift_weight = film.linear.weight.detach().chunk(2)
        scale_bias, shift_bias = film.linear.bias.detach().chunk(2)
        self.film_scale = _linear(scale_weight, scale_bias + 1)
        self.film_shift = _linear(shift_weight, shift_bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return x * self.film_scale(embedding)[:, :, None, None] + self.film_shift(embedding)[:, :, None, None]


class DeployedKeen(nn.Module):
    """forward(luma (1, 1, H, W) uint8, condition (1, 128) float32, strength (1,) float32, previous (1, h, w, 16)
    uint8, keep (1, 1, h, w) float32) -> (blocks (1, h, w, 16) uint8, steady, the same, residual (1, h, w, 16)
    float32), h = scale * H / 4: the runtime's graph contract (`keenframe.zoo.spec`). Residual in code values of 8
    bits, at strength 1. `steady` is `blocks` moved towards the stream's previous result by `keep`, 0-1.
    """

    def __init__(self, model: Keen) -> None:
        super().__init__()
        config = model.config
        r = config.input_block
        self.scale = config.scale
        identity = torch.eye(r * r).reshape(r * r, 1, r, r)
        self.pixels = _conv(identity, None, stride=r)
        dct = model.input_dct / model.input_std[:, None] / PEAK
        self.bands = _conv(dct[:, :, None, None], -model.input_mean / model.input_std)
        if self.scale > 1:
            self.base = _conv(_enlarging_kernel(self.scale), None, stride=r)
        first, last = model.embed[0], model.embed[1]
        weight = first.weight.detach() / model.condition_std
        self.embed_linear = _linear(weight, first.bias.detach() - weight @ model.condition_mean)
        self.embed_act = last
        self.head, self.head_film = model.head, DeployedFilm(model.head_film)
        self.trunk, self.tail = config.trunk > 0, model.tail
        if self.trunk:
            # Without a stride there is nothing to spread, and a plain convolution runs in INT8, the other does not.
            up = model.up if config.stride == 1 else _transposed(model.up, config.stride)
            self.down, self.up = model.down, up
        self.first = nn.ModuleList(block.first for block in model.blocks)
        self.films = nn.ModuleList(DeployedFilm(block.film) for block in model.blocks)
        self.second = nn.ModuleList(block.second for block in model.blocks)
        self.points = nn.ModuleDict({name: frozen(p) for name, p in model.points.items()})
        idct = (model.output_dct * model.output_std[:, None]).T * PEAK
        self.idct = _conv(idct[:, :, None, None], None)
        self.register_buffer("ones", torch.ones(1, BLOCK * BLOCK, 1, 1))
        # As a convolution, for the same reason: what is spread over channels reorders the planes.
        self.spread = _conv(torch.ones(BLOCK * BLOCK, 1, 1, 1), None)

    def forward(
        self, luma: Tensor, condition: Tensor, strength: Tensor, previous: Tensor, keep: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        plane = luma.float()
        pixels = self.pixels(plane)
        embedding = self.embed_act(self.embed_linear(condition))
        residual = self.idct(self._body(self.bands(pixels), embedding))
        base = pixels if self.scale == 1 else self.base(F.pad(plane, (2, 2, 2, 2), mode="replicate"))
        sharpened = base + residual * (self.ones * strength)
        steady = sharpened + self.spread(keep) * (previous.permute(0, 3, 1, 2).float() - sharpened)
        return _bytes(sharpened), _bytes(steady), residual.permute(0, 2, 3, 1)

    def _body(self, bands: Tensor, embedding: Tensor) -> Tensor:
        """`nets.keen.body` on the folded layers; parity is proved at every export."""
        points = self.points
        skip = F.leaky_relu(self.head_film(self.head(bands), embedding), SLOPE)
        skip = point(points, "skip", skip)
        x = point(points, "trunk", F.leaky_relu(self.down(skip), SLOPE)) if self.trunk else skip
        for index, (first, film, second) in enumerate(zip(self.first, self.films, self.second, strict=True)):
            inner = F.leaky_relu(film(first(x), embedding), SLOPE)
            x = point(points, f"out{index}", x + second(point(points, f"inner{index}", inner)))
        if self.trunk:
            x = point(points, "fused", F.leaky_relu(skip + self.up(x), SLOPE))
        return self.tail(x)


def _bytes(channels_first: Tensor) -> Tensor:
    return torch.clamp(torch.round(channels_first), 0, PEAK).to(torch.uint8).permute(0, 2, 3, 1)


def _conv(weight: Tensor, bias: Tensor | None, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(
        weight.shape[1], weight.shape[0], weight.shape[2], stride=stride, bias=bias is not None
    )  # fmt: skip
    layer.weight = nn.Parameter(weight.detach().clone().contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def _transposed(up: nn.Conv2d, stride: int) -> nn.ConvTranspose2d:
    """A 1x1 convolution and a pixel shuffle by `stride` as one transposed convolution."""
    channels, trunk = up.weight.shape[0] // stride**2, up.weight.shape[1]
    layer = nn.ConvTranspose2d(trunk, channels, stride, stride=stride)
    kernel = up.weight.detach()[:, :, 0, 0].reshape(channels, stride, stride, trunk).permute(3, 0, 1, 2)
    layer.weight = nn.Parameter(kernel.clone().contiguous(), requires_grad=False)
    # The shuffle gives each of the positions a bias of its own; a transposed convolution has one a channel.
    bias = up.bias.detach().reshape(channels, stride**2).mean(1)
    layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return layer


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight.detach().clone().contiguous(), requires_grad=False)
    layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def _enlarging_kernel(scale: int) -> Tensor:
    """(16, 1, e, e): a 4x4 block of the enlarged plane from the e = 4 / scale + 4 input pixels around its source."""
    edge, block = BLOCK // scale + 4, 8  # far from any edge: the block's own pixels start at (8, 8)
    kernel = torch.zeros(BLOCK * BLOCK, 1, edge, edge)
    rows = slice(block * scale, block * scale + BLOCK)
    for y in range(edge):
        for x in range(edge):
            plane = torch.zeros(1, 1, 20, 20)
            plane[0, 0, block - 2 + y, block - 2 + x] = 1
            kernel[:, 0, y, x] = upsample_base(plane, scale)[0, 0, rows, rows].reshape(-1)
    return kernel
