"""`keenframe-train`: make a bank, fit, reproduce, export, evaluate; one file for each group of commands."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from keenframe.errors import KeenframeError
from keenframe.media.files import words
from keenframe_train.cli import compress, data, evaluate, export, reproduce, train
from keenframe_train.errors import TrainError

app = typer.Typer(
    help="Train, export and measure keenframe's networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for group in (data, train, reproduce, compress, export, evaluate):
    group.register(app)


def main() -> None:
    """Entry point."""
    run(app, "keenframe-train")


def run(app: typer.Typer, name: str) -> None:
    """Run an application: errors that have an explanation are shown as one line, not as a traceback."""
    try:
        app()
    except (TrainError, KeenframeError) as error:
        _fail(name, str(error))
    except OSError as error:
        # What nothing closer to it foresaw: a folder that may not be read, a full disk.
        _fail(name, words(error))
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer makes the second of the first, without a word.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        _fail(name, "interrupted; run the same command again to go on", 130)


def _fail(name: str, message: str, code: int = 1) -> NoReturn:
    print(f"{name}: {message}", file=sys.stderr)
    raise SystemExit(code) from None
