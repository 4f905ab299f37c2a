"""What a comparison found, as Markdown, JSON and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.methods import INPUT, Line, Method
from benchmarks.peers.quality import SMALL, gain, mean_scores
from keenframe_train.evaluate.markdown import DASH, wide_table

# What keenframe's times are compared with.
REFERENCE = ("keen-int8", "keen-float")
_COLOURS = {"ours": "#c0392b", "research": "#e59866", "filter": "#7f8c8d", "peer": "#2471a3"}
# Where a name may stand beside its point, in points.
_PLACES = tuple((x, y) for y in (-3, 6, -12, 15, -21, 24, -30) for x in (6, -6))
_FILTERS = frozenset({"bicubic", "Lanczos", "unsharp mask", "FFmpeg unsharp", "FFmpeg cas"})


def task_of(method: Method, kind: str) -> str:
    """Which of a method's times a kind of damage costs: of enlarging the small picture, or of the same size."""
    return f"x{SMALL[kind][1]}" if kind in SMALL and 1 not in method.steps else "same"


def time_of(speed: Sequence[dict[str, Any]], method: str, task: str) -> float | None:
    """Median ms of a frame; None where it was not measured."""
    for row in speed:
        if row["method"] == method and row["task"] == task:
            return row.get("median_ms")
    return None


