"""`keenframe camera`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keenframe.cli.options import CpuShare, Engine, LiveThreads, Models, Overwrite, Strength, console

if TYPE_CHECKING:
    from collections.abc import Callable

    from keenframe.live.capture import FrameSource
    from keenframe.live.sinks import Sink

_TEST = "test"


def camera(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A camera (/dev/video0, 0, or part of its name), a video file, or: test.",
            show_default="the first camera",
        ),
    ] = None,
    strength: Strength = 1.0,
    model: Models = None,
    engine: Engine = "auto",
    threads: LiveThreads = None,
    fps: Annotated[float, typer.Option(min=1, max=240, help="Frames per second to hold.")] = 30.0,
    size: Annotated[
        str | None,
        typer.Option(
            help="360p, 720p … or WIDTHxHEIGHT, of a camera or the test picture.", show_default="720p"
        ),
    ] = None,
    cpu_share: CpuShare = 1.0,
    level: Annotated[
        str, typer.Option(help="Stay on a model: its place from 0, its name, or pass.")
    ] = "auto",
    preview: Annotated[
        bool | None,
        typer.Option("--preview/--no-preview", help="A window.", show_default="where there is a display"),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Window and recording: left half as it came.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record to .mp4, .mkv or .webm.")
    ] = None,
    overwrite: Overwrite = False,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Be a camera for other programs (see: keenframe doctor camera).")
    ] = False,
    virtual_device: Annotated[
        str | None,
        typer.Option(help="The virtual camera to use; implies --virtual.", show_default="the first free one"),
    ] = None,
    null: Annotated[bool, typer.Option("--null", help="Throw the frames away: to measure.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Play a file again and again.")] = False,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics on this machine; 0: a free port.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON line of numbers each second.")
    ] = False,
) -> None:
    """Sharpen a camera, a file or a test picture live: to a window, a virtual camera, a recording.

    When frames are late a smaller model takes over, and at last they pass unsharpened; newest frame wins. Ctrl-C ends
    it, and a recording is whole then.
    """
    from keenframe.cli.session import Session
    from keenframe.errors import InputError
    from keenframe.live.governed import GovernedSharpener
    from keenframe.live.pipeline import Pipeline
    from keenframe.live.preview import display_present
    from keenframe.live.sinks import NullSink, RecordingSink, VirtualCameraSink

    open_source = _opener(source, size, fps, loop)
    sinks: list[Sink] = []
    if record is not None:
        sinks.append(RecordingSink(record, overwrite, compare))
    if virtual or virtual_device is not None:
        sinks.append(VirtualCameraSink(virtual_device, fps))
    if null:
        sinks.append(NullSink())
    if preview is None:
        # Measuring is not to be disturbed, and with no display there is nothing to show.
        preview = display_present() and not null
    if not sinks and not preview:
        raise InputError(
            "there is no display for a window, and nothing else to do with the frames — "
            "pass --virtual, --record FILE or --null"
        )
    screen = console(stderr=True)
    with GovernedSharpener(model or None, fps, cpu_share, strength, engine, threads) as sharpener:
        sharpener.pin(_level(level, sharpener.levels))
        session = Session(screen, sharpener, as_json)
        pipeline = Pipeline(open_source, sharpener, sinks, session.event)
        session.run(pipeline, preview, compare, duration, metrics_port)


def _opener(source: str | None, size: str | None, fps: float, loop: bool) -> Callable[[], FrameSource]:
    """What opens the source; InputError for options that do not go with it."""
    from keenframe.cli.bench import parse_size
    from keenframe.errors import InputError
    from keenframe.media.camera import Camera
    from keenframe.media.pattern import Pattern
    from keenframe.media.playback import Playback

    pixels = None if size is None else parse_size(size)
    is_file = source is not None and source != _TEST and _is_file(source)
    if loop and not is_file:
        raise InputError("--loop is for video files")
    if source == _TEST:
        return partial(Pattern, *(pixels or (1280, 720)), fps)
    if source is not None and is_file:
        if pixels is not None:
            raise InputError("--size is for cameras and the test picture; a file has its own")
        return partial(Playback, Path(source), loop)
    return partial(Camera, source, pixels, fps)


def _is_file(source: str) -> bool:
    """Whether this means a video file, there or not, and no camera."""
    from keenframe.media.encoders import DEFAULT_CODEC

    path = Path(source)
    return path.is_file() or path.suffix.lower() in DEFAULT_CODEC or path.is_dir()


def _level(text: str, levels: list[str]) -> int | None:
    """The level that `text` names; None for auto."""
    from keenframe.errors import InputError

    if text == "auto":
        return None
    if text.isdigit() and int(text) < len(levels):
        return int(text)
    for place, name in enumerate(levels):
        if text in (name, name.removesuffix("-int8")):
            return place
    numbered = ", ".join(f"{place} ({name})" for place, name in enumerate(levels))
    raise InputError(f"there is no level {text!r}; expected auto or one of {numbered}")
