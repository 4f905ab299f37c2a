from __future__ import annotations

import threading
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import EMBEDDED, picture
from keenframe import color, conditioning, sharpener
from keenframe.condition import band_statistics
from keenframe.engines.select import available_engines
from keenframe.errors import EngineError, InputError, ModelError
from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS
from keenframe.sharpener import Sharpener
from models import build

FORMATS = list(LAYOUTS)


def gray(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.ascontiguousarray(picture(height, width, seed)[:, :, 1])


def video_frame(height: int, width: int, format: str = "i420", pts: int = 0, seed: int = 0) -> Frame:
    return Frame.from_rgb(
        picture(height, width, seed), "bt709", "limited", format, pts=pts, time_base=Fraction(1, 30)
    )


@pytest.mark.parametrize("format", FORMATS)
def test_a_frame_keeps_its_format_tags_and_time(same_size: Sharpener, format: str) -> None:
    frame = video_frame(50, 71, format, pts=9)
    sharp = same_size.sharpen(frame)
    assert (sharp.format, sharp.width, sharp.height) == (format, 71, 50)
    assert (sharp.matrix, sharp.range, sharp.pts, sharp.time_base) == (
        frame.matrix,
        frame.range,
        9,
        Fraction(1, 30),
    )
    for ours, theirs in zip(sharp.chroma, frame.chroma, strict=True):
        assert ours is theirs


@pytest.mark.parametrize("format", FORMATS)
def test_strength_zero_is_the_input_bit_for_bit(same_size: Sharpener, format: str) -> None:
    frame = video_frame(33, 47, format)
    sharp = same_size.sharpen(frame, strength=0)
    for ours, theirs in zip(sharp.planes, frame.planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for array in (picture(33, 47), gray(33, 47), picture(33, 47).astype(np.uint16) * 257):
        same = same_size.sharpen(array, strength=0.0)
        np.testing.assert_array_equal(same, array)
        assert same is not array


@pytest.mark.parametrize("format", FORMATS)
def test_no_residual_changes_nothing(engine: str, identity_model: Path, format: str) -> None:
    with Sharpener(identity_model, engine, threads=1) as identity:
        frame = video_frame(41, 53, format)
        for ours, theirs in zip(identity.sharpen(frame, 2.0).planes, frame.planes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        random = np.random.default_rng(1)
        for dtype in (np.uint8, np.uint16):
            for shape in ((37, 45, 3), (37, 45)):
                array = random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
                np.testing.assert_array_equal(identity.sharpen(array), array)


def test_the_residual_is_an_unsharp_mask_of_the_right_amount(engine: str, tmp_path: Path) -> None:
    model = build(tmp_path / "plain.onnx", amount=0.8, conditioned=False)
    plane = gray(48, 64)
    windows = np.lib.stride_tricks.sliding_window_view(plane.astype(float), (3, 3))
    for strength in (0.3, 1.0, 2.0):
        sharp = Sharpener(model, engine, threads=1).sharpen(plane, strength)
        expected = plane[1:-1, 1:-1] + strength * 0.8 * (plane[1:-1, 1:-1] - windows.mean((2, 3)))
        assert np.abs(sharp[1:-1, 1:-1] - expected.clip(0, 255)).max() <= 0.51


def test_rgb_moves_along_grey_only(same_size: Sharpener) -> None:
    image = picture(64, 80) // 2 + 64
    added = same_size.sharpen(image).astype(int) - image
    inside = (image + added > 0).all(2) & (image + added < 255).all(2)
    assert inside.mean() > 0.5
    assert (added.max(2) == added.min(2))[inside].all()
    luma = np.empty(image.shape[:2], np.uint8)
    color.luma_of_rgb(image, "bt601", luma)
    by_luma = same_size.sharpen(luma).astype(int) - luma
    assert np.abs(added[:, :, 0] - by_luma)[inside].max() <= 1


@pytest.mark.parametrize("format", ["i420p10", "i444p10"])
def test_ten_bits_are_the_eight_bits_finer(same_size: Sharpener, format: str) -> None:
    luma = gray(48, 64).astype(np.uint16)
    ten = luma * 4 + np.random.default_rng(0).integers(-1, 2, luma.shape).clip(0).astype(np.uint16)
    ten = ten.clip(0, 1020)
    chroma = tuple(np.full(shape, 512, np.uint16) for shape in LAYOUTS[format].shapes(64, 48)[1:])
    sharp = same_size.sharpen(Frame((ten, *chroma), format, 64, 48))  # type: ignore[arg-type]
    eight = same_size.sharpen(luma.astype(np.uint8))
    assert sharp.luma.dtype == np.uint16 and sharp.luma.max() <= 1023
    assert np.abs((sharp.luma.astype(float) - ten) - 4 * (eight.astype(float) - luma)).max() <= 5 or (
        np.abs(sharp.luma / 4 - eight).max() <= 1.5
    )


def test_sixteen_bits_are_the_eight_bits_finer(same_size: Sharpener) -> None:
    image = picture(48, 64)
    fine = same_size.sharpen(image.astype(np.uint16) * 257)
    assert np.abs(fine / 257 - same_size.sharpen(image)).max() <= 0.51


SIDES = st.one_of(st.integers(16, 40), st.integers(41, 150))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=SIDES, width=SIDES, strength=st.floats(0.01, 2.0), seed=st.integers(0, 9))
def test_any_size_keeps_its_pixels_away_from_the_padding(
    engine: str, unsharp_model: Path, height: int, width: int, strength: float, seed: int
) -> None:
    """Padding changes nothing: the result is that of the padded picture, cut."""
    sharpener_ = Sharpener(unsharp_model, engine, threads=1)
    plane = gray(height, width, seed)
    padded = np.pad(plane, ((0, -height % 4), (0, -width % 4)), mode="edge")
    condition = band_statistics(plane)
    blocks = sharpener_._engine.run(padded, condition, strength)
    expected = blocks.reshape(*blocks.shape[:2], 4, 4).swapaxes(1, 2).reshape(padded.shape)
    sharp = sharpener_.sharpen(plane, strength)
    np.testing.assert_array_equal(sharp, expected[:height, :width])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(16, 70), width=st.integers(16, 70), format=st.sampled_from(FORMATS))
def test_doubling_any_size(engine: str, double_model: Path, height: int, width: int, format: str) -> None:
    frame = video_frame(height, width, format)
    with Sharpener(double_model, engine, threads=1) as double:
        assert double.scale == 2
        sharp = double.sharpen(frame)
        assert (sharp.width, sharp.height, sharp.format) == (2 * width, 2 * height, format)
        assert double.sharpen(picture(height, width)).shape == (2 * height, 2 * width, 3)


def test_doubling_without_residual_is_bilinear(engine: str, plain_double_model: Path) -> None:
    with Sharpener(plain_double_model, engine, threads=1) as double:
        for array in (gray(36, 52), picture(36, 52), gray(36, 52).astype(np.uint16) * 257):
            expected = np.empty((72, 104, *array.shape[2:]), array.dtype)
            color.enlarge(array, 2, expected)
            assert np.abs(double.sharpen(array).astype(int) - expected).max() <= 1
        frame = video_frame(36, 52, "nv12")
        sharp = double.sharpen(frame)
        expected = np.empty((36, 52, 2), np.uint8)
        color.enlarge(frame.planes[1], 2, expected, left_sited=True)
        np.testing.assert_array_equal(sharp.planes[1], expected)


@pytest.mark.parametrize("shape", [(150, 210), (97, 333), (64, 400), (201, 203)])
@pytest.mark.parametrize("name", ["unsharp_model", "double_model", *EMBEDDED])
def test_tiles_have_no_seams(
    engine: str,
    name: str,
    shape: tuple[int, int],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = request.getfixturevalue(name) if name.endswith("_model") else name
    with Sharpener(model, engine, threads=1) as whole:
        for image in (gray(*shape), picture(*shape)):
            expected = whole.sharpen(image, 1.5)
            with monkeypatch.context() as patch:
                patch.setattr(sharpener, "TILED_PIXELS", 1)
                patch.setattr(sharpener, "TILE", 64)
                tiled = whole.sharpen(image, 1.5)
            assert np.abs(tiled.astype(int) - expected).max() <= 1


def test_strided_and_read_only_planes_are_taken_as_they_are(engine: str, unsharp_model: Path) -> None:
    memory = gray(64, 200)
    view = memory[:, 20:116]
    with Sharpener(unsharp_model, engine, threads=1) as sharpen:
        expected = sharpen.sharpen(view.copy())
        np.testing.assert_array_equal(sharpen.sharpen(view), expected)
        decoded = Frame.from_av(Frame((view,), "gray", 96, 64).to_av())
        np.testing.assert_array_equal(sharpen.sharpen(decoded, still=True).luma, expected)
        flipped = view[::-1, ::-1]
        np.testing.assert_array_equal(sharpen.sharpen(flipped), sharpen.sharpen(flipped.copy()))


def test_the_input_is_never_written(same_size: Sharpener) -> None:
    for array in (picture(40, 44), gray(40, 44), picture(41, 45).astype(np.uint16) * 257):
        before = array.copy()
        same_size.sharpen(array, 2.0)
        np.testing.assert_array_equal(array, before)


def test_only_frames_can_be_prepared_for(identity_model: Path) -> None:
    with Sharpener(identity_model, threads=1) as identity:
        for like in (gray(16, 16), None):
            with pytest.raises(InputError, match="expected a keenframe Frame like those of the stream"):
                identity.prepare(like)  # type: ignore[arg-type]


@pytest.mark.parametrize("strength", [-0.1, 2.01, float("nan"), float("inf"), "strong", None])
def test_a_strength_out_of_range_is_refused(identity_model: Path, engine: str, strength: object) -> None:
    with (
        Sharpener(identity_model, engine, threads=1) as identity,
        pytest.raises(InputError, match="strength"),
    ):
        identity.sharpen(gray(16, 16), strength)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((15, 64), np.uint8), "64x15"),
        (np.zeros((16, 8193), np.uint8), "8193x16"),
        (np.zeros((64, 64, 4), np.uint8), "drop alpha"),
        (np.zeros((64, 64), np.float32), "float32"),
        (np.zeros((64, 64), ">u2"), ">u2"),
        (np.zeros((2, 64, 64, 3), np.uint8), r"\(2, 64, 64, 3\)"),
        (np.zeros((0, 0), np.uint8), "0x0"),
        ("photo.png", "str"),
        (None, "NoneType"),
        ([[1, 2]], "list"),
    ],
)
def test_other_input_is_refused(identity_model: Path, array: object, message: str) -> None:
    with Sharpener(identity_model, threads=1) as identity, pytest.raises(InputError, match=message):
        identity.sharpen(array)  # type: ignore[call-overload]


