"""How well a network does on fixed pictures while it trains: PSNR and SSIM of luma, beside those of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keenframe.metrics import psnr, ssim
from keenframe_train.data.validation import Sample, luma_plane
from keenframe_train.nets.network import padded

Uint8 = NDArray[np.uint8]
CEILING_DB = 50.0  # one nearly perfect window must not carry a mean


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the pictures of a kind: PSNR in dB (at most 50 a picture) and SSIM of luma, for the network's output
    and for its base, the (enlarged) input."""

    psnr: float
    ssim: float
    base_psnr: float
    base_ssim: float

    @property
    def gain(self) -> float:
        """PSNR over the base in dB."""
        return self.psnr - self.base_psnr

    def to_dict(self) -> dict[str, float]:
        """For history and checkpoints."""
        return asdict(self)


def to_tensor(picture: Uint8) -> Tensor:
    """(H, W) or (H, W, 3) uint8 -> (1, 1 or 3, H, W) float32 in 0-1."""
    planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.tensor(np.ascontiguousarray(planes))[None].float() / 255


def to_picture(tensor: Tensor) -> Uint8:
    """(1, 1 or 3, H, W) in 0-1 -> (H, W) or (H, W, 3) uint8, rounded and clipped."""
    planes = (tensor.float().clamp(0, 1) * 255).round().byte()[0].cpu().numpy()
    return np.ascontiguousarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0))


@torch.no_grad()
def restore(model: nn.Module, sample: Sample) -> tuple[Uint8, Uint8]:
    """(output, base) of one sample, (sH, sW[, 3]) uint8. The model is in eval mode, on any device."""
    device = next(model.parameters()).device
    x = to_tensor(sample.degraded).to(device)
    output = padded(model, x, torch.tensor(sample.condition).to(device)[None])
    return to_picture(output), to_picture(model.base(x))


def measure(model: nn.Module, samples: Sequence[Sample]) -> dict[str, Quality]:
    """Means per kind, in the samples' order of kinds."""
    found: dict[str, list[Quality]] = {}
    for sample in samples:
        output, base, pristine = (
            luma_plane(picture) for picture in (*restore(model, sample), sample.pristine)
        )
        found.setdefault(sample.kind, []).append(
            Quality(
                psnr(output, pristine, ceiling_db=CEILING_DB),
                ssim(output, pristine),
                psnr(base, pristine, ceiling_db=CEILING_DB),
                ssim(base, pristine),
            )
        )
    return {
        kind: Quality(*(fmean(column) for column in zip(*(q.to_dict().values() for q in each), strict=True)))
        for kind, each in found.items()
    }


def gains(quality: dict[str, Quality]) -> dict[str, float]:
    """PSNR over the base in dB, per kind; for `clean` the PSNR itself, as its base is already perfect."""
    return {kind: q.psnr if kind == "clean" else q.gain for kind, q in quality.items()}


def score(quality: dict[str, Quality]) -> float:
    """What the best weights are chosen by: the sum of the gains, clean pictures aside."""
    return sum(gain for kind, gain in gains(quality).items() if kind != "clean")
