"""`keenframe bench`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keenframe.cli.options import Threads, console

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keenframe.frame import Frame
    from keenframe.zoo.spec import ModelSpec

SIZES = {"360p": (640, 360), "480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
_DEFAULT_SIZES = ["480p", "720p", "1080p"]
_WARM_UP = 5
_TEXTURE = 7


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option(help="May be repeated.", show_default="keenframe's own, without research models"),
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="May be repeated.", show_default="all on the CPU")
    ] = None,
    threads: Threads = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            help="360p, 480p, 720p, 1080p or WIDTHxHEIGHT of the input; may be repeated.",
            show_default="three",
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=3, help="Frames to measure for each row.")] = 60,
    strength: Annotated[float, typer.Option(min=0.01, max=2.0, help="Strength.")] = 1.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers, too.")
    ] = None,
) -> None:
    """Measure this machine: whole frames, I420 in and out, and the bare network, in the same run."""
    from rich.table import Table

    from keenframe.engines.cpu import cpu_name, machine, usable_cores
    from keenframe.errors import KeenframeError
    from keenframe.media.files import check_output, write_text

    if json_file is not None:
        check_output(json_file, overwrite=True)  # rather than after minutes of measuring
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    sizes = [parse_size(text) for text in size or _DEFAULT_SIZES]
    for name in model or _models():
        for engine_name in engine or _engines(name):
            for width, height in sizes:
                try:
                    rows.append(measure(name, engine_name, threads, width, height, frames, strength))
                except KeenframeError as error:
                    failures.append(f"{name} on {engine_name}: {error}")
                    break
                print(f"  {name} {engine_name} {width}x{height}", file=sys.stderr)
    title = f"{cpu_name()}, {usable_cores()} cores, {frames} frames each"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("model", "engine", "input", "median", "p95 ms", "FPS", "net ms", "ratio", "MB"):
        words = heading in ("model", "engine", "input")
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["model"],
            row["engine"],
            f"{row['width']}x{row['height']}",
            f"{row['median_ms']:.1f}",
            f"{row['p95_ms']:.1f}",
            f"{row['fps']:.1f}",
            f"{row['network_median_ms']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['memory_mb']:.0f}",
        )
    if rows:
        console().print(table)
    if json_file is not None:
        content = {"machine": machine(), "threads": threads, "frames": frames, "rows": rows}
        write_text(json_file, json.dumps(content, indent=2) + "\n")
    for message in failures:
        print(f"keenframe: {message}", file=sys.stderr)
    if failures or not rows:
        raise typer.Exit(1)


def measure(
    model: str, engine: str, threads: int | None, width: int, height: int, frames: int, strength: float = 1.0
) -> dict[str, Any]:
    """One row: the whole frame path and the bare network on the same pictures, frame by frame in turn.

    width, height: of the input, in pixels. Times are in ms; memory_mb is the resident memory of the process.
    KeenframeError when the model or engine is not there.
    """
    import numpy as np
    import psutil

    from keenframe.engines.select import create_engine
    from keenframe.sharpener import Sharpener
    from keenframe.zoo.store import find_model

    with Sharpener(model, engine=engine, threads=threads) as sharpener:
        spec = sharpener.spec
        # The file that the sharpener took, whichever precision suits this processor.
        path = find_model(model, prefer_int8=spec.precision == "int8")
        network = create_engine(sharpener.engine_name, path, spec, threads)
        pictures = [make_frame(width, height, index) for index in range(4)]
        inputs = _network_inputs(spec, pictures[0])
        condition = None if spec.condition is None else np.zeros(spec.condition["size"], np.float32)

        def run_network() -> None:
            for picture in inputs:
                network.run(picture, condition, strength)

        whole, bare = [], []
        for index in range(_WARM_UP + frames):
            frame = pictures[index % len(pictures)]
            whole.append(_time_ms(partial(sharpener.sharpen, frame, strength, still=False)))
            bare.append(_time_ms(run_network))
        network.close()
        whole, bare = whole[_WARM_UP:], bare[_WARM_UP:]
        median_ms, network_ms = float(np.median(whole)), float(np.median(bare))
        return {
            "model": path.stem,
            "precision": spec.precision,
            "scale": spec.scale,
            "engine": sharpener.engine_name,
            "width": width,
            "height": height,
            "median_ms": median_ms,
            "p95_ms": float(np.percentile(whole, 95)),
            "fps": 1000 / median_ms,
            "network_median_ms": network_ms,
            "network_p95_ms": float(np.percentile(bare, 95)),
            "ratio": median_ms / network_ms,
            "memory_mb": psutil.Process().memory_info().rss / 1e6,
        }


def _network_inputs(spec: ModelSpec, frame: Frame) -> list[NDArray[np.uint8]]:
    """What the bare network reads of one frame: a luma plane, or an RGB picture, in tiles where it is large."""
    import numpy as np

    from keenframe.pixels import copy_padded
    from keenframe.rgb import picture_windows
    from keenframe.tiles import round_up

    height, width = (round_up(size, spec.size_multiple) for size in (frame.height, frame.width))
    if spec.color == "luma":
        luma = np.empty((height, width), np.uint8)
        copy_padded(frame.planes[0], luma)
        return [luma]
    rgb = np.empty((height, width, 3), np.uint8)
    copy_padded(frame.to_rgb(), rgb)
    tiles = [
        rgb[window.top : window.top + window.height, window.left : window.left + window.width]
        for window in picture_windows(height, width, spec)
    ]
    return [np.ascontiguousarray(tile) for tile in tiles]


def make_frame(width: int, height: int, index: int) -> Frame:
    """A textured I420 frame: gradients, edges and grain, the same for the same index."""
    import numpy as np

    from keenframe.frame import Frame

    noise = np.random.default_rng(index)
    rows, columns = np.mgrid[0:height, 0:width]
    luma = 60 + 80 * columns / width + 40 * ((columns // _TEXTURE + rows // _TEXTURE + index) % 2)
    luma = np.clip(luma + noise.normal(0, 3, luma.shape), 16, 235).astype(np.uint8)
    chroma = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    # Said to be enlarged, so that of several experts one for such frames runs, the dearer kind.
    return Frame((luma, chroma, chroma.copy()), "i420", width, height, pts=index, enlarged=True)


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) in pixels from "720p" or "1280x720", of sides that a Sharpener takes."""
    from keenframe.sharpener import SIDE_MAX, SIDE_MIN

    if text.lower() in SIZES:
        return SIZES[text.lower()]
    parts = text.lower().split("x")
    if len(parts) == 2 and all(part.isdecimal() and SIDE_MIN <= int(part) <= SIDE_MAX for part in parts):
        return int(parts[0]), int(parts[1])
    raise typer.BadParameter(
        f"'{text}' is no size; expected {', '.join(SIZES)} or WIDTHxHEIGHT, {SIDE_MIN} to {SIDE_MAX} each",
        param_hint="--size",
    )


def _time_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _models() -> list[str]:
    from keenframe.zoo.store import list_models

    # "-float" pins the plain file where an INT8 one would be taken for it.
    names = [spec.name for spec in list_models() if spec.role == "flagship"]
    return [name if name.endswith("-int8") else f"{name}-float" for name in names] or ["keen"]


def _engines(model: str) -> list[str]:
    from keenframe.engines.select import engines_for, model_for
    from keenframe.errors import KeenframeError
    from keenframe.zoo.store import read_spec

    try:
        return engines_for(read_spec(model_for(model))) or ["auto"]
    except KeenframeError:
        return ["auto"]  # which says what is wrong with the model
