"""Output files that are either whole or absent."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keenframe.errors import InputError, OutputError


def check_input(path: Path) -> None:
    """InputError unless `path` is an existing, readable, non-empty file."""
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; expected a file")
    if path.is_fifo():
        raise InputError(f"'{path}' is a pipe; expected a file, which can be read more than once")
    if not path.exists():
        raise InputError(f"'{path}' does not exist")
    if not os.access(path, os.R_OK):
        raise InputError(f"'{path}' cannot be read: permission denied")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"'{path}' is empty (0 bytes)")


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
    """(all files below a folder, sorted; a line for each that cannot be looked at, and each folder). Links to folders
    are not followed."""
    problems: list[str] = []

    def note(error: OSError) -> None:
        problems.append(f"the folder '{error.filename}' cannot be read: {reason(error)}")

    files = []
    for where, _, names in os.walk(folder, onerror=note):
        for name in names:
            path = Path(where, name)
            try:
                if path.is_file():
                    files.append(path)
            except OSError as error:
                problems.append(f"'{path}' cannot be read: {reason(error)}")
    return sorted(files), problems


def same_file(first: Path, second: Path) -> bool:
    """Whether both paths exist and lead to one file, through links too."""
    return first.exists() and second.exists() and first.samefile(second)


def check_output(path: Path, overwrite: bool) -> None:
    """OutputError unless `path` may be written: its folder exists, and it is new or `overwrite` is set."""
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder; expected a file name to write")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' exists already — choose another name or pass --overwrite")
    folder = _behind_link(path).parent
    if not folder.is_dir():
        raise OutputError(f"the folder '{folder}' does not exist; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder '{folder}' cannot be written: permission denied")


@contextmanager
def whole_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well and removed when it does not.

    The suffix is kept, so writers that go by it still work. A file that is replaced passes its permissions on,
    and a link stays a link to it. OutputError when the file may not or cannot be written.
    """
    check_output(path, overwrite)
    real = _behind_link(path)
    # A name may have 255 bytes, which are fewer characters.
    stem = os.fsencode(real.stem)[:80].decode(errors="ignore")
    part = real.with_name(f".{stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        mode = stat.S_IMODE(real.stat().st_mode) if real.exists() else None
        if mode is not None:
            part.touch(0o600)  # what is private must be so while it is written, too
        yield part
        if mode is not None:
            part.chmod(mode)
        part.replace(real)
    except OSError as error:
        raise OutputError(f"'{path}' could not be written: {reason(error)}") from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _behind_link(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def write_text(path: Path, text: str, overwrite: bool = True) -> None:
    """Write a text file in UTF-8, whole or not at all. OutputError as `whole_file`.

    A file's name need not be UTF-8; what of it has no character is written as \\udcXX, which JSON reads back.
    """
    with whole_file(path, overwrite) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def words(error: OSError) -> str:
    """`reason`, with the file that it is about where the system says so."""
    return f"'{error.filename}': {reason(error)}" if error.filename else reason(error)


def reason(error: Exception) -> str:
    """The system's or FFmpeg's words for `error`, with what to do where that is known."""
    text = (getattr(error, "strerror", None) or str(error)).lower()
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{text} — free some space or choose another disk"
    return text
