"""A server's folder: private, gone at the end, and swept up after servers that were killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keenframe.errors import OutputError
from keenframe.web.workspace import Workspace, remove_abandoned

HOLD = "import sys, pathlib; from keenframe.web.workspace import Workspace\n"


def test_it_is_private_and_goes_away(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    inner = workspace.new_folder()
    (inner / "file").write_text("x")
    for folder in (workspace.folder, inner):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert workspace.new_folder().name != inner.name
    workspace.close()
    assert list(tmp_path.iterdir()) == []


def test_those_that_live_are_left_alone(tmp_path: Path) -> None:
    first, second = Workspace(tmp_path), Workspace(tmp_path)
    remove_abandoned(tmp_path)
    assert first.folder.is_dir() and second.folder.is_dir()
    first.close()
    assert second.folder.is_dir()
    second.close()


def test_those_of_the_dead_are_removed(tmp_path: Path) -> None:
    code = (
        HOLD + "import os; w = Workspace(pathlib.Path(sys.argv[1])); w.new_folder(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    other = Workspace(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        other.folder.name,
        other.folder.name + ".lock",
    ]
    other.close()


def test_what_only_looks_like_one_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    base = tmp_path / "base"
    base.mkdir()
    (base / "keenframe-web-1").mkdir()
    (base / "keenframe-web-2.lock").symlink_to(elsewhere / "precious")
    (base / "keenframe-web-3").symlink_to(elsewhere)
    (base / "keenframe-web-3.lock").touch()
    remove_abandoned(base)
    assert (elsewhere / "precious").read_text() == "x"
    assert (base / "keenframe-web-1").is_dir()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can make another user's files")
def test_other_users_are_left_alone(tmp_path: Path) -> None:
    folder, lock = tmp_path / "keenframe-web-1", tmp_path / "keenframe-web-1.lock"
    folder.mkdir()
    lock.touch()
    os.chown(lock, 12345, 12345)
    remove_abandoned(tmp_path)
    assert folder.is_dir()


def test_no_room_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="set TMPDIR"):
        Workspace(tmp_path / "missing")
