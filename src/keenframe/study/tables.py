"""Results as CSV and JSON files that are whole or absent."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keenframe.errors import OutputError
from keenframe.media.files import reason, write_text

Row = dict[str, Any]


def write_files(folder: Path, files: dict[str, str], overwrite: bool, names: Sequence[str] = ()) -> None:
    """Write texts under their names into `folder`, which is made. OutputError before anything is written when
    one of them exists and `overwrite` is not set.

    names: all that such a set of files may hold; those of an earlier one that this one lacks go with `overwrite`.
    """
    taken = [name for name in files if (folder / name).exists()]
    if taken and not overwrite:
        raise OutputError(f"'{folder / taken[0]}' exists already — choose another folder or pass --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{folder}' could not be made: {reason(error)}") from error
    for stale in (folder / name for name in names if overwrite and name not in files):
        try:
            stale.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"'{stale}' could not be removed: {reason(error)}") from error
    for name, text in files.items():
        write_text(folder / name, text, overwrite)


def csv_text(rows: Sequence[Row]) -> str:
    """A table with the keys of the first row as its head; empty text for no rows."""
    if not rows:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _safe(_plain(value)) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def json_text(value: Any) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=str, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else value


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula is marked as text."""
    if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r"):
        return f"'{value}"
    return value