def test_bad_arguments_are_refused(identity_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads is 0"):
        Sharpener(identity_model, threads=0)
    # So many would take the computer down, not serve it.
    with pytest.raises(InputError, match="threads is 9999; expected 1 to"):
        Sharpener(identity_model, threads=9999)
    for arguments in (
        {"model": None}, {"engine": None}, {"threads": "2"}, {"threads": 1.5}, {"threads": True}
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"{next(iter(arguments))} is .*; expected a "):
            Sharpener(**{"model": identity_model, **arguments})
    with pytest.raises(EngineError, match="available: "):
        Sharpener(identity_model, "onnxruntime:cuda2")
    with pytest.raises(ModelError, match="no model 'keem'"):
        Sharpener("keem")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match="is empty"):
        Sharpener(tmp_path / "empty.onnx")


def test_names_of_engines_in_capitals_and_numpy_s_numbers_are_taken(identity_model: Path) -> None:
    for name in ("AUTO", "OnnxRuntime"):
        with Sharpener(identity_model, name, threads=np.int64(1)) as sharpener:  # type: ignore[arg-type]
            assert sharpener.sharpen(gray(16, 16)).shape == (16, 16)


@pytest.mark.parametrize("format", ["i420", "nv12", "i420p10"])
@pytest.mark.parametrize("name", ["unsharp_model", "double_model"])
def test_a_stream_allocates_no_planes(
    engine: str, name: str, format: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one plane; the condition, which takes a sample of bounded size now and then, aside."""
    monkeypatch.setattr(conditioning, "band_statistics", lambda luma: np.ones(128, np.float32))
    frames = [video_frame(362, 642, format, pts) for pts in range(4)]
    with Sharpener(request.getfixturevalue(name), engine, threads=1) as stream:
        for _ in range(4):
            for frame in frames:
                sharp = stream.sharpen(frame)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(3):
                for frame in frames:
                    sharp = stream.sharpen(frame)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak - before < sharp.width * sharp.height


def test_frames_that_are_kept_are_not_overwritten(engine: str, unsharp_model: Path) -> None:
    with Sharpener(unsharp_model, engine, threads=1) as stream:
        frames = [video_frame(64, 96, pts=index, seed=index) for index in range(40)]
        kept = [stream.sharpen(frame) for frame in frames]
        copies = [frame.luma.copy() for frame in kept]
        row = stream.sharpen(frames[0]).luma[5:6, 7:]
        expected = row.copy()
        for frame in frames:
            stream.sharpen(frame)
        for frame, copy in zip(kept, copies, strict=True):
            np.testing.assert_array_equal(frame.luma, copy)
        np.testing.assert_array_equal(row, expected)
    np.testing.assert_array_equal(kept[-1].luma, copies[-1])


def test_a_released_buffer_comes_back(engine: str, unsharp_model: Path) -> None:
    with Sharpener(unsharp_model, engine, threads=1) as stream:
        frame = video_frame(64, 96)
        first = stream.sharpen(frame)
        address = first.luma.ctypes.data
        second = stream.sharpen(frame)
        assert second.luma.ctypes.data != address
        del first
        assert stream.sharpen(frame).luma.ctypes.data == address


def test_a_still_does_not_depend_on_what_came_before(same_size: Sharpener) -> None:
    image = gray(64, 64)
    alone = same_size.sharpen(image).copy()
    for seed in range(3):
        same_size.sharpen(video_frame(48, 64, pts=seed, seed=seed))
        same_size.sharpen(gray(64, 64, seed=seed + 7) // 3)
    np.testing.assert_array_equal(same_size.sharpen(image), alone)


def test_reset_starts_another_stream(engine: str, unsharp_model: Path) -> None:
    soft, hard = (Frame((plane,), "gray", 64, 64, pts=0) for plane in (gray(64, 64) // 8 + 90, gray(64, 64)))
    with Sharpener(unsharp_model, engine, threads=1) as stream:
        fresh = stream.sharpen(hard).luma.copy()
        stream.reset()
        stream.sharpen(soft)
        assert (stream.sharpen(hard).luma != fresh).any()
        stream.reset()
        np.testing.assert_array_equal(stream.sharpen(hard).luma, fresh)


def test_calls_from_several_threads_are_correct(engine: str, unsharp_model: Path) -> None:
    images = [gray(48 + 4 * index, 64, index) for index in range(4)]
    with Sharpener(unsharp_model, engine, threads=1) as shared:
        expected = [shared.sharpen(image) for image in images]
        wrong: list[int] = []

        def work(index: int) -> None:
            for _ in range(10):
                if (shared.sharpen(images[index]) != expected[index]).any():
                    wrong.append(index)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_it_can_be_used_after_close(engine: str, unsharp_model: Path) -> None:
    stream = Sharpener(unsharp_model, engine, threads=1)
    frame = stream.sharpen(video_frame(64, 96))
    copy = frame.luma.copy()
    stream.close()
    np.testing.assert_array_equal(frame.luma, copy)
    np.testing.assert_array_equal(stream.sharpen(video_frame(64, 96)).luma, copy)


@pytest.mark.skipif(not EMBEDDED, reason="no embedded model")
def test_the_default_model_loads() -> None:
    with Sharpener(threads=1) as default:
        assert default.spec.name.startswith("keen") and default.scale == 1
        assert default.engine_name in available_engines()
        assert default.sharpen(picture(64, 64)).shape == (64, 64, 3)
