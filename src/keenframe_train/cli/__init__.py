"""`keenframe-train`: make a bank, fit, reproduce, export, evaluate; one file for each group of commands."""

from __future__ import annotations

import sys

import typer

from keenframe.errors import KeenframeError
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
    """Entry point: errors that have an explanation are shown as one line, not as a traceback."""
    try:
        app()
    except (TrainError, KeenframeError) as error:
        print(f"keenframe-train: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("keenframe-train: interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
