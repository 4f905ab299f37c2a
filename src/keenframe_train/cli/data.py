"""The data tools of `keenframe-train`: frames, patches, pairs, render, pages, leaks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from keenframe_train.cli.options import out
from keenframe_train.errors import TrainError

if TYPE_CHECKING:
    from keenframe_train.data.images import ImageFile

log = Console(stderr=True, markup=False)

Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the result: new, empty, or an earlier run's.")
]
Data = Annotated[
    Path,
    typer.Option(
        "--data", help="Folder of images: any layout; below train*/ if it has these, never of val/."
    ),
]
Exclude = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of validation images: what shows the same is left out. May be repeated."),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Ray = Annotated[
    str | None,
    typer.Option("--ray", help="Ray cluster to run on instead: HOST:PORT, ray://HOST:PORT, auto or local."),
]
Seed = Annotated[int, typer.Option(min=0, help="Another seed, another result.")]


def register(app: typer.Typer) -> None:
    """Add the data commands to the application."""
    for command in (frames, patches, pairs, render, pages, leaks):
        app.command()(command)


def _say(text: str) -> None:
    out.print(text, soft_wrap=True, markup=False, highlight=False)


def _training_pictures(data: Path) -> list[ImageFile]:
    """The pictures of a data folder but for its validation part."""
    from keenframe_train.data.folders import training_only

    # Whole paths: an earlier run may have been started elsewhere, and a cluster's nodes work elsewhere.
    return training_only(data.resolve() if data.is_dir() else data)


def _whole(folders: list[Path] | None) -> list[Path]:
    return [folder.resolve() if folder.is_dir() else folder for folder in folders or []]


def _left_out(count: int, what: str = "pictures") -> str:
    return f"; {count} {what} left out because --exclude holds their likes" if count else ""


def frames(
    videos: Annotated[list[str], typer.Argument(help="Videos, folders of videos, links (https://...).")],
    folder: Out,
    every: Annotated[float, typer.Option(help="Seconds between frames.")] = 2.0,
    distance: Annotated[
        int, typer.Option(help="Bits of 64 of the perceptual hash up to which frames show the same.")
    ] = 4,
    blur: Annotated[
        float, typer.Option(help="Least sharpness, as a share of the video's median; 0 keeps all.")
    ] = 0.25,
    format: Annotated[str, typer.Option(help="png, or webp (lossless).")] = "png",
    exclude: Exclude = None,
    workers: Workers = 2,
    ray: Ray = None,
) -> None:
    """Take training pictures from videos, at regular intervals; goes on where it was interrupted.

    Repeated and blurred frames are skipped; damaged videos are named, and the exit code is then 1.
    """
    from keenframe_train.data.frames import Extraction, extract_frames

    made, failed = extract_frames(
        videos, folder, Extraction(every, distance, blur, format), exclude=_whole(exclude), workers=workers,
        ray_address=ray,
    )  # fmt: skip
    for record in failed:
        log.print(f"skipped: {record['error']}", soft_wrap=True, markup=False, highlight=False, style="red")
    total = sum(len(record["frames"]) for record in made)
    skipped = Counter({key: sum(r[key] for r in made) for key in ("repeated", "blurred", "excluded")})
    _say(
        f"{total} frames of {len(made)} videos in {folder}; left out: {skipped['repeated']} repeated, "
        f"{skipped['blurred']} blurred{_left_out(skipped['excluded'], 'frames')}"
    )
    if failed:
        raise typer.Exit(1)


def patches(
    data: Data,
    folder: Out,
    size: Annotated[int, typer.Option(help="Edge of a patch, pixels, even.")] = 128,
    per_picture: Annotated[int, typer.Option(help="Random patches of each picture.")] = 8,
    stride: Annotated[int | None, typer.Option(help="Take all patches of a grid this wide instead.")] = None,
    min_detail: Annotated[
        float, typer.Option(help="Mean absolute luma gradient below which a patch is left out; 0 keeps all.")
    ] = 2.0,
    seed: Seed = 0,
    exclude: Exclude = None,
    workers: Workers = 2,
    ray: Ray = None,
) -> None:
    """Cut HR_patches/ and their x2 bicubic or bilinear down- and up-sampled twins in LR/ (R1's data)."""
    from keenframe_train.data.patches import Cutting, cut_patches

    cutting = Cutting(size, per_picture, stride, seed, min_detail)
    records, left_out = cut_patches(
        _training_pictures(data), folder, cutting, exclude=_whole(exclude), workers=workers, ray_address=ray
    )
    for record in records:
        if "error" in record:
            log.print(f"skipped {record['source']}: {record['error']}", soft_wrap=True, markup=False)
    total = sum(len(record["patches"]) for record in records)
    if not total:
        raise TrainError(
            f"no patch of {size} pixels with detail {min_detail:g} in {len(records)} pictures; "
            "lower --size or --min-detail"
        )
    _say(f"{total} pairs of patches from {len(records)} pictures in {folder}{_left_out(left_out)}")


def pairs(
    data: Data,
    folder: Out,
    count: Annotated[int, typer.Option(help="Pairs to have in the folder.")],
    preset: Annotated[str | None, typer.Option(help="Degradation [call; r4 for triplets].")] = None,
    triplets: Annotated[
        bool, typer.Option("--triplets", help="R4's: HR, student input, teacher input enlarged x4.")
    ] = False,
    size: Annotated[
        int | None, typer.Option(help="Edge of the pristine picture, pixels [256; 128 for triplets].")
    ] = None,
    seed: Seed = 0,
    exclude: Exclude = None,
    workers: Workers = 2,
    ray: Ray = None,
) -> None:
    """Write degraded and pristine pictures by any degradation preset, for use elsewhere."""
    from keenframe_train.data.pairs import PAIR_SIZE, TRIPLET_SIZE, Making, make_pairs

    making = Making(
        preset or ("r4" if triplets else "call"),
        size or (TRIPLET_SIZE if triplets else PAIR_SIZE),
        seed,
        triplets,
    )
    records, left_out = make_pairs(
        _training_pictures(data), folder, making, count, exclude=_whole(exclude), workers=workers,
        ray_address=ray,
    )  # fmt: skip
    mean = sum(record["psnr_y"] for record in records) / len(records)
    what = "triplets" if triplets else "pairs"
    _say(f"{len(records)} {what} in {folder}, inputs at {mean:.2f} dB PSNR-Y{_left_out(left_out)}")


def render(
    kind: Annotated[str, typer.Argument(help="text, slides, code, chat, or all: these in turn.")],
    folder: Out,
    count: Annotated[int, typer.Option(help="Pictures to have in the folder.")],
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "864x648",
    seed: Seed = 0,
    exclude: Exclude = None,
    workers: Workers = 2,
    ray: Ray = None,
) -> None:
    """Draw screens as training images, in any number, with the fonts of this machine."""
    from keenframe_train.data.render import parse_size, render_pictures

    records, left_out = render_pictures(
        kind, folder, count, parse_size(size), seed, exclude=_whole(exclude), workers=workers, ray_address=ray
    )
    _say(f"{len(records) - left_out} pictures in {folder}{_left_out(left_out)}")


def pages(
    folder: Out,
    count: Annotated[int, typer.Option(help="Pages to have in the folder.")] = 24,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "640x480",
    seed: Seed = 0,
) -> None:
    """Draw pages of text and their text beside them, for `keenframe evaluate --text`, with this machine's fonts."""
    from keenframe_train.data.render import parse_size
    from keenframe_train.data.render.pages import write_pages

    counts = write_pages(folder, count, seed, parse_size(size))
    _say(
        f"{sum(counts.values())} pages in {folder}: {', '.join(f'{n} {name}' for name, n in counts.items())}"
    )


def leaks(
    train: Annotated[list[Path], typer.Option(help="Folder of training images. May be repeated.")],
    val: Annotated[list[Path], typer.Option(help="Folder of validation images. May be repeated.")],
    distance: Annotated[int | None, typer.Option(help="Bits of 64 that may differ [10].")] = None,
    workers: Workers = 2,
    ray: Ray = None,
) -> None:
    """List training images that show what a validation image shows; exit code 1 when there are any."""
    from keenframe_train.data.fingerprint import DISTANCE, find_leaks

    limit = DISTANCE if distance is None else distance
    if not 0 <= limit <= 64:
        raise TrainError(f"--distance is a number of bits, 0 to 64; got {limit}")
    found = find_leaks(_whole(train) if ray else train, _whole(val) if ray else val, workers, ray, limit)
    for leak in found:
        _say(f"{leak.bits:2d} bits, correlation {leak.correlation:.3f}: {leak.train} = {leak.val}")
    _say(f"{len(found)} near-identical pairs")
    if found:
        raise typer.Exit(1)
