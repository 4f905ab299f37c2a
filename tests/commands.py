"""Running the command line as a user does."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from keenframe.cli import main

SOURCES = Path(__file__).parents[1] / "src"


@dataclass
class Result:
    code: int
    out: str
    err: str


def keenframe(*arguments: object) -> Result:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    argv = ["keenframe", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def start(
    folder: Path, *arguments: object, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    """Start the command as a process of its own in `folder`; `before` runs in it first."""
    return subprocess.Popen(
        [sys.executable, "-c", "from keenframe.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        cwd=folder,
        preexec_fn=before,
    )


def url_of(process: subprocess.Popen[str]) -> str:
    """The address in the line that a server prints when it is there."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    if found is None:
        _, said = process.communicate()
        raise AssertionError(f"the server did not start: {line}{said}")
    return found[0]
