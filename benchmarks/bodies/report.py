"""The search as a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from benchmarks.bodies.shapes import BUDGETS, budget_ms, edge_of, sizes
from keenframe_train.evaluate.markdown import wide_table
from keenframe_train.figures import COLORS


def placed(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Name -> (ms of the network, mean gain in dB) of the bodies that were trained."""
    return {
        row["name"]: (row["time_ms"], row["mean_gain"]) for row in rows if row.get("mean_gain") is not None
    }


def markdown(rows: Sequence[Mapping[str, Any]], kinds: Sequence[str], caption: str) -> str:
    """The trained bodies with what they reached, then the times of all, also against the first row's."""
    trained = placed(rows)
    edge, chosen = edge_of(trained), {name: size for size, name in sizes(trained).items()}
    heads = ["parameters", "INT8 file, kB", "ms", f"to {rows[0]['name']}"]
    ordered = sorted(rows, key=lambda r: r["time_ms"])
    parts = [f"{caption}\n"]
    if trained:
        lines = []
        for row in (row for row in ordered if row["name"] in trained):
            name = row["name"]
            gains = [f"{row['gains'][kind]:+.2f}" for kind in kinds]
            mark = f"**{chosen[name]}**" if name in chosen else "yes" if name in edge else ""
            lines.append([name, *_cost(row), *gains, f"{row['mean_gain']:+.3f}", mark])
        titles = ["body", *heads, *(f"{kind}, dB" for kind in kinds), "mean", "on the edge"]
        parts.append(wide_table(titles, lines))
    parts.append(wide_table(["all bodies", *heads], [[row["name"], *_cost(row)] for row in ordered]))
    return "\n".join(parts)


def _cost(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['parameters']:,}",
        f"{row['size_bytes'] / 1e3:.0f}",
        f"{row['time_ms']:.1f}",
        f"{row['ratio']:.2f}",
    )


def draw(rows: Sequence[Mapping[str, Any]], caption: str) -> Figure:
    """Quality against milliseconds of the trained bodies: the edge, the budgets and the size that each gets."""
    trained = placed(rows)
    edge, chosen = edge_of(trained), sizes(trained)
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(caption, fontsize=9)
    axes.scatter(*zip(*trained.values(), strict=True), color="#999999", s=28, zorder=3)
    axes.plot(
        *zip(*(trained[name] for name in edge), strict=True),
        color=COLORS[0],
        marker="o",
        zorder=4,
        label="edge",
    )
    for index, name in enumerate(trained):
        axes.annotate(
            name, trained[name], xytext=(5, -10 if index % 2 else 5), textcoords="offset points", fontsize=7
        )
    for color, budget in zip(COLORS[1:], BUDGETS, strict=False):
        axes.axvline(budget_ms(budget), color=color, linestyle="--", linewidth=1.1)
        label = f"{budget}: {BUDGETS[budget]} frames/s"
        if budget in chosen:
            label += f", {chosen[budget]}"
            axes.scatter(
                *trained[chosen[budget]], s=170, facecolors="none", edgecolors=color, linewidths=2, zorder=5
            )
        axes.plot([], [], color=color, linestyle="--", label=label)
    axes.set_xscale("log")
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks(ScalarFormatter())
    axes.set_xlabel("ms of the network, INT8")
    axes.set_ylabel("mean gain on validation windows, dB")
    axes.grid(color="#dddddd", linewidth=0.7, which="both")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure
