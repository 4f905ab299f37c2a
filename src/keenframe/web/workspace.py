"""One server's own folder for what is uploaded and made, removed when the server ends however it ends.

Each folder has a lock file beside it that its server holds. A lock that can be taken belongs to a server that
was killed: whoever starts next removes its folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from keenframe.errors import OutputError

_PREFIX = "keenframe-web-"
_LOCK = ".lock"


class Workspace:
    """A private folder among the system's temporary files (`TMPDIR` moves it)."""

    def __init__(self, base: Path | None = None) -> None:
        base = base or Path(tempfile.gettempdir())
        try:
            remove_abandoned(base)
            self._lock_path, self._lock = _new_lock(base)
            self.folder = self._lock_path.with_suffix("")
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            raise OutputError(
                f"no folder could be made in '{base}': {error.strerror} — set TMPDIR to a folder with room"
            ) from error

    def new_folder(self) -> Path:
        """A new folder, named by nothing but chance."""
        folder = self.folder / secrets.token_urlsafe(18)
        folder.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()
        with suppress(OSError):
            self._lock_path.unlink()


def remove_abandoned(base: Path) -> None:
    """Remove the folders of servers that ended without doing so themselves."""
    for path in base.glob(f"{_PREFIX}*{_LOCK}"):
        try:
            descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            continue  # of another user, or gone in this moment
        with os.fdopen(descriptor, "r+b") as lock:
            if _ours(lock) and _taken(lock):
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                with suppress(OSError):
                    path.unlink()


def _new_lock(base: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = base / f"{_PREFIX}{secrets.token_hex(8)}{_LOCK}"
        lock = path.open("x+b")
        # Someone who starts in this moment may have found the file still free, and removed it.
        if _taken(lock) and path.exists():
            return path, lock
        lock.close()


def _ours(lock: BinaryIO) -> bool:
    return sys.platform == "win32" or os.fstat(lock.fileno()).st_uid == os.getuid()


def _taken(lock: BinaryIO) -> bool:
    """Lock the file, unless someone else holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
