"""Colour is checked against the standards' formulas in float64, written here again, and against swscale."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from conftest import picture
from keenframe import color
from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS, copy_padded

KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
YUV = ["i420", "nv12", "i422", "i444", "i420p10", "i422p10", "i444p10"]
SIZES = [(64, 96), (65, 97), (64, 97), (33, 16)]
EXACT = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)

every_case = pytest.mark.parametrize(
    ("format", "matrix", "range", "size"),
    [(f, m, r, s) for f in YUV for m in KR_KB for r in ("limited", "full") for s in SIZES],
)


def upsample(plane: NDArray[np.float64], size: int, axis: int) -> NDArray[np.float64]:
    """Bilinear, centred chroma, by the definition."""
    position = (np.arange(size) - 0.5) / 2
    below = np.floor(position).astype(int)
    weight = (position - below).reshape((-1, 1) if axis == 0 else (1, -1))
    last = plane.shape[axis] - 1
    low, high = (np.take(plane, (below + k).clip(0, last), axis) for k in (0, 1))
    return low * (1 - weight) + high * weight


def reference_rgb(frame: Frame) -> NDArray[np.float64]:
    # Full-range 10-bit white is 1020 to swscale: four times the 8-bit one, in both directions.
    unit = 2 ** (frame.bit_depth - 8)
    y = frame.planes[0] / unit
    chroma = frame.planes[1:] if len(frame.planes) == 3 else np.moveaxis(frame.planes[1], 2, 0)
    full = []
    for plane in chroma:
        samples = plane / unit - 128
        if LAYOUTS[frame.format].chroma_shift_y:
            samples = upsample(samples, frame.height, 0)
        if LAYOUTS[frame.format].chroma_shift_x:
            samples = upsample(samples, frame.width, 1)
        full.append(samples)
    u, v = full
    if frame.range == "limited":
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    kr, kb = KR_KB[frame.matrix]
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue], -1).clip(0, 255)


def reference_planes(rgb: NDArray[np.uint8], matrix: str, range: str) -> list[NDArray[np.float64]]:
    kr, kb = KR_KB[matrix]
    red, green, blue = np.moveaxis(rgb.astype(float), 2, 0)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))
    if range == "limited":
        return [16 + y * 219 / 255, 128 + u * 224 / 255, 128 + v * 224 / 255]
    return [y, 128 + u, 128 + v]


@every_case
def test_to_rgb_is_within_one_of_the_formula(
    format: str, matrix: str, range: str, size: tuple[int, int]
) -> None:
    frame = Frame.from_rgb(picture(*size), matrix, range, format)
    assert np.abs(frame.to_rgb() - np.rint(reference_rgb(frame))).max() <= 1


@every_case
def test_to_rgb_is_within_one_of_swscale(format: str, matrix: str, range: str, size: tuple[int, int]) -> None:
    frame = Frame.from_rgb(picture(*size), matrix, range, format)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    padded = []
    for plane, shape in zip(frame.planes, LAYOUTS[format].shapes(even[1], even[0]), strict=True):
        padded.append(np.empty(shape, plane.dtype))
        copy_padded(plane, padded[-1])
    source = frame.with_planes(tuple(padded)).to_av()
    space = Colorspace.ITU601 if matrix == "bt601" else Colorspace.ITU709
    theirs = source.reformat(
        format="rgb24",
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=1 if range == "limited" else 2,
        dst_color_range=2,
        interpolation=EXACT,
    )
    difference = frame.to_rgb().astype(int) - theirs.to_ndarray()[: size[0], : size[1]]
    assert np.abs(difference).max() <= 1


@every_case
def test_from_rgb_is_within_one_of_the_formula(
    format: str, matrix: str, range: str, size: tuple[int, int]
) -> None:
    """Luma everywhere; chroma where it is not averaged, or of a picture whose colour does not change."""
    rgb = picture(*size)
    frame = Frame.from_rgb(rgb, matrix, range, format)
    y, u, v = reference_planes(rgb, matrix, range)
    unit = 2 ** (frame.bit_depth - 8)
    assert np.abs(frame.planes[0] - np.rint(y * unit)).max() <= unit
    if format.startswith("i444"):
        assert np.abs(frame.planes[1] - np.rint(u * unit)).max() <= unit
        assert np.abs(frame.planes[2] - np.rint(v * unit)).max() <= unit
    flat = np.broadcast_to(np.array([200, 90, 40], np.uint8), rgb.shape).copy()
    frame = Frame.from_rgb(flat, matrix, range, format)
    chroma = frame.planes[1:] if len(frame.planes) == 3 else np.moveaxis(frame.planes[1], 2, 0)
    for plane, expected in zip(chroma, reference_planes(flat, matrix, range)[1:], strict=True):
        assert np.abs(plane - np.rint(expected[0, 0] * unit)).max() <= unit


@pytest.mark.parametrize("range", ["limited", "full"])
def test_gray_frames_become_gray_rgb(range: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = Frame((levels,), "gray", 16, 16, range=range).to_rgb()
    expected = levels if range == "full" else ((levels.astype(float) - 16) * 255 / 219).clip(0, 255)
    assert np.abs(rgb - expected[:, :, None]).max() <= 0.5


@pytest.mark.parametrize("matrix", list(KR_KB))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_luma_of_rgb(matrix: str, dtype: type) -> None:
    rgb = picture(37, 41)
    out = np.empty(rgb.shape[:2], np.uint8)
    color.luma_of_rgb(rgb.astype(dtype) * (1 if dtype is np.uint8 else 257), matrix, out)
    assert np.abs(out - reference_planes(rgb, matrix, "full")[0]).max() <= 1
    greys = np.repeat(np.arange(256, dtype=dtype).reshape(16, 16, 1), 3, 2) * (
        1 if dtype is np.uint8 else 257
    )
    out = np.empty((16, 16), np.uint8)
    color.luma_of_rgb(greys, matrix, out)
    np.testing.assert_array_equal(out.ravel(), np.arange(256))


@pytest.mark.parametrize("bit_depth", [10, 16])
def test_to_8_bits_rounds(bit_depth: int) -> None:
    values = np.arange(1 << bit_depth, dtype=np.uint16).reshape(32, -1)
    out = np.empty(values.shape, np.uint8)
    color.to_8_bits(values, bit_depth, out)
    unit = 257 if bit_depth == 16 else 4
    assert np.abs(out - np.minimum(values / unit, 255)).max() <= 0.5


def onnx_resize(plane: NDArray[np.generic], scale: int, filter: str) -> NDArray[np.float64]:
    """What the graph's own Resize makes of a (H, W) plane, by ONNX's reference implementation."""
    mode = "linear" if filter == "bilinear" else "cubic"
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode=mode)
    x = helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, None])
    y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None, None])
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [2], [scale, scale])
    graph = helper.make_graph([node], "resize", [x], [y], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return ReferenceEvaluator(model).run(None, {"x": plane.astype(np.float64)})[0]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_enlarging_is_the_graph_s_resize(scale: int, filter: str) -> None:
    plane = picture(21, 40)[:, :, 0]
    expected = onnx_resize(plane, scale, filter).clip(0, 255)
    out = np.empty((21 * scale, 40 * scale), np.uint8)
    color.enlarge(plane, scale, out, filter)
    assert np.abs(out - expected).max() <= 0.501
    pairs = np.stack([plane, plane.T.reshape(plane.shape)], -1).astype(np.uint16) * 4
    both = np.empty((*out.shape, 2), np.uint16)
    color.enlarge(pairs, scale, both, filter, maximum=1023)
    for channel in range(2):
        expected = onnx_resize(pairs[:, :, channel], scale, filter).clip(0, 1023)
        assert np.abs(both[:, :, channel] - expected).max() <= 0.501


def test_left_sited_chroma_stays_with_its_luma() -> None:
    """A ramp in luma coordinates is the same ramp after enlarging, where chroma lies on every second luma."""
    luma_position = 2.0 * np.arange(32)
    chroma = np.rint(np.broadcast_to(500 + 16 * luma_position, (8, 32))).astype(np.uint16)
    out = np.empty((16, 64), np.uint16)
    color.enlarge(chroma, 2, out, left_sited=True)
    # Output chroma j lies on output luma 2 j, whose centre is at (2 j + 0.5) / 2 - 0.5 in the input's luma.
    expected = 500 + 16 * ((2 * np.arange(64) + 0.5) / 2 - 0.5)
    assert np.abs(out - expected)[:, 2:-2].max() <= 0.5


def test_enlarging_cuts_to_the_output() -> None:
    plane = picture(9, 9)[:, :, 0].copy()
    whole, cut = np.empty((18, 18), np.uint8), np.empty((17, 17), np.uint8)
    color.enlarge(plane, 2, whole)
    color.enlarge(plane, 2, cut)
    np.testing.assert_array_equal(cut, whole[:17, :17])


def test_centred_bilinear_enlarging_is_swscale_s() -> None:
    plane = picture(48, 64)[:, :, 0].copy()
    out = np.empty((96, 128), np.uint8)
    color.enlarge(plane, 2, out)
    source = av.VideoFrame.from_ndarray(plane, format="gray")
    theirs = source.reformat(128, 96, interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND)
    assert np.abs(out.astype(int) - theirs.to_ndarray()).max() <= 1
