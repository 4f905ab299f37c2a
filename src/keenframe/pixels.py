"""Pixel formats: what planes a frame has, and how they map onto PyAV's frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keenframe.errors import InputError

if TYPE_CHECKING:
    import av

Plane: TypeAlias = NDArray[Any]
PixelFormat = Literal["i420", "nv12", "gray", "rgb24", "i422", "i444", "i420p10", "i422p10", "i444p10"]
Matrix = Literal["bt601", "bt709", "bt2020"]
Range = Literal["limited", "full"]
_MATRICES, _RANGES = get_args(Matrix), get_args(Range)

# The first frame height that is taken for HD, and so for BT.709, when a stream does not say.
HD_LINES = 720


@dataclass(frozen=True, slots=True)
class Layout:
    """How the planes of a pixel format lie: sub-sampling of chroma, bits per sample, interleaving."""

    av_name: str
    planes: int
    chroma_shift_x: int = 0
    chroma_shift_y: int = 0
    bit_depth: int = 8

    @property
    def dtype(self) -> DTypeLike:
        return np.uint8 if self.bit_depth == 8 else np.uint16

    @property
    def subsampled(self) -> bool:
        return self.chroma_shift_x > 0

    def shapes(self, width: int, height: int) -> tuple[tuple[int, ...], ...]:
        """Array shape of each plane of a width x height frame; odd sizes round chroma up."""
        if self.av_name == "rgb24":
            return ((height, width, 3),)
        rows = -(-height >> self.chroma_shift_y)
        columns = -(-width >> self.chroma_shift_x)
        chroma = (rows, columns, 2) if self.planes == 2 else (rows, columns)
        return ((height, width),) + (chroma,) * (self.planes - 1)


LAYOUTS: dict[str, Layout] = {
    "i420": Layout("yuv420p", 3, 1, 1),
    "nv12": Layout("nv12", 2, 1, 1),
    "gray": Layout("gray", 1),
    "rgb24": Layout("rgb24", 1),
    "i422": Layout("yuv422p", 3, 1, 0),
    "i444": Layout("yuv444p", 3),
    "i420p10": Layout("yuv420p10le", 3, 1, 1, 10),
    "i422p10": Layout("yuv422p10le", 3, 1, 0, 10),
    "i444p10": Layout("yuv444p10le", 3, 0, 0, 10),
}
assert tuple(LAYOUTS) == get_args(PixelFormat)

FORMAT_OF_AV: dict[str, str] = {layout.av_name: name for name, layout in LAYOUTS.items()} | {
    "yuvj420p": "i420",
    "yuvj422p": "i422",
    "yuvj444p": "i444",
}

# Formats that hold the same samples in another order: swscale repacks them without loss.
REPACKED: dict[str, str] = {
    "nv21": "nv12",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "p010le": "yuv420p10le",
    "bgr24": "rgb24",
    "bgr0": "rgb24",
    "rgb0": "rgb24",
    "gbrp": "rgb24",
}


def plane_views(frame: av.VideoFrame, layout: Layout) -> tuple[Plane, ...]:
    """Numpy views on the planes of a PyAV frame: no copy; each view keeps the frame's memory alive.

    Rows are `line_size` bytes apart, so a view of a frame with padded lines is strided, and one of a frame that lies
    upside down in memory, as the filter vflip leaves it, goes backwards.
    """
    views = []
    itemsize = np.dtype(layout.dtype).itemsize
    for plane, shape in zip(frame.planes, layout.shapes(frame.width, frame.height), strict=True):
        first = max(-plane.line_size, 0) * (shape[0] - 1)  # upside down, the first row is the memory's last
        strides = (plane.line_size, *(itemsize * step for step in (*shape[2:], 1)))
        # Unlike `as_strided`, this checks that all of it lies in the plane's memory.
        views.append(np.ndarray(shape, layout.dtype, memoryview(plane), first, strides))
    return tuple(views)


def copy_padded(plane: Plane, out: Plane) -> None:
    """Copy `plane` into the top left of `out` and repeat its last column and row over the rest."""
    height, width = plane.shape[:2]
    out[:height, :width] = plane
    if width < out.shape[1]:
        out[:height, width:] = plane[:, -1:]
    if height < out.shape[0]:
        out[height:] = out[height - 1]


def layout_of(pixel_format: str) -> Layout:
    """The layout of a pixel format. InputError, listing those there are, for another name."""
    layout = LAYOUTS.get(pixel_format) if isinstance(pixel_format, str) else None
    if layout is None:
        raise InputError(f"pixel format {pixel_format!r} is not one of {', '.join(LAYOUTS)}")
    return layout


def check_colours(matrix: str, range: str) -> None:
    """InputError for a colour matrix or a range that is none."""
    if matrix not in _MATRICES:
        raise InputError(f"colour matrix {matrix!r} is not one of {', '.join(_MATRICES)}")
    if range not in _RANGES:
        raise InputError(f"range {range!r} is not one of {', '.join(_RANGES)}")


def check_planes(planes: tuple[Plane, ...], pixel_format: str, width: int, height: int) -> Layout:
    """The layout of `pixel_format`, after checking that `planes` have its shapes and dtype (InputError)."""
    layout = layout_of(pixel_format)
    try:
        expected, empty = layout.shapes(width, height), width < 1 or height < 1
        got = tuple(plane.shape for plane in planes)
    except (TypeError, AttributeError) as error:
        raise InputError(
            f"a frame has a tuple of numpy arrays, and width and height in pixels; got {type(planes).__name__}, "
            f"{width!r} and {height!r}: {error}"
        ) from error
    if empty:
        raise InputError(f"a frame has at least one pixel; got {width}x{height}")
    if got != expected:
        raise InputError(f"a {width}x{height} {pixel_format} frame has planes {expected}; got {got}")
    for plane in planes:
        if not isinstance(plane, np.ndarray) or plane.dtype != layout.dtype:
            kind = getattr(plane, "dtype", type(plane).__name__)
            raise InputError(f"{pixel_format} planes are {np.dtype(layout.dtype)} arrays; got {kind}")
    return layout
