"""Screens drawn as training images: documents, slides, source code, chats.

Picture i is a function of (kind, size, seed, i) and of the fonts of the machine. The folder that is written is a
data folder like any other: each kind is a category.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from keenframe_train.data.fingerprint import Collection, collection, fingerprint
from keenframe_train.data.jobs import run
from keenframe_train.data.manifest import Manifest, Record, encode_png, write_files
from keenframe_train.data.render import chat, code, slides, text
from keenframe_train.data.render.fonts import Look, families
from keenframe_train.data.render.screen import Screen
from keenframe_train.data.render.setting import Setting
from keenframe_train.errors import TrainError

Uint8 = NDArray[np.uint8]
SIZE = (864, 648)
_SMALLEST, _LARGEST = 128, 8192


@dataclass(frozen=True, slots=True)
class Kind:
    """draw: draws a picture on a fresh screen. looks: shares of its fonts. dark_share: of dark colours."""

    draw: Callable[[Setting], Screen]
    looks: Mapping[Look, float]
    dark_share: float


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "text": Kind(text.draw, text.LOOKS, text.DARK_SHARE),
        "slides": Kind(slides.draw, slides.LOOKS, slides.DARK_SHARE),
        "code": Kind(code.draw, code.LOOKS, code.DARK_SHARE),
        "chat": Kind(chat.draw, chat.LOOKS, chat.DARK_SHARE),
    }
)
ALL = "all"


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "WIDTHxHEIGHT". Raises TrainError for anything else, and below 128 or above 8192."""
    match = re.fullmatch(r"(\d+)[xX×](\d+)", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(_SMALLEST <= edge <= _LARGEST for edge in size):
        raise TrainError(
            f"--size is WIDTHxHEIGHT, each from {_SMALLEST} to {_LARGEST} pixels, like 864x648; got '{text}'"
        )
    return size


def draw(kind: str, index: int, seed: int = 0, size: tuple[int, int] = SIZE) -> Uint8:
    """Picture `index` of a kind, (H, W, 3) uint8 RGB; size is (width, height). TrainError for an unknown kind."""
    if kind not in KINDS:
        raise TrainError(f"unknown kind of screen '{kind}'; known: {', '.join(KINDS)}, {ALL}")
    rng = np.random.default_rng((seed, index, list(KINDS).index(kind)))
    what = KINDS[kind]
    return what.draw(Setting(rng, *size, what.dark_share, dict(what.looks))).pixels()


def _kind_of(kind: str, index: int) -> str:
    return list(KINDS)[index % len(KINDS)] if kind == ALL else kind


def make(
    kind: str, seed: int, size: tuple[int, int], known: Collection, index: int
) -> tuple[dict[str, bytes], Record]:
    """(PNG file by name, manifest record) of picture `index`; no file when `known` holds its like."""
    name = _kind_of(kind, index)
    picture = draw(name, index, seed, size)
    record: Record = {"index": index, "kind": name, "seed": seed}
    if near := known.near(fingerprint(picture)):
        return {}, {**record, "excluded": near[0][0]}
    file = f"{name}/{index:06d}.png"
    return {file: encode_png(picture)}, {**record, "file": file}


def render_pictures(
    kind: str,
    folder: Path,
    count: int,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    *,
    exclude: Sequence[Path] = (),
    workers: int = 1,
    ray_address: str | None = None,
) -> tuple[list[Record], int]:
    """(records of the first `count` pictures, how many of them were left out for `exclude`).

    kind: a name in KINDS, or "all" for these in turn. Makes only what is missing in `folder`.
    The nodes of a Ray cluster need the same fonts, or the pictures depend on who drew them.
    Raises TrainError for an unknown kind, a count below 1 and a folder that can't be used.
    """
    if kind != ALL and kind not in KINDS:
        raise TrainError(f"unknown kind of screen '{kind}'; known: {', '.join(KINDS)}, {ALL}")
    if count < 1:
        raise TrainError(f"--count is at least 1; got {count}")
    known = collection(exclude, workers, ray_address)
    settings = {
        "kind": kind,
        "size": list(size),
        "seed": seed,
        "exclude": known.digest() if exclude else None,
        "fonts": [family.name for family in families()],
    }
    with Manifest(folder, "render", settings, "index") as manifest:
        todo = [index for index in range(count) if index not in manifest.records]
        job = partial(make, kind, seed, size, known)
        for _, (made, record) in run(
            job, todo, workers, ray_address, label="screens", done=count - len(todo)
        ):
            write_files(folder, made)
            manifest.add(record)
        records = [manifest.records[index] for index in range(count)]
    return records, sum("excluded" in record for record in records)
