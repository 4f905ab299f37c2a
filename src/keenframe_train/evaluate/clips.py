"""Quality on moving pictures: clips sent through real codecs as a call does, and what the sharpener makes of them.

A webcam clip is itself compressed, so it is halved before it counts as pristine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from keenframe import Sharpener
from keenframe_train.data.codecs import CodecSetting, luma_frame, luma_of, transcode
from keenframe_train.data.degradations import resize
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.metrics import psnr, ssim
from keenframe_train.evaluate.stills import unsharp_mask
from keenframe_train.progress import progress

Uint8 = NDArray[np.uint8]
SETTLE = 15  # frames until a rate control has settled; they are sent but not judged


@dataclass(frozen=True, slots=True)
class Sending:
    """How a clip is sent: its codec setting, and by how much it is shrunk before."""

    name: str
    setting: CodecSetting
    factor: int = 1


SENDINGS: tuple[Sending, ...] = (
    Sending("H.264 half size, 0.045 bit/px", CodecSetting("h264", bits_per_pixel=0.045), 2),
    Sending("VP8 half size, 0.045 bit/px", CodecSetting("vp8", bits_per_pixel=0.045), 2),
    Sending("VP8 0.045 bit/px", CodecSetting("vp8", bits_per_pixel=0.045)),
    Sending("H.264 0.045 bit/px", CodecSetting("h264", bits_per_pixel=0.045)),
    Sending("HEVC 0.045 bit/px", CodecSetting("hevc", bits_per_pixel=0.045)),
    Sending("VP8 quantiser 50", CodecSetting("vp8", 50, constant_qp=True)),
    Sending("H.264 QP 37", CodecSetting("h264", 37, constant_qp=True)),
    Sending("HEVC QP 37", CodecSetting("hevc", 37, constant_qp=True)),
)


@dataclass(frozen=True, slots=True)
class ClipScore:
    """Means over the judged frames of one clip, sending and method.

    flicker: mean absolute change, from frame to frame, of the error against the pristine clip, in code values;
    a method that adds no flicker has no more than the input.
    """

    clip: str
    sending: str
    method: str
    psnr: float
    ssim: float
    flicker: float


def read_luma(path: Path, frames: int, halve: bool = True) -> list[Uint8]:
    """The first `frames` luma planes of a video, halved with a bicubic filter and cut to multiples of 16."""
    planes: list[Uint8] = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                plane = luma_of(frame.reformat(format="yuv420p"))
                if halve:
                    plane = resize(plane, plane.shape[1] // 2, plane.shape[0] // 2, "bicubic")
                planes.append(plane[: plane.shape[0] // 16 * 16, : plane.shape[1] // 16 * 16].copy())
                if len(planes) == frames:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise TrainError(f"cannot read a video from '{path}': {error}") from error
    if len(planes) < 2 * SETTLE:
        raise TrainError(f"'{path}' has {len(planes)} frames; a clip needs at least {2 * SETTLE}")
    return planes


def send(planes: Sequence[Uint8], sending: Sending) -> list[Uint8]:
    """The clip as it is received, at its sent size."""
    height, width = planes[0].shape
    small = planes
    if sending.factor > 1:
        small = [resize(p, width // sending.factor, height // sending.factor, "bicubic") for p in planes]
    return [luma_of(frame) for frame in transcode([luma_frame(p) for p in small], sending.setting)]


def _flicker(outputs: Sequence[Uint8], pristine: Sequence[Uint8]) -> float:
    errors = [o.astype(np.int16) - p for o, p in zip(outputs, pristine, strict=True)]
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(errors)]))


def evaluate_clips(
    clips: Sequence[Path],
    models: Sequence[str],
    *,
    sendings: Sequence[Sending] = SENDINGS,
    frames: int = 60,
    engine: str = "auto",
) -> list[ClipScore]:
    """Scores of input (enlarged bilinearly when it was sent smaller), unsharp mask and models, per clip.

    A x2 model takes the half-size frames as they are received.
    """
    scores: list[ClipScore] = []
    sharpeners = {model: Sharpener(model, engine=engine) for model in models}
    with progress() as bar:
        row = bar.add_task("clips", total=len(clips) * len(sendings), note="")
        for clip in clips:
            pristine = read_luma(clip, frames)
            height, width = pristine[0].shape
            for sending in sendings:
                received = send(pristine, sending)
                shown = [r if sending.factor == 1 else resize(r, width, height, "bilinear") for r in received]
                outputs: dict[str, list[Uint8]] = {
                    "input": shown,
                    "unsharp mask": [unsharp_mask(s) for s in shown],
                }
                for model, sharpener in sharpeners.items():
                    if sharpener.scale > 1 and sharpener.scale != sending.factor:
                        continue
                    sharpener.reset()
                    source = received if sharpener.scale > 1 else shown
                    outputs[model] = [np.array(sharpener.sharpen(plane, still=False)) for plane in source]
                for method, planes in outputs.items():
                    judged = list(zip(planes, pristine, strict=True))[SETTLE:]
                    scores.append(
                        ClipScore(
                            clip.stem,
                            sending.name,
                            method,
                            float(np.mean([psnr(o, p) for o, p in judged])),
                            float(np.mean([ssim(o, p) for o, p in judged])),
                            _flicker([o for o, _ in judged], [p for _, p in judged]),
                        )
                    )
                bar.advance(row)
    return scores


def clips_table(scores: Sequence[ClipScore]) -> str:
    """Markdown: per sending the input's PSNR and SSIM, each method's gain (mean, worst clip) and flicker."""
    methods = [m for m in dict.fromkeys(score.method for score in scores) if m != "input"]
    lines = ["| sent as | input | " + " | ".join(methods) + " |", "|" + " --- |" * (len(methods) + 2)]
    for sending in dict.fromkeys(score.sending for score in scores):
        rows = {(s.clip, s.method): s for s in scores if s.sending == sending}
        clips = sorted({clip for clip, _ in rows})
        base = [rows[clip, "input"] for clip in clips]
        cells = [
            f"{np.mean([b.psnr for b in base]):.2f} dB, {np.mean([b.ssim for b in base]):.4f}, "
            f"flicker {np.mean([b.flicker for b in base]):.2f}"
        ]
        for method in methods:
            if (clips[0], method) not in rows:
                cells.append("—")
                continue
            own = [rows[clip, method] for clip in clips]
            gains = [o.psnr - b.psnr for o, b in zip(own, base, strict=True)]
            quality = np.mean([o.ssim - b.ssim for o, b in zip(own, base, strict=True)])
            cells.append(
                f"{np.mean(gains):+.2f} dB (worst {min(gains):+.2f}), {quality:+.4f}, "
                f"flicker {np.mean([o.flicker for o in own]):.2f}"
            )
        lines.append(f"| {sending} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
