"""Every method on the same degraded pictures: the input, what needs no network, control, student, teacher."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from keenframe.condition import CONDITION_SIZE
from keenframe.evaluate.methods import unsharp_mask
from keenframe.metrics import CEILING_DB, psnr, ssim
from keenframe_train.data.degradations import resize
from keenframe_train.data.folders import SETS
from keenframe_train.data.images import ImageFile, read_rgb
from keenframe_train.data.validation import Sample, luma_plane, make_sample
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.damage import SEED, WINDOWS
from keenframe_train.evaluate.judge import restore
from keenframe_train.files import write_text
from keenframe_train.progress import progress
from keenframe_train.recipe import Color

Uint8 = NDArray[np.uint8]
Restorer = Callable[[Uint8, Uint8], Uint8]
FILE = "scores.jsonl"


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one picture: PSNR (dB, at most 60) and SSIM of luma (BT.601, limited range), and the PSNR over
    R, G and B together where the network works in RGB."""

    kind: str
    category: str
    name: str
    method: str
    psnr: float
    ssim: float
    psnr_rgb: float | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is compared: networks by method (eval mode, one scale), what they see, and the window taken of each
    picture (None: `damage.WINDOWS`, else the whole picture)."""

    networks: Mapping[str, nn.Module]
    color: Color
    window: int | None = None

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return int(next(iter(self.networks.values())).scale)

    @property
    def reference(self) -> str:
        """The method that gains are counted from: the input itself, or its bicubic enlargement."""
        return "input" if self.scale == 1 else "bicubic"

    def sample(self, file: ImageFile, kind: str) -> Sample:
        """The degraded picture, the same for every method, recipe and budget."""
        size = self.window or WINDOWS.get(kind.removesuffix("-small"))
        return make_sample(file, kind, SEED, size, self.color)

    def outputs(self, sample: Sample) -> dict[str, Uint8]:
        """Every method's picture, of the pristine one's shape.

        input: as it came, pixels repeated where it is smaller. bicubic: enlarged bicubically; a picture of full size
        is halved first, which is what enlarging alone can do for it. unsharp mask: of the reference.
        """
        x, height, width = sample.degraded, *sample.pristine.shape[:2]
        if self.scale == 1:
            shown = x
            small = resize(x, max(1, width // 2), max(1, height // 2), "bicubic")
            bicubic = resize(small, width, height, "bicubic")
        else:
            shown = np.asarray(cv2.resize(x, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
            bicubic = np.asarray(cv2.resize(x, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        plain = {"input": shown, "bicubic": bicubic}
        plain["unsharp mask"] = unsharp_mask(plain[self.reference])
        return plain | {method: restore(network, sample)[0] for method, network in self.networks.items()}


def judge(sample: Sample, outputs: Mapping[str, Uint8]) -> list[Score]:
    """Scores of all methods on one picture."""
    pristine, rgb = luma_plane(sample.pristine), sample.pristine.ndim == 3
    return [
        Score(
            sample.kind,
            sample.category,
            sample.name,
            method,
            psnr(plane := luma_plane(output), pristine, ceiling_db=CEILING_DB),
            ssim(plane, pristine),
            psnr(output, sample.pristine, ceiling_db=CEILING_DB) if rgb else None,
        )
        for method, output in outputs.items()
    ]


def compare(
    subject: Subject, files: Sequence[ImageFile], kinds: Sequence[str], out: Path, key: str
) -> list[Score]:
    """Scores on every picture and kind, in their order; those that `out`/scores.jsonl has under `key` are kept.

    key: names the weights. Interrupt and call again: it goes on after the last picture. A picture that has changed
    since then is measured anew.
    """
    path = out / FILE
    known = {name: digest(file.path) for name, file in zip(names(files), files, strict=True)}
    wanted = [(name, file, kind) for name, file in zip(known, files, strict=True) for kind in kinds]
    done, kept = _read(path, key, known)
    write_text(path, "".join(f"{line}\n" for line in (json.dumps({"key": key}), *kept)))
    with progress() as bar, path.open("a") as lines:
        task = bar.add_task("comparison", total=len(wanted), note="")
        for name, file, kind in wanted:
            if (kind, name) not in done:
                sample = subject.sample(file, kind)
                done[kind, name] = judge(sample, subject.outputs(sample))
                record = {
                    "kind": kind,
                    "name": name,
                    "picture": known[name],
                    "scores": [asdict(s) for s in done[kind, name]],
                }
                lines.write(json.dumps(record) + "\n")
                lines.flush()
            bar.advance(task)
    return [score for name, _, kind in wanted for score in done[kind, name]]


def names(files: Sequence[ImageFile]) -> list[str]:
    """Category and file name of each picture; the second of equals is told apart by a number."""
    seen: Counter[str] = Counter()
    found = []
    for file in files:
        name = f"{file.category}/{file.path.name}"
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _read(
    path: Path, key: str, known: Mapping[str, str]
) -> tuple[dict[tuple[str, str], list[Score]], list[str]]:
    """What is on the disk for these weights, and its lines; all from a damaged line on, the cut-off last one of a
    killed run, is left out, and what is of another picture than that `known` by its name, too."""
    found: dict[tuple[str, str], list[Score]] = {}
    kept: list[str] = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else ()):
        try:
            record = json.loads(line)
            if number == 0 and record != {"key": key}:
                break
            if number and record["picture"] == known.get(record["name"], record["picture"]):
                found[record["kind"], record["name"]] = [Score(**score) for score in record["scores"]]
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            break
    return found, kept


def digest(*parts: object) -> str:
    """SHA-256 over files (by content) and anything else (as printed)."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, Path) else repr(part).encode())
    return total.hexdigest()


