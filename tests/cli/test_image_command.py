from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import keenframe
from conftest import picture, refuse
from keenframe.errors import InputError
from keenframe.media.batch import plan


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(40, 60, seed)).save(path)
    return path


@pytest.fixture
def options(unsharp_model: Path) -> list[object]:
    return ["--model", unsharp_model, "--engine", "onnxruntime", "--threads", 1]


def test_one_file(tmp_path: Path, options: list[object]) -> None:
    source = save(tmp_path / "a.png")
    done = keenframe("image", source, "-o", tmp_path / "b.png", *options)
    assert (done.code, done.err) == (0, "")
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(Image.open(source)))


def test_strength_zero_changes_nothing(tmp_path: Path, options: list[object]) -> None:
    source = save(tmp_path / "a.png")
    assert keenframe("image", source, "-o", tmp_path / "b.png", "--strength", 0, *options).code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(Image.open(source)))


def test_folder_keeps_its_structure_and_one_bad_file_stops_nothing(
    tmp_path: Path, options: list[object]
) -> None:
    folder = tmp_path / "in"
    for name in ("1.png", "deep/er/2.jpg", "deep/3.webp"):
        save(folder / name)
    (folder / "deep/bad.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not meant")
    done = keenframe("image", folder, "-o", tmp_path / "out", *options)
    assert done.code == 1
    written = sorted(
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()
    )
    assert written == ["1.png", "deep/3.webp", "deep/er/2.jpg"]
    assert "bad.png" in done.err and done.err.count("\n") == 1
    assert done.out == "3 sharpened, 1 failed\n"


def test_what_a_format_cannot_hold_stops_no_batch(tmp_path: Path, options: list[object]) -> None:
    folder = tmp_path / "in"
    save(folder / "z.png")
    Image.fromarray(picture(16, 8200)).save(folder / "wide.webp")
    block = Image.Exif()
    block[0x010F] = "M" * 70_000
    Image.fromarray(picture(40, 60)).save(folder / "a.webp", exif=block)
    done = keenframe("image", folder, "-o", tmp_path / "out", "--compare", *options)
    assert (done.code, done.out) == (1, "2 sharpened, 1 failed\n")
    assert "wide.webp' would be 16404x16; WEBP holds 16383 pixels a side at most; choose .png" in done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.webp", "z.png"]
    done = keenframe("image", folder / "a.webp", "-o", tmp_path / "a.jpg", *options)
    assert done.code == 1 and done.err.count("\n") == 1 and "this is a bug" not in done.err
    assert "a.jpg' could not be written: JPEG cannot hold what describes the picture (EXIF" in done.err
    assert not list(tmp_path.glob("*.jpg")) and not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_read_is_a_failure(
    tmp_path: Path, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "in/a.png")
    save(tmp_path / "in/locked/b.png")
    refuse(monkeypatch, "locked")
    done = keenframe("image", tmp_path / "in", "-o", tmp_path / "out", *options)
    assert (done.code, done.out) == (1, "1 sharpened, 1 failed\n")
    assert done.err == f"keenframe: the folder '{tmp_path / 'in/locked'}' cannot be read: permission denied\n"


def test_second_run_refuses_and_overwrites_on_request(tmp_path: Path, options: list[object]) -> None:
    save(tmp_path / "in/a.png")
    assert keenframe("image", tmp_path / "in", "-o", tmp_path / "out", *options).code == 0
    again = keenframe("image", tmp_path / "in", "-o", tmp_path / "out", *options)
    assert again.code == 1 and "--overwrite" in again.err
    assert keenframe("image", tmp_path / "in", "-o", tmp_path / "out", "--overwrite", *options).code == 0


def test_each_message_says_which_file_it_is_about(tmp_path: Path, options: list[object]) -> None:
    Image.fromarray(picture(8, 8)).save(tmp_path / "tiny.png")
    views = [Image.fromarray(picture(40, 60, seed)) for seed in range(2)]
    views[0].save(tmp_path / "views.jpg", "MPO", save_all=True, append_images=views[1:])
    save(tmp_path / "a.png")
    done = keenframe("image", tmp_path, "-o", tmp_path / "out", *options)
    warning, error = done.err.splitlines()
    assert done.code == 1 and "16 to" in error and f"'{tmp_path / 'tiny.png'}'" in error
    assert warning == (
        f"keenframe: warning: '{tmp_path / 'views.jpg'}': "
        "the first of 2 pictures is sharpened, the others are left out"
    )


