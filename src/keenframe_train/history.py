"""What a run did, step by step: `history.jsonl` for figures and tables, TensorBoard for watching.

A line of history is a JSON object with "event" and "step". event "train", means since the last such line: loss, terms
(before their weights), rate, grad_norm (before clipping), seconds (of training so far, validations aside), steps_per_s.
event "validation": quality, a mapping from kind to psnr, ssim, base_psnr, base_ssim; train, the same for fixed crops
of the training pairs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import Quality
from keenframe_train.files import replacing

FILE = "history.jsonl"


def read_history(folder: Path) -> list[dict[str, Any]]:
    """All lines of a run's history; a last line that was cut off by a crash is left out.

    Raises TrainError when there is no history or when it is damaged elsewhere.
    """
    path = folder / FILE
    if not path.exists():
        raise TrainError(f"no {FILE} in '{folder}'; expected the folder of a run of `keenframe-train fit`")
    lines = path.read_text().splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise TrainError(f"line {number} of '{path}' is damaged: {error}") from error
    return records


class Means:
    """Running means of scalars that stay on their device until they are asked for."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take the values of one step; the same names every time."""
        for name, value in values.items():
            self.sums[name] = (
                self.sums[name] + value.detach() if name in self.sums else value.detach().clone()
            )
        self.count += 1

    def take(self) -> Tensor:
        """The means in the order of `sums`, float32 (names,); and start anew."""
        means = torch.stack([value.float() for value in self.sums.values()]) / max(1, self.count)
        self.sums, self.count = dict.fromkeys(self.sums, torch.zeros((), device=means.device)), 0
        return means


class Clock:
    """Seconds of training, validations and checkpoints aside."""

    def __init__(self, seconds: float) -> None:
        self.total, self.since = seconds, time.perf_counter()

    def lap(self) -> float:
        """Count the time since the last lap or pause."""
        now = time.perf_counter()
        lap, self.since = now - self.since, now
        self.total += lap
        return lap

    def resume(self) -> None:
        """Leave out the time since the last lap."""
        self.since = time.perf_counter()


class Journal:
    """Writes history and TensorBoard into a run's folder; does nothing where `active` is False (other processes).

    step: where the run goes on; what a broken-off run wrote beyond it is dropped.
    """

    def __init__(self, folder: Path, step: int, active: bool) -> None:
        self.writer: SummaryWriter | None = None
        if not active:
            return
        path = folder / FILE
        kept = [r for r in read_history(folder) if r["step"] <= step] if step and path.exists() else []
        with replacing(path) as file:
            file.writelines(f"{json.dumps(record)}\n".encode() for record in kept)
        self.file = path.open("a")
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else 0)

    def train(self, step: int, values: Mapping[str, float], terms: Mapping[str, float]) -> None:
        """values: loss, rate, grad_norm, seconds, steps_per_s."""
        self._write({"event": "train", "step": step, **values, "terms": dict(terms)})
        for name, value in values.items():
            self._scalar(f"train/{name}", value, step)
        for name, value in terms.items():
            self._scalar(f"term/{name}", value, step)

    def validation(
        self, step: int, quality: Mapping[str, Quality], train: Quality, sheet: NDArray[np.uint8]
    ) -> None:
        """quality: per kind. train: of the fixed training crops. sheet: (H, W[, 3]) uint8 sample pictures."""
        kinds = {kind: q.to_dict() for kind, q in quality.items()}
        self._write({"event": "validation", "step": step, "quality": kinds, "train": train.to_dict()})
        for kind, q in {**quality, "training crops": train}.items():
            for name, value in (("psnr", q.psnr), ("ssim", q.ssim), ("gain", q.gain)):
                self._scalar(f"{name}/{kind}", value, step)
        if self.writer:
            self.writer.add_image("samples", sheet, step, dataformats="HW" if sheet.ndim == 2 else "HWC")

    def close(self) -> None:
        """Flush and close both."""
        if self.writer:
            self.writer.close()
            self.file.close()

    def _scalar(self, name: str, value: float, step: int) -> None:
        if self.writer:
            self.writer.add_scalar(name, value, step)

    def _write(self, record: dict[str, Any]) -> None:
        if self.writer:
            self.file.write(f"{json.dumps(record)}\n")
            self.file.flush()
