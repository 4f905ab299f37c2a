"""Before/after pictures whose places are chosen by rule, and the figures of the gains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from keenframe.metrics import CEILING_DB, psnr, ssim
from keenframe_train.data.images import ImageFile
from keenframe_train.data.validation import luma_plane
from keenframe_train.evaluate.pictures import save_png
from keenframe_train.files import replacing
from keenframe_train.history import read_history
from keenframe_train.reproduction.compare import Score, Subject
from keenframe_train.reproduction.results import ALL, Results, gain

Uint8 = NDArray[np.uint8]
EDGE, ZOOM = 128, 2  # a crop's edge in pixels, and how often each is repeated
LINE, MARGIN = 18, 6
COLORS = {
    "input": "#9aa0a6",
    "bicubic": "#c9cdd2",
    "unsharp mask": "#7f8c8d",
    "control": "#e69f00",
    "tuned": "#0072b2",
    "student": "#0072b2",
    "teacher": "#009e73",
}


def chosen(
    scores: Sequence[Score], kind: str, reference: str, own: str = "student"
) -> list[tuple[str, Score]]:
    """The pictures of a kind where the run `own` gains most, median and least PSNR: ("best", its score) and so on."""
    base = {(s.category, s.name): s.psnr for s in scores if s.kind == kind and s.method == reference}
    gained = [s for s in scores if s.kind == kind and s.method == own]
    order = sorted(gained, key=lambda s: (s.psnr - base[s.category, s.name], s.category, s.name))
    return [("best", order[-1]), ("median", order[len(order) // 2]), ("worst", order[0])]


def busiest(plane: Uint8, edge: int) -> tuple[int, int]:
    """(top, left) of the window of (H, W) with the most gradient: the rule that no method is favoured by."""
    x = plane.astype(np.float32)
    strength = np.abs(cv2.Sobel(x, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(x, cv2.CV_32F, 0, 1))
    # Of very strong edges one is enough: fine texture counts as well.
    sums = cv2.integral(np.minimum(strength, 200))
    windows = sums[edge:, edge:] - sums[:-edge, edge:] - sums[edge:, :-edge] + sums[:-edge, :-edge]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(top), int(left)


def before_after(
    subject: Subject, files: Sequence[ImageFile], scores: Sequence[Score], kind: str, own: str, path: Path
) -> None:
    """Rows best, median and worst; columns pristine, the reference, unsharp mask, and the runs that there are.

    Each crop stands under its method and the PSNR and SSIM of its whole picture.
    """
    by_name = {(file.category, file.path.name): file for file in files}
    rows = []
    for rank, score in chosen(scores, kind, subject.reference, own):
        sample = subject.sample(by_name[score.category, score.name], kind)
        outputs = subject.outputs(sample)
        edge = min(EDGE, *sample.pristine.shape[:2])
        top, left = busiest(luma_plane(sample.pristine), edge)
        shown = [subject.reference, "unsharp mask", *subject.networks]
        cells = [_cell(sample.pristine, top, left, edge, f"{rank}: {score.category}", score.name)]
        for method in shown:
            planes = luma_plane(outputs[method]), luma_plane(sample.pristine)
            text = f"{psnr(*planes, ceiling_db=CEILING_DB):.2f} dB  {ssim(*planes):.4f}"
            cells.append(_cell(outputs[method], top, left, edge, method, text))
        rows.append(np.concatenate(cells, axis=1))
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
    save_png(path, np.concatenate(rows))


def _cell(picture: Uint8, top: int, left: int, edge: int, title: str, text: str) -> Uint8:
    crop = picture[top : top + edge, left : left + edge]
    crop = crop if crop.ndim == 3 else np.repeat(crop[..., None], 3, axis=2)
    side = EDGE * ZOOM
    cell = Image.new("RGB", (side + MARGIN, side + 2 * LINE + MARGIN), "white")
    cell.paste(Image.fromarray(crop).resize((side, side), Image.Resampling.NEAREST), (0, 2 * LINE))
    draw, font = ImageDraw.Draw(cell), ImageFont.load_default(13)
    draw.text((2, 1), title, "black", font)
    draw.text((2, LINE), text, "#444444", font)
    return np.asarray(cell)


def write_figure(results: Results, folder: Path, path: Path) -> None:
    """Gain of every method by category (one kind) or by kind, and the gain on the validation windows over the
    steps of the runs below `folder`, as PNG."""
    figure = Figure(figsize=(15, 5), layout="constrained")
    bars, lines = figure.subplots(1, 2, width_ratios=(3, 2))
    kinds = list(results["quality"])
    if len(kinds) == 1:
        groups = {category: (kinds[0], category) for category in results["quality"][kinds[0]]}
        bars.set_title(f"{results['recipe']}: gain on `{kinds[0]}` by category")
    else:
        groups = {kind: (kind, ALL) for kind in kinds if kind != "clean"}
        bars.set_title(f"{results['recipe']}: gain by damage")
    methods = [m for m in results["quality"][kinds[0]][ALL] if m != results["reference"]]
    for index, method in enumerate(methods):
        heights = [gain(results, kind, method, "psnr", category) for kind, category in groups.values()]
        places = np.arange(len(groups)) + (index - (len(methods) - 1) / 2) * 0.8 / len(methods)
        bars.bar(places, heights, 0.8 / len(methods), color=COLORS[method], label=method)
    bars.set_xticks(range(len(groups)), list(groups))
    bars.set_ylabel(f"PSNR-Y over {results['reference']}, dB")
    _training(lines, folder, results["networks"])
    for axes in (bars, lines):
        axes.axhline(0, color="black", linewidth=0.6)
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _training(axes: Axes, folder: Path, runs: Iterable[str]) -> None:
    axes.set_title("validation windows while training, mean over damages")
    axes.set_xlabel("training minutes")
    for run in runs:
        records, minutes, points = read_history(folder / run), 0.0, []
        for record in records:
            if record["event"] == "train":
                minutes = record["seconds"] / 60
            else:
                quality = [q for kind, q in record["quality"].items() if kind != "clean"]
                points.append((minutes, np.mean([q["psnr"] - q["base_psnr"] for q in quality])))
        axes.plot(*zip(*points, strict=True), marker="o", color=COLORS[run], label=run)