def summary(
    line: Line, records: Sequence[dict[str, Any]], speed: Sequence[dict[str, Any]], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each kind and method: means, gain over the picture as shown, time, time over keen's, by category."""
    reference = next((t for name in REFERENCE if (t := time_of(speed, name, "same"))), None)
    categories = sorted({record["category"] for record in records})
    rows = []
    for kind in kinds:
        for method in line.methods:
            scores = mean_scores(records, kind, method.name)
            if scores is None:
                continue
            taken = time_of(speed, method.name, task_of(method, kind))
            rows.append(
                {
                    "kind": kind,
                    "method": method.name,
                    "about": method.about,
                    "ours": method.ours,
                    "psnr_db": scores[0],
                    "ssim": scores[1],
                    "edge_ratio": scores[2],
                    "gain_db": gain(records, kind, method.name),
                    "time_ms": taken,
                    "time_over_keen": taken / reference if taken and reference else None,
                    "gain_db_by_category": {c: gain(records, kind, method.name, c) for c in categories},
                }
            )
    return rows


def beaten(rows: Sequence[dict[str, Any]], kind: str) -> list[tuple[str, str]]:
    """(peer, model) for every other method that is both faster and better than one of keenframe's own on a kind."""
    own = [row for row in rows if row["kind"] == kind and row["ours"] and row["time_ms"]]
    others = [row for row in rows if row["kind"] == kind and not row["ours"] and row["time_ms"]]
    return [
        (peer["method"], model["method"])
        for model in own
        for peer in others
        if peer["time_ms"] < model["time_ms"] and peer["gain_db"] > model["gain_db"]
    ]


def table(rows: Sequence[dict[str, Any]], kind: str) -> str:
    """Markdown of one kind of damage, the fastest method first."""
    own = [row for row in rows if row["kind"] == kind]
    shown = next(row for row in own if row["method"] == INPUT)
    own = sorted((row for row in own if row is not shown), key=lambda row: row["time_ms"] or float("inf"))
    categories = list(shown["gain_db_by_category"])
    heads = ["method", "ms", "to keen", "PSNR-Y", "SSIM-Y", "edges", *categories]
    cells = [
        [
            f"**{row['method']}**" if row["ours"] else row["method"],
            f"{row['time_ms']:.1f}" if row["time_ms"] else DASH,
            f"{row['time_over_keen']:.2f}" if row["time_over_keen"] else DASH,
            f"{row['gain_db']:+.2f}",
            f"{row['ssim'] - shown['ssim']:+.4f}",
            f"{row['edge_ratio']:.2f}",
            *(DASH if gain is None else f"{gain:+.2f}" for gain in row["gain_db_by_category"].values()),
        ]
        for row in own
    ]
    intro = f"**{kind}**: as shown {shown['psnr_db']:.2f} dB, {shown['ssim']:.4f}.\n\n"
    return intro + wide_table(heads, cells)


def markdown(
    line: Line, rows: Sequence[dict[str, Any]], kinds: Sequence[str], pictures: int, machine: str, frame: str
) -> str:
    """The whole report."""
    parts = [
        "# keenframe against others\n",
        f"{pictures} validation pictures; luma, BT.601 limited range; gains over the picture as a viewer shows it, in "
        f"PSNR-Y and SSIM-Y, by category in dB; edges: strength at the pristine picture's edges over the shown "
        f"picture's. Times: ms of a {frame} frame, two threads, all in turn in one run; {machine}.\n",
        *(f"- {name}: {reason}" for name, reason in line.absent.items()),
        "" if line.absent else "Every method was run.\n",
    ]
    for kind in kinds:
        if any(row["kind"] == kind for row in rows):
            parts.append(table(rows, kind))
    for kind in (k for k in ("call", "call-half") if k in kinds):
        found = beaten(rows, kind)
        words = "; ".join(f"{peer} than {model}" for peer, model in found) or "none"
        parts.append(f"Both faster and better on `{kind}` than one of keenframe's own models: {words}.\n")
    return "\n".join(parts)


def figure(rows: Sequence[dict[str, Any]], kinds: Sequence[str], path: Path, caption: str) -> None:
    """Gain against milliseconds, a panel for each kind of damage, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = [kind for kind in kinds if any(row["kind"] == kind and row["time_ms"] for row in rows)]
    if not kinds:
        return
    columns = min(3, len(kinds))
    lines = -(-len(kinds) // columns)
    drawing, panels = pyplot.subplots(lines, columns, figsize=(6.2 * columns, 4.6 * lines), squeeze=False)
    for panel, kind in zip(panels.flat, kinds, strict=False):
        _panel(panel, [row for row in rows if row["kind"] == kind and row["time_ms"]])
        panel.set_title(kind)
    for panel in panels.flat[len(kinds) :]:
        panel.axis("off")
    drawing.suptitle(caption, fontsize=9)
    drawing.tight_layout()
    for panel in panels.flat[: len(kinds)]:
        _untangle(panel, drawing.canvas.get_renderer())
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(drawing)


def _panel(panel: Any, rows: Sequence[dict[str, Any]]) -> None:
    """The methods of one kind of damage as points. What lies far below the others is drawn at the lower edge."""
    least = min(row["gain_db"] for row in rows if row["ours"] or row["gain_db"] > -1.5) - 0.3
    panel.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=1)
    for row in rows:
        group, height = _group(row), max(row["gain_db"], least)
        below = height != row["gain_db"]
        panel.scatter(
            row["time_ms"], height, s=70 if group == "ours" else 30, color=_COLOURS[group],
            marker="v" if below else "o", zorder=3 if group == "ours" else 2,
        )  # fmt: skip
        name = row["method"].removesuffix("-float") if group == "research" else row["method"]
        panel.annotate(
            f"{name} {row['gain_db']:+.1f}" if below else name, (row["time_ms"], height), xytext=_PLACES[0],
            textcoords="offset points", fontsize=8 if group == "ours" else 7, color=_COLOURS[group],
        )  # fmt: skip
    panel.set_xscale("log")
    panel.margins(x=0.22, y=0.12)
    panel.set_xlabel("ms of a frame")
    panel.set_ylabel("PSNR-Y over the shown picture, dB")
    panel.grid(alpha=0.3)


def _untangle(panel: Any, renderer: Any) -> None:
    """Move each name to the first place beside its point inside the panel where it covers no other name and no
    point."""
    from matplotlib.transforms import Bbox

    points = {
        text: Bbox.from_bounds(*(panel.transData.transform(text.xy) - 6), 12, 12) for text in panel.texts
    }
    taken: list[Any] = []
    for text in sorted(panel.texts, key=lambda text: -text.xy[1]):
        others = [*taken, *(box for other, box in points.items() if other is not text)]
        for place in _PLACES:
            text.set_position(place)
            text.set_horizontalalignment("left" if place[0] > 0 else "right")
            box = text.get_window_extent(renderer)
            inside = panel.bbox.x0 <= box.x0 and box.x1 <= panel.bbox.x1
            if inside and not any(box.overlaps(other) for other in others):
                break
        taken.append(box)


def _group(row: dict[str, Any]) -> str:
    if row["ours"]:
        return "ours"
    if row["about"].startswith("research"):
        return "research"
    return "filter" if row["method"] in _FILTERS else "peer"
