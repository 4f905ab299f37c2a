"""Networks by others, from the files that they are published in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.errors import TrainError

_HALF, _FULL = 0x01306B47, 0


class WebSr(nn.Module):
    """websr's large Anime4K network, (1, 3, H, W) 0-1 -> (1, 3, 2H, 2W), from its JSON of vec4 weights.

    Two groups of four channels a layer, each read with its positive and its negative part; the last layer reads all
    of them and gives the four positions of each colour.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers = _json(path)["layers"]
        last = next(number for number in range(1, 99) if f"conv2d_{number}_tf" not in layers)
        stems = ["conv2d_tf", *(f"conv2d_{number}_tf" for number in range(1, last))]
        self.first = _grouped([layers[f"{stems[0]}{end}"] for end in ("", "1")], sources=1, edge=3)
        self.inner = nn.ModuleList(
            _grouped([layers[f"{stem}{end}"] for end in ("", "1")], sources=4, edge=3) for stem in stems[1:]
        )
        ends = [layers[f"conv2d_last_tf{end}"] for end in ("", "1", "2")]
        self.last = _grouped(ends, sources=4 * len(stems), edge=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(torch.cat([image, torch.ones_like(image[:, :1])], 1))
        parts = [_both_signs(x)]
        for layer in self.inner:
            parts.append(_both_signs(layer(parts[-1])))
        detail = F.pixel_shuffle(self.last(torch.cat(parts, 1)), 2)
        return F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False) + detail


def _both_signs(x: Tensor) -> Tensor:
    return torch.cat([F.relu(x), F.relu(-x)], 1)


def _grouped(entries: list[dict[str, list[float]]], sources: int, edge: int) -> nn.Conv2d:
    """One convolution of several outputs of four channels. Their weights are 4x4 matrices, column after column, for
    each source of four channels, and within that for each position, column by column of the window."""
    layer = nn.Conv2d(4 * sources, 4 * len(entries), edge, padding=edge // 2)
    kernels = []
    for entry in entries:
        stored = torch.tensor(entry["weights"], dtype=torch.float32)
        # source, x, y, in, out -> out, source, in, y, x
        kernel = stored.reshape(sources, edge, edge, 4, 4).permute(4, 0, 3, 2, 1)
        kernels.append(kernel.reshape(4, 4 * sources, edge, edge))
    layer.weight = nn.Parameter(torch.cat(kernels), requires_grad=False)
    biases = [torch.tensor(entry["bias"], dtype=torch.float32) for entry in entries]
    layer.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return layer


class Compact(nn.Module):
    """Real-ESRGAN's compact network, (1, 3, H, W) 0-1 -> (1, 3, sH, sW), from ncnn's two files."""

    def __init__(self, param: Path) -> None:
        super().__init__()
        weights = param.with_suffix(".bin").read_bytes()
        layers: list[nn.Module] = []
        at, channels, self.scale = 0, 3, 1
        for kind, options in _ncnn_layers(param):
            if kind == "Convolution":
                layer = nn.Conv2d(channels, options[0], options[1], padding=options[4])
                kernel, at = _stored(weights, at, options[6])
                bias, at = _plain(weights, at, options[0])
                layer.weight = _fixed(kernel.reshape(layer.weight.shape))
                layer.bias = _fixed(bias)
                layers.append(layer)
                channels = options[0]
            elif kind == "PReLU":
                slopes, at = _plain(weights, at, options[0])
                layers.append(nn.PReLU(options[0]))
                layers[-1].weight = _fixed(slopes)
            elif kind == "PixelShuffle":
                self.scale = options[0]
        if at != len(weights):
            raise TrainError(f"'{param}' and its .bin disagree: {at} of {len(weights)} bytes were read")
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        detail = F.pixel_shuffle(self.layers(image), self.scale)
        return F.interpolate(image, scale_factor=self.scale, mode="nearest") + detail


def _ncnn_layers(param: Path) -> Iterator[tuple[str, dict[int, int]]]:
    for line in param.read_text().splitlines()[2:]:
        words = line.split()
        options = [word.split("=") for word in words[4:] if re.fullmatch(r"\d+=-?\d+", word)]
        yield words[0], {int(key): int(value) for key, value in options}


def _stored(data: bytes, at: int, count: int) -> tuple[NDArray[np.float32], int]:
    """Weights behind a word that says how they are stored, and where the next ones begin."""
    kind = int(np.frombuffer(data, "<u4", 1, at)[0])
    if kind not in (_HALF, _FULL):
        raise TrainError(f"weights are stored as {kind:#x}; known are float16 and float32")
    if kind == _FULL:
        return _plain(data, at + 4, count)
    values = np.frombuffer(data, "<f2", count, at + 4).astype(np.float32)
    return values, at + 4 + -(-2 * count // 4) * 4


def _plain(data: bytes, at: int, count: int) -> tuple[NDArray[np.float32], int]:
    return np.frombuffer(data, "<f4", count, at).copy(), at + 4 * count


class DnCnn(nn.Module):
    """DnCNN with its normalisations folded in, (1, 1, H, W) 0-1 -> same, from a state dict of convolutions alone."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        state = torch.load(path, map_location="cpu", weights_only=True)
        names = [name for name in state if name.endswith(".weight") and state[name].ndim == 4]
        if not names or state[names[0]].shape[1] != 1 or any(state[name].ndim == 1 and
                f"{name.rpartition('.')[0]}.weight" not in names for name in state):  # fmt: skip
            raise TrainError(
                f"'{path}' is no DnCNN for gray pictures with its normalisations folded into its convolutions"
            )
        layers: list[nn.Module] = []
        for name in sorted(names, key=lambda key: [int(part) for part in re.findall(r"\d+", key)]):
            kernel = state[name]
            bias = state.get(name.replace(".weight", ".bias"))
            layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], padding=kernel.shape[2] // 2)
            layer.weight = _fixed(kernel.float().numpy())
            layer.bias = _fixed(np.zeros(len(kernel), np.float32) if bias is None else bias.float().numpy())
            layers += [layer, nn.ReLU()]
        self.noise = nn.Sequential(*layers[:-1])

    def forward(self, image: Tensor) -> Tensor:
        return image - self.noise(image)


def _fixed(values: NDArray[np.float32]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(values)), requires_grad=False)


def _json(path: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainError(f"'{path}' is not JSON: {error}") from error
    return dict(content)
