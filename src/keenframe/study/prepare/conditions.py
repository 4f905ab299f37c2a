"""The treatments that are compared: how they are written, and the frames that they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Literal

from keenframe import color
from keenframe.errors import InputError
from keenframe.evaluate.methods import SIGMA, UNSHARP, detail
from keenframe.frame import Frame
from keenframe.sharpener import STRENGTH_MAX, Sharpener
from keenframe.study.design import INPUT, INSTRUCTION, REFERENCE, RUINED, Condition
from keenframe.study.prepare.damage import Damage, received, ruined, shown
from keenframe.study.prepare.sources import Found, is_media, read_frames

_UNSHARP_MAX = 5.0

Kind = Literal["reference", "input", "unsharp", "model", "folder", "ruined"]


@dataclass(frozen=True, slots=True)
class Treatment:
    """A condition and how it is made. amount: of the unsharp mask, or strength of the model."""

    name: str
    kind: Kind
    amount: float = 1.0
    model: str = ""
    folder: Path | None = None

    def described(self, damage: str) -> Condition:
        """The condition with words for the report. damage: what was done to the pristine material."""
        strength = "" if self.amount == 1.0 else f", strength {self.amount:g}"
        words = {
            "reference": "the pristine material, hidden among the others",
            "input": f"the pristine material {damage}",
            "unsharp": f"the input with an unsharp mask of its luma, sigma {SIGMA:g}, amount {self.amount:g}",
            "model": f"the input through keenframe's {Path(self.model).stem}{strength}",
            "folder": "ready-made files",
            "ruined": "blurred beyond doubt",
        }
        return Condition(self.name, words[self.kind])


def parse_conditions(texts: list[str]) -> list[Treatment]:
    """Treatments as written: `input`, `reference`, `unsharp[:AMOUNT]`, `MODEL[:STRENGTH]`, `NAME=FOLDER`.

    `input=FOLDER` takes the damaged material from there. InputError for anything else.
    """
    treatments = [_parse(text.strip()) for text in texts if text.strip()]
    names = [treatment.name for treatment in treatments]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"condition '{twice[0]}' is there twice; expected each once")
    if len(names) < 2:
        raise InputError(f"got {len(names)} conditions; expected at least 2 to compare, such as input,keen")
    if taken := {RUINED, INSTRUCTION} & set(names):
        raise InputError(f"the name '{taken.pop()}' is needed for control questions; choose another")
    return treatments


def _parse(text: str) -> Treatment:
    name, equals, folder = text.partition("=")
    if equals:
        if "/" in name:
            raise InputError(
                f"condition '{text}': the name '{name}' holds a '/', which stands between pairs; leave it out"
            )
        if not name or not Path(folder).is_dir():
            raise InputError(f"condition '{text}': '{folder}' is not a folder; expected NAME=FOLDER")
        return Treatment(name, "folder", folder=Path(folder))
    head, colon, tail = text.rpartition(":")
    try:
        amount = float(tail) if colon else 1.0
    except ValueError:
        head, colon, amount = "", "", 1.0
    what = head if colon else text
    if what in (INPUT, REFERENCE):
        if colon:
            raise InputError(f"condition '{text}': '{what}' takes no amount")
        return Treatment(what, "input" if what == INPUT else "reference")
    limit = _UNSHARP_MAX if what == UNSHARP else STRENGTH_MAX
    if not 0 <= amount <= limit:
        raise InputError(f"condition '{text}': {amount:g} is out of range; expected 0 to {limit:g}")
    name = Path(what).stem + (f":{amount:g}" if colon else "")
    if what == UNSHARP:
        return Treatment(name, "unsharp", amount)
    return Treatment(name, "model", amount, model=what)


class Renderer:
    """Gives the frames of any source in any treatment. Opens every model once; use it as a context manager."""

    def __init__(self, treatments: list[Treatment], damage: Damage, seconds: float, engine: str) -> None:
        self._damage = damage
        self._seconds = seconds
        self._inputs = next((t.folder for t in treatments if t.name == INPUT), None)
        self._sharpeners: dict[str, Sharpener] = {}
        try:
            for model in dict.fromkeys(t.model for t in treatments if t.kind == "model"):
                self._sharpeners[model] = Sharpener(model, engine)
                self._check_scale(model)
        except BaseException:
            self.close()
            raise

    def _check_scale(self, model: str) -> None:
        scale = self._sharpeners[model].scale
        factor = 1 if self._inputs is not None else self._damage.factor
        if scale not in (1, factor):
            raise InputError(
                f"model '{model}' enlarges x{scale}, and the input arrives at 1/{factor} of its size; expected a "
                "model of the same size, or one that enlarges as much as --damage shrinks (call-half, blur: x2)"
            )

    def close(self) -> None:
        """Free the models."""
        for sharpener in self._sharpeners.values():
            sharpener.close()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frames(self, file: Found, treatment: Treatment) -> Iterator[Frame]:
        """The frames of `file` in `treatment`, all of the size that `read_frames` gives."""
        pristine = read_frames(file.path, file.moving, self._seconds)
        if treatment.kind == "reference":
            return pristine
        if treatment.kind == "ruined":
            return ruined(pristine)
        if treatment.kind == "folder":
            assert treatment.folder is not None
            return self._ready_made(file, treatment.folder)
        if treatment.kind == "model":
            return self._sharpened(file, pristine, treatment)
        frames = self._input(file, pristine)
        return frames if treatment.kind == "input" else unsharp(frames, treatment.amount)

    def _input(self, file: Found, pristine: Iterator[Frame]) -> Iterator[Frame]:
        if self._inputs is not None:
            return self._ready_made(file, self._inputs)
        return shown(received(pristine, self._damage), self._damage)

    def _sharpened(self, file: Found, pristine: Iterator[Frame], treatment: Treatment) -> Iterator[Frame]:
        sharpener = self._sharpeners[treatment.model]
        small = sharpener.scale > 1
        frames = received(pristine, self._damage) if small else self._input(file, pristine)
        sharpener.reset()
        return (sharpener.sharpen(frame, treatment.amount) for frame in frames)

    def _ready_made(self, file: Found, folder: Path) -> Iterator[Frame]:
        """The file of the same name, whatever its suffix, checked against the pristine one frame by frame."""
        wanted = folder / file.name
        candidates = [p for p in sorted(wanted.parent.glob(f"{escape(wanted.stem)}.*")) if is_media(p)]
        if not candidates:
            missing = Path(file.name).with_suffix(".*")
            raise InputError(f"'{folder}' lacks '{missing}'; expected every source in it")
        made = read_frames(candidates[0], file.moving, self._seconds)
        for index, pristine in enumerate(read_frames(file.path, file.moving, self._seconds)):
            frame = next(made, None)
            if frame is None:
                raise InputError(f"'{candidates[0]}' has {index} frames; expected as many as '{file.path}'")
            if (frame.width, frame.height) != (pristine.width, pristine.height):
                raise InputError(
                    f"'{candidates[0]}' is {frame.width}x{frame.height}; expected {pristine.width}x"
                    f"{pristine.height} like '{file.path}': resize it as its viewer would"
                )
            yield frame


def unsharp(frames: Iterable[Frame], amount: float) -> Iterator[Frame]:
    """An unsharp mask of the luma, sigma 1; what it adds to luma is added to every channel of RGB."""
    for frame in frames:
        plane = frame.planes[0].copy()
        color.add_scaled(plane, detail(frame.luma), amount, 255)
        yield frame.with_planes((plane, *frame.planes[1:]))