def sets_below(folder: Path) -> list[Path]:
    """`Set5` and `Set14` in a folder, or in `sets` inside it; none where there are none."""
    places = (folder, folder / "sets")
    return [place / name for name in SETS for place in places if (place / name).is_dir()]


def on_set(subject: Subject, folder: Path) -> list[Score]:
    """`set_scores` of the networks that are compared, which keep the size."""

    def restored(network: nn.Module) -> Restorer:
        unknown = np.zeros(CONDITION_SIZE, np.float32)
        return lambda _, shown: restore(network, Sample("x2", "", "", shown, shown, unknown))[0]

    return set_scores({name: restored(network) for name, network in subject.networks.items()}, folder)


def set_scores(methods: Mapping[str, Restorer], folder: Path) -> list[Score]:
    """x2 enlarging as the super-resolution literature measures it: halved and enlarged bicubically with the kernel
    widened for shrinking, luma 16-235, a border of 2 pixels left out. `bicubic` here is the input (33.66 dB on Set5).

    methods: of the small picture and the one enlarged so, (H / 2, W / 2, 3) and (H, W, 3) uint8, the restored one.
    Raises TrainError for a folder without pictures.
    """
    scores = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in {".png", ".bmp", ".tif", ".tiff"}):
        picture = read_rgb(path)
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        height, width = picture.shape[:2]
        small = resize(picture, width // 2, height // 2, "bicubic")
        shown = resize(small, width, height, "bicubic")
        outputs = {"bicubic": shown, "unsharp mask": unsharp_mask(shown)}
        outputs |= {name: method(small, shown) for name, method in methods.items()}
        inner = (slice(2, -2), slice(2, -2))
        pristine = np.ascontiguousarray(picture[inner])
        shaved = Sample("x2", folder.name, path.name, shown, pristine, np.zeros(CONDITION_SIZE, np.float32))
        scores += judge(shaved, {name: np.ascontiguousarray(o[inner]) for name, o in outputs.items()})
    if not scores:
        raise TrainError(f"no picture in '{folder}'; expected the PNG or BMP files of {folder.name}")
    return scores
