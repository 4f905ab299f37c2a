"""Checkpoints: written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from keenframe_train.errors import TrainError
from keenframe_train.files import replacing


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary file beside `path`, flush to the disk, then rename."""
    with replacing(path) as file:
        torch.save(state, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; tensors and plain values only. Raises TrainError if it cannot be read."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainError(f"checkpoint '{path}' does not exist") from None
    except Exception as error:
        what = str(error).partition("\n")[0].partition(". ")[0]  # torch adds paragraphs of advice
        raise TrainError(f"'{path}' is no readable checkpoint ({type(error).__name__}: {what})") from error
    if not isinstance(state, dict):
        raise TrainError(
            f"'{path}' holds {type(state).__name__}, expected a dictionary written by keenframe-train"
        )
    return state
