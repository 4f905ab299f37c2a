"""A clip through a real encoder and decoder, in memory, as a call does it: low delay, one reference back.

PyAV's wheel carries x264, x265, libvpx and SVT-AV1. Packets go from the encoder straight to the decoder, so a
lost packet is simply one that is not handed over: what is then seen is the decoder's own concealment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from keenframe.media.scheduling import ordinary_scheduling
from keenframe_train.errors import TrainError

Codec = Literal["h264", "hevc", "vp8", "vp9", "av1"]
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp8": "libvpx", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
_DECODERS = {"h264": "h264", "hevc": "hevc", "vp8": "vp8", "vp9": "vp9", "av1": "libdav1d"}
FRAME_RATE = 30


@dataclass(frozen=True, slots=True)
class CodecSetting:
    """How a clip is encoded.

    quality: CRF (H.264, HEVC 0-51; AV1 0-63), or with `constant_qp` the quantiser itself (VP8 and VP9: libvpx's
    0-63 scale); ignored when `bits_per_pixel` (per pixel and frame; not AV1) sets a bitrate instead. A rate
    control needs tens of frames to settle, a constant quantiser shows the settled state at once.
    lost: positions of packets that never arrive; the first packet, a key frame, can't be lost.
    """

    codec: Codec
    quality: int = 30
    bits_per_pixel: float | None = None
    constant_qp: bool = False
    lost: tuple[int, ...] = ()


def _encoder(setting: CodecSetting, width: int, height: int) -> av.VideoCodecContext:
    context = av.CodecContext.create(_ENCODERS[setting.codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, FRAME_RATE)
    context.framerate = Fraction(FRAME_RATE)
    context.thread_count = 1
    rate = "qp" if setting.constant_qp else "crf"
    options: dict[str, str] = {}
    if setting.bits_per_pixel is not None:
        context.bit_rate = max(2000, int(setting.bits_per_pixel * width * height * FRAME_RATE))
    if setting.codec == "h264":
        options = {"preset": "veryfast", "tune": "zerolatency", "threads": "1"}
    elif setting.codec == "hevc":
        options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x265-params": "log-level=none:pools=none:frame-threads=1",
        }
        if setting.bits_per_pixel is None:
            options["x265-params"] += f":{rate}={setting.quality}"
    elif setting.codec in ("vp8", "vp9"):
        options = {
            "deadline": "realtime",
            # Negative: VP8 keeps this speed; positive, it would follow the clock, and no two runs agree.
            "cpu-used": "-6" if setting.codec == "vp8" else "7",
            "lag-in-frames": "0",
        }
        options |= {"error-resilient": "1"} if setting.lost else {}
        if setting.bits_per_pixel is None and setting.constant_qp:
            # qmin = qmax needs some bitrate to aim at; it never gets to steer.
            context.bit_rate = 1_000_000
            options |= {"qmin": str(setting.quality), "qmax": str(setting.quality)}
        elif setting.bits_per_pixel is None:
            context.bit_rate = 0
            options |= {"crf": str(setting.quality)}
    else:
        options = {"preset": "12", "svtav1-params": "pred-struct=1:lp=1:lookahead=0"}
    if setting.codec in ("h264", "av1") and setting.bits_per_pixel is None:
        options[rate] = str(setting.quality)
    context.options = options
    return context


def transcode(frames: Sequence[av.VideoFrame], setting: CodecSetting) -> list[av.VideoFrame]:
    """Encode and decode a clip of yuv420p frames of one even size; gives the frames that were decoded.

    Without loss as many come back as went in. With loss the decoder may drop or repeat some; at least one comes.
    """
    if setting.codec == "av1" and setting.bits_per_pixel is not None:
        raise TrainError("AV1 is driven by quality here, not by bits_per_pixel; give quality=0-63")
    width, height = frames[0].width, frames[0].height
    if width % 2 or height % 2:
        raise TrainError(f"codecs take even sizes; got {width}x{height}: crop the clip first")
    with ordinary_scheduling():
        packets = _encode(frames, setting, width, height)
    decoder = av.CodecContext.create(_DECODERS[setting.codec], "r")
    decoder.thread_count = 1
    decoded: list[av.VideoFrame] = []
    for index, packet in enumerate(packets):
        if index and index in setting.lost:
            continue
        try:
            decoded += decoder.decode(packet)
        except av.error.InvalidDataError:
            if not setting.lost:
                raise
    try:
        decoded += decoder.decode(None)
    except av.error.InvalidDataError:
        if not setting.lost:
            raise
    return decoded


def _encode(
    frames: Sequence[av.VideoFrame], setting: CodecSetting, width: int, height: int
) -> list[av.Packet]:
    encoder = _encoder(setting, width, height)
    packets = []
    for index, frame in enumerate(frames):
        frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
        packets += encoder.encode(frame)
    return [*packets, *encoder.encode(None)]


def luma_frame(luma: NDArray[np.uint8]) -> av.VideoFrame:
    """A yuv420p frame of an (H, W) uint8 luma plane of even size with neutral chroma."""
    height, width = luma.shape
    chroma = np.full((height // 2, width), 128, np.uint8)
    return av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format="yuv420p")


def luma_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W) uint8 copy of a planar frame's luma."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width].copy()
