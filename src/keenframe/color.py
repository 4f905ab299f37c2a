"""RGB <-> planes (BT.601 and BT.709, limited and full range), luma of RGB, and enlarging of planes.

Conversions are swscale's, reached through PyAV with the flags that make it exact: its default flags and its fast
paths take the nearest chroma sample and round loosely, and differ from the formulas by tens of code values at
edges. Chroma is interpolated bilinearly as if it lay in the centre of its luma samples, which is what swscale takes
for streams that do not say. An odd size is padded to even first: given one, swscale stretches chroma by (n+1)/n.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError
from keenframe.pixels import LAYOUTS, Matrix, Plane, Range, plane_views

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter

# Luma weights of R, G, B in 1/256, of sum 256: exact for greys.
_LUMA_WEIGHTS: dict[str, tuple[int, int, int]] = {"bt601": (77, 150, 29), "bt709": (54, 183, 19)}
_LUMA_WEIGHTS_FLOAT = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722)}
# Rows handled at once: temporaries stay in the processor's cache and no full plane is allocated.
_ROWS = 32

_local = threading.local()


def _reformatter() -> VideoReformatter:
    from av.video.reformatter import VideoReformatter

    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    reformatter: VideoReformatter = _local.reformatter
    return reformatter


def _convert(planes: tuple[Plane, ...], source: str, target: str, matrix: Matrix, range: Range) -> tuple[Plane, ...]:
    import av
    from av.video.reformatter import Colorspace, Interpolation

    if matrix not in _LUMA_WEIGHTS:
        raise InputError(
            f"colour matrix {matrix!r} is carried but not converted; expected bt601 or bt709: "
            f"convert the video to one of them first, or work on its planes"
        )
    height, width = planes[0].shape[:2]
    even = (width + width % 2, height + height % 2)
    frame = av.VideoFrame(*even, LAYOUTS[source].av_name)
    for view, plane in zip(plane_views(frame, LAYOUTS[source]), planes, strict=True):
        _copy_padded(plane, view)
    space = Colorspace.ITU601 if matrix == "bt601" else Colorspace.ITU709
    code = {"limited": 1, "full": 2}
    exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    converted = _reformatter().reformat(
        frame,
        format=LAYOUTS[target].av_name,
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=code["full" if source == "rgb24" else range],
        dst_color_range=code["full" if target == "rgb24" else range],
        interpolation=Interpolation.BILINEAR | exact,
        threads=1,
    )
    shapes = LAYOUTS[target].shapes(width, height)
    views = plane_views(converted, LAYOUTS[target])
    return tuple(view[: shape[0], : shape[1]] for view, shape in zip(views, shapes, strict=True))


def _copy_padded(plane: Plane, out: Plane) -> None:
    """Copy `plane` into the top left of `out` and repeat its last column and row over the rest."""
    height, width = plane.shape[:2]
    out[:height, :width] = plane
    if width < out.shape[1]:
        out[:height, width:] = plane[:, -1:]
    if height < out.shape[0]:
        out[height:] = out[height - 1]


def planes_to_rgb(planes: tuple[Plane, ...], format: str, matrix: Matrix, range: Range) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, full range, of the planes of any pixel format in `pixels.LAYOUTS`."""
    if format == "rgb24":
        return planes[0]
    if format == "gray" and range == "full":
        return np.repeat(planes[0][:, :, None], 3, axis=2)
    if format == "gray":
        scaled = np.rint((np.arange(256) - 16) * (255 / 219)).clip(0, 255).astype(np.uint8)
        return np.repeat(scaled[planes[0]][:, :, None], 3, axis=2)
    return np.ascontiguousarray(_convert(planes, format, "rgb24", matrix, range)[0])


def rgb_to_planes(rgb: NDArray[np.uint8], format: str, matrix: Matrix, range: Range) -> tuple[Plane, ...]:
    """Planes in `format` of a (H, W, 3) uint8 RGB image; chroma is the mean of the pixels it stands for."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InputError(f"RGB is a (height, width, 3) uint8 array; got {rgb.shape} {rgb.dtype}")
    if format == "rgb24":
        return (rgb,)
    if format == "gray":
        return _convert((rgb,), "rgb24", "i444", matrix, range)[:1]
    return _convert((rgb,), "rgb24", format, matrix, range)


def bgr_to_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) with the first and last channel swapped, as a view: BGR to RGB and back."""
    return image[:, :, ::-1]


