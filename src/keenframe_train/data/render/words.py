"""Text of no language: words put together from syllables, or from characters, of several scripts.

Long and short words, sentences and paragraphs are distributed as in prose: words follow Zipf's law within a
picture's own small vocabulary, so that they repeat as words do.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from keenframe_train.data.render.fonts import Family, shapes_text

_VOCABULARY = 260


@dataclass(frozen=True, slots=True)
class Script:
    """onsets, vowels, codas: parts of a syllable, the frequent ones repeated. joined: words are not separated by
    spaces. shaped: needs joining or reordering of letters. rtl: written from right to left."""

    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...] = ("",)
    short: tuple[str, ...] = ()
    share: float = 1.0
    syllables: tuple[float, ...] = (0.25, 0.4, 0.25, 0.1)
    cased: bool = False
    joined: bool = False
    shaped: bool = False
    rtl: bool = False
    stop: str = "."
    comma: str = ","

    @property
    def alphabet(self) -> str:
        """All characters that it needs."""
        parts = "".join({*self.onsets, *self.vowels, *self.codas, *self.short}) + self.stop + self.comma
        return parts + parts.upper() if self.cased else parts


def _parts(text: str, *more: str) -> tuple[str, ...]:
    return (*text.split(), *more)


def _cjk(first: int, count: int, step: int) -> tuple[str, ...]:
    return tuple(chr(first + step * i) for i in range(count))


SCRIPTS = MappingProxyType(
    {
        "latin": Script(
            _parts("t t n s s r r l d c c m p p b f g h v w", "st", "tr", "pr", "ch", "th", "pl", "gr", ""),
            _parts("a a e e e i i o o u ea io ou y"),
            ("", "", "", "n", "r", "s", "t", "l", "d", "nt", "st", "ck", "m", "ng"),
            ("a", "in", "of", "to", "is", "on", "the", "and", "for", "as", "it", "by", "an", "with", "or"),
            share=6.0,
            cased=True,
        ),
        "latin-accents": Script(
            _parts("t n s r l d c m p b v ł č š ž ñ ç k z j", "sch", "tr", ""),
            _parts("a e i o u ä ö ü é è á ó ê å ø ą ę í ů"),
            ("", "", "n", "r", "s", "t", "l", "m", "ß"),
            ("og", "és", "à", "la", "de", "är", "un", "się", "na", "für"),
            share=1.5,
            cased=True,
        ),
        "cyrillic": Script(
            _parts("т н с р л д к м п б в г з ж ш ч х", "ст", "пр", ""),
            _parts("а а е и о о у я ю ы"),
            ("", "", "н", "т", "с", "й", "л", "м", "ть"),
            ("и", "в", "на", "не", "с", "по", "что", "от", "за"),
            share=1.5,
            cased=True,
        ),
        "greek": Script(
            _parts("τ ν σ ρ λ δ κ μ π β γ θ χ φ", "στ", "πρ", ""),
            _parts("α α ε η ι ο ο υ ω ά έ ί ό ου"),
            ("", "", "ν", "ς"),
            ("και", "το", "η", "να", "με", "σε", "από"),
            share=0.7,
            cased=True,
        ),
        "hebrew": Script(
            _parts("א ב ג ד ה ו ז ח ט י כ ל מ נ ס ע פ צ ק ר ש ת"),
            _parts("ו י א ה", "", ""),
            ("", "", "ם", "ן", "ת"),
            ("של", "את", "על", "לא", "זה"),
            share=0.5,
            shaped=True,
            rtl=True,
        ),
        "arabic": Script(
            _parts("ا ب ت ث ج ح د ر س ش ص ع ف ق ك ل م ن ه و ي"),
            _parts("ا و ي", "", ""),
            ("", "", "ة", "ن"),
            ("في", "من", "على", "إلى", "أن"),
            share=0.6,
            shaped=True,
            rtl=True,
            comma="،",
        ),
        "devanagari": Script(
            _parts("क ख ग च ज ट ड त द न प ब म य र ल व स ह"),
            ("", "ा", "ि", "ी", "ु", "े", "ो"),
            short=("है", "के", "में", "से", "और"),
            share=0.6,
            shaped=True,
            stop="।",
        ),
        "georgian": Script(
            _parts("ბ გ დ ვ ზ თ კ ლ მ ნ პ რ ს ტ ფ ქ შ ც ხ"),
            _parts("ა ე ი ო უ"),
            ("", "", "ს", "ნ", "თ"),
            ("და", "რომ", "არ"),
            share=0.2,
        ),
        "armenian": Script(
            _parts("բ գ դ զ թ լ խ կ հ մ յ ն շ պ ս վ տ ր"),
            _parts("ա ե ի ո ու"),
            ("", "", "ն", "ր", "ս"),
            ("և", "է", "որ"),
            share=0.2,
            cased=True,
        ),
        "han": Script(
            _cjk(0x4E00, 400, 23), ("",), share=1.0, joined=True, stop="。", comma="，",
            syllables=(0.3, 0.6, 0.1),
        ),
        "kana": Script(
            _cjk(0x4E00, 120, 71) + tuple("かきくけこさしすせそたちつてとなにのはまもらりるれをん") * 8, ("",),
            share=0.6, joined=True, stop="。", comma="、", syllables=(0.2, 0.4, 0.3, 0.1),
        ),
        "hangul": Script(_cjk(0xAC00, 300, 37), ("",), share=0.6, syllables=(0.1, 0.4, 0.4, 0.1)),
    }
)  # fmt: skip


def scripts_of(family: Family) -> list[str]:
    """Scripts whose every character the family's regular and bold faces have, and that Pillow can set."""
    return [
        name
        for name, script in SCRIPTS.items()
        if (shapes_text() or not script.shaped)
        and family.regular.writes(script.alphabet)
        and family.bold.writes(script.alphabet)
    ]


