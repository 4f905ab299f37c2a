"""What a data tool has made: a description, and a line of JSON for every item, so that it can go on later.

Folder: `TOOL.json`, the settings, against which a later run is compared; `manifest.jsonl`, one record an item,
added when the item's files are whole, and sorted when all are made, so that the folder does not show in which
order they were finished.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keenframe_train.errors import TrainError
from keenframe_train.files import replacing

Record = dict[str, Any]
NAME = "manifest.jsonl"


class Manifest:
    """The manifest of an output folder, open for adding; records by their `key` field.

    folder: made when missing; it must be empty, or hold what the same tool made with the same settings.
    tool: names the description file. settings: all on which the content of the files depends, JSON values.
    Raises TrainError for a folder that can't be used, before anything is written to it.
    """

    def __init__(self, folder: Path, tool: str, settings: Mapping[str, Any], key: str) -> None:
        self.folder = folder
        self._key = key
        self._path = folder / NAME
        self._file: BinaryIO | None = None
        card = folder / f"{tool}.json"
        wanted = json.loads(json.dumps(settings))
        try:
            if card.is_file():
                self._compare(card, wanted)
            elif folder.is_dir() and any(folder.iterdir()):
                raise TrainError(
                    f"'{folder}' holds other files and no {card.name}; pass an empty or a new folder as --out"
                )
            else:
                with replacing(card) as file:
                    file.write(json.dumps(wanted, indent=1).encode() + b"\n")
            self.records: dict[Any, Record] = self._read()
            self._rewrite()  # drops the half line of a killed run
        except OSError as error:
            raise TrainError(
                f"cannot write to '{folder}': {error}; pass a folder of your own as --out"
            ) from error

    def _compare(self, card: Path, wanted: Record) -> None:
        try:
            found = json.loads(card.read_text())
        except ValueError as error:
            raise TrainError(f"'{card}' is damaged ({error}); remove '{self.folder}'") from error
        keys = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        if keys:
            what = ", ".join(f"{name} {found.get(name)!r} (now {wanted.get(name)!r})" for name in keys)
            raise TrainError(f"'{self.folder}' was made with other settings: {what}; pass a new --out")

    def _read(self) -> dict[Any, Record]:
        records = {}
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            try:
                record = json.loads(line)
                records[record[self._key]] = record
            except (ValueError, KeyError, TypeError):
                continue  # cut short by a kill: its item is made again
        return records

    def _rewrite(self) -> None:
        with replacing(self._path) as file:
            for key in sorted(self.records):
                file.write(json.dumps(self.records[key], ensure_ascii=False).encode() + b"\n")

    def add(self, record: Record) -> None:
        """Add one record; its files must be whole by now. A record of the same key is replaced."""
        if self._file is None:
            self._file = self._path.open("ab")
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        self.records[record[self._key]] = record

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._rewrite()


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """An (H, W, 3) or (H, W) uint8 picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write encoded pictures, name below `folder` -> bytes, each whole or not at all.

    Raises TrainError when the folder can't be written, or is full.
    """
    for name, content in files.items():
        try:
            with replacing(folder / name) as file:
                file.write(content)
        except OSError as error:
            raise TrainError(f"cannot write '{folder / name}': {error}") from error
