"""Frames brought to a size and pixel format that is asked for, and to even sizes."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame

from keenframe.frame import Frame
from keenframe.pixels import FORMAT_OF_AV, REPACKED

# AVColorSpace and AVColorRange values that RGB input is converted to.
_BT709, _LIMITED = 1, 1


def conformed(frame: VideoFrame, width: int, height: int, pix_fmt: str) -> VideoFrame:
    """`frame` in this size and format; RGB becomes limited-range BT.709, other colour tags are kept."""
    name = frame.format.name.replace("yuvj", "yuv")
    if (frame.width, frame.height) == (width, height) and name == pix_fmt:
        return frame
    if frame.format.is_rgb or frame.format.has_palette:
        target = {"dst_colorspace": _BT709, "dst_color_range": _LIMITED}
        result = frame.reformat(width, height, pix_fmt, interpolation="BICUBIC", **target)
        result.colorspace, result.color_range = _BT709, _LIMITED
        return result
    result = frame.reformat(width, height, pix_fmt, interpolation="BICUBIC")
    result.colorspace, result.color_range = frame.colorspace, frame.color_range
    return result


def live_frame(frame: VideoFrame) -> Frame:
    """A Frame of whatever a camera or a decoder gives: without a copy where its format is known, else as I420."""
    if frame.format.name not in FORMAT_OF_AV and frame.format.name not in REPACKED:
        frame = conformed(frame, frame.width, frame.height, "yuv420p")
    return Frame.from_av(frame)


def padded_even(frame: Frame) -> Frame:
    """`frame` with its last row and column repeated where a size is odd."""
    if frame.width % 2 == 0 and frame.height % 2 == 0:
        return frame
    luma = np.pad(frame.planes[0], ((0, frame.height % 2), (0, frame.width % 2)), mode="edge")
    planes = [luma]
    for plane in frame.planes[1:]:
        # Chroma that is not subsampled in a direction grows with luma; the other was rounded up already.
        rows = luma.shape[0] - frame.height if plane.shape[0] == frame.height else 0
        columns = luma.shape[1] - frame.width if plane.shape[1] == frame.width else 0
        planes.append(np.pad(plane, ((0, rows), (0, columns)), mode="edge"))
    return frame.with_planes(tuple(planes))