class Language:
    """A vocabulary in one script, and sentences made of it; everything is drawn from `rng`."""

    def __init__(self, script: str, rng: np.random.Generator) -> None:
        self.script = SCRIPTS[script]
        self._rng = rng
        self._words = [*self.script.short, *(self._new_word() for _ in range(_VOCABULARY))]
        ranks = np.arange(1, len(self._words) + 1) + 2.7
        self._shares = (1 / ranks) / (1 / ranks).sum()

    @property
    def rtl(self) -> bool:
        """Whether lines begin at the right."""
        return self.script.rtl

    def _pick(self, parts: tuple[str, ...]) -> str:
        return parts[int(self._rng.integers(len(parts)))]

    def _new_word(self) -> str:
        count = 1 + int(self._rng.choice(len(self.script.syllables), p=self.script.syllables))
        syllables = (self._pick(self.script.onsets) + self._pick(self.script.vowels) for _ in range(count))
        return "".join(syllables) + self._pick(self.script.codas)

    def word(self) -> str:
        """One word, frequent ones often."""
        return self._words[int(self._rng.choice(len(self._words), p=self._shares))]

    def name(self) -> str:
        """A rare word with a capital, where the script has these."""
        long = self._words[len(self.script.short) :]
        return self._capital(long[int(self._rng.integers(len(long)))])

    def _capital(self, text: str) -> str:
        return text[:1].upper() + text[1:] if self.script.cased else text

    def number(self) -> str:
        """A figure as it stands in text and tables."""
        form = int(self._rng.integers(7))
        value = float(self._rng.lognormal(4, 2))
        return (
            f"{value:,.0f}", f"{value:.1f}", f"{value % 100:.1f}%", f"{value:.2f}",
            str(1990 + int(value) % 40), f"${value:,.0f}", f"{int(value) % 28 + 1:02d}/{int(value) % 12 + 1:02d}",
        )[form]  # fmt: skip

    def words(self, count: int) -> list[str]:
        """Words in a row, with a figure, a name or a comma now and then; set with `space` between them."""
        made = []
        for position in range(count):
            chance = self._rng.random()
            word = self.number() if chance < 0.04 else self.name() if chance < 0.1 else self.word()
            if 0 < position < count - 1 and self._rng.random() < 0.09:
                word += self.script.comma
            made.append(word)
        return made

    @property
    def space(self) -> str:
        """What stands between two words."""
        return "" if self.script.joined else " "

    def phrase(self, low: int, high: int) -> str:
        """A few words without a full stop: a title, a label."""
        made = self.words(int(self._rng.integers(low, high + 1)))
        text = self.space.join(made).rstrip(self.script.comma)
        return self._capital(text)

    def sentence(self) -> str:
        """4 to 22 words and a stop."""
        count = int(np.clip(self._rng.gamma(4, 3), 4, 22))
        stop = self.script.stop if self._rng.random() < 0.94 else "?" if self._rng.random() < 0.5 else "!"
        return self._capital(self.space.join(self.words(count))).rstrip(self.script.comma) + stop

    def paragraph(self, low: int = 2, high: int = 6) -> str:
        """Some sentences."""
        return " ".join(self.sentence() for _ in range(int(self._rng.integers(low, high + 1))))