def test_output_folder_within_the_input_is_not_read_again(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "out/a.png")
    jobs, failed = plan([tmp_path], tmp_path / "out")
    assert jobs == [(tmp_path / "a.png", tmp_path / "out/a.png")] and failed == []


def test_two_files_for_one_name(tmp_path: Path, options: list[object]) -> None:
    first, second = save(tmp_path / "x/a.png", 1), save(tmp_path / "y/a.png", 2)
    done = keenframe("image", first, second, "-o", tmp_path / "out", *options)
    assert done.code == 1 and "rename one of them" in done.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]


def test_same_file_twice_is_done_once(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png")
    assert plan([source, source, tmp_path], tmp_path / "out") == ([(source, tmp_path / "out/a.png")], [])


def test_several_inputs_need_a_folder(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.png"), save(tmp_path / "b.png")
    with pytest.raises(InputError, match="need a folder"):
        plan([first, second], tmp_path / "out.png")
    with pytest.raises(InputError, match="is a file"):
        plan([first, second], first)


def test_folder_without_images(tmp_path: Path, options: list[object]) -> None:
    (tmp_path / "in").mkdir()
    done = keenframe("image", tmp_path / "in", "-o", tmp_path / "out", *options)
    assert done.code == 1 and "holds no images" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.png", "-o", "out.png"], "does not exist"),
        (["a.png", "-o", "a.png"], "--overwrite"),
        (["a.png", "-o", "nowhere/b.gif"], "suffix"),
        (["a.png", "-o", "b.png", "--model", "nothing"], "no model 'nothing'"),
        (["a.png", "-o", "b.png", "--model", "nothing.onnx"], "does not exist"),
        (["a.png", "-o", "b.png", "--engine", "warp"], "available:"),
        (["empty.png", "-o", "b.png"], "empty"),
        (["broken.onnx", "-o", "b.png"], "not an image"),
    ],
)
def test_bad_use_is_one_clear_line(
    tmp_path: Path, unsharp_model: Path, monkeypatch: Any, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "broken.onnx").write_bytes(b"not a model" * 9)
    model = [] if "--model" in arguments else ["--model", unsharp_model]
    done = keenframe("image", *arguments, *model)
    assert done.code == 1 and message in done.err and "Traceback" not in done.err
    assert done.err.startswith("keenframe: ") and done.err.count("\n") == 1
    assert not (tmp_path / "b.png").exists()


def test_no_folder_stays_that_was_made_for_nothing(tmp_path: Path, options: list[object]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "in/deep").mkdir(parents=True)
    save(tmp_path / "in/a.png")
    (tmp_path / "in/deep/b.png").write_bytes(b"no picture")
    assert keenframe("image", tmp_path / "in/deep", "-o", tmp_path / "out/of/it", *options).code == 1
    assert keenframe("image", tmp_path / "in/deep", "-o", tmp_path / "mine", *options).code == 1
    assert not (tmp_path / "out").exists() and (tmp_path / "mine").is_dir()
    done = keenframe("image", tmp_path / "in", "-o", tmp_path / "out", *options)
    assert done.code == 1 and [found.name for found in (tmp_path / "out").iterdir()] == ["a.png"]


def test_foreign_model_is_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png")
    (tmp_path / "broken.onnx").write_bytes(b"not a model" * 9)
    done = keenframe("image", source, "-o", tmp_path / "b.png", "--model", tmp_path / "broken.onnx")
    assert done.code == 1 and "broken.onnx" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments", [["--strength", "3"], ["--strength", "much"], ["--threads", "0"], ["--nope"]]
)
def test_wrong_usage_exits_2(tmp_path: Path, arguments: list[str]) -> None:
    done = keenframe("image", tmp_path / "a.png", "-o", tmp_path / "b.png", *arguments)
    assert done.code == 2 and "Traceback" not in done.err
