"""Source code that means nothing: valid in shape, with plausible names, in a few languages."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np


def _words(text: str) -> list[str]:
    return text.split()


_NOUNS = _words(
    "user item frame buffer index value count node list cache token path name size width height offset result "
    "error state event config client request response session task queue worker image pixel weight batch layer "
    "channel stream packet codec bitrate timer key map tree graph edge row column table record field query line"
)
_VERBS = _words(
    "get set load save read write parse build make find update remove add merge split send receive open close "
    "start stop encode decode resize filter sort check compute apply reset flush render init map fetch push pop"
)
_TYPES = (
    "int",
    "float",
    "str",
    "bool",
    "bytes",
    "Path",
    "list[int]",
    "dict[str, int]",
    "np.ndarray",
    "Tensor",
)
_C_TYPES = ("int", "size_t", "float", "double", "uint8_t", "bool", "const char *", "struct node *")


class Writer:
    """Draws names, expressions and statements from `rng`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def pick(self, items: tuple[str, ...] | list[str]) -> str:
        """One of the items."""
        return items[int(self._rng.integers(len(items)))]

    def chance(self, probability: float) -> bool:
        """True that often."""
        return bool(self._rng.random() < probability)

    def number(self) -> str:
        """A literal."""
        return self.pick(
            (
                "0",
                "1",
                "2",
                "-1",
                "0.5",
                "1e-4",
                str(self._rng.integers(3, 4096)),
                f"{self._rng.random():.3f}",
            )
        )

    def noun(self) -> str:
        """A variable's name."""
        return self.pick(_NOUNS) if self.chance(0.6) else f"{self.pick(_NOUNS)}_{self.pick(_NOUNS)}"

    def function(self) -> str:
        """A function's name."""
        return f"{self.pick(_VERBS)}_{self.noun()}"

    def camel(self, name: str) -> str:
        """snake_case as camelCase."""
        first, *rest = name.split("_")
        return first + "".join(part.title() for part in rest)

    def type_name(self) -> str:
        """A class's name."""
        return self.pick(_NOUNS).title() + self.pick(_NOUNS).title()

    def text(self) -> str:
        """A string literal."""
        words = " ".join(self.pick(_NOUNS) for _ in range(int(self._rng.integers(1, 5))))
        return f'"{words}"'

    def comment(self) -> str:
        """Some words of a comment."""
        return " ".join(self.pick(_VERBS + _NOUNS) for _ in range(int(self._rng.integers(3, 10))))

    def value(self, depth: int = 0) -> str:
        """An expression that most languages share."""
        form = int(self._rng.integers(9 if depth < 2 else 4))
        if form < 2:
            return self.noun()
        if form == 2:
            return self.number()
        if form == 3:
            return self.text()
        if form == 4:
            return f"{self.noun()}.{self.noun()}"
        if form == 5:
            arguments = ", ".join(self.value(depth + 1) for _ in range(int(self._rng.integers(0, 3))))
            return f"{self.function()}({arguments})"
        if form == 6:
            return f"{self.value(depth + 1)} {self.pick(('+', '-', '*', '/', '%'))} {self.value(depth + 1)}"
        return f"{self.noun()}[{self.noun()}]" if form == 7 else f"({self.value(depth + 1)})"

    def condition(self) -> str:
        """A comparison."""
        return f"{self.noun()} {self.pick(('==', '!=', '<', '>', '<=', '>='))} {self.value(1)}"


def _python(w: Writer, lines: int) -> list[str]:
    out = [f"import {w.noun()}", f"from {w.noun()} import {w.type_name()}, {w.function()}", ""]
    while len(out) < lines:
        inside = w.chance(0.4)
        pad = "    " if inside else ""
        if inside:
            out += ["", "@dataclass" if w.chance(0.3) else "", f"class {w.type_name()}({w.type_name()}):"]
            out += [f'    """{w.comment().capitalize()}."""', ""]
        for _ in range(int(w._rng.integers(1, 4))):
            parameters = [f"{w.noun()}: {w.pick(_TYPES)}" for _ in range(int(w._rng.integers(0, 4)))]
            out.append(
                f"{pad}def {w.function()}({', '.join((['self'] if inside else []) + parameters)}) -> {w.pick(_TYPES)}:"
            )
            if w.chance(0.5):
                out.append(f'{pad}    """{w.comment().capitalize()}."""')
            out += _python_body(w, pad + "    ", 0)
            out += [f"{pad}    return {w.value()}", ""]
    return out


