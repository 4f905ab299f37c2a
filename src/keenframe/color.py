"""RGB <-> planes (BT.601 and BT.709, limited and full range), luma of RGB, and enlarging of planes.

Conversions are swscale's, reached through PyAV with the flags that make it exact: its default flags and its
fast paths take the nearest chroma sample and round loosely, and differ from the formulas by tens of code
values at edges. Chroma is interpolated bilinearly as if it lay in the centre of its luma samples, which is
what swscale takes for streams that do not say. An odd size is padded to even first: given one, swscale
stretches chroma by (n+1)/n.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError
from keenframe.pixels import LAYOUTS, Matrix, Plane, Range, check_colours, copy_padded, layout_of, plane_views

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter

# Luma weights of R, G, B in 1/256, of sum 256: exact for greys.
_LUMA_WEIGHTS: dict[str, tuple[int, int, int]] = {"bt601": (77, 150, 29), "bt709": (54, 183, 19)}
# Luma weights of R and B as the standards state them; G has the rest.
_RED_BLUE = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
# Rows handled at once, an even number: temporaries stay in the processor's cache and no full plane is allocated.
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


def planes_to_rgb(
    planes: tuple[Plane, ...],
    format: str,
    matrix: Matrix,
    range: Range,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, full range, of the planes of any pixel format in `pixels.LAYOUTS`.

    out: where to put it, padded by edge repetition where it is larger; else new, or the RGB plane itself.
    """
    layout_of(format)
    check_colours(matrix, range)
    if format == "rgb24" and out is None:
        return planes[0]
    if out is None:
        out = np.empty((*planes[0].shape[:2], 3), np.uint8)
    if format == "gray" and range == "limited":
        scaled = np.rint((np.arange(256) - 16) * (255 / 219)).clip(0, 255).astype(np.uint8)
        copy_padded(scaled[planes[0]][:, :, None], out)
    elif format == "gray":
        copy_padded(planes[0][:, :, None], out)
    elif format == "rgb24":
        copy_padded(planes[0], out)
    else:
        copy_padded(_convert(planes, format, "rgb24", matrix, range)[0], out)
    return out


def rgb_to_planes(rgb: NDArray[np.uint8], format: str, matrix: Matrix, range: Range) -> tuple[Plane, ...]:
    """Planes in `format` of a (H, W, 3) uint8 RGB image; chroma is the mean of the pixels it stands for."""
    check_rgb(rgb)
    layout_of(format)
    check_colours(matrix, range)
    if format == "rgb24":
        return (rgb,)
    if format == "gray":
        return _convert((rgb,), "rgb24", "i444", matrix, range)[:1]
    return _convert((rgb,), "rgb24", format, matrix, range)


def check_rgb(rgb: object) -> None:
    """InputError for what is no (H, W, 3) uint8 array with at least one pixel."""
    if not isinstance(rgb, np.ndarray):
        raise InputError(f"RGB is a (height, width, 3) uint8 array; got {type(rgb).__name__}")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise InputError(f"RGB is a (height, width, 3) uint8 array; got {rgb.shape} {rgb.dtype}")


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
    """Round (H, W[, C]) uint16 code values of 9 to 16 bits to 8 bits into `out`; 16 bits span 0..65535."""
    for top in range(0, plane.shape[0], _ROWS):
        rows = plane[top : top + _ROWS].astype(np.uint32)
        if bit_depth == 16:
            out[top : top + _ROWS] = (rows + 128) // 257
        else:
            shift = bit_depth - 8
            out[top : top + _ROWS] = np.minimum((rows + (1 << shift - 1)) >> shift, 255)


def code_value(bit_depth: int) -> int:
    """What one 8-bit code value is at another depth.

    Video's finer code values are the 8-bit ones times a power of two; 16-bit pictures span 0..65535.
    """
    return 257 if bit_depth == 16 else 1 << bit_depth - 8


