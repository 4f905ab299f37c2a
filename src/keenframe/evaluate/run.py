"""The folder of a run: what it was asked for (`run.json`), and a journal with a line for each item that is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keenframe.errors import InputError, OutputError
from keenframe.media.files import reason, write_text

RUN, JOURNAL = "run.json", "journal.jsonl"
Record = dict[str, Any]


class Run:
    """A run's folder, begun or gone on with. arguments: everything that decides what is measured, as JSON.

    about: what is worth keeping and decides nothing: versions, the machine. InputError where the folder holds a run
    with other arguments, or something else; OutputError where it cannot be written.
    """

    def __init__(self, folder: Path, arguments: dict[str, Any], about: dict[str, Any]) -> None:
        self.folder = folder
        self._records: dict[tuple[str, str], Record] = {}
        path = folder / RUN
        try:
            if path.exists():
                self.about = _agreed(path, arguments)
            else:
                if folder.is_dir() and any(folder.iterdir()):
                    raise InputError(
                        f"'{folder}' holds something that is no run of this command; choose a new or empty folder"
                    )
                folder.mkdir(parents=True, exist_ok=True)
                self.about = about
                write_text(path, _json({"arguments": arguments, "about": about}))
            self._read()
            self._file = (folder / JOURNAL).open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"the run's folder '{folder}' cannot be used: {reason(error)}") from error

    def _read(self) -> None:
        """Take the journal's whole lines; what a killed run cut off is removed, so that none is appended to it."""
        path = self.folder / JOURNAL
        if not path.exists():
            return
        text = path.read_bytes()
        lines = text.splitlines(keepends=True)
        kept = 0
        for line in lines:
            try:
                record = json.loads(line)
                self._records[record["preset"], record["name"]] = record
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            kept += len(line)
        if kept < len(text):
            with path.open("r+b") as file:
                file.truncate(kept)

    def known(self, preset: str, name: str, digest: str) -> bool:
        """Whether this item is done, with the very content that it has now and without a failure: those are tried anew,
        for what was wrong may be mended."""
        record = self._records.get((preset, name))
        return (
            record is not None
            and record["digest"] == digest
            and not (record.get("error") or record.get("failed"))
        )

    def add(self, record: Record) -> None:
        """Write one item's record; it is on the disk when this returns."""
        self._records[record["preset"], record["name"]] = record
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"'{self.folder / JOURNAL}' cannot be written: {reason(error)}") from error

    def records(self, items: Iterable[tuple[str, str]]) -> list[Record]:
        """The records of (preset, name) pairs, in their order; those without one are left out."""
        return [self._records[item] for item in items if item in self._records]

    def close(self) -> None:
        """Close the journal."""
        self._file.close()


def _agreed(path: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """What else an earlier run noted. InputError, naming the differences, when it had other arguments."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        earlier, about = dict(stored["arguments"]), dict(stored["about"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is damaged ({error}); remove it, or choose another folder") from error
    differences = [
        f"{name.replace('_', ' ')}: {json.dumps(earlier.get(name))} then, {json.dumps(arguments.get(name))} now"
        for name in dict.fromkeys((*earlier, *arguments))
        if earlier.get(name) != arguments.get(name)
    ]
    if differences:
        raise InputError(
            f"'{path.parent}' holds a run with other arguments — {'; '.join(differences)} — give the same ones to go "
            "on, or choose another folder"
        )
    return about


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
