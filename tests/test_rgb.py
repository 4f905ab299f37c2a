"""Models that take and give RGB, on every kind of input, in each engine."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from conftest import CPU_ENGINES, EMBEDDED_RGB, picture
from keenframe import color, rgb
from keenframe.engines.select import create_engine, measure_engines
from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS
from keenframe.sharpener import Sharpener
from keenframe.tiles import round_up
from keenframe.zoo.spec import load_spec
from models import build, build_rgb

FORMATS = list(LAYOUTS)
USUAL = ["i420", "nv12", "gray", "rgb24", "i420p10"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rgb")


@pytest.fixture(scope="module")
def neutral(folder: Path) -> Path:
    """Same size, no residual; sides in multiples of 4."""
    return build_rgb(folder / "neutral.onnx", size_multiple=4)


@pytest.fixture(scope="module")
def unsharp(folder: Path) -> Path:
    return build_rgb(folder / "unsharp.onnx", amount=0.6, size_multiple=4, radius=4)


@pytest.fixture(scope="module")
def tint(folder: Path) -> Path:
    return build_rgb(folder / "tint.onnx", shift=(10, 0, -6))


@pytest.fixture(scope="module")
def four(folder: Path) -> Path:
    """Four times the size, bicubic base, unsharp residual; sides in multiples of 2."""
    return build_rgb(folder / "four.onnx", amount=0.5, scale=4, size_multiple=2)


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """Every pixel gets a tenth of the picture's mean."""
    return build_rgb(folder / "whole.onnx", by_mean=0.1)


@pytest.fixture(
    scope="module",
    params=[(name, engine) for name in ("unsharp", "whole", "four", *EMBEDDED_RGB) for engine in CPU_ENGINES],
    ids="-".join,
)
def any_rgb(request: pytest.FixtureRequest) -> Iterator[Sharpener]:
    """Each small and each embedded RGB model, on each engine."""
    name, engine = request.param
    model = name if name in EMBEDDED_RGB else request.getfixturevalue(name)
    with Sharpener(model, engine, threads=1) as sharpener:
        yield sharpener


def video_frame(height: int, width: int, format: str = "i420", pts: int = 0, seed: int = 0) -> Frame:
    image = picture(height, width, seed) // 2 + 60
    return Frame.from_rgb(image, "bt709", "limited", format, pts=pts, time_base=Fraction(1, 30))  # type: ignore[arg-type]


def unsharpened(image: np.ndarray, amount: float) -> np.ndarray:
    """The unsharp model's residual by the definition, (H, W, 3); zeros beyond the edges."""
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    return amount * (image - windows.mean((-2, -1)))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_engines_compute_base_plus_strength_times_residual(
    engine: str, unsharp: Path, strength: float
) -> None:
    runner = create_engine(engine, unsharp, load_spec(unsharp), threads=1)
    image = picture(48, 64)
    residual = unsharpened(image, 0.6)
    np.testing.assert_allclose(runner.run_residual(image, None), residual, atol=2e-3)
    pixels = runner.run(image, None, strength)
    assert pixels.dtype == np.uint8 and pixels.shape == (48, 64, 3)
    assert np.abs(pixels - (image + strength * residual).clip(0, 255)).max() <= 0.51
    assert runner.run(picture(48, 64, 3), None, strength) is pixels


@pytest.mark.skipif(len(CPU_ENGINES) < 2, reason="one engine is installed")
@pytest.mark.parametrize("name", ["unsharp", "four", "whole", *EMBEDDED_RGB])
def test_engines_agree(name: str, request: pytest.FixtureRequest) -> None:
    model = name if name in EMBEDDED_RGB else request.getfixturevalue(name)
    results = []
    for engine in CPU_ENGINES:
        with Sharpener(model, engine, threads=1) as sharpener:
            results.append(sharpener.sharpen(picture(52, 70)).astype(int))
            int8 = sharpener.spec.precision == "int8"
    difference = np.abs(results[0] - results[1])
    assert difference.mean() <= 1 if int8 else difference.max() <= 1


def test_auto_measures_an_rgb_model(four: Path) -> None:
    spec = load_spec(four)
    assert set(measure_engines(CPU_ENGINES, four, spec, threads=1)) == set(CPU_ENGINES)


