"""What a study is: sources, conditions, stimuli and questions, as `study.json` holds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from keenframe.errors import InputError
from keenframe.media.files import reason, write_text

FORMAT = 1
STUDY_FILE = "study.json"
MEDIA_FOLDER = "media"
DATABASE_FILE = "answers.sqlite"

REFERENCE = "reference"
INPUT = "input"
# Conditions that only the questions with a known answer use: a picture spoilt beyond doubt, and one that says
# in large letters what to answer.
RUINED = "ruined"
INSTRUCTION = "instruction"
# The whole study, where results are by category; `category_of` sees to it that no category is called so.
ALL = "all"
TOP = "top level"

Method = Literal["acr", "ccr"]
# Absolute category rating (P.910 of 10/2023, 8.1) and comparison category rating (8.3); docs/study.md says what of
# the words was checked.
ACR_GRADES = {5: "Excellent", 4: "Good", 3: "Fair", 2: "Poor", 1: "Bad"}
CCR_GRADES = {
    3: "Much better",
    2: "Better",
    1: "Slightly better",
    0: "About the same",
    -1: "Slightly worse",
    -2: "Worse",
    -3: "Much worse",
}
GRADES: dict[Method, dict[int, str]] = {"acr": ACR_GRADES, "ccr": CCR_GRADES}

T = TypeVar("T")


def category_of(file: str) -> str:
    """The first folder in a file's name. One called as the whole study keeps its slash, which no folder's name has."""
    folder, slash, _ = file.partition("/")
    if not slash:
        return TOP
    return f"{folder}/" if folder == ALL else folder


@dataclass(frozen=True, slots=True)
class Source:
    """A pristine picture or clip. file: relative to the data folder. practice: never part of the results."""

    id: str
    file: str
    category: str
    moving: bool
    practice: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One treatment of every source. name: in results; what: how it was made, in words."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One file to rate: a source in a condition. file: its opaque name in the media folder. width, height in
    pixels. instructs: for an instruction, the method it asks in and the grade it asks for. seconds: how long a
    clip plays, 0 for a picture."""

    id: str
    source: str
    condition: str
    file: str
    width: int
    height: int
    instructs: tuple[Method, int] | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture of the vision checks. kind: "ramp" (faint digits on black and white) or "plate" (a digit in
    coloured dots). answer: the digits in it. control: a plate that everybody sees."""

    kind: Literal["ramp", "plate"]
    file: str
    answer: str
    width: int
    height: int
    control: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Something asked about the rater, because the study says so. choices: what may be answered."""

    id: str
    text: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """A prepared study. pairs: conditions compared, (a, b); a positive CMOS prefers a. per_rater: sources that
    one rater rates. traps, golds, repeats: control questions for each method and rater. damage: what was done
    to the pristine material, in words."""

    id: str
    title: str
    consent: tuple[str, ...]
    contact: str
    seed: int
    methods: tuple[Method, ...]
    damage: str
    conditions: tuple[Condition, ...]
    pairs: tuple[tuple[str, str], ...]
    per_rater: int
    traps: int
    golds: int
    repeats: int
    clip_seconds: float
    sources: tuple[Source, ...]
    stimuli: tuple[Stimulus, ...]
    sheets: tuple[Sheet, ...]
    questions: tuple[Question, ...] = ()
    made_with: str = ""
    _index: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def source(self, id: str) -> Source:
        """The source of that id."""
        found: Source = self._looked_up("sources", lambda: {source.id: source for source in self.sources})[id]
        return found

    def stimulus(self, id: str) -> Stimulus:
        """The stimulus of that id."""
        found: Stimulus = self._looked_up("stimuli", lambda: {item.id: item for item in self.stimuli})[id]
        return found

    def find(self, source: str, condition: str) -> Stimulus:
        """The stimulus of a source in a condition."""

        def by_pair() -> dict[tuple[str, str], Stimulus]:
            return {(item.source, item.condition): item for item in self.stimuli if not item.instructs}

        found: Stimulus = self._looked_up("pairs", by_pair)[source, condition]
        return found

    def _looked_up(self, name: str, build: Any) -> Any:
        if name not in self._index:
            self._index[name] = build()
        return self._index[name]

    @property
    def rated(self) -> list[Source]:
        """The sources whose ratings count, in the order in which raters' windows move over them."""
        return [source for source in self.sources if not source.practice]

    @property
    def practice(self) -> list[Source]:
        """The sources of training and control questions; rated ones where there are no others."""
        return [source for source in self.sources if source.practice] or self.rated

    @property
    def condition_names(self) -> list[str]:
        return [condition.name for condition in self.conditions]

    @property
    def minutes(self) -> int:
        """About how long a session takes: 8 s for a picture, 9 s and its playing for a clip, 4 for the rest."""
        moving = any(source.moving for source in self.rated)
        acr = 9 + self.clip_seconds if moving else 8.0
        ccr = 10 + 2 * self.clip_seconds if moving else 11.0
        controls = self.traps + self.golds + self.repeats
        seconds = 0.0
        if "acr" in self.methods:
            seconds += acr * (self.per_rater * len(self.conditions) + controls)
        if "ccr" in self.methods:
            seconds += ccr * (self.per_rater * len(self.pairs) + controls)
        return max(5, round(seconds / 60 + 4))


def write_study(folder: Path, study: Study) -> None:
    """Write `study.json` into a study folder."""
    document = {"format": FORMAT, **asdict(study)}
    del document["_index"]
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    write_text(folder / STUDY_FILE, text, overwrite=False)


def read_study(folder: Path) -> Study:
    """The study in a folder. InputError when there is none, or it is damaged or of another format."""
    path = folder / STUDY_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"'{folder}' is not a study: it holds no {STUDY_FILE} — make one: keenframe study prepare"
        ) from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"'{path}' is damaged: {error} — restore it, the answers need it") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise InputError(f"'{path}' is of format {found!r}; expected {FORMAT}: use the version that made it")
    try:
        return _study_of(document)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{path}' is damaged: {error!r} — restore it, the answers need it") from error


def _study_of(document: dict[str, Any]) -> Study:
    values = {key: value for key, value in document.items() if key != "format"}

    def all_of(kind: type[T], key: str) -> tuple[T, ...]:
        return tuple(kind(**item) for item in values[key])

    stimuli = []
    for item in values["stimuli"]:
        instructs = item["instructs"]
        stimuli.append(Stimulus(**{**item, "instructs": tuple(instructs) if instructs else None}))
    sources = []
    for item in values["sources"]:
        # Earlier versions called the files at top level, and those of a folder of that name, as the whole is called.
        category = category_of(item["file"]) if item["category"] == ALL else item["category"]
        sources.append(Source(**{**item, "category": category}))
    questions = tuple(Question(**{**item, "choices": tuple(item["choices"])}) for item in values["questions"])
    return Study(
        **{
            **values,
            "consent": tuple(values["consent"]),
            "methods": tuple(values["methods"]),
            "conditions": all_of(Condition, "conditions"),
            "pairs": tuple((first, second) for first, second in values["pairs"]),
            "sources": tuple(sources),
            "stimuli": tuple(stimuli),
            "sheets": all_of(Sheet, "sheets"),
            "questions": questions,
        }
    )
