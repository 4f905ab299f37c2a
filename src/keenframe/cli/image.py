"""`keenframe image`."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from keenframe.cli import stop
from keenframe.cli.options import Engine, Model, Overwrite, Strength, Threads, items_bar, open_sharpener, warn


def image(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Image files and folders.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="A file for one file, else a folder.")
    ],
    strength: Strength = 1.0,
    model: Model = "keen",
    engine: Engine = "auto",
    threads: Threads = None,
    compare: Annotated[bool, typer.Option("--compare", help="Write before and after side by side.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Sharpen pictures: PNG, JPEG, WebP, TIFF, BMP.

    Folders are searched through and keep their structure. Transparency, EXIF, colour profile and resolution
    survive.
    """
    from keenframe.errors import KeenframeError
    from keenframe.media.batch import plan
    from keenframe.media.files import reason
    from keenframe.media.images import sharpen_image

    jobs, failed = plan(inputs, output)
    losses = []
    written, found = 0, len(jobs) + len(failed)
    if jobs:
        sharpener = open_sharpener(model, engine, threads)
        with sharpener, items_bar(shown=len(jobs) > 1) as progress:
            task = progress.add_task("sharpening", total=len(jobs))
            for source, target in jobs:
                stop.check()
                progress.update(task, description=source.name)
                made = [folder for folder in target.parents if not folder.exists()]
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    lost = sharpen_image(
                        source, target, sharpener, strength=strength, compare=compare, overwrite=overwrite
                    )
                    losses += [_about(source, loss) for loss in lost]
                    written += 1
                except KeenframeError as error:
                    failed.append(_about(source, str(error)))
                except OSError as error:
                    failed.append(f"the folder '{target.parent}' could not be made: {reason(error)}")
                finally:
                    # No folder stays that was made for nothing; one with a picture in it cannot be removed.
                    with suppress(OSError):
                        for folder in made:
                            folder.rmdir()
                progress.advance(task)
    for message in losses:
        warn(message)
    for message in failed:
        print(f"keenframe: {message}", file=sys.stderr)
    if found > 1:
        print(f"{written} sharpened" + (f", {len(failed)} failed" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _about(source: Path, message: str) -> str:
    """`message`, which of many files it is about."""
    return message if str(source) in message else f"'{source}': {message}"
