from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from clips import Clip, make
from conftest import picture, refuse
from keenframe.errors import InputError
from keenframe.evaluate.material import TOP, cut, find_files, read_clip, read_pixels
from keenframe.metrics import psnr


def test_files_have_names_categories_and_twins(pristine: Path, degraded: Path, clip_folder: Path) -> None:
    Image.fromarray(picture(64, 64)).save(pristine / "top.jpg")
    (pristine / ".hidden").mkdir()
    Image.fromarray(picture(64, 64)).save(pristine / ".hidden" / "x.png")
    (pristine / "text" / "c.txt").write_text("hello")
    (pristine / "notes.md").write_text("no picture")
    files, problems = find_files(pristine)
    assert [(file.name, file.category) for file in files] == [
        ("faces/a.png", "faces"),
        ("faces/b.png", "faces"),
        ("text/c.png", "text"),
        ("top.jpg", TOP),
    ]
    assert files[2].truth == pristine / "text" / "c.txt" and files[0].truth is None and not problems
    assert [file.name for file in find_files(pristine, limit=1)[0]] == [
        "faces/a.png",
        "text/c.png",
        "top.jpg",
    ]
    files, problems = find_files(pristine, degraded)
    assert [file.degraded for file in files] == [
        degraded / "faces/a.webp", degraded / "faces/b.webp", degraded / "text/c.webp",
    ]  # fmt: skip
    assert len(problems) == 1 and "'top.jpg' has no twin" in problems[0]
    assert find_files(clip_folder)[0][0].clip


def test_twins_that_cannot_be_told_apart(pristine: Path, degraded: Path) -> None:
    Image.fromarray(picture(96, 128)).save(degraded / "faces" / "a.jpg")
    files, problems = find_files(pristine, degraded)
    assert len(files) == 2 and "'faces/a.png' has 2 twins" in problems[0]
    Image.fromarray(picture(96, 128)).save(degraded / "faces" / "a.png")  # the same suffix settles it
    files, problems = find_files(pristine, degraded)
    assert files[0].degraded == degraded / "faces" / "a.png" and not problems


def test_folders_without_material(tmp_path: Path, pristine: Path) -> None:
    with pytest.raises(InputError, match="does not exist; expected a folder"):
        find_files(tmp_path / "none")
    with pytest.raises(InputError, match="is a file"):
        find_files(pristine / "faces/a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures and no clips"):
        find_files(tmp_path / "empty")
    with pytest.raises(InputError, match="has its degraded twin"):
        find_files(pristine, tmp_path / "empty")


def test_folders_that_cannot_be_read_are_told(
    pristine: Path, degraded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "text")
    files, problems = find_files(pristine, degraded)
    assert [file.name for file in files] == ["faces/a.png", "faces/b.png"]
    assert problems == [
        f"the folder '{folder / 'text'}' cannot be read: permission denied" for folder in (pristine, degraded)
    ]
    refuse(monkeypatch, "pristine")
    with pytest.raises(InputError, match=r"pristine' cannot be read: permission denied"):
        find_files(pristine)


def test_a_changed_file_has_another_digest(pristine: Path) -> None:
    file = find_files(pristine)[0][0]
    before = file.digest()
    assert before == file.digest()
    file.path.write_bytes(file.path.read_bytes() + b"x")
    assert file.digest() != before
    file.path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        file.digest()


def test_pixels_of_every_kind_become_rgb(tmp_path: Path) -> None:
    rgb = picture(40, 48)
    alpha = np.zeros((40, 48), np.uint8)
    alpha[:, :24] = 255
    Image.fromarray(np.dstack([rgb, alpha])).save(tmp_path / "a.png")
    over_white = read_pixels(tmp_path / "a.png")
    assert np.array_equal(over_white[:, :24], rgb[:, :24]) and (over_white[:, 24:] == 255).all()
    Image.fromarray(rgb[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(read_pixels(tmp_path / "deep.png")[..., 1], rgb[..., 0])
    assert read_pixels(tmp_path / "a.png", gray=True).shape == (40, 48)
    Image.fromarray(rgb[:20, :20]).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="it is 20x20; expected at least 32 pixels"):
        read_pixels(tmp_path / "small.png")


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    rgb = picture(40, 48)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for suffix in ("png", "webp"):
        Image.fromarray(np.rot90(rgb)).save(tmp_path / f"a.{suffix}", exif=exif, lossless=True)
        assert np.array_equal(read_pixels(tmp_path / f"a.{suffix}"), rgb)
    assert read_pixels(tmp_path / "a.png", gray=True).shape == (40, 48)


def test_clips_of_full_range_are_compared_with_those_of_limited(tmp_path: Path) -> None:
    make(tmp_path / "a.mkv", Clip(96, 64, codec="ffv1"))
    best = {"qmin": "1", "qmax": "1"}
    make(tmp_path / "b.mkv", Clip(96, 64, codec="mjpeg", pix_fmt="yuvj420p", options=best))
    make(tmp_path / "c.mkv", Clip(96, 64, codec="ffv1", tags=(2, 2, 2, 2)))
    limited, jpeg, tagged = (read_clip(tmp_path / f"{name}.mkv", 3) for name in "abc")
    assert {frame.range for clip in (limited, jpeg, tagged) for frame in clip} == {"limited"}
    for one, other in zip(limited, jpeg, strict=True):
        assert all(psnr(*planes) > 38 for planes in zip(one.planes, other.planes, strict=True))
    # The same code values, and told to be of full range: darkest and brightest are drawn in.
    assert tagged[0].luma.min() > limited[0].luma.min() and tagged[0].luma.max() < limited[0].luma.max()


def test_windows_are_cut_from_the_middle() -> None:
    pixels = picture(100, 140)
    assert cut(pixels).shape == (96, 128, 3)
    middle = cut(pixels, 64)
    assert middle.shape == (64, 64, 3) and np.array_equal(middle, pixels[18:82, 38:102])
    assert cut(pixels, 256).shape == (96, 128, 3)


def test_clips_are_read_shrunk_and_bounded(tmp_path: Path, clip_folder: Path) -> None:
    path = clip_folder / "a.mkv"
    clip = read_clip(path, 100)
    assert len(clip) == 12 and (clip[0].width, clip[0].height, clip[0].format) == (96, 64, "i420")
    assert len(read_clip(path, 5)) == 5
    small = read_clip(path, 5, shrink=2, multiple=16)
    assert (small[0].width, small[0].height) == (48, 32)
    assert small[0].planes[1].shape == (16, 24)
    gray = read_clip(path, 5, gray=True)
    assert gray[0].format == "gray" and np.array_equal(gray[0].luma, clip[0].luma)
    make(tmp_path / "odd.mkv", Clip(70, 66, codec="ffv1", pix_fmt="yuv444p", sound="libopus"))
    odd = read_clip(tmp_path / "odd.mkv", 3, shrink=2)
    assert (odd[0].width, odd[0].height, odd[0].planes[1].shape) == (34, 32, (16, 17))
    (tmp_path / "b.mkv").write_bytes(b"no video")
    with pytest.raises(InputError, match="not a video"):
        read_clip(tmp_path / "b.mkv", 3)
