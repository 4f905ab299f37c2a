"""The codecs of a relayed stream: decoders that wait for nothing, an encoder that follows the bitrate calmly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from keenframe.errors import InputError
from keenframe.rtc.assembly import EncodedFrame

if TYPE_CHECKING:
    import av

VIDEO_CLOCK_HZ = 90_000
TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
# An encoder takes a new bitrate only by starting anew, with a key frame: down when it must, up in few large steps.
_STEP_DOWN, _STEP_UP, _UP_S = 0.85, 1.3, 3.0
_KEY_INTERVAL = 3000
# More than this is not seen: 1 Mbit/s for 640x360, 4 for 1280x720, at 30 frames a second.
_BITS_PER_PIXEL = 0.15
# Larger frames are not decoded: a few bytes of them fill gigabytes.
_PIXELS_MAX = 4096 * 2304
_LIBRARIES = {"VP8": "libvpx", "H264": "libx264"}
_DECODERS = {"VP8": "libvpx", "H264": "h264"}


class Decoder:
    """Decodes one stream's frames, one in, one out; a change of codec starts a new decoder."""

    def __init__(self) -> None:
        self._codec: str | None = None
        self._context: Any = None

    def decode(self, encoded: EncodedFrame) -> list[av.VideoFrame]:
        """The pictures of one frame, mostly one, with its RTP timestamp as pts.

        av.FFmpegError for damaged data, and it or InputError for frames of more than 4096x2304 pixels.
        """
        import av
        from av.codec.context import Flags

        _check_size(encoded)
        if encoded.codec != self._codec:
            self._codec = encoded.codec
            self._context = av.CodecContext.create(_DECODERS[encoded.codec], "r")
            # Threads by frames would hold frames back.
            self._context.thread_count = 1
            self._context.flags |= Flags.low_delay
            self._context.options = {"max_pixels": str(_PIXELS_MAX)}
        packet = av.Packet(encoded.data)
        packet.pts, packet.time_base = encoded.timestamp, TIME_BASE
        frames: list[av.VideoFrame] = self._context.decode(packet)
        return frames


def _check_size(encoded: EncodedFrame) -> None:
    """InputError for a VP8 key frame that is too large: libvpx takes its memory before FFmpeg sees the size."""
    data = encoded.data
    if encoded.codec != "VP8" or len(data) < 10 or data[0] & 1:
        return
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    if width * height > _PIXELS_MAX:
        raise InputError(
            f"the picture is {width}x{height}; expected at most {_PIXELS_MAX} pixels: send it smaller"
        )


class Outgoing(NamedTuple):
    """A frame on its way out. arrived_s: when its last packet came in, by `time.perf_counter()`."""

    picture: av.VideoFrame
    arrived_s: float


class VideoEncoder:
    """Encodes one stream for aiortc, in the place of its own encoders, whose `encode` it has.

    Those denoise, which costs what sharpening gained (3 dB at 2 Mbit/s), and start anew, with a key frame, whenever
    the bitrate moves by a tenth. bitrate_bps: asked before each frame, with the most that is of use to it.
    """

    def __init__(self, codec: str, bitrate_bps: Callable[[int], int]) -> None:
        self.key_frames = 0
        self.frames = 0
        self._codec = codec
        self._bitrate_bps = bitrate_bps
        self._context: Any = None
        self._changed_s = 0.0
        self._picture_id = random.randrange(1 << 15)

    def encode(self, picture: av.VideoFrame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """The payloads of a yuv420p picture's packets, and its pts. Blocks: for a thread of its own."""
        from aiortc.codecs.h264 import H264Encoder
        from aiortc.codecs.vpx import Vp8Encoder
        from av.video.frame import PictureType

        self._follow(picture)
        picture.pict_type = PictureType.I if force_keyframe else PictureType.NONE
        data = b""
        for packet in self._context.encode(picture):
            data += bytes(packet)
            self.key_frames += packet.is_keyframe
        self.frames += 1
        assert picture.pts is not None
        if self._codec == "H264":
            return H264Encoder._packetize(H264Encoder._split_bitstream(data)), picture.pts
        self._picture_id = (self._picture_id + 1) % (1 << 15)
        return Vp8Encoder._packetize(data, self._picture_id), picture.pts

    def close(self) -> None:
        """Free the codec."""
        self._context = None

    def _follow(self, picture: av.VideoFrame) -> None:
        """Make the encoder fit the picture's size and the bitrate."""
        now_s = time.monotonic()
        context = self._context
        bitrate = self._bitrate_bps(round(_BITS_PER_PIXEL * picture.width * picture.height * 30))
        if context is not None and (context.width, context.height) == (picture.width, picture.height):
            ratio = bitrate / context.bit_rate
            if ratio >= _STEP_DOWN and (ratio <= _STEP_UP or now_s - self._changed_s < _UP_S):
                return
        self._changed_s = now_s
        self._context = self._open(picture, bitrate)

    def _open(self, picture: av.VideoFrame, bitrate: int) -> Any:
        import av

        context: Any = av.CodecContext.create(_LIBRARIES[self._codec], "w")
        context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
        context.bit_rate, context.gop_size, context.time_base = bitrate, _KEY_INTERVAL, TIME_BASE
        # More than one waits for the others where processors are taken.
        context.thread_count = 1
        if self._codec == "H264":
            context.framerate = Fraction(30)
            context.profile = "Baseline"
            context.color_range = picture.color_range
            context.options = {
                "preset": "superfast",
                "tune": "zerolatency",
                "maxrate": str(bitrate),
                "bufsize": str(bitrate // 2),
            }
            return context
        context.qmin, context.qmax = 2, 56
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            "minrate": str(bitrate),
            "maxrate": str(bitrate),
            "bufsize": str(bitrate // 2),
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "static-thresh": "1",
        }
        return context


class ForwardedSound:
    """In the place of an audio encoder: payloads go out as they came in."""

    def pack(self, sound: tuple[bytes, int]) -> tuple[list[bytes], int]:
        """The one payload of (payload, timestamp), and its timestamp."""
        payload, timestamp = sound
        return [payload], timestamp
