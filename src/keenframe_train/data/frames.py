"""Training pictures from videos: a frame every few seconds, without repetitions, blurred frames and leaks.

One folder a video, so that `find_images` makes each its own category and a long film does not outweigh ten short
calls. Of frames that show the same, the sharpest stays. A frame is blurred when the variance of its Laplacian
(Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000) is far below the median of its own
video: the measure says little from one scene to another.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.media.source import Source
from keenframe.metrics import luma
from keenframe_train.data.fingerprint import Collection, Fingerprint, alike, collection, fingerprint
from keenframe_train.data.jobs import run
from keenframe_train.data.links import fetched, is_link
from keenframe_train.data.manifest import Manifest, Record
from keenframe_train.errors import TrainError

Uint8 = NDArray[np.uint8]
SUFFIXES = frozenset(
    {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts", ".mpg", ".mpeg", ".flv", ".wmv"}
)
FORMATS: dict[str, dict[str, Any]] = {"png": {"compress_level": 6}, "webp": {"lossless": True, "quality": 60}}


@dataclass(frozen=True, slots=True)
class Extraction:
    """every_s: seconds between frames. distance: bits of the perceptual hash up to which two frames show the same
    (with a correlation of 0.95 besides). blur: frames below this share of the video's median sharpness are left
    out; 0 keeps all. format: png or webp, both lossless."""

    every_s: float = 2.0
    distance: int = 4
    blur: float = 0.25
    format: str = "png"

    def __post_init__(self) -> None:
        if not self.every_s > 0:
            raise TrainError(f"--every needs a number of seconds above 0; got {self.every_s:g}")
        if not 0 <= self.distance <= 64:
            raise TrainError(f"--distance is a number of bits, 0 to 64; got {self.distance}")
        if not 0 <= self.blur < 1:
            raise TrainError(f"--blur is a share of the median, from 0 to below 1; got {self.blur:g}")
        if self.format not in FORMATS:
            raise TrainError(f"unknown format '{self.format}'; expected {' or '.join(FORMATS)}")


@dataclass(slots=True, eq=False)
class _Kept:
    time_s: float
    sharpness: float
    print: Fingerprint


def upright(frame: VideoFrame) -> Uint8:
    """(H, W, 3) uint8 RGB of a decoded frame, by its own matrix and range, turned as a player shows it.

    Raises InputError (BT.2020, and pixel formats that the runtime does not take)."""
    rgb = Frame.from_av(frame).to_rgb()
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90) % 4))


def sharpness(rgb: Uint8) -> float:
    """Variance of the luma's Laplacian, in squared code values."""
    return float(cv2.Laplacian(luma(rgb, full_range=True), cv2.CV_32F).var())


def find_videos(sources: Iterable[str]) -> list[str]:
    """Links, files, and the videos below folders, in order and once each.

    Raises TrainError for a path that does not exist and when there is nothing to read."""
    found: dict[str, None] = {}
    names = list(sources)
    for name in names:
        path = Path(name)
        if is_link(name) or path.is_file():
            found[name] = None
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            found.update(dict.fromkeys(map(str, inside)))
        else:
            raise TrainError(
                f"'{name}' does not exist; pass videos, folders of videos, or links (https://...)"
            )
    if not found:
        raise TrainError(f"no video below {', '.join(names)}; expected {', '.join(sorted(SUFFIXES))}")
    return list(found)


def _state(source: str) -> Record:
    """What tells that a file has changed since; a link is taken once."""
    if is_link(source):
        return {"video": source}
    stat = Path(source).stat()
    return {"video": str(Path(source).resolve()), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _folder_name(state: Record) -> str:
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(state["video"]).stem)[:60]
    return f"{name or 'video'}-{hashlib.sha256(state['video'].encode()).hexdigest()[:8]}"


