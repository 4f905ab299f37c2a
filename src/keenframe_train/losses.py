"""Losses by name: how far an output is from its target.

Each is a module, (output, target) -> scalar float32 tensor: both (N, C, H, W), any float dtype, 0-1; C is 1 (luma)
or 3 (RGB). They compute in float32 whatever autocast is on: bfloat16 has three digits, and the differences that
matter here are in the third. Means, never sums, so that weights do not depend on batch or patch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.errors import TrainError
from keenframe_train.perceptual import Perceptual

LOSS_SCALE = 20.0  # brings typical gradients to where clipping at 1 only catches outliers
Distance = Callable[[Tensor, Tensor], Tensor]


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error."""
    return (output - target).abs().mean()


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean square error."""
    return (output - target).square().mean()


def charbonnier(output: Tensor, target: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(error^2 + epsilon^2) - epsilon: L1 with a round tip (Charbonnier et al. 1994; Lai et al. 2017).

    The constant is taken off so that equal pictures give zero; gradients are the paper's.
    """
    return ((output - target).square() + epsilon**2).sqrt().mean() - epsilon


def rmse_loss(output: Tensor, pristine: Tensor) -> Tensor:
    """Root of each patch's mean square error, mean over the batch; (N, C, H, W) in 0-1.

    Every patch pulls with the same strength, whatever its damage. L1 would not do: its optimum is the median, and
    what a codec took away is so uncertain that the median correction is zero. -PSNR would not either: it pulls
    in proportion to 1 / RMSE, so the noise of nearly pristine patches drowns the rest (docs/log.md). The floor is
    half a code value.
    """
    error = (output - pristine).square().mean((1, 2, 3))
    return (error + (0.5 / 255) ** 2).sqrt().mean() * LOSS_SCALE


def root_rmse_loss(output: Tensor, pristine: Tensor) -> Tensor:
    """Square root of each patch's RMSE, mean over the batch: half-way from RMSE to -PSNR.

    For damage that ranges from hardly visible to heavy, where nothing may be harmed: with RMSE the heavy patches pay
    for errors on the light ones, with -PSNR the light ones' noise is all that is heard (docs/log.md).
    """
    error = (output - pristine).square().mean((1, 2, 3))
    return (error + (0.5 / 255) ** 2).pow(0.25).mean() * LOSS_SCALE * 2 * 0.02**0.5


