"""Output files that are whole or absent, and keep who may read them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from keenframe.errors import InputError, OutputError
from keenframe.media.files import check_input, check_output, whole_file, write_text


@pytest.mark.parametrize("mode", [0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    with whole_file(path, overwrite=True) as part:
        part.write_text("new")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far/real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(Path("far/real.txt"))
    with whole_file(link, overwrite=True) as part:
        part.write_text("new")
    assert link.is_symlink() and real.read_text() == "new"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["far", "link.txt", "real.txt"]
    lost = tmp_path / "lost.txt"
    lost.symlink_to(tmp_path / "none/real.txt")
    with pytest.raises(OutputError, match="none' does not exist"):
        check_output(lost, overwrite=False)


@pytest.mark.parametrize("letter", ["x", "é", "語", "😀"])
def test_long_names(tmp_path: Path, letter: str) -> None:
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".txt")
    with whole_file(path) as part:
        part.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_text_with_a_name_that_is_not_utf_8_is_written(tmp_path: Path) -> None:
    name = "caf\udce9"  # b"caf\\xe9", as the system's call gives it
    write_text(tmp_path / "a.json", json.dumps([name], ensure_ascii=False))
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '["caf\\udce9"]'
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == [name]


def test_a_pipe_is_called_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4' is a pipe; expected a file"):
        check_input(tmp_path / "a.mp4")
