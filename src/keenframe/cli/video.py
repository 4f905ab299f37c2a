"""`keenframe video`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keenframe.cli import stop
from keenframe.cli.options import Engine, Model, Overwrite, Strength, Threads, console, open_sharpener, warn


def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A video file.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write: .mp4 .mkv .mov .webm .avi .ts …")
    ],
    strength: Strength = 1.0,
    model: Model = "keen",
    engine: Engine = "auto",
    threads: Threads = None,
    compare: Annotated[bool, typer.Option("--compare", help="Left half before, right half after.")] = False,
    codec: Annotated[
        str | None,
        typer.Option(
            help="h264, hevc, vp9, av1 or ffv1.", show_default="vp9 for .webm, ffv1 for .nut, else h264"
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(min=0, max=63, help="Quality: lower is better and larger.", show_default="18 for h264"),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Encoder preset: slower is smaller.", show_default="veryfast for h264")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Sharpen a video; sound, subtitles, chapters, metadata, rotation, colour tags and exact times are kept.

    What the new container cannot hold is left out with a warning. Ends with exit code 1 when the input was
    damaged; what could be decoded is written then.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from keenframe.media.files import check_output
    from keenframe.media.source import Source
    from keenframe.media.videos import sharpen_video

    # Say so before the model is loaded and measured.
    Source(source).close()
    check_output(target, overwrite or source == target)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed} frames"),
        TextColumn("{task.fields[fps]} FPS"),
        TimeRemainingColumn(),
    )
    screen = console(stderr=True)
    sharpener = open_sharpener(model, engine, threads)
    with (
        sharpener,
        Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress,
    ):
        task = progress.add_task(source.name, total=None, fps="–")

        def show(done: int, expected: int | None) -> None:
            stop.check()
            speed = progress.tasks[task].speed
            progress.update(task, completed=done, total=expected, fps=f"{speed:.1f}" if speed else "–")

        report = sharpen_video(
            source,
            target,
            sharpener,
            strength=strength,
            compare=compare,
            codec=codec,
            crf=crf,
            preset=preset,
            overwrite=overwrite,
            on_progress=show,
        )
    for message in report.warnings:
        warn(message)
    rate = report.frames / report.seconds
    print(f"{report.frames} frames in {report.seconds:.1f} s, {rate:.1f} FPS: {target}")
    if report.damage:
        warn(f"'{source}' is damaged: {'; '.join(report.damage)} — what could be decoded was written")
        raise typer.Exit(1)
