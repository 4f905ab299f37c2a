"""LPIPS for `keenframe evaluate --lpips`: an entry point of `keenframe.measures`. Nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keenframe.errors import InputError

WEIGHTS = "alexnet-owt-7be5be79.pth"  # torchvision's, by the name that torch hub keeps them under


def load() -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]:
    """The distance of two (H, W, 3) uint8 RGB pictures by the package lpips, on one thread of the processor.

    ImportError without the package; InputError where AlexNet's weights are not on this machine.
    """
    import lpips

    place = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not place.is_file():
        raise InputError(
            f"LPIPS compares what AlexNet sees, and '{place}' is not there; torchvision fetches it with: "
            "python -c 'import torchvision; torchvision.models.alexnet(weights=\"DEFAULT\")'"
        )
    torch.set_num_threads(1)
    network = lpips.LPIPS(net="alex", verbose=False).eval()

    @torch.no_grad()
    def distance(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
        return float(network(_tensor(one), _tensor(two)))

    return distance


def _tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """(1, 3, H, W) float32 from -1 to 1, as the package wants it."""
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    return torch.tensor(planes)[None].float() / 127.5 - 1
