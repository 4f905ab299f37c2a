"""The whole of `keenframe study prepare`: sources picked, processed, disguised and written down."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from keenframe.errors import InputError, OutputError
from keenframe.frame import Frame
from keenframe.media.files import reason
from keenframe.study.design import (
    GRADES,
    INPUT,
    INSTRUCTION,
    MEDIA_FOLDER,
    REFERENCE,
    RUINED,
    Method,
    Question,
    Sheet,
    Source,
    Stimulus,
    Study,
    write_study,
)
from keenframe.study.prepare import sheets
from keenframe.study.prepare.conditions import Renderer, Treatment, parse_conditions
from keenframe.study.prepare.damage import damage
from keenframe.study.prepare.sources import Found, cropped, find_files, in_drawing_order
from keenframe.study.prepare.stimuli import (
    CLIP_SUFFIX,
    STILL_SUFFIX,
    level,
    random_name,
    with_instruction,
    write_clip,
    write_picture,
)
from keenframe.study.prepare.wording import consent_text

PRACTICE = 3
_RAMPS = 4
# How many conditions are compared each with each; more than that are compared with the first one.
_ALL_PAIRS = 3
TRAP_GRADES: dict[Method, tuple[int, ...]] = {"acr": (2, 5, 1, 4, 3), "ccr": (-3, 3, -1, 2, 1)}

_PRISTINE = Treatment(REFERENCE, "reference")
_SPOILT = Treatment(RUINED, "ruined")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a study is made from. conditions: as `parse_conditions` takes them. pairs: as "a/b", empty for the
    usual ones. size: of the window shown, at most. count: sources; per_rater of them are rated by each rater."""

    data: Path
    conditions: list[str]
    count: int = 12
    damage: str = "call-half"
    size: tuple[int, int] = (640, 480)
    seconds: float = 6.0
    seed: int = 1
    methods: tuple[Method, ...] = ("acr", "ccr")
    pairs: list[str] = field(default_factory=list)
    per_rater: int | None = None
    traps: int = 2
    golds: int = 2
    repeats: int = 2
    title: str = "Picture quality"
    contact: str = ""
    consent: str | None = None
    questions: tuple[Question, ...] = ()
    engine: str = "auto"


def prepare(
    folder: Path, wanted: Preparation, on_progress: Progress = lambda what, done, total: None
) -> tuple[Study, list[str]]:
    """Make the study folder `folder`, whole or not at all. Returns the study, and the files passed over.

    InputError when the material or the wishes do not fit; OutputError when it exists or cannot be written.
    """
    treatments = parse_conditions(wanted.conditions)
    pairs = choose_pairs(treatments, wanted.pairs) if "ccr" in wanted.methods else ()
    done_to_it = damage(wanted.damage)
    ordered = in_drawing_order(find_files(wanted.data), wanted.seed)
    with _whole_folder(folder) as part:
        media = part / MEDIA_FOLDER
        media.mkdir()
        with Renderer(treatments, done_to_it, wanted.seconds, wanted.engine) as renderer:
            maker = _Maker(wanted, treatments, renderer, media, on_progress)
            maker.make(ordered)
        study = Study(
            id=secrets.token_hex(8),
            title=wanted.title,
            consent=(),
            contact=wanted.contact,
            seed=wanted.seed,
            methods=wanted.methods,
            damage=done_to_it.what,
            conditions=tuple(treatment.described(done_to_it.what) for treatment in treatments),
            pairs=pairs,
            per_rater=min(wanted.per_rater or wanted.count, wanted.count),
            traps=wanted.traps,
            golds=wanted.golds,
            repeats=wanted.repeats,
            clip_seconds=wanted.seconds,
            sources=tuple(maker.sources),
            stimuli=tuple(maker.stimuli),
            sheets=tuple(_make_sheets(media, wanted.seed)),
            questions=wanted.questions,
            made_with=_versions(),
        )
        study = consent_text(study, wanted.consent)
        write_study(part, study)
    return study, maker.passed_over


def choose_pairs(treatments: list[Treatment], texts: list[str]) -> tuple[tuple[str, str], ...]:
    """Pairs (a, b) from "a/b", or the usual ones: up to three conditions besides the reference each with each,
    more of them each with the input (or with the last one)."""
    names = [treatment.name for treatment in treatments]
    if texts:
        pairs = []
        for text in texts:
            first, _, second = text.partition("/")
            if first == second or not {first, second} <= set(names):
                raise InputError(f"pair '{text}': expected two different ones of {', '.join(names)}, as A/B")
            pairs.append((first, second))
        if len({frozenset(pair) for pair in pairs}) < len(pairs):
            raise InputError("a pair is there twice; expected each once: both orders are shown anyway")
        return tuple(pairs)
    compared = [name for name in names if name not in (REFERENCE, INPUT)]
    compared += [name for name in (INPUT,) if name in names]
    if len(compared) < 2:
        compared = names
    if len(compared) > _ALL_PAIRS:
        return tuple((name, compared[-1]) for name in compared[:-1])
    return tuple(combinations(compared, 2))


