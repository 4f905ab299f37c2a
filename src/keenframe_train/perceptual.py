"""Perceptual distance: how differently an ImageNet network sees two pictures (Johnson et al. 2016).

At each chosen layer the features of a position are brought to unit length and compared by squared distance, as in
LPIPS without its learned weights (Zhang et al. 2018): layers and networks of any magnitude count alike, and equal
pictures give zero. Nothing is ever downloaded. The network is, in this order:

1. the file given as option, else the one that KEENFRAME_PERCEPTUAL names: SqueezeNet v1.0 as `.npz` (Caffe's names)
   or torchvision's VGG-16 as `.pth`;
2. torchvision's VGG-16 weights in torch hub's folder of downloads, when they are there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.errors import TrainError
from keenframe_train.frozen import Frozen

VARIABLE = "KEENFRAME_PERCEPTUAL"
SMALLEST = 32  # below it the deepest layer sees almost only padding


class _Fire(nn.Module):
    """Squeeze to few channels, expand by 1x1 and 3x3 side by side."""

    def __init__(self, convolutions: Mapping[str, nn.Conv2d], name: str) -> None:
        super().__init__()
        self.squeeze = convolutions[f"{name}/squeeze1x1"]
        self.one, self.three = convolutions[f"{name}/expand1x1"], convolutions[f"{name}/expand3x3"]

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.one(x), self.three(x)), dim=1))


class SqueezeNet(nn.Module):
    """SqueezeNet v1.0 (Iandola et al. 2016) up to fire8.

    arrays: `layer.weight` (O, I, k, k) and `layer.bias` (O,) float32 in Caffe's layer names. TrainError if one lacks.
    forward((N, 3, H, W) RGB 0-1) -> the ReLU outputs of fire2, fire4, fire8 at 1/4, 1/4, 1/8 of the size.
    """

    mean: Tensor

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        fires = [f"fire{index}" for index in range(2, 9)]
        layers = ["conv1"]
        layers += [f"{fire}/{part}" for fire in fires for part in ("squeeze1x1", "expand1x1", "expand3x3")]
        missing = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
        missing = [name for name in missing if name not in arrays]
        if missing:
            raise TrainError(
                f"the SqueezeNet weights lack {', '.join(missing[:3])} and {max(0, len(missing) - 3)} more; "
                "expected SqueezeNet v1.0's layers by their Caffe names"
            )
        convolutions = {
            layer: _convolution(
                torch.from_numpy(np.asarray(arrays[f"{layer}.weight"], np.float32)),
                torch.from_numpy(np.asarray(arrays[f"{layer}.bias"], np.float32)),
                stride=2 if layer == "conv1" else 1,
                padding=1 if layer.endswith("3x3") else 0,
            )
            for layer in layers
        }
        self.conv1 = convolutions["conv1"]
        self.fires = nn.ModuleDict({fire: _Fire(convolutions, fire) for fire in fires})
        # Caffe's order is blue, green, red.
        self.register_buffer("mean", torch.tensor([104.0, 117.0, 123.0])[:, None, None], persistent=False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x = F.relu(self.conv1(rgb.flip(1) * 255 - self.mean))
        features = []
        for name, fire in self.fires.items():
            if name in ("fire2", "fire5"):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = fire(x)
            if name in ("fire2", "fire4", "fire8"):
                features.append(x)
        return features


class Vgg16(nn.Module):
    """VGG-16 (Simonyan and Zisserman 2015) up to relu4_3, from torchvision's weights `features.N.*`.

    forward((N, 3, H, W) RGB 0-1) -> relu1_2, relu2_2, relu3_3, relu4_3, at 1, 1/2, 1/4, 1/8 of the size.
    """

    mean: Tensor
    std: Tensor
    stages = (
        (0, 2),
        (5, 7),
        (10, 12, 14),
        (17, 19, 21),
    )  # positions of the convolutions in torchvision's list

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        names = [f"features.{index}" for stage in self.stages for index in stage]
        missing = [name for name in names if f"{name}.weight" not in state or f"{name}.bias" not in state]
        if missing:
            raise TrainError(f"the VGG-16 weights lack {', '.join(missing)}; expected torchvision's vgg16")
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                _convolution(state[f"features.{i}.weight"], state[f"features.{i}.bias"], padding=1)
                for i in stage
            )
            for stage in self.stages
        )
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x = (rgb - self.mean) / self.std
        features: list[Tensor] = []
        for block in self.blocks:
            x = F.max_pool2d(x, 2) if features else x
            for convolution in block:
                x = F.relu(convolution(x))
            features.append(x)
        return features


def _convolution(weight: Tensor, bias: Tensor, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    outputs, inputs, *kernel = weight.shape
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, tuple(kernel), stride=stride, padding=padding)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def load_features(path: Path | None = None) -> nn.Module:
    """The network that compares. Raises TrainError that names every place where weights were looked for."""
    named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is None:
        hub = Path(torch.hub.get_dir()) / "checkpoints"
        found = sorted(hub.glob("vgg16-*.pth"))
        if not found:
            raise TrainError(
                "the perceptual loss needs weights: no file was given as option, "
                f"{VARIABLE} is not set, and there is no '{hub / 'vgg16-*.pth'}'; "
                f"set {VARIABLE} to a SqueezeNet v1.0 .npz or a torchvision VGG-16 .pth"
            )
        named = found[0]
    if not named.is_file():
        raise TrainError(f"perceptual weights '{named}' do not exist; check the option or {VARIABLE}")
    if named.suffix == ".npz":
        try:
            with np.load(named, allow_pickle=False) as arrays:
                return SqueezeNet(dict(arrays))
        except (OSError, ValueError) as error:
            raise TrainError(f"cannot read '{named}' as .npz: {error}") from error
    if named.suffix == ".pth":
        return Vgg16(load_checkpoint(named))
    raise TrainError(f"perceptual weights '{named}' end in '{named.suffix}'; expected .npz or .pth")


class Perceptual(nn.Module):
    """Feature distance of two pictures, 0 when equal: (N, C, H, W) in 0-1, C 1 or 3 -> scalar float32.

    Luma goes in as grey. H and W at least 32. The network runs under the caller's autocast, is frozen and in no
    state_dict. Raises TrainError as `load_features` does, and for pictures that are too small.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self.network = Frozen(load_features(path))

    def _features(self, x: Tensor) -> list[Tensor]:
        return [_unit(f.float()) for f in self.network[0](x.expand(-1, 3, -1, -1))]

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if output.shape != target.shape or output.shape[1] not in (1, 3) or min(output.shape[2:]) < SMALLEST:
            raise TrainError(
                f"the perceptual loss compares (N, 1 or 3, H, W) of one shape, {SMALLEST}x{SMALLEST} at least; "
                f"got {tuple(output.shape)} and {tuple(target.shape)}"
            )
        with torch.no_grad():
            expected = self._features(target.float())
        distances = [
            (a - b).square().sum(1).mean()
            for a, b in zip(self._features(output.float()), expected, strict=True)
        ]
        return torch.stack(distances).mean()


def _unit(features: Tensor) -> Tensor:
    """Unit length along channels; where nothing answers, nothing (and no division by zero in the gradient)."""
    return features * (features.square().sum(1, keepdim=True) + 1e-6).rsqrt()
