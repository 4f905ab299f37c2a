"""Frames brought to a size and pixel format that is asked for, and to even sizes."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from keenframe.frame import AV_OF_RANGE, Frame, colours_of
from keenframe.pixels import FORMAT_OF_AV, LAYOUTS, REPACKED

# AVColorSpace and AVColorRange values that RGB input is converted to, where nothing else is asked for.
_BT709, _LIMITED = 1, 1
# swscale's names of the matrices.
_SWS_OF_MATRIX = {"bt601": 5, "bt709": 1, "bt2020": 9}
# From one matrix to another goes through RGB: without these a step of the way loses up to 4 of 255.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def conformed(
    frame: VideoFrame, width: int, height: int, pix_fmt: str, tags: tuple[int, int] | None = None
) -> VideoFrame:
    """`frame` in this size and format.

    tags: colorspace and color_range to convert to, as of the first frame of a file, which has one of each for all;
    None keeps the frame's own, and makes RGB limited-range BT.709.
    """
    name = frame.format.name.replace("yuvj", "yuv")
    is_rgb = frame.format.is_rgb or frame.format.has_palette
    own = int(frame.colorspace), int(frame.color_range)
    if tags is None:
        tags = (_BT709, _LIMITED) if is_rgb else own
    before = colours_of(frame.format.name, frame.height, *own)
    after = colours_of(pix_fmt, height, *tags)
    if (frame.width, frame.height) == (width, height) and name == pix_fmt and before == after:
        return frame
    change: dict[str, int] = {}
    if is_rgb or before != after:
        change = {"dst_colorspace": _SWS_OF_MATRIX[after[0]], "dst_color_range": AV_OF_RANGE[after[1]]}
    method = Interpolation.BICUBIC
    if change and not is_rgb:
        method |= _EXACT
        change |= {"src_colorspace": _SWS_OF_MATRIX[before[0]], "src_color_range": AV_OF_RANGE[before[1]]}
    result = frame.reformat(width, height, pix_fmt, interpolation=method, **change)
    result.colorspace, result.color_range = tags
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
    width, height = frame.width + frame.width % 2, frame.height + frame.height % 2
    planes = []
    for plane, shape in zip(frame.planes, LAYOUTS[frame.format].shapes(width, height), strict=True):
        # Chroma that is subsampled in a direction was rounded up already.
        missing = [(0, wanted - got) for wanted, got in zip(shape, plane.shape, strict=True)]
        planes.append(np.pad(plane, missing, mode="edge"))
    return frame.with_planes(tuple(planes))