class _Maker:
    """Goes through the files in drawing order until enough sources are made; passes over unusable ones."""

    def __init__(
        self,
        wanted: Preparation,
        treatments: list[Treatment],
        renderer: Renderer,
        media: Path,
        on_progress: Progress,
    ) -> None:
        self.sources: list[Source] = []
        self.stimuli: list[Stimulus] = []
        self.passed_over: list[str] = []
        self._wanted = wanted
        self._treatments = {treatment.name: treatment for treatment in treatments}
        self._renderer = renderer
        self._media = media
        self._on_progress = on_progress

    def make(self, files: list[Found]) -> None:
        wanted = self._wanted
        spare = len(files) - wanted.count
        if spare < 0:
            raise InputError(
                f"'{wanted.data}' holds {len(files)} pictures and clips; expected at least {wanted.count}: "
                "lower --count or add some"
            )
        total = wanted.count + min(PRACTICE, spare)
        for file in files:
            if len(self.sources) == total:
                break
            self._on_progress(file.name, len(self.sources), total)
            try:
                window = self._window(file)
            except InputError as error:
                self.passed_over.append(str(error))
            else:
                self._add(file, window, practice=len(self.sources) >= wanted.count)
        if len(self.sources) < wanted.count:
            raise InputError(
                f"only {len(self.sources)} sources of '{wanted.data}' can be used; expected {wanted.count}. "
                f"Passed over: {'; '.join(self.passed_over[:3])}"
            )
        by_name = {file.name: file for file in files}
        self._add_traps([s for s in self.sources if s.practice] or self.sources, by_name)
        for source in self.sources:
            level([self._media / item.file for item in self.stimuli if item.source == source.id])

    def _window(self, file: Found) -> tuple[int, int]:
        """Width and height of what is shown of a file: even, at most the size wanted."""
        first = next(self._renderer.frames(file, _PRISTINE), None)
        if first is None:
            raise InputError(f"'{file.path}' holds no frame that can be decoded")
        width, height = self._wanted.size
        return min(first.width, width) // 2 * 2, min(first.height, height) // 2 * 2

    def _add(self, file: Found, window: tuple[int, int], practice: bool) -> None:
        """One source in all its conditions, and in those of training and control questions."""
        source = Source(f"s{len(self.sources):03d}", file.name, file.category, file.moving, practice)
        names = list(self._treatments)
        if practice:
            names = [INPUT if INPUT in names else names[0]]
        treatments = [self._treatments[name] for name in names if name != REFERENCE]
        for treatment in [*treatments, _PRISTINE, _SPOILT]:
            frames = self._renderer.frames(file, treatment)
            self.stimuli.append(self._written(source, treatment.name, frames, window))
        self.sources.append(source)

    def _written(
        self,
        source: Source,
        condition: str,
        frames: Iterable[Frame],
        window: tuple[int, int],
        instructs: tuple[Method, int] | None = None,
    ) -> Stimulus:
        """A stimulus whose file shows the middle of `frames`."""
        name = random_name(CLIP_SUFFIX if source.moving else STILL_SUFFIX)
        windows: Iterator[Frame] = (cropped(frame, *window) for frame in frames)
        if instructs is not None:
            windows = with_instruction(windows, instruction(*instructs))
        seconds = 0.0
        if source.moving:
            seconds = round(write_clip(self._media / name, windows), 2)
        else:
            write_picture(self._media / name, next(windows).planes[0])
        return Stimulus(f"i{secrets.token_hex(4)}", source.id, condition, name, *window, instructs, seconds)

    def _add_traps(self, sources: list[Source], files: dict[str, Found]) -> None:
        """Instructions over pictures that suggest another answer than the one asked for."""
        for method in self._wanted.methods:
            for index, grade in enumerate(TRAP_GRADES[method][: self._wanted.traps]):
                source = sources[index % len(sources)]
                file = files[source.file]
                good = grade > (3 if method == "acr" else 0)
                frames = self._renderer.frames(file, _SPOILT if good else _PRISTINE)
                window = self._window(file)
                self.stimuli.append(self._written(source, INSTRUCTION, frames, window, (method, grade)))


def instruction(method: Method, grade: int) -> list[str]:
    """What a trapping question says."""
    return ["This is an attention check.", f"Please answer: {GRADES[method][grade]}"]


def _make_sheets(media: Path, seed: int) -> list[Sheet]:
    random = np.random.default_rng([seed, 0x51])
    made = []
    for _ in range(_RAMPS):
        digits = "".join(str(digit) for digit in random.permutation(np.arange(2, 10))[:6])
        name = random_name(STILL_SUFFIX)
        write_picture(media / name, sheets.ramp(digits))
        made.append(Sheet("ramp", name, digits, *sheets.RAMP_SIZE))
    # In dots 1 looks like 7, and 0, 6, 8 and 9 like each other.
    digits = "".join(str(digit) for digit in random.permutation([2, 3, 4, 5, 7]))
    palettes = (sheets.CONTROL, sheets.RED_GREEN, sheets.GREEN_RED, sheets.RED_GREEN)
    for digit, palette in zip(digits, palettes, strict=False):
        name = random_name(STILL_SUFFIX)
        write_picture(media / name, sheets.plate(digit, palette, random))
        side = sheets.PLATE_SIDE
        made.append(Sheet("plate", name, digit, side, side, palette.control))
    for kind in ("ramp", "plate"):
        level([media / sheet.file for sheet in made if sheet.kind == kind])
    return made


def _versions() -> str:
    import av

    from keenframe import __version__

    return f"keenframe {__version__}, PyAV {av.__version__}"


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, renamed to it when the block ends well, else removed."""
    if folder.exists():
        raise OutputError(f"'{folder}' exists already — choose another name; a study is never overwritten")
    part = folder.with_name(f".{folder.name[:80]}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        yield part
        part.rename(folder)
    except OSError as error:
        raise OutputError(f"'{folder}' could not be written: {reason(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
