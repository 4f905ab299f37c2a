"""Frame: one picture of a video with what must survive every step: planes, colour tags and time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from keenframe import color
from keenframe.errors import InputError
from keenframe.pixels import (
    FORMAT_OF_AV,
    HD_LINES,
    LAYOUTS,
    REPACKED,
    Matrix,
    PixelFormat,
    Plane,
    Range,
    check_colours,
    check_planes,
    plane_views,
)

if TYPE_CHECKING:
    import av

__all__ = ["Frame", "Matrix", "PixelFormat", "Range"]

# AVColorSpace values. SMPTE 240M and FCC are so close to 709 and 601 that only their tag differs in practice.
_MATRIX_OF_AV: dict[int, Matrix] = {
    1: "bt709",
    4: "bt601",
    5: "bt601",
    6: "bt601",
    7: "bt709",
    9: "bt2020",
    10: "bt2020",
}
AV_OF_MATRIX: dict[str, int] = {"bt709": 1, "bt601": 6, "bt2020": 9}
AV_OF_RANGE: dict[str, int] = {"limited": 1, "full": 2}


def colours_of(av_name: str, height: int, colorspace: int, color_range: int) -> tuple[Matrix, Range]:
    """What FFmpeg's tags mean for a frame of this format and height, also where they say nothing."""
    full = av_name.startswith("yuvj") or color_range == AV_OF_RANGE["full"]
    if FORMAT_OF_AV.get(av_name) == "rgb24" or (av_name == "gray" and color_range != AV_OF_RANGE["limited"]):
        full = True
    unspecified: Matrix = "bt709" if height >= HD_LINES else "bt601"
    return _MATRIX_OF_AV.get(colorspace, unspecified), "full" if full else "limited"


@dataclass(frozen=True, slots=True)
class Frame:
    """One video frame; its planes are numpy arrays, often views on memory that a decoder owns: do not write.

    planes: I420/I422/I444: Y, U, V, each (rows, columns); NV12: Y and (rows, columns, 2) UV; gray: Y; rgb24:
        one (H, W, 3). uint8; the p10 formats are uint16 with code values 0..1023. Chroma of odd sizes is
        rounded up.
    matrix, range: how the code values map to RGB; "bt2020" is carried through but not converted.
    pts, time_base: presentation time is pts * time_base seconds; None where the source has none.
    enlarged: True when it was enlarged since it was sent, False when it was not; None, the usual case, leaves it to a
        model of several experts to see which of them it is for.
    """

    planes: tuple[Plane, ...]
    format: PixelFormat
    width: int
    height: int
    matrix: Matrix = "bt709"
    range: Range = "limited"
    pts: int | None = None
    time_base: Fraction | None = None
    enlarged: bool | None = None

    def __post_init__(self) -> None:
        check_planes(self.planes, self.format, self.width, self.height)
        check_colours(self.matrix, self.range)

    @property
    def bit_depth(self) -> int:
        """Bits per sample: 8 or 10."""
        return LAYOUTS[self.format].bit_depth

    @property
    def luma(self) -> Plane:
        """The Y plane, (H, W), as a view; for rgb24 full-range luma, computed."""
        if self.format != "rgb24":
            return self.planes[0]
        luma = np.empty((self.height, self.width), np.uint8)
        color.luma_of_rgb(self.planes[0], self.matrix, luma)
        return luma

    @property
    def chroma(self) -> tuple[Plane, ...]:
        """The planes after Y: two, one interleaved (NV12), or none (gray, rgb24)."""
        return self.planes[1:]

    @property
    def left_sited(self) -> bool:
        """Whether chroma is taken to lie on the left one of its two luma samples: in video, not in full-range
        pictures."""
        return LAYOUTS[self.format].subsampled and self.range == "limited"

    def with_planes(self, planes: tuple[Plane, ...]) -> Frame:
        """The same frame with other pixels; the size follows the first plane, everything else is kept."""
        height, width = planes[0].shape[:2]
        return replace(self, planes=tuple(planes), width=width, height=height)

    @classmethod
    def from_av(cls, frame: av.VideoFrame) -> Frame:
        """A frame whose planes are views on `frame`'s memory, which they keep alive: nothing is copied.

        yuvj formats are full range. An unspecified matrix is BT.601 below 720 lines and BT.709 from there on;
        an unspecified range is limited (full for gray and RGB). Packed formats that hold the same samples are
        repacked. InputError for the others.
        """
        name = frame.format.name
        if name in REPACKED:
            frame, name = frame.reformat(format=REPACKED[name]), REPACKED[name]
        if name not in FORMAT_OF_AV:
            known = ", ".join(sorted({*FORMAT_OF_AV, *REPACKED}))
            raise InputError(
                f"pixel format {name!r} is not supported; expected one of {known}: "
                f"convert it first, for example with frame.reformat(format='yuv420p')"
            )
        format = cast(PixelFormat, FORMAT_OF_AV[name])
        matrix, range = colours_of(name, frame.height, int(frame.colorspace), int(frame.color_range))
        planes = plane_views(frame, LAYOUTS[format])
        for plane in planes:
            plane.flags.writeable = False
        return cls(
            planes=planes,
            format=format,
            width=frame.width,
            height=frame.height,
            matrix=matrix,
            range=range,
            pts=frame.pts,
            time_base=frame.time_base,
        )

    def to_av(self) -> av.VideoFrame:
        """A new PyAV frame with a copy of the planes, and pts, time_base, colour matrix and range."""
        import av

        layout = LAYOUTS[self.format]
        frame = av.VideoFrame(self.width, self.height, layout.av_name)
        for view, plane in zip(plane_views(frame, layout), self.planes, strict=True):
            np.copyto(view, plane)
        frame.pts = self.pts
        if self.time_base is not None:
            frame.time_base = self.time_base
        if self.format != "rgb24":
            frame.colorspace = AV_OF_MATRIX[self.matrix]
        frame.color_range = AV_OF_RANGE[self.range]
        return frame

    @classmethod
    def from_rgb(
        cls,
        array: NDArray[np.uint8],
        matrix: Matrix | None = None,
        range: Range = "limited",
        format: PixelFormat = "i420",
        **time: Any,
    ) -> Frame:
        """A frame in `format` from (H, W, 3) uint8 RGB; `pts` and `time_base` may be given.

        matrix: "bt601" or "bt709"; by default BT.601 below 720 lines and BT.709 from there on. InputError for an
        array, matrix, range or format that is none of these.
        """
        color.check_rgb(array)
        height, width = array.shape[:2]
        matrix = matrix or ("bt709" if height >= HD_LINES else "bt601")
        range = "full" if format == "rgb24" else range
        planes = color.rgb_to_planes(array, format, matrix, range)
        return cls(planes, format, width, height, matrix, range, **time)

    def to_rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, full range; an rgb24 frame gives its own plane. InputError for BT.2020."""
        return color.planes_to_rgb(self.planes, self.format, self.matrix, self.range)