def extract(folder: Path, settings: Extraction, known: Collection, source: str) -> Record:
    """Write one video's frames into a folder of its own below `folder`; gives the manifest's record.

    The frames appear together when the video was read to its end. What can't be read, or is damaged anywhere,
    leaves nothing and gives a record with `error`. Raises TrainError when the folder can't be written.
    """
    state = _state(source)
    final = folder / _folder_name(state)
    part = final.with_name(f".{final.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with fetched(source, part) as path:
            record = _take(path, part, settings, known)
        shutil.rmtree(final, ignore_errors=True)
        if record["frames"]:
            part.rename(final)
    except (InputError, TrainError) as error:
        return {**state, "error": str(error)}
    except OSError as error:
        raise TrainError(f"cannot write frames to '{folder}': {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {**state, "folder": final.name, **record}


def _take(path: Path, part: Path, settings: Extraction, known: Collection) -> Record:
    kept: list[_Kept] = []
    counts = {"repeated": 0, "blurred": 0, "excluded": 0}
    next_s: float | None = None
    source = Source(path)
    try:
        for frame in source:
            if not isinstance(frame, VideoFrame):
                continue
            time_s = float((frame.pts or 0) * source.time_base)
            if next_s is not None and time_s < next_s:
                continue
            next_s = time_s if next_s is None else next_s
            next_s += settings.every_s * (1 + (time_s - next_s) // settings.every_s)
            rgb = upright(frame)
            candidate = _Kept(time_s, sharpness(rgb), fingerprint(rgb))
            if known.near(candidate.print):
                counts["excluded"] += 1
                continue
            same = _same(kept, candidate, settings.distance)
            counts["repeated"] += same is not None
            if same is not None:
                if candidate.sharpness <= same.sharpness:
                    continue
                kept.remove(same)
                (part / _name(same, settings)).unlink()
            Image.fromarray(rgb).save(part / _name(candidate, settings), **FORMATS[settings.format])
            kept.append(candidate)
    finally:
        source.close()
    if source.faults.describe():
        raise TrainError(f"'{path}' is damaged: {'; '.join(source.faults.describe())}")
    limit = settings.blur * statistics.median(item.sharpness for item in kept) if kept else 0.0
    for item in [item for item in kept if item.sharpness < limit]:
        counts["blurred"] += 1
        kept.remove(item)
        (part / _name(item, settings)).unlink()
    frames = [
        {"file": _name(k, settings), "time_s": round(k.time_s, 3), "sharpness": round(k.sharpness, 1)}
        for k in kept
    ]
    return {"frames": frames, **counts}


def _same(kept: Sequence[_Kept], candidate: _Kept, distance: int) -> _Kept | None:
    for item in reversed(kept):  # the likeliest first
        bits, correlation = alike(item.print, candidate.print)
        if bits <= distance and correlation >= 0.95:
            return item
    return None


def _name(item: _Kept, settings: Extraction) -> str:
    return f"{item.time_s * 1000:010.0f}ms.{settings.format}"


def extract_frames(
    sources: Iterable[str],
    folder: Path,
    settings: Extraction,
    *,
    exclude: Sequence[Path] = (),
    workers: int = 1,
    ray_address: str | None = None,
) -> tuple[list[Record], list[Record]]:
    """(records of all videos, records of those that could not be used); goes on where it was interrupted.

    sources: video files, folders of them, or links. exclude: folders of pictures whose likes are skipped. A video
    that changed since (path, size or time) is taken anew; one that failed is tried again. On a Ray cluster
    `folder` and the videos must lie on a file system that all nodes share.
    Raises TrainError for sources that do not exist and a folder that can't be used.
    """
    states = {str(state["video"]): state for state in map(_state, find_videos(sources))}
    known = collection(exclude, workers)
    described = {
        "every_s": settings.every_s,
        "distance": settings.distance,
        "blur": settings.blur,
        "format": settings.format,
        "exclude": known.digest() if exclude else None,
    }
    failed: list[Record] = []
    with Manifest(folder, "frames", described, "video") as manifest:

        def finished(source: str) -> bool:
            record = manifest.records.get(source, {})
            return all(record.get(key) == value for key, value in states[source].items())

        todo = [source for source in states if not finished(source)]
        job = partial(extract, folder.resolve(), settings, known)
        done = len(states) - len(todo)
        for _, record in run(job, todo, workers, ray_address, label="videos", done=done):
            if "error" in record:
                failed.append(record)
            else:
                manifest.add(record)
        made = [manifest.records[source] for source in states if source in manifest.records]
    return made, sorted(failed, key=lambda record: str(record["video"]))