def _python_body(w: Writer, pad: str, depth: int) -> list[str]:
    out: list[str] = []
    for _ in range(int(w._rng.integers(1, 6))):
        form = int(w._rng.integers(8 if depth < 2 else 4))
        if form < 2:
            out.append(f"{pad}{w.noun()} = {w.value()}")
        elif form == 2:
            out.append(f"{pad}self.{w.noun()}.{w.function()}({w.value()}, {w.noun()}={w.value()})")
        elif form == 3:
            out.append(f"{pad}# {w.comment()}")
        else:
            head = (
                f"if {w.condition()}",
                f"for {w.noun()} in {w.value()}",
                f"with {w.function()}({w.text()}) as {w.noun()}",
                f"while not {w.noun()}",
            )
            out.append(f"{pad}{head[form - 4]}:")
            out += _python_body(w, pad + "    ", depth + 1)
    out.append(f"{pad}{w.noun()} = {w.value()}")  # a block of comments alone is none
    return out


def _braces(w: Writer, pad: str, depth: int, declare: Callable[[], str]) -> list[str]:
    out: list[str] = []
    for _ in range(int(w._rng.integers(1, 5))):
        form = int(w._rng.integers(7 if depth < 2 else 4))
        if form < 2:
            out.append(f"{pad}{declare()} = {w.value()};")
        elif form == 2:
            out.append(f"{pad}{w.camel(w.function())}({w.value()}, {w.value()});")
        elif form == 3:
            out.append(f"{pad}// {w.comment()}")
        else:
            index = w.pick(("i", "j", "n"))
            head = (
                f"if ({w.condition()})",
                f"for ({index} = 0; {index} < {w.noun()}; {index}++)",
                f"while ({w.condition()})",
            )
            out += [f"{pad}{head[form - 4]} {{", *_braces(w, pad + "  ", depth + 1, declare), f"{pad}}}"]
    return out


def _c(w: Writer, lines: int) -> list[str]:
    out = [
        "#include <stdint.h>",
        f'#include "{w.noun()}.h"',
        "",
        f"#define MAX_{w.noun().upper()} {w.number()}",
        "",
    ]
    while len(out) < lines:
        if w.chance(0.3):
            fields = [f"  {w.pick(_C_TYPES)} {w.noun()};" for _ in range(int(w._rng.integers(2, 6)))]
            out += [f"struct {w.noun()} {{", *fields, "};", ""]
        parameters = ", ".join(f"{w.pick(_C_TYPES)} {w.noun()}" for _ in range(int(w._rng.integers(1, 4))))
        out += [f"/* {w.comment()} */"] if w.chance(0.4) else []
        out += [f"static {w.pick(_C_TYPES)} {w.function()}({parameters}) {{"]
        out += _braces(w, "  ", 0, lambda: f"{w.pick(_C_TYPES)} {w.noun()}")
        out += [f"  return {w.value(1)};", "}", ""]
    return out


def _typescript(w: Writer, lines: int) -> list[str]:
    out = [f"import {{ {w.type_name()}, {w.camel(w.function())} }} from './{w.noun()}';", ""]
    while len(out) < lines:
        head = w.pick(("export async function", "function", "export function"))
        out.append(
            f"{head} {w.camel(w.function())}({w.camel(w.noun())}: {w.type_name()}): Promise<{w.type_name()}> {{"
        )
        out += _braces(w, "  ", 0, lambda: f"{w.pick(('const', 'let'))} {w.camel(w.noun())}")
        out += [f"  return await {w.camel(w.function())}({w.value(1)});", "}", ""]
    return out


def _json(w: Writer, lines: int) -> list[str]:
    out = ["{"]
    while len(out) < lines:
        out.append(f'  "{w.noun()}": {{')
        for _ in range(int(w._rng.integers(2, 7))):
            value = w.pick(
                (w.text(), str(w._rng.integers(9999)), "true", "null", f"[{w.text()}, {w.text()}]")
            )
            out.append(f'    "{w.noun()}": {value},')
        out += [f'    "{w.noun()}": {w.text()}', "  },"]
    return out


def _markup(w: Writer, lines: int) -> list[str]:
    out, stack = ["<!doctype html>", '<html lang="en">'], ["html"]
    while len(out) < lines:
        pad = "  " * len(stack)
        if w.chance(0.3) and len(stack) > 1:
            out.append(f"{pad[2:]}</{stack.pop()}>")
        elif w.chance(0.45) and len(stack) < 7:
            tag = w.pick(("div", "section", "ul", "nav", "main", "form"))
            out.append(f'{pad}<{tag} class="{w.noun()}-{w.noun()}">')
            stack.append(tag)
        else:
            tag = w.pick(("p", "a", "li", "span", "h2", "button"))
            out.append(f'{pad}<{tag} id="{w.noun()}">{w.comment()}</{tag}>')
    return out


# Pygments' name of the language, the suffix of its files, and who writes it.
LANGUAGES = MappingProxyType(
    {
        "python": (".py", _python),
        "c": (".c", _c),
        "typescript": (".ts", _typescript),
        "json": (".json", _json),
        "html": (".html", _markup),
    }
)


def write(language: str, lines: int, rng: np.random.Generator) -> str:
    """At least `lines` lines of source in a language of `LANGUAGES`."""
    return "\n".join(LANGUAGES[language][1](Writer(rng), lines))
