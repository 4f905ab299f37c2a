"""One network's files against the float network: how far apart they are on real frames, and how fast they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keenframe.condition import CONDITION_SIZE
from keenframe.metrics import psnr
from keenframe_train.data.validation import Sample, luma_plane
from keenframe_train.errors import TrainError
from keenframe_train.export.onnx_file import PARITY_LIMIT
from keenframe_train.export.onnx_portable import open_model
from keenframe_train.export.operators import Arrays
from keenframe_train.export.package import INT8_LOSS_LIMIT
from keenframe_train.export.portable import Portable, Size

Run = Callable[[Arrays], Arrays]


class Format(Protocol):
    """A module that writes a format: `litert`, `ncnn`, `openvino` or `onnx_portable`."""

    NAME: str
    PACKAGE: str

    def write(self, network: Portable, folder: Path, size: Size | None, card: str) -> list[Path]:
        """Write the network's files; the first is the one that `open_file` takes."""

    def open_file(self, path: Path, threads: int) -> Run:
        """A function that runs the file."""


THREADS = 2
# Where no size is given, speed is measured at this one; RGB networks take a hundred times as long for a pixel.
_TIMED_AT = {"luma": (1280, 720), "image": (320, 184)}
_TIMED = 5


@dataclass(frozen=True, slots=True)
class Written:
    """One network's files in their final place, and what came of running them.

    difference: largest one from the float network, as a share of the range (of a condition: absolute); None for INT8.
    int8_change: for INT8, PSNR against the pristine frames minus the float network's, dB by kind of frame.
    int8_to_float: for INT8, PSNR of its output against the float network's, dB, over all frames.
    time_ms: median of a picture of `timed_at`, width and height, with two threads on this machine.
    """

    network: str
    precision: str
    files: tuple[str, ...]
    size_bytes: int
    difference: float | None
    int8_change: dict[str, float]
    int8_to_float: float | None
    time_ms: float
    timed_at: Size


def write_and_compare(
    writer: Format,
    network: Portable,
    reference: Portable,
    folder: Path,
    card: str,
    size: Size | None,
    samples: Sequence[Sample],
) -> Written:
    """Write a network into the folder, run its files and compare them with the float network of the same name.

    card: what the files say about themselves. TrainError for an operator that the format has not, an output that is
    not finite, a float file that differs by more than 1e-4 of the range, and an INT8 file that loses more than 0.1 dB.
    """
    int8 = network is not reference
    files = writer.write(network, folder, size, card)
    run, expected = (
        writer.open_file(files[0], THREADS),
        open_model(reference.graph.SerializeToString(), THREADS),
    )
    difference, changes, errors = 0.0, dict[str, list[float]](), []
    for sample in samples:
        feeds = _feeds(network, sample)
        found, wanted = run(feeds), expected(feeds)
        for name, array in wanted.items():
            scale = 255 if name == "sharpened" else 1
            if found[name].shape != array.shape:
                raise TrainError(
                    f"'{files[0].name}' gives {name} as {found[name].shape}; expected {array.shape}"
                )
            if not np.isfinite(found[name]).all():  # no comparison with a limit would tell
                raise TrainError(
                    f"'{files[0].name}' gives NaN or infinity as {name}: the exporter is at fault"
                )
            difference = max(difference, float(np.abs(found[name] - array).max()) / scale)
        if int8:
            quality = [
                psnr(_pixels(each["sharpened"]), luma_plane(sample.pristine)) for each in (found, wanted)
            ]
            changes.setdefault(sample.kind, []).append(quality[0] - quality[1])
            errors.append(float(np.square(found["sharpened"] - wanted["sharpened"]).mean()))
    change = {kind: float(np.mean(values)) for kind, values in changes.items()}
    if not int8 and not difference <= PARITY_LIMIT:
        raise TrainError(
            f"'{network.name}' for {writer.NAME} differs from the float network by {difference:.1e} of the range; "
            f"expected at most {PARITY_LIMIT:.0e}: the exporter is at fault"
        )
    if int8 and min(change.values()) < -INT8_LOSS_LIMIT:
        raise TrainError(
            f"'{network.name}' for {writer.NAME} loses {change} dB to the float network; expected at most "
            f"{INT8_LOSS_LIMIT}: leave INT8 out with --no-int8"
        )
    timed_at = size or _TIMED_AT[network.inputs[0]]
    return Written(
        network=network.name,
        precision="int8" if int8 else "float32",
        files=tuple(path.name for path in files),
        size_bytes=sum(path.stat().st_size for path in files),
        difference=None if int8 else difference,
        int8_change=change,
        int8_to_float=10 * float(np.log10(255**2 / np.mean(errors))) if int8 else None,
        time_ms=_time_ms(run, network, timed_at),
        timed_at=timed_at,
    )


def _feeds(network: Portable, sample: Sample) -> Arrays:
    planes = sample.degraded[None] if sample.degraded.ndim == 2 else sample.degraded.transpose(2, 0, 1)
    feeds: Arrays = {network.inputs[0]: np.ascontiguousarray(planes[None], np.float32)}
    if "condition" in network.inputs:
        feeds["condition"] = sample.condition[None]
    return feeds


def _pixels(sharpened: Any) -> Any:
    """The plane that is measured, from (1, C, H, W) in code values."""
    planes = np.clip(np.rint(sharpened[0]), 0, 255).astype(np.uint8)
    return luma_plane(planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _time_ms(run: Run, network: Portable, size: Size) -> float:
    shape = network.graph.graph.input[0].type.tensor_type.shape.dim
    picture = np.random.default_rng(0).integers(16, 236, (1, shape[1].dim_value, size[1], size[0]))
    feeds: Arrays = {network.inputs[0]: picture.astype(np.float32)}
    if "condition" in network.inputs:
        feeds["condition"] = np.ones((1, CONDITION_SIZE), np.float32)
    times = []
    for _ in range(_TIMED + 1):
        start = time.perf_counter()
        run(feeds)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))
