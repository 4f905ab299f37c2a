"""`call`: what a bad video call does to a picture, with real codecs.

Camera blur and sensor noise, shrinking to the sent size, several low-delay frames of a still or moving window
through a real encoder and decoder (now and then with a lost packet), and the viewer's enlarging. The heavy half
of every range is what a poor call looks like, the light half keeps the network honest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from keenframe_train.data.codecs import Codec, CodecSetting, luma_frame, luma_of, transcode
from keenframe_train.data.degradations import GaussianBlur, Kernel, resize

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings for every clip otherwise
# PyAV's logging stays off, as it is by default: once a level is set, a decoder that is freed before its end can wait
# for ever for threads that want Python's lock to log.

Uint8 = NDArray[np.uint8]


def _shares(**shares: float) -> Mapping[str, float]:
    return MappingProxyType(shares)


@dataclass(frozen=True, slots=True)
class Call:
    """The call degradation of one picture, (H, W) luma or (H, W, 3) RGB uint8, H and W at least 64.

    scales: sent sizes as pairs (factor, share). codecs: shares. frames: clip length [low, high]; the last decoded
    frame is the result. crf: H.264 and HEVC, half of the time as constant QP. vpx_quantizer: VP8 and VP9 on
    libvpx's 0-63 scale. av1_quality: CRF. All qualities are drawn heavy more often than light.
    bits_per_pixel: per pixel and frame, log-uniform, for the share `rate_control` of VP8, VP9 and H.264 clips: a
    small share, since no rate control settles within so few frames. moving: share of clips whose window moves.
    blur, noise: share and range of camera blur (sigma, pixels) and sensor noise (sigma, code values; fresh in each
    frame). loss: share of clips that lose a packet.
    """

    scales: tuple[tuple[float, float], ...] = (
        (1, 0.4),
        (4 / 3, 0.1),
        (1.5, 0.12),
        (2, 0.25),
        (3, 0.08),
        (4, 0.05),
    )
    codecs: Mapping[str, float] = field(
        default_factory=lambda: _shares(h264=0.36, vp8=0.26, vp9=0.16, hevc=0.14, av1=0.08)
    )
    frames: tuple[int, int] = (4, 8)
    crf: tuple[int, int] = (18, 45)
    vpx_quantizer: tuple[int, int] = (16, 62)
    bits_per_pixel: tuple[float, float] = (0.012, 0.3)
    av1_quality: tuple[int, int] = (28, 60)
    rate_control: float = 0.1
    moving: float = 0.4
    blur: tuple[float, tuple[float, float]] = (0.3, (0.3, 0.9))
    noise: tuple[float, tuple[float, float]] = (0.35, (0.5, 4.0))
    loss: float = 0.03
    shrink: tuple[Kernel, ...] = ("area", "bilinear", "bicubic")
    enlarge: tuple[Kernel, ...] = ("bilinear", "bicubic")

    def setting(self, rng: np.random.Generator, frames: int) -> CodecSetting:
        """Draw codec, rate or quantiser, and lost packets."""
        names = list(self.codecs)
        weights = np.array([self.codecs[name] for name in names])
        codec: Codec = names[int(rng.choice(len(names), p=weights / weights.sum()))]  # type: ignore[assignment]
        lost = (int(rng.integers(1, frames)),) if frames > 1 and rng.random() < self.loss else ()
        if codec in ("h264", "vp8", "vp9") and rng.random() < self.rate_control:
            low, high = np.log(self.bits_per_pixel)
            return CodecSetting(codec, bits_per_pixel=float(np.exp(rng.uniform(low, high))), lost=lost)
        low_q, high_q = {"av1": self.av1_quality, "vp8": self.vpx_quantizer, "vp9": self.vpx_quantizer}.get(
            codec, self.crf
        )
        # Heavy more often than light: the call is a poor one.
        quality = low_q + int((high_q - low_q + 1) * rng.random() ** 0.7)
        constant = codec in ("vp8", "vp9") or (codec != "av1" and bool(rng.random() < 0.5))
        return CodecSetting(codec, quality, constant_qp=constant, lost=lost)

    def received(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        """The last decoded frame at its sent size, about (H / factor, W / factor)."""
        height, width = image.shape[:2]
        factors, shares = zip(*self.scales, strict=True)
        factor = float(rng.choice(factors, p=np.array(shares) / sum(shares)))
        count = int(rng.integers(self.frames[0], self.frames[1] + 1))
        setting = self.setting(rng, count)
        if rng.random() < self.blur[0]:
            image = GaussianBlur(self.blur[1])(image, rng)
        noise = float(rng.uniform(*self.noise[1])) if rng.random() < self.noise[0] else 0.0
        # A moving camera or subject: the window ends where the pristine picture is, and was elsewhere before.
        step = rng.uniform(-6, 6, 2) if rng.random() < self.moving else np.zeros(2)
        # Even, and no smaller than what every encoder takes.
        sent_width = max(64, 2 * round(width / factor / 2))
        sent_height = max(64, 2 * round(height / factor / 2))
        shrink = self.shrink[int(len(self.shrink) * rng.random())]
        clip = []
        for index in range(count):
            offset = np.rint(step * (count - 1 - index)).astype(int)
            frame = _shifted(image, int(offset[0]), int(offset[1]))
            if noise:
                grain = rng.standard_normal(frame.shape, dtype=np.float32) * np.float32(noise)
                frame = np.clip(np.rint(frame + grain), 0, 255).astype(np.uint8)
            clip.append(_to_frame(resize(frame, sent_width, sent_height, shrink)))
        return _from_frame(transcode(clip, setting)[-1], image.ndim)

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        received = self.received(image, rng)
        if received.shape[:2] == image.shape[:2]:
            return received
        kernel = self.enlarge[int(rng.integers(len(self.enlarge)))]
        # Pillow's and OpenCV's bicubic kernels are not the same one (a = -0.5 and -0.75).
        return resize(received, image.shape[1], image.shape[0], kernel, antialias=bool(rng.random() < 0.5))


def _shifted(image: Uint8, dy: int, dx: int) -> Uint8:
    """The picture moved by (dy, dx) pixels, mirrored where nothing is known."""
    if not dy and not dx:
        return image
    pad = [(abs(dy), abs(dy)), (abs(dx), abs(dx))] + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, pad, mode="reflect")
    top, left = abs(dy) + dy, abs(dx) + dx
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


def _to_frame(image: Uint8) -> av.VideoFrame:
    if image.ndim == 2:
        return luma_frame(np.ascontiguousarray(image))
    planes = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YUV_I420)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _from_frame(frame: av.VideoFrame, dimensions: int) -> Uint8:
    if dimensions == 2:
        return luma_of(frame)
    return np.asarray(cv2.cvtColor(frame.to_ndarray(format="yuv420p"), cv2.COLOR_YUV2RGB_I420), np.uint8)


CALL = Call()
# Whether a frame of full size is soft because of the camera cannot be seen; sharpening on suspicion would harm the
# many that are not, so only a few of these are blurred.
CALL_FULL = Call(scales=((1, 1.0),), blur=(0.12, (0.3, 0.8)), noise=(0.25, (0.5, 3.0)))
CALL_HALF = Call(scales=((2, 1.0),))
CALL_QUARTER = Call(scales=((4, 1.0),))