def gradient(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the finite differences, across plus down.

    R4's gradient term; Mathieu et al. 2016 with signs kept: an edge that turned round is an error too.
    """
    across = l1(output.diff(dim=3), target.diff(dim=3))
    return across + l1(output.diff(dim=2), target.diff(dim=2))


def sobel_maps(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives across and down, (N, C, H, W) -> two of (N, C, H-2, W-2), kernel sums 8 times the slope."""
    smooth_down = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    smooth_across = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    return (
        smooth_down[..., 2:] - smooth_down[..., :-2],
        smooth_across[:, :, 2:] - smooth_across[:, :, :-2],
    )


def sobel(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the Sobel maps, across plus down (R5's edge term), whole windows only."""
    return sum(map(l1, sobel_maps(output), sobel_maps(target)), output.new_zeros(()))


def fft(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the real and imaginary parts of the 2-D spectrum (Cho et al. 2021, MIMO-UNet).

    The transform is orthonormal, so white noise of one strength costs the same in a patch of any size.
    """
    # Linear: one transform does. Its half would count its first and last columns, and so one direction's waves, twice.
    spectrum = torch.fft.fft2(output - target, norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()


class Loss(nn.Module):
    """A distance as a module: checks the shapes, computes in float32."""

    def __init__(self, distance: Distance) -> None:
        super().__init__()
        self.distance = distance

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if output.ndim != 4 or output.shape != target.shape:
            raise TrainError(
                f"a loss compares two (N, C, H, W) tensors of one shape; got {tuple(output.shape)} "
                f"and {tuple(target.shape)}: check the network's scale and channels"
            )
        with torch.autocast(output.device.type, enabled=False):
            return self.distance(output.float(), target.float())


class Ssim(Loss):
    """1 - SSIM (Wang et al. 2004), mean over pictures, channels and whole windows: `keenframe.metrics.ssim`.

    Gaussian window of 11, sigma 1.5, K1 0.01, K2 0.03, peak 1. TrainError for pictures below 11x11.
    """

    window: Tensor

    def __init__(self, size: int = 11, sigma: float = 1.5) -> None:
        super().__init__(self._distance)
        offsets = torch.arange(size, dtype=torch.float64) - size // 2
        window = torch.exp(-0.5 * (offsets / sigma) ** 2)
        self.register_buffer("window", (window / window.sum()).float(), persistent=False)

    def _blur(self, planes: Tensor) -> Tensor:
        rows = F.conv2d(planes, self.window[None, None, None, :])
        return F.conv2d(rows, self.window[None, None, :, None])

    def _distance(self, output: Tensor, target: Tensor) -> Tensor:
        size = len(self.window)
        if min(output.shape[2:]) < size:
            raise TrainError(
                f"ssim needs patches of at least {size}x{size}; got {output.shape[3]}x{output.shape[2]}"
            )
        x, y = output.flatten(0, 1)[:, None], target.flatten(0, 1)[:, None]
        c1, c2 = 0.01**2, 0.03**2
        # Variances are differences of squares: around the picture's mean float32 has digits enough for them.
        offset_x, offset_y = (p.detach().mean((2, 3), keepdim=True) for p in (x, y))
        x, y = x - offset_x, y - offset_y
        blur_x, blur_y, xx, yy, xy = self._blur(torch.cat((x, y, x * x, y * y, x * y))).chunk(5)
        variances = (xx - blur_x.square()) + (yy - blur_y.square())
        structure = (2 * (xy - blur_x * blur_y) + c2) / (variances + c2)
        mean_x, mean_y = blur_x + offset_x, blur_y + offset_y
        luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
        return 1 - (luminance * structure).mean()


LOSSES: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "l1": partial(Loss, l1),
        "mse": partial(Loss, mse),
        "charbonnier": partial(Loss, charbonnier),
        "rmse": partial(Loss, rmse_loss),
        "root-rmse": partial(Loss, root_rmse_loss),
        "ssim": Ssim,
        "sobel": partial(Loss, sobel),
        "gradient": partial(Loss, gradient),
        "fft": partial(Loss, fft),
        "perceptual": Perceptual,
    }
)


def check_weights(
    weights: Mapping[str, float], known: Mapping[str, object] | tuple[str, ...], what: str
) -> None:
    """Raises TrainError for a name that is not known and for a weight that is negative or no number."""
    for name, weight in weights.items():
        if name not in known:
            raise TrainError(f"unknown {what} '{name}'; known: {', '.join(known)}")
        if not 0 <= weight < float("inf"):
            raise TrainError(f"the weight of {what} '{name}' is {weight}; expected a number from 0 up")


class Losses(nn.Module):
    """A weighted sum of losses by name; those of weight 0 are left out.

    perceptual: weights file of the perceptual loss (`keenframe_train.perceptual`).
    forward(output, target), both (N, C, H, W) in 0-1 -> (scalar total, {name: scalar, detached, before its weight}).
    Raises TrainError for unknown names, negative weights, and perceptual weights that are not there.
    """

    def __init__(self, weights: Mapping[str, float], perceptual: Path | None = None) -> None:
        super().__init__()
        check_weights(weights, LOSSES, "loss")
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.terms = nn.ModuleDict(
            {
                name: Perceptual(perceptual) if name == "perceptual" else LOSSES[name]()
                for name in self.weights
            }
        )

    def forward(self, output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        values = {name: term(output, target) for name, term in self.terms.items()}
        total = sum(
            (self.weights[name] * value for name, value in values.items()), output.new_zeros(()).float()
        )
        return total, {name: value.detach() for name, value in values.items()}
