"""Before/after pictures: the run's own samples while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from keenframe_train.data.validation import Sample
from keenframe_train.files import replacing
from keenframe_train.nets.keen import Keen

EDGE = 224
COLUMNS = 6


@torch.no_grad()
def restore(model: Keen, sample: Sample) -> NDArray[np.uint8]:
    """The network's output for one sample, (sH, sW) uint8."""
    device = next(model.parameters()).device
    x = torch.tensor(sample.degraded).to(device)[None, None].float() / 255
    output = model(x, torch.tensor(sample.condition).to(device)[None])
    return np.asarray((output.clamp(0, 1) * 255).round().byte()[0, 0].cpu().numpy())


def save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W) or (H, W, 3) uint8 as PNG, whole or not at all."""
    with replacing(path) as file:
        Image.fromarray(picture).save(file, "PNG")


def before_after_sheet(model: Keen, samples: Sequence[Sample], path: Path) -> None:
    """Rows of degraded, restored and pristine middle windows: one column for each of the first kinds' pictures."""
    kinds = sorted({sample.kind for sample in samples})
    picked = [next(sample for sample in samples[i:] if sample.kind == kind) for i, kind in enumerate(kinds)]
    columns = []
    for sample in picked[:COLUMNS]:
        x = torch.tensor(sample.degraded)[None, None].float() / 255
        before = (model.base(x).clamp(0, 1) * 255).round().byte()[0, 0].numpy()
        rows = [_middle(plane) for plane in (before, restore(model, sample), sample.pristine)]
        columns.append(np.concatenate(rows))
    save_png(path, np.concatenate(columns, axis=1))


def _middle(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    edge = min(EDGE, *plane.shape)
    top, left = (plane.shape[0] - edge) // 2, (plane.shape[1] - edge) // 2
    return plane[top : top + edge, left : left + edge]