@pytest.mark.parametrize("format", USUAL)
def test_a_frame_keeps_its_format_tags_and_time(any_rgb: Sharpener, format: str) -> None:
    frame = video_frame(34, 51, format, pts=9)
    sharp = any_rgb.sharpen(frame)
    scale = any_rgb.scale
    assert (sharp.format, sharp.width, sharp.height) == (format, 51 * scale, 34 * scale)
    assert (sharp.matrix, sharp.range, sharp.pts, sharp.time_base) == (
        frame.matrix,
        frame.range,
        9,
        Fraction(1, 30),
    )


@pytest.mark.parametrize("format", USUAL)
def test_strength_zero_is_the_input_bit_for_bit(any_rgb: Sharpener, format: str) -> None:
    frame = video_frame(33, 47, format)
    sharp = any_rgb.sharpen(frame, strength=0)
    if any_rgb.scale == 1:
        for ours, theirs in zip(sharp.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for array in (picture(33, 47), picture(33, 47)[:, :, 1], picture(33, 47).astype(np.uint16) * 257):
        same = any_rgb.sharpen(array, strength=0.0)
        expected = np.empty((33 * any_rgb.scale, 47 * any_rgb.scale, *array.shape[2:]), array.dtype)
        color.enlarge(array, any_rgb.scale, expected, "bicubic")
        assert same is not array and same.dtype == array.dtype
        tolerance = 0 if any_rgb.scale == 1 else 1
        assert np.abs(same.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("format", FORMATS)
def test_no_residual_changes_nothing(engine: str, neutral: Path, format: str) -> None:
    random = np.random.default_rng(1)
    with Sharpener(neutral, engine, threads=1) as identity:
        layout = LAYOUTS[format]
        planes = tuple(
            random.integers(0, 1 << layout.bit_depth, shape).astype(layout.dtype)
            for shape in layout.shapes(53, 41)
        )
        frame = Frame(planes, format, 53, 41, "bt601", "limited", pts=1)  # type: ignore[arg-type]
        for ours, theirs in zip(identity.sharpen(frame, 2.0).planes, planes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for dtype in (np.uint8, np.uint16):
            for shape in ((37, 45, 3), (37, 45)):
                array = random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
                np.testing.assert_array_equal(identity.sharpen(array), array)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("range", ["limited", "full"])
@pytest.mark.parametrize("format", ["i420", "nv12", "i422", "i444", "gray"])
def test_a_change_of_colour_reaches_the_planes_as_converting_would(
    engine: str, tint: Path, format: str, matrix: str, range: str
) -> None:
    """Against converting the changed RGB; a flat change, so that chroma's filters do not matter."""
    image = picture(36, 50) // 2 + 50
    tags = {"matrix": matrix, "range": range, "format": format}
    frame = Frame.from_rgb(image, **tags)  # type: ignore[arg-type]
    expected = Frame.from_rgb(image + np.array([20, 0, -12], np.int8).astype(np.uint8), **tags)  # type: ignore[arg-type]
    with Sharpener(tint, engine, threads=1) as sharpener:
        sharp = sharpener.sharpen(frame, 2.0)
    for ours, theirs, before in zip(sharp.planes, expected.planes, frame.planes, strict=True):
        change = ours.astype(int) - before
        assert np.abs(change - (theirs.astype(int) - before)).max() <= 1
        assert len(np.unique(change)) <= 2  # NV12 holds two channels in one plane


@pytest.mark.parametrize("format", ["i420p10", "i422p10", "i444p10"])
def test_ten_bits_keep_their_fine_steps(engine: str, tint: Path, format: str) -> None:
    random = np.random.default_rng(2)
    planes = tuple(
        random.integers(300, 600, shape).astype(np.uint16) for shape in LAYOUTS[format].shapes(40, 32)
    )
    frame = Frame(planes, format, 40, 32, "bt709", "limited")  # type: ignore[arg-type]
    with Sharpener(tint, engine, threads=1) as sharpener:
        sharp = sharpener.sharpen(frame)
    luma = 4 * 219 / 255 * (0.2126 * 10 - 0.0722 * 6)
    assert (sharp.planes[0] - planes[0].astype(int) == round(luma)).all()
    assert all(len(np.unique(new - old)) == 1 for new, old in zip(sharp.planes, planes, strict=True))


def test_gray_is_the_luma_of_equal_channels(engine: str, unsharp: Path, tint: Path) -> None:
    gray = np.ascontiguousarray(picture(40, 52)[:, :, 1]) // 2 + 60
    with Sharpener(unsharp, engine, threads=1) as sharpener:
        expected = sharpener.sharpen(np.repeat(gray[:, :, None], 3, 2))
        np.testing.assert_array_equal(sharpener.sharpen(gray), expected[:, :, 0])
        fine = sharpener.sharpen(gray.astype(np.uint16) * 257)
        assert np.abs(fine / 257 - expected[:, :, 0]).max() <= 0.51
    with Sharpener(tint, engine, threads=1) as sharpener:
        assert (sharpener.sharpen(gray) - gray.astype(int) == round(0.299 * 10 - 0.114 * 6)).all()


def test_sixteen_bits_are_the_eight_bits_finer(any_rgb: Sharpener) -> None:
    image = picture(40, 52) // 2 + 60
    fine = any_rgb.sharpen(image.astype(np.uint16) * 257)
    assert fine.dtype == np.uint16
    tolerance = 1.01 if any_rgb.scale > 1 else 0.51
    assert np.abs(fine / 257 - any_rgb.sharpen(image)).max() <= tolerance


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (50, 23)])
def test_any_size_is_padded_and_cut(any_rgb: Sharpener, shape: tuple[int, int]) -> None:
    spec = any_rgb.spec
    image = picture(*shape)
    height, width = (round_up(side, spec.size_multiple) for side in shape)
    padded = np.pad(image, ((0, height - shape[0]), (0, width - shape[1]), (0, 0)), mode="edge")
    expected = any_rgb._engine.run(padded, None, 1.0)[: shape[0] * spec.scale, : shape[1] * spec.scale].copy()
    np.testing.assert_array_equal(any_rgb.sharpen(image), expected)


@pytest.mark.parametrize("shape", [(97, 233), (201, 103)])
@pytest.mark.parametrize("name", ["unsharp", "four", *EMBEDDED_RGB])
def test_tiles_have_no_seams(
    engine: str,
    name: str,
    shape: tuple[int, int],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Sharpener(
        name if name in EMBEDDED_RGB else request.getfixturevalue(name), engine, threads=1
    ) as sharpener:
        for x in (picture(*shape), picture(*shape)[:, :, 0], video_frame(*shape, pts=1)):
            expected = sharpener.sharpen(x)
            with monkeypatch.context() as patch:
                patch.setattr(rgb, "TILED_PIXELS", 1)
                patch.setattr(rgb, "TILE", 64)
                tiled = sharpener.sharpen(x)
            new, old = (y.luma if isinstance(y, Frame) else y for y in (tiled, expected))
            assert np.abs(new.astype(int) - old).max() <= 1


def test_large_pictures_are_cut_for_memory_and_small_ones_are_not(four: Path, unsharp: Path) -> None:
    assert len(list(rgb.picture_windows(1024, 1024, load_spec(unsharp)))) == 1
    assert all(w.width <= 1024 for w in rgb.picture_windows(1080, 1920, load_spec(unsharp)))
    assert {(w.height, w.width) for w in rgb.picture_windows(480, 640, load_spec(four))} == {(256, 256)}


def test_a_network_that_reads_the_whole_picture_is_never_cut(
    engine: str, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rgb, "TILED_PIXELS", 1)
    monkeypatch.setattr(rgb, "TILE", 64)
    monkeypatch.setattr(rgb, "WHOLE_PIXELS", 200 * 200)
    image = picture(200, 200)
    with Sharpener(whole, engine, threads=1) as sharpener:
        added = sharpener.sharpen(image // 2).astype(float) - image // 2
        assert np.abs(added - 0.1 * (image // 2).mean((0, 1))).max() <= 0.51
        for x in (picture(200, 201), picture(200, 201)[:, :, 0], video_frame(200, 201, pts=3)):
            with pytest.raises(InputError, match=r"'whole' reads the whole picture.*201x200.*megapixels"):
                sharpener.sharpen(x)


@pytest.mark.parametrize("format", USUAL)
def test_four_times_the_size_with_chroma(engine: str, folder: Path, format: str) -> None:
    model = build_rgb(folder / f"plain-four-{engine}.onnx", scale=4, shift=(8, 8, 8))
    frame = video_frame(27, 45, format)
    with Sharpener(model, engine, threads=1) as sharpener:
        sharp = sharpener.sharpen(frame)
    assert (sharp.width, sharp.height) == (180, 108)
    layout, limit = LAYOUTS[format], (1 << frame.bit_depth) - 1
    for index, (new, old) in enumerate(zip(sharp.planes, frame.planes, strict=True)):
        expected = np.empty(layout.shapes(180, 108)[index], layout.dtype)
        color.enlarge(
            old, 4, expected, "bilinear" if index else "bicubic", bool(index) and frame.left_sited, limit
        )
        grey = 8 if format == "rgb24" else 0 if index else round(8 * 219 / 255 * (4 if limit > 255 else 1))
        assert np.abs(new.astype(int) - (expected.astype(int) + grey).clip(0, limit)).max() <= 1


def test_a_luma_model_of_scale_four_enlarges_frames_with_chroma(engine: str, folder: Path) -> None:
    model = build(
        folder / f"luma-four-{engine}.onnx", amount=0.0, scale=4, conditioned=False, size_multiple=1, radius=8
    )
    with Sharpener(model, engine, threads=1) as sharpener:
        for x in (picture(30, 44), picture(30, 44)[:, :, 0].copy()):
            expected = np.empty((120, 176, *x.shape[2:]), np.uint8)
            color.enlarge(x, 4, expected)
            assert np.abs(sharpener.sharpen(x).astype(int) - expected).max() <= 1
        for format in FORMATS:
            sharp = sharpener.sharpen(video_frame(31, 45, format))
            assert tuple(p.shape for p in sharp.planes) == LAYOUTS[format].shapes(180, 124)


def test_bt2020_is_refused_not_guessed(engine: str, neutral: Path) -> None:
    frame = video_frame(32, 32)
    wide = Frame(frame.planes, "i420", 32, 32, "bt2020", pts=0)
    with Sharpener(neutral, engine, threads=1) as sharpener, pytest.raises(InputError, match="bt2020"):
        sharpener.sharpen(wide)


def test_the_input_is_never_written_and_may_be_strided(any_rgb: Sharpener) -> None:
    memory = picture(40, 120)
    view = memory[:, 20:64]
    before = memory.copy()
    expected = any_rgb.sharpen(view.copy())
    np.testing.assert_array_equal(any_rgb.sharpen(view), expected)
    turned = view[:, :, ::-1]
    np.testing.assert_array_equal(any_rgb.sharpen(turned), any_rgb.sharpen(turned.copy()))
    any_rgb.sharpen(view.astype(np.uint16), 2.0)
    np.testing.assert_array_equal(memory, before)
    decoded = Frame.from_av(Frame((view.copy(),), "rgb24", 44, 40, range="full").to_av())
    np.testing.assert_array_equal(any_rgb.sharpen(decoded, still=True).planes[0], expected)


@pytest.mark.parametrize("format", ["i420", "nv12", "rgb24"])
@pytest.mark.parametrize("name", ["unsharp", "four"])
def test_a_stream_allocates_no_planes(
    engine: str, name: str, format: str, request: pytest.FixtureRequest
) -> None:
    height, width = (130, 170) if name == "four" else (242, 322)
    frames = [video_frame(height, width, format, pts) for pts in range(4)]
    with Sharpener(request.getfixturevalue(name), engine, threads=1) as stream:
        for frame in frames:
            sharp = stream.sharpen(frame)
        for frame in frames:
            sharp = stream.sharpen(frame)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for frame in frames:
                sharp = stream.sharpen(frame)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # A few rows of float32 are worked on at a time.
    assert peak - before < max(sharp.width * sharp.height, 64 * 16 * sharp.width)


def test_frames_that_are_kept_are_not_overwritten(engine: str, unsharp: Path) -> None:
    with Sharpener(unsharp, engine, threads=1) as stream:
        frames = [video_frame(32, 48, pts=index, seed=index) for index in range(30)]
        kept = [stream.sharpen(frame) for frame in frames]
        copies = [[plane.copy() for plane in frame.planes] for frame in kept]
        for frame in frames:
            stream.sharpen(frame)
        for frame, planes in zip(kept, copies, strict=True):
            for ours, copy in zip(frame.planes, planes, strict=True):
                np.testing.assert_array_equal(ours, copy)
