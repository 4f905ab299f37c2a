"""RGB <-> planes (BT.601 and BT.709, limited and full range), luma of RGB, and enlarging of planes.

Conversions are swscale's, reached through PyAV with the flags that make it exact: its default flags and its
fast paths take the nearest chroma sample and round loosely, and differ from the formulas by tens of code
values at edges. Chroma is interpolated bilinearly as if it lay in the centre of its luma samples, which is
what swscale takes for streams that do not say. An odd size is padded to even first: given one, swscale
stretches chroma by (n+1)/n.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError
from keenframe.pixels import LAYOUTS, Matrix, Plane, Range, copy_padded, plane_views

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter

# Luma weights of R, G, B in 1/256, of sum 256: exact for greys.
_LUMA_WEIGHTS: dict[str, tuple[int, int, int]] = {"bt601": (77, 150, 29), "bt709": (54, 183, 19)}
# Rows handled at once: temporaries stay in the processor's cache and no full plane is allocated.
_ROWS = 16

# Samples that the longest enlarging filter reaches to either side.
_REACH = 2

_local = threading.local()


def _reformatter() -> VideoReformatter:
    from av.video.reformatter import VideoReformatter

    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    reformatter: VideoReformatter = _local.reformatter
    return reformatter


def _convert(
    planes: tuple[Plane, ...], source: str, target: str, matrix: Matrix, range: Range
) -> tuple[Plane, ...]:
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
        copy_padded(plane, view)
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
    for top in range(0, rgb.shape[0], _ROWS):
        rows = rgb[top : top + _ROWS]
        luma = np.multiply(rows[:, :, 0], red, dtype=dtype)
        luma += np.multiply(rows[:, :, 1], green, dtype=dtype)
        luma += np.multiply(rows[:, :, 2], blue, dtype=dtype)
        if rgb.dtype == np.uint8:
            out[top : top + _ROWS] = (luma + 128) >> 8
        else:
            out[top : top + _ROWS] = (luma + 257 * 128) // (257 * 256)


def to_8_bits(plane: NDArray[np.uint16], bit_depth: int, out: NDArray[np.uint8]) -> None:
    """Round (H, W) uint16 code values of 9 to 16 bits to 8 bits into `out`; 16 bits span 0..65535."""
    for top in range(0, plane.shape[0], _ROWS):
        rows = plane[top : top + _ROWS].astype(np.uint32)
        if bit_depth == 16:
            out[top : top + _ROWS] = (rows + 128) // 257
        else:
            shift = bit_depth - 8
            out[top : top + _ROWS] = np.minimum((rows + (1 << shift - 1)) >> shift, 255)


def add_scaled(plane: Plane, residual: NDArray[np.float32], gain: float, maximum: int) -> None:
    """Add gain * residual (H, W) to a plane (H, W) or to every channel of (H, W, C), in place.

    What is added is rounded first, so that every channel gets the same and no colour shifts; clipped to 0..maximum.
    """
    for top in range(0, plane.shape[0], _ROWS):
        rows = plane[top : top + _ROWS]
        added = residual[top : top + _ROWS] * np.float32(gain)
        np.rint(added, out=added)
        total = rows + (added[:, :, None] if plane.ndim == 3 else added)
        total.clip(0, maximum, out=total)
        np.copyto(rows, total, casting="unsafe")


def enlarge(
    plane: Plane,
    scale: int,
    out: Plane,
    filter: str = "bilinear",
    left_sited: bool = False,
    maximum: int | None = None,
) -> None:
    """Enlarge a (H, W) or (H, W, C) uint8 or uint16 plane `scale` times into `out`, cut to the size of `out`.

    filter: "bilinear" or "bicubic" (a = -0.75), half-pixel centres, edges replicated. left_sited: the plane
    is chroma that lies on the left one of its two luma samples (MPEG-2, H.264, VP9 and AV1 unless told
    otherwise). Rounded, and clipped to `maximum` (by default the dtype's).
    """
    if scale == 1:
        np.copyto(out, plane)
        return
    maximum = int(np.iinfo(plane.dtype).max) if maximum is None else maximum
    vertical, horizontal = _phases(filter, scale, 0.0), _phases(filter, scale, -0.25 if left_sited else 0.0)
    columns = np.arange(-_REACH, plane.shape[1] + _REACH).clip(0, plane.shape[1] - 1)
    for top in range(0, plane.shape[0], _ROWS):
        count = min(_ROWS, plane.shape[0] - top)
        around = np.arange(top - _REACH, top + count + _REACH).clip(0, plane.shape[0] - 1)
        source = plane[around].astype(np.float32)
        tall = _interleave(source, vertical, count)
        wide = _interleave(tall.swapaxes(0, 1)[columns], horizontal, plane.shape[1]).swapaxes(0, 1)
        np.rint(wide, out=wide).clip(0, maximum, out=wide)
        target = out[top * scale : (top + count) * scale]
        np.copyto(target, wide[: target.shape[0], : target.shape[1]], casting="unsafe")


def _phases(filter: str, scale: int, siting: float) -> list[tuple[int, list[float]]]:
    """For each of `scale` output samples of an input sample: offset of the first tap, and the taps' weights.

    `siting` is where a sample lies, in samples of the input, from the centre of its cell.
    """
    phases = []
    for phase in range(scale):
        position = (phase + 0.5 + siting) / scale - 0.5 - siting
        first = int(np.floor(position))
        x = position - first
        if filter == "bilinear":
            phases.append((first, [1 - x, x]))
        else:
            a = -0.75
            near = [(a + 2) * t**3 - (a + 3) * t**2 + 1 for t in (x, 1 - x)]
            far = [a * (t**3 - 5 * t**2 + 8 * t - 4) for t in (1 + x, 2 - x)]
            phases.append((first - 1, [far[0], *near, far[1]]))
    return phases


def _interleave(source: Plane, phases: list[tuple[int, list[float]]], count: int) -> NDArray[np.float32]:
    """Filter along axis 0 with each phase and interleave; `source` is `_REACH` longer at either end."""
    out = np.empty((count * len(phases), *source.shape[1:]), np.float32)
    for phase, (offset, weights) in enumerate(phases):
        start = _REACH + offset
        total = source[start : start + count] * np.float32(weights[0])
        for tap, weight in enumerate(weights[1:], 1):
            total += source[start + tap : start + tap + count] * np.float32(weight)
        out[phase :: len(phases)] = total
    return out
