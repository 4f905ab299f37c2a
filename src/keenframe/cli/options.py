"""Options that several commands share, and what they share to act on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from keenframe.sharpener import Sharpener

Strength = Annotated[
    float, typer.Option(min=0.0, max=2.0, help="0: unchanged, 1: the model, up to 2: further the same way.")
]
Model = Annotated[
    str, typer.Option(help="A model's name (see: keenframe models) or the path of an .onnx file.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(help="A same-size model; several, largest first.", show_default="keen, keen-nano"),
]
Engine = Annotated[
    str,
    typer.Option(
        help="auto, native, openvino, onnxruntime, openvino:gpu, onnxruntime:cuda … (see: keenframe doctor)."
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads for the network.", show_default="the engine's choice")
]
LiveThreads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads of each model.", show_default="as few as keep up")
]
CpuShare = Annotated[
    float, typer.Option(min=0.05, max=1.0, help="Part of the time that sharpening may take, in all.")
]
Host = Annotated[
    str,
    typer.Option(help="The address to listen on; any but this computer's own lets others in, with a token."),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]


def open_sharpener(model: str, engine: str, threads: int | None) -> Sharpener:
    """The Sharpener that the options ask for."""
    from keenframe.sharpener import Sharpener

    return Sharpener(model, engine=engine, threads=threads)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """For the imports of an optional part: KeenframeError, with what to install, when something is not there."""
    from keenframe.errors import KeenframeError

    try:
        yield
    except ModuleNotFoundError as error:
        raise KeenframeError(f"this needs {error.name}; run: pip install 'keenframe[{name}]'") from error


def announce(urls: Sequence[str]) -> None:
    """Say where a server is reached."""
    for url in urls:
        typer.echo(f"keenframe: {url}")
    typer.echo("keenframe: Ctrl-C ends it")


def console(stderr: bool = False) -> Console:
    """A rich console that leaves text as it is: no guessed colours for numbers and paths."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def items_bar(shown: bool = True) -> Progress:
    """A progress bar that counts items, on stderr where that is a terminal; it vanishes when done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(stderr=True)
    return Progress(*columns, console=screen, transient=True, disable=not (shown and screen.is_terminal))


def warn(message: str) -> None:
    """One line on stderr."""
    print(f"keenframe: warning: {message}", file=sys.stderr)
