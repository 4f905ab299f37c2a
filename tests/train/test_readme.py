"""The README's training commands exist."""

from __future__ import annotations

import pytest

import readme

cli = pytest.importorskip("keenframe_train.cli", reason="the training commands are not there yet")


def test_training_commands_exist() -> None:
    import typer

    command = typer.main.get_command(cli.app)
    lines = readme.commands("keenframe-train")
    assert lines
    wrong = {" ".join(words): missing for words in lines if (missing := readme.unknown(words, command))}
    assert not wrong