def luma_of_rgb(rgb: Plane, matrix: Matrix, out: NDArray[np.uint8]) -> None:
    """Full-range luma, rounded to 8 bits, of (H, W, 3) uint8 or uint16 RGB into `out` (H, W) uint8.

    uint16 spans 0..65535. Greys come out exactly; other colours to within 1 code value of the formula.
    """
    red, green, blue = _LUMA_WEIGHTS.get(matrix, _LUMA_WEIGHTS["bt709"])
    dtype = np.uint16 if rgb.dtype == np.uint8 else np.uint32
    for top in np.arange(0, rgb.shape[0], _ROWS):
        rows = rgb[top : top + _ROWS]
        luma = np.multiply(rows[:, :, 0], red, dtype=dtype)
        luma += np.multiply(rows[:, :, 1], green, dtype=dtype)
        luma += np.multiply(rows[:, :, 2], blue, dtype=dtype)
        if rgb.dtype == np.uint8:
            out[top : top + _ROWS] = (luma + 128) >> 8
        else:
            out[top : top + _ROWS] = (luma + 257 * 128) // (257 * 256)


def to_8_bits(plane: NDArray[np.uint16], bit_depth: int, out: NDArray[np.uint8]) -> None:
    """Round (H, W) uint16 code values of `bit_depth` bits to 8 bits into `out`: a shift, or /257 for 16 bits."""
    for top in np.arange(0, plane.shape[0], _ROWS):
        rows = plane[top : top + _ROWS].astype(np.uint32)
        if bit_depth == 16:
            out[top : top + _ROWS] = (rows + 128) // 257
        else:
            shift = bit_depth - 8
            out[top : top + _ROWS] = np.minimum((rows + (1 << shift - 1)) >> shift, 255)


Filter = Literal["bilinear", "bicubic"]


def _taps(filter: Filter, fraction: float) -> list[float]:
    """Weights of the samples at -1, 0, 1, 2 (bicubic, a = -0.75) or 0, 1 (bilinear) around 0 + fraction."""
    if filter == "bilinear":
        return [1 - fraction, fraction]
    a = -0.75
    near = [(a + 2) * x**3 - (a + 3) * x**2 + 1 for x in (fraction, 1 - fraction)]
    far = [a * (x**3 - 5 * x**2 + 8 * x - 4) for x in (1 + fraction, 2 - fraction)]
    return [far[0], near[0], near[1], far[1]]


def _enlarge_axis(plane: Plane, scale: int, axis: int, size: int, filter: Filter, siting: float) -> Plane:
    """Enlarge a float32 array along one axis to `size` samples.

    `siting` is where sample 0 lies, in samples of this plane, from the centre of its cell: 0, or -0.25 for chroma
    that sits on the left one of its two luma samples.
    """
    reach = 1 if filter == "bilinear" else 2
    pad = [(0, 0)] * plane.ndim
    pad[axis] = (reach, reach)
    padded = np.moveaxis(np.pad(plane, pad, mode="edge"), axis, 0)
    count = plane.shape[axis]
    out = np.empty((count * scale, *padded.shape[1:]), np.float32)
    for phase in range(scale):
        position = (phase + 0.5 + siting) / scale - 0.5 - siting
        first = int(np.floor(position))
        weights = _taps(filter, position - first)
        start = reach + first - (len(weights) // 2 - 1)
        total = padded[start : start + count] * np.float32(weights[0])
        for tap, weight in enumerate(weights[1:], 1):
            total += padded[start + tap : start + tap + count] * np.float32(weight)
        out[phase::scale] = total
    return np.moveaxis(out[:size], 0, axis)


def enlarge(
    plane: Plane,
    scale: int,
    width: int,
    height: int,
    filter: Filter = "bilinear",
    left_sited: bool = False,
    maximum: int | None = None,
) -> Plane:
    """Enlarge a (H, W) or (H, W, C) uint8 or uint16 plane `scale` times and cut it to width x height.

    Half-pixel centres, edges replicated. `left_sited`: the plane is chroma that sits on the left of its two luma
    samples (MPEG-2, H.264, VP9 and AV1 unless told otherwise). Rounded, and clipped to `maximum` (the dtype's).
    """
    siting = -0.25 if left_sited else 0.0
    rows = _enlarge_axis(plane.astype(np.float32), scale, 0, height, filter, 0.0)
    both = _enlarge_axis(rows, scale, 1, width, filter, siting)
    top = np.iinfo(plane.dtype).max if maximum is None else maximum
    return np.rint(both, out=both).clip(0, top, out=both).astype(plane.dtype)