def add_scaled(plane: Plane, residual: NDArray[np.float32], gain: float, maximum: int) -> None:
    """Add gain * residual to a plane in place: (H, W) to (H, W) or to every channel of (H, W, C), or (H, W, C)
    to (H, W, C).

    What is added is rounded first, so that channels that get the same stay together; clipped to 0..maximum.
    """
    for top in range(0, plane.shape[0], _ROWS):
        rows = plane[top : top + _ROWS]
        added = residual[top : top + _ROWS] * np.float32(gain)
        np.rint(added, out=added)
        total = rows + (added[:, :, None] if plane.ndim > added.ndim else added)
        total.clip(0, maximum, out=total)
        np.copyto(rows, total, casting="unsafe")


def add_rgb_residual(
    planes: tuple[Plane, ...],
    format: str,
    matrix: Matrix,
    range: Range,
    residual: NDArray[np.float32],
    gain: float,
    bit_depth: int = 8,
) -> None:
    """Add to the planes of a Y'CbCr or gray picture, in place, what a change of its RGB means for them.

    residual: (H, W, 3) float32, the change in 8-bit full-range code values; times gain. bit_depth: of the
    planes; 16 bits span 0..65535. Y'CbCr is linear in RGB, so samples that do not change stay as they are to
    the last bit, which converting there and back would blur; chroma gets the mean over the pixels it stands
    for. Rounded, and clipped to the bit depth.
    """
    layout = LAYOUTS[format]
    maximum, gain = (1 << bit_depth) - 1, gain * code_value(bit_depth)
    channels = [plane[:, :, c] for plane in planes[1:] for c in (0, 1)] if layout.planes == 2 else planes[1:]
    shifts = (layout.chroma_shift_y, layout.chroma_shift_x)
    weights = _weights_of_planes(matrix, range)
    for top in _tops(residual.shape[0]):
        rows = residual[top : top + _ROWS]
        add_scaled(planes[0][top : top + _ROWS], _mixed(rows, weights[0]), gain, maximum)
        for channel, mix in zip(channels, weights[1:], strict=False):
            change = _shrunk(_mixed(rows, mix), *shifts)
            first = top >> shifts[0]
            add_scaled(channel[first : first + change.shape[0]], change, gain, maximum)


def _tops(rows: int) -> Iterator[int]:
    """First rows of the runs that are handled at once. (`range` is a colour range in the functions above.)"""
    return iter(range(0, rows, _ROWS))


def _weights_of_planes(matrix: Matrix, range: Range) -> NDArray[np.float32]:
    """(3, 3): what one code value more of R, G and B adds to Y, Cb and Cr."""
    red, blue = _RED_BLUE.get(matrix, _RED_BLUE["bt709"])
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    scale = np.array((219 / 255, 224 / 255, 224 / 255) if range == "limited" else (1.0, 1.0, 1.0))
    return np.asarray(np.stack([luma, cb, cr]) * scale[:, None], np.float32)


def _mixed(rgb: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W): the weighted sum of the channels of (H, W, 3). A matrix product would wake OpenBLAS's threads."""
    total = np.empty(rgb.shape[:2], np.float32)
    np.multiply(rgb[:, :, 0], weights[0], out=total)
    total += rgb[:, :, 1] * weights[1]
    total += rgb[:, :, 2] * weights[2]
    return total


def _shrunk(plane: NDArray[np.float32], shift_y: int, shift_x: int) -> NDArray[np.float32]:
    """Mean over 2 rows and 2 columns where the shifts say so; an odd last one stands for itself."""
    if shift_y:
        even = plane[: plane.shape[0] // 2 * 2]
        mean = (even[::2] + even[1::2]) * np.float32(0.5)
        plane = mean if len(even) == len(plane) else np.concatenate([mean, plane[-1:]])
    if shift_x:
        plane = _shrunk(plane.T, shift_x, 0).T
    return plane


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
