from __future__ import annotations

import gc
from fractions import Fraction

import av
import numpy as np
import pytest

from conftest import picture
from keenframe import color
from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS

SIZES = [(64, 96), (65, 97), (16, 17), (17, 16)]
FORMATS = list(LAYOUTS)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_av_round_trip_keeps_every_sample_and_tag(format: str, size: tuple[int, int]) -> None:
    frame = Frame.from_rgb(
        picture(*size), "bt709", "limited", format, pts=12345, time_base=Fraction(1, 90000)
    )
    back = Frame.from_av(frame.to_av())
    assert (back.format, back.width, back.height) == (format, size[1], size[0])
    assert (back.pts, back.time_base, back.range) == (12345, Fraction(1, 90000), frame.range)
    if format != "rgb24":
        assert back.matrix == "bt709"
    for ours, theirs in zip(frame.planes, back.planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_planes_of_a_decoded_frame_are_views_that_outlive_it() -> None:
    source = av.VideoFrame.from_ndarray(picture(50, 70), format="rgb24").reformat(format="yuv420p")
    expected = bytes(source.planes[0])
    frame = Frame.from_av(source)
    assert frame.luma.strides[0] == source.planes[0].line_size > frame.width
    assert np.frombuffer(source.planes[0], np.uint8).ctypes.data == frame.luma.ctypes.data
    assert not frame.luma.flags.writeable
    del source
    gc.collect()
    copies = [av.VideoFrame(70, 50, "yuv420p") for _ in range(8)]
    for copy in copies:
        np.frombuffer(memoryview(copy.planes[0]), np.uint8)[:] = 0
    assert frame.luma[3].tobytes() == expected[3 * frame.luma.strides[0] :][:70]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_that_lies_upside_down_in_memory_is_read_right(format: str, size: tuple[int, int]) -> None:
    """The filter vflip turns a frame by pointing to its last rows, with negative line sizes."""
    source = Frame.from_rgb(picture(*size), "bt709", "limited", format, pts=0).to_av()
    graph = av.filter.Graph()
    buffer = graph.add_buffer(source, time_base=Fraction(1, 30))
    graph.link_nodes(buffer, *map(graph.add, ("vflip", "buffersink"))).configure()
    graph.vpush(source)
    flipped = graph.vpull()
    frame = Frame.from_av(flipped)
    assert all(plane.line_size < 0 for plane in flipped.planes)
    for plane, before in zip(frame.planes, Frame.from_av(source).planes, strict=True):
        np.testing.assert_array_equal(plane, before[::-1])
    for plane, copied in zip(Frame.from_av(frame.to_av()).planes, frame.planes, strict=True):
        np.testing.assert_array_equal(plane, copied)
    np.testing.assert_array_equal(
        frame.to_rgb(), frame.with_planes(tuple(map(np.copy, frame.planes))).to_rgb()
    )


@pytest.mark.parametrize(
    ("height", "matrix"), [(480, "bt601"), (719, "bt601"), (720, "bt709"), (1080, "bt709")]
)
def test_an_unspecified_matrix_follows_the_height(height: int, matrix: str) -> None:
    assert Frame.from_av(av.VideoFrame(64, height, "yuv420p")).matrix == matrix


@pytest.mark.parametrize(
    ("name", "format"), [("yuvj420p", "i420"), ("yuvj422p", "i422"), ("yuvj444p", "i444")]
)
def test_yuvj_is_full_range(name: str, format: str) -> None:
    frame = Frame.from_av(av.VideoFrame(64, 48, name))
    assert (frame.format, frame.range) == (format, "full")


def test_bt2020_is_carried_and_not_converted() -> None:
    source = av.VideoFrame(64, 48, "yuv420p10le")
    source.colorspace = 9
    frame = Frame.from_av(source)
    assert (frame.matrix, frame.bit_depth) == ("bt2020", 10)
    assert frame.to_av().colorspace == 9
    with pytest.raises(InputError, match="bt2020"):
        frame.to_rgb()


@pytest.mark.parametrize("name", ["bgr24", "p010le", "yuyv422", "nv21"])
def test_repacked_formats_keep_their_samples(name: str) -> None:
    source = av.VideoFrame.from_ndarray(picture(48, 64), format="rgb24").reformat(format=name)
    frame = Frame.from_av(source)
    again = frame.to_av().reformat(format=name)
    for one, other in zip(source.planes, again.planes, strict=True):
        assert bytes(one) == bytes(other)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'yuv410p'.*yuv420p.*convert it first"):
        Frame.from_av(av.VideoFrame(64, 48, "yuv410p"))


def test_planes_of_the_wrong_shape_or_type_are_refused() -> None:
    luma = np.zeros((48, 64), np.uint8)
    with pytest.raises(InputError, match="64x48 i420 frame has planes"):
        Frame((luma, luma, luma), "i420", 64, 48)
    with pytest.raises(InputError, match="float32"):
        Frame((luma.astype(np.float32),), "gray", 64, 48)
    with pytest.raises(InputError, match="'yuv'"):
        Frame((luma,), "yuv", 64, 48)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="RGB is a"):
        Frame.from_rgb(luma)


def test_arguments_that_are_none_of_the_known_ones_are_refused() -> None:
    luma, rgb = np.zeros((48, 64), np.uint8), picture(48, 64)
    for arguments, message in (
        ({"range": "tv"}, "range 'tv' is not one of limited, full"),
        ({"matrix": "foo"}, "matrix 'foo' is not one of bt601, bt709, bt2020"),
        ({"format": "yuv420p"}, "'yuv420p' is not one of i420"),
        ({"format": ["i420"]}, "is not one of i420"),
    ):
        with pytest.raises(InputError, match=message):
            Frame.from_rgb(rgb, **arguments)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=message):
            Frame((luma,), **({"format": "gray", "width": 64, "height": 48} | arguments))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="matrix 'foo' is not one of"):
        Frame.from_rgb(rgb, "foo", format="rgb24")  # type: ignore[arg-type]
    for array in (rgb[:0], rgb.tolist(), None, rgb.astype(float)):
        with pytest.raises(InputError, match="RGB is a"):
            Frame.from_rgb(array)  # type: ignore[arg-type]
    for planes in (None, [luma.tolist()], (None,), (memoryview(luma),), luma):
        with pytest.raises(InputError, match=r"numpy arrays|uint8 arrays|has planes"):
            Frame(planes, "gray", 64, 48)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"got tuple, '64' and 48"):
        Frame((luma,), "gray", "64", 48)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one pixel; got 64x0"):
        Frame((luma[:0],), "gray", 64, 0)
    for format, matrix, range in (("yuv", "bt709", "full"), ("i420", "foo", "full"), ("i420", "bt709", "tv")):
        with pytest.raises(InputError, match="is not one of"):
            color.rgb_to_planes(rgb, format, matrix, range)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="is not one of"):
            color.planes_to_rgb((luma, luma, luma), format, matrix, range)  # type: ignore[arg-type]


def test_with_planes_takes_the_new_size_and_keeps_the_rest() -> None:
    frame = Frame.from_rgb(picture(48, 64), "bt601", "full", pts=7, time_base=Fraction(1, 30))
    large = tuple(plane.repeat(2, 0).repeat(2, 1) for plane in frame.planes)
    other = frame.with_planes(large)
    assert (other.width, other.height, other.pts, other.time_base) == (128, 96, 7, Fraction(1, 30))
    assert (other.matrix, other.range) == ("bt601", "full")
