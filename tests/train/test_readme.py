"""The README's training commands exist."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import readme

pytest.importorskip("keenframe_train.cli", reason="the training commands are not there yet")


def test_training_commands_and_their_options_exist() -> None:
    lines = readme.commands("keenframe-train")
    assert {words[0] for words in lines} >= {"fit", "export", "evaluate"}
    for subcommand in sorted({words[0] for words in lines}):
        shown = subprocess.run(
            [sys.executable, "-c", "from keenframe_train.cli import main; main()", subcommand, "--help"],
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        given = {word.split("=")[0] for words in lines if words[0] == subcommand for word in words}
        assert not [word for word in given if word.startswith("--") and word not in shown]
