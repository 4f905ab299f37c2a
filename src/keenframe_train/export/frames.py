"""Real frames to compare files on: validation windows where there is data, else the samples of the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from keenframe.condition import band_statistics
from keenframe.demo import SAMPLES, Call
from keenframe.metrics import luma
from keenframe.zoo.spec import ModelSpec
from keenframe_train.data.degradations import Uint8, resize
from keenframe_train.data.folders import validation_pictures
from keenframe_train.data.images import read_rgb
from keenframe_train.data.validation import Sample, luma_plane, validation_samples
from keenframe_train.export.portable import Size

_KINDS = {
    1: ("r1", "r2", "call-half", "call-full"),
    2: ("x2", "received-half"),
    4: ("x4", "received-quarter"),
}
_FULL_SIZE = ("call-full",)
_RGB_KINDS = {**_KINDS, 4: ("r4-small",)}
_PER_CATEGORY, _WINDOW = 1, 256
_CALL_FRAMES = (10, 40, 70)


def frames_for(
    spec: ModelSpec, size: Size | None, data: Path | None, full_size: bool | None = None
) -> list[Sample]:
    """Frames and their pristine twins as a network of that description takes them.

    size: to which they are cut or mirrored on; None cuts them to the network's multiple. full_size: whether it is an
    expert for frames that were not enlarged, or for others, and gets no frames of the other kind; None: it takes all.
    """
    if data is None:
        samples = _embedded(spec, bool(full_size))
    else:
        files = validation_pictures(data)
        color = "rgb" if spec.color == "rgb" else "luma"
        kinds = (_RGB_KINDS if spec.color == "rgb" else _KINDS)[spec.scale]
        if full_size is not None:
            kinds = tuple(kind for kind in kinds if (kind in _FULL_SIZE) == full_size)
        samples = validation_samples(files, kinds, _PER_CATEGORY, _WINDOW, color=color)
    return [_fitted(sample, spec, size) for sample in samples]


def _embedded(spec: ModelSpec, full_size: bool) -> list[Sample]:
    still, clear = (read_rgb(SAMPLES / name) for name in ("still.jpg", "still-reference.webp"))
    pairs: list[tuple[str, Uint8, Uint8]] = []
    if spec.color == "luma":
        still, clear = luma(still), luma(clear)
        call = Call.load()
        source = {1: call.shown, 2: call.received}.get(spec.scale, [])
        pairs = [("call", source[i].luma, call.reference[i]) for i in _CALL_FRAMES if i < len(source)]
        if full_size:  # as they arrive, beside what was sent
            arrived = [(call.received[i].luma, call.reference[i]) for i in _CALL_FRAMES]
            pairs = [("call", got, resize(sent, *got.shape[::-1], "area")) for got, sent in arrived]
    if spec.scale > 1:
        still = resize(clear, clear.shape[1] // spec.scale, clear.shape[0] // spec.scale, "bicubic")
        clear = clear[: still.shape[0] * spec.scale, : still.shape[1] * spec.scale]
    return [_sample(*pair) for pair in [("still", still, clear), *pairs]]


def _sample(kind: str, degraded: Uint8, pristine: Uint8) -> Sample:
    return Sample(kind, "sample", kind, degraded, pristine, band_statistics(luma_plane(degraded)))


def _fitted(sample: Sample, spec: ModelSpec, size: Size | None) -> Sample:
    degraded, pristine = sample.degraded, sample.pristine
    if size is not None:
        degraded = _brought_to(degraded, *size)
        pristine = _brought_to(pristine, size[0] * spec.scale, size[1] * spec.scale)
    height, width = (side // spec.size_multiple * spec.size_multiple for side in degraded.shape[:2])
    degraded = np.ascontiguousarray(degraded[:height, :width])
    pristine = np.ascontiguousarray(pristine[: height * spec.scale, : width * spec.scale])
    return replace(
        sample, degraded=degraded, pristine=pristine, condition=band_statistics(luma_plane(degraded))
    )


def _brought_to(picture: Uint8, width: int, height: int) -> Uint8:
    """Cut, or mirrored beyond its lower and right edges: resizing would change the damage."""
    short = [(0, max(0, wanted - side)) for wanted, side in zip((height, width), picture.shape, strict=False)]
    padded = np.pad(picture, short + [(0, 0)] * (picture.ndim - 2), mode="symmetric")
    return padded[:height, :width]
