"""The training side's degradations as presets of `keenframe evaluate`: an entry point of `keenframe.degradations`.

Whole pictures by `data.presets`; clips sent through real encoders and decoders, as a call sends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from keenframe.evaluate.presets import Preset
from keenframe.frame import Frame
from keenframe_train.data.codecs import CodecSetting, luma_frame, transcode
from keenframe_train.data.degradations import Kernel, resize
from keenframe_train.data.presets import PRESETS

SEED = 7
# R5 works on 256x256 windows.
WINDOWS: MappingProxyType[str, int] = MappingProxyType({"r5": 256})
SETTLE = 15  # frames until a rate control has settled; they are sent but not judged
_ABOUT = MappingProxyType(
    {
        "clean": "nothing: the picture itself, which should come out as it was",
        "r1": "R1: halved and enlarged again, bicubic or bilinear",
        "r1-opencv": "R1 with the kernels of OpenCV and PyTorch, which alias",
        "r2": "R2: Gaussian blur of sigma 1.0-2.5, halved and enlarged again",
        "r3": "R3: motion blur, shrinking up to x3, noise, JPEG, lost rows",
        "r4": "R4: a quarter of the size, JPEG 5-35, noise, enlarged again",
        "r5": "R5: halved and enlarged again, windows of 256x256",
        "call": "a call's frame: camera blur and noise, any sent size, a real codec",
        "call-full": "a call's frame sent at full size",
        "call-half": "a call's frame sent at half size and enlarged by the viewer",
        "x2": "half the size, bicubic: input of networks that enlarge",
        "received-half": "a call's frame at the half size it was sent at",
        "x4": "a quarter of the size, bicubic: input of networks that enlarge by four",
        "received-quarter": "a call's frame at the quarter of the size it was sent at",
        "r4-small": "R4 before it is enlarged: a quarter of the size",
    }
)


@dataclass(frozen=True, slots=True)
class Sending:
    """How a clip is sent: its codec setting, and by how much it is shrunk before."""

    setting: CodecSetting
    factor: float = 1

    def __call__(self, frames: Sequence[Frame]) -> list[Frame]:
        """Frames, 8-bit I420 or gray, as they are received at their sent size; of a factor that is no whole number
        enlarged again, bilinearly."""
        small = [self._shrunk(frame) for frame in frames]
        sent = [luma_frame(f.planes[0]) if f.format == "gray" else f.to_av() for f in small]
        received = [
            frame.with_planes(Frame.from_av(decoded).planes[: len(frame.planes)])
            for frame, decoded in zip(small, transcode(sent, self.setting), strict=True)
        ]
        if self.factor % 1 == 0:
            return received
        return [
            _resized(frame, [plane.shape for plane in whole.planes], "bilinear")
            for frame, whole in zip(received, frames, strict=True)
        ]

    def _shrunk(self, frame: Frame) -> Frame:
        if self.factor == 1:
            return frame
        # Even, as codecs want it, so that chroma has half of it.
        height, width = (2 * round(side / self.factor / 2) for side in frame.planes[0].shape)
        shapes = [(height, width), *[(height // 2, width // 2)] * (len(frame.planes) - 1)]
        return _resized(frame, shapes, "bicubic")


def _resized(frame: Frame, shapes: Sequence[tuple[int, ...]], kernel: Kernel) -> Frame:
    """Every plane at another shape, (H, W)."""
    planes = [
        resize(np.ascontiguousarray(plane), shape[1], shape[0], kernel)
        for plane, shape in zip(frame.planes, shapes, strict=True)
    ]
    return frame.with_planes(tuple(planes))


SENDINGS: MappingProxyType[str, tuple[str, Sending]] = MappingProxyType(
    {
        "h264-half": (
            "H.264 half size, 0.045 bit/px",
            Sending(CodecSetting("h264", bits_per_pixel=0.045), 2),
        ),
        "vp8-half": ("VP8 half size, 0.045 bit/px", Sending(CodecSetting("vp8", bits_per_pixel=0.045), 2)),
        # As calls step down, and a recording of one shows: nothing says that its frames were enlarged.
        "h264-two-thirds": (
            "H.264 two thirds of the size, 0.045 bit/px",
            Sending(CodecSetting("h264", bits_per_pixel=0.045), 1.5),
        ),
        "vp8-two-thirds": (
            "VP8 two thirds of the size, 0.045 bit/px",
            Sending(CodecSetting("vp8", bits_per_pixel=0.045), 1.5),
        ),
        "vp8-full": ("VP8 0.045 bit/px", Sending(CodecSetting("vp8", bits_per_pixel=0.045))),
        "h264-full": ("H.264 0.045 bit/px", Sending(CodecSetting("h264", bits_per_pixel=0.045))),
        "hevc-full": ("HEVC 0.045 bit/px", Sending(CodecSetting("hevc", bits_per_pixel=0.045))),
        "vp8-q50": ("VP8 quantiser 50", Sending(CodecSetting("vp8", 50, constant_qp=True))),
        "h264-qp37": ("H.264 QP 37", Sending(CodecSetting("h264", 37, constant_qp=True))),
        "hevc-qp37": ("HEVC QP 37", Sending(CodecSetting("hevc", 37, constant_qp=True))),
    }
)


def presets() -> list[Preset]:
    """All of them, those for pictures first."""
    cv2.setNumThreads(1)  # every item has a process of its own
    pictures = [
        Preset(
            name,
            _ABOUT[name],
            picture=degradation,
            window=WINDOWS.get(name),
            draws_as=name.removesuffix("-small"),
        )
        for name, degradation in PRESETS.items()
    ]
    clips = [
        # Browsers enlarge a video bilinearly.
        Preset(name, f"clips sent as {title}", clip=sending, settle=SETTLE, enlarging="bilinear")
        for name, (title, sending) in SENDINGS.items()
    ]
    return pictures + clips
