"""All commands in one Typer app."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from keenframe.cli.bench import bench
from keenframe.cli.camera import camera
from keenframe.cli.doctor import doctor
from keenframe.cli.evaluate import evaluate
from keenframe.cli.image import image
from keenframe.cli.models import models
from keenframe.cli.relay import relay
from keenframe.cli.serve import serve
from keenframe.cli.study import app as study
from keenframe.cli.video import video

app = typer.Typer(
    name="keenframe",
    help="Sharpen video calls, videos and pictures in real time on an ordinary CPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (image, video, camera, relay, serve, models, bench, evaluate, doctor):
    app.command()(command)
app.add_typer(study)
for registered in (*app.registered_commands, *study.registered_commands):
    # Typer keeps the line breaks of all paragraphs but the first; a terminal has its own width.
    paragraphs = (inspect.getdoc(registered.callback) or "").split("\n\n")
    registered.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _show_version(wanted: bool) -> None:
    if wanted:
        from keenframe import __version__

        typer.echo(f"keenframe {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass
