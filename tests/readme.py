"""The commands that the README tells its readers to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parent.parent / "README.md"


def commands(program: str) -> list[list[str]]:
    """Every line of a code block that calls `program`, split into words, without the program and comments."""
    text = README.read_text(encoding="utf-8")
    lines = [
        line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    split = [shlex.split(line.strip().removeprefix("$ "), comments=True) for line in lines if program in line]
    return [words[1:] for words in split if words and words[0] == program]


def unknown(words: list[str], command: Any) -> list[str]:
    """The words of a command line that `command`, a Click group, has no subcommand or option for."""
    place = command
    for word in words:
        if not hasattr(place, "commands") or word.startswith("-"):
            break
        if word not in place.commands:
            return [word]
        place = place.commands[word]
    options = {name for parameter in place.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [option for option in given if option not in options | {"--help"}]
