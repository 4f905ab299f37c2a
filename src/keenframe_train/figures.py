"""Figures at the end of a run, from its history: `training.png`, nine panels, and `ssim.png`, the progress of SSIM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from keenframe_train.files import replacing
from keenframe_train.history import read_history
from keenframe_train.recipe import Recipe

# Okabe and Ito's colours: told apart by everybody.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#000000")
GOAL = 0.90  # the SSIM that the reports aim at
Records = Sequence[dict[str, Any]]


def write_figures(folder: Path, recipe: Recipe) -> list[Path]:
    """Draw a run's history into its folder; gives the files: none while the history is empty.

    Raises TrainError when the history cannot be read.
    """
    records = read_history(folder)
    train = [record for record in records if record["event"] == "train"]
    validations = [record for record in records if record["event"] == "validation"]
    if not records:
        return []
    figures = {"training.png": _nine_panels(recipe, train, validations)}
    if validations:
        figures["ssim.png"] = _ssim_progress(recipe, validations)
    for name, figure in figures.items():
        with replacing(folder / name) as file:
            figure.savefig(file, format="png", dpi=110)
    return [folder / name for name in figures]


def _nine_panels(recipe: Recipe, train: Records, validations: Records) -> Figure:
    figure = Figure(figsize=(17, 12.5), layout="constrained")
    teachers = ", ".join(spec.network.name for spec in recipe.teachers)
    taught = f", taught by {teachers}" if teachers else ""
    figure.suptitle(f"{recipe.name}: {recipe.network.name} on {recipe.mix}{taught}", fontsize=15)
    axes = figure.subplots(3, 3).flatten()
    _loss(_panel(axes[0], "Loss", "total"), train)
    _by_kind(_panel(axes[1], "PSNR", "validation, dB; dotted: input"), validations, "psnr")
    _by_kind(_panel(axes[2], "SSIM", "validation; dotted: input"), validations, "ssim")
    _curve(_panel(axes[3], "Learning rate", ""), train, "rate", log=recipe.schedule in ("step", "plateau"))
    _gradient(_panel(axes[4], "Gradient norm before clipping", ""), train, recipe.clip)
    _terms(_panel(axes[5], "Loss terms", "unweighted"), train)
    _overfitting(_panel(axes[6], "Over-fitting", "gain over the input, dB"), validations)
    _gain_by_kind(axes[7], validations)
    _curve(_panel(axes[8], "Throughput", "steps a second"), train, "steps_per_s")
    axes[8].set_ylim(bottom=0)
    return figure


def _panel(axes: Axes, title: str, unit: str) -> Axes:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return axes


def _column(records: Records, get: Callable[[dict[str, Any]], float]) -> NDArray[np.float64]:
    return np.array([get(record) for record in records], np.float64)


def _steps(records: Records) -> NDArray[np.float64]:
    return _column(records, lambda record: record["step"])


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred running mean over a twentieth of the run, shorter at the ends."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    smooth: NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)
    return smooth


def _line(
    axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], color: str, label: str
) -> None:
    """A pale line of what was logged under its running mean."""
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(steps, _smooth(values), color=color, linewidth=1.8, label=label)


def _log_if_wide(axes: Axes, *columns: NDArray[np.float64]) -> None:
    values = np.concatenate(columns) if columns else np.zeros(0)
    values = values[values > 0]
    if len(values) and values.max() > 20 * values.min():
        axes.set_yscale("log")


def _legend(axes: Axes) -> None:
    axes.legend(fontsize=9, framealpha=0.85, edgecolor="none")


def _loss(axes: Axes, train: Records) -> None:
    if train:
        values = _column(train, lambda r: r["loss"])
        _line(axes, _steps(train), values, COLORS[0], "loss")
        _log_if_wide(axes, values)


def _curve(axes: Axes, train: Records, name: str, log: bool = False) -> None:
    if train:
        axes.plot(_steps(train), _column(train, lambda r: r[name]), color=COLORS[0], linewidth=1.5)
        axes.set_yscale("log" if log else "linear")


def _gradient(axes: Axes, train: Records, clip: float) -> None:
    if train:
        values = _column(train, lambda r: r["grad_norm"])
        _line(axes, _steps(train), values, COLORS[0], "")
        if clip:
            axes.axhline(clip, color=COLORS[1], linestyle="--", linewidth=1.2)
            axes.annotate(
                f"clipped at {clip:g}", (1, clip), xycoords=("axes fraction", "data"), xytext=(0, 3),
                textcoords="offset points", ha="right", color=COLORS[1],
            )  # fmt: skip
        axes.set_yscale("log")


def _terms(axes: Axes, train: Records) -> None:
    columns = []
    for color, name in zip(COLORS * 2, train[-1]["terms"] if train else (), strict=False):
        found = [record for record in train if name in record["terms"]]
        columns.append(_column(found, lambda r, name=name: r["terms"][name]))  # type: ignore[misc]
        _line(axes, _steps(found), columns[-1], color, name)
    if columns:
        _log_if_wide(axes, *columns)
        _legend(axes)


def _kinds(validations: Records) -> list[str]:
    """The kinds that can be improved, in the run's order."""
    return [kind for kind in (validations[-1]["quality"] if validations else ()) if kind != "clean"]


def _by_kind(axes: Axes, validations: Records, name: str) -> None:
    steps = _steps(validations)
    for color, kind in zip(COLORS, _kinds(validations), strict=False):
        values = _column(validations, lambda r, kind=kind: r["quality"][kind][name])  # type: ignore[misc]
        base = validations[-1]["quality"][kind][f"base_{name}"]
        axes.axhline(base, color=color, linestyle=":", linewidth=1.2)
        marker = "o" if len(steps) < 25 else ""
        axes.plot(steps, values, color=color, marker=marker, markersize=3.5, linewidth=1.6, label=kind)
    if validations:
        # Beside the title: between the lines there is seldom room.
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=len(_kinds(validations)), fontsize=8,
            frameon=False, handlelength=1.2, columnspacing=0.9, handletextpad=0.4,
        )  # fmt: skip


def _gain(record: dict[str, Any]) -> float:
    kinds = [q for kind, q in record["quality"].items() if kind != "clean"]
    return float(np.mean([q["psnr"] - q["base_psnr"] for q in kinds])) if kinds else 0.0


def _overfitting(axes: Axes, validations: Records) -> None:
    """The gain on fixed training crops beside that on validation: drifting apart is over-fitting."""
    if validations:
        steps = _steps(validations)
        own = _column(validations, lambda r: r["train"]["psnr"] - r["train"]["base_psnr"])
        held_out = _column(validations, _gain)
        axes.plot(steps, own, color=COLORS[1], linewidth=1.6, label="training crops")
        axes.plot(steps, held_out, color=COLORS[0], linewidth=1.6, label="validation")
        axes.fill_between(steps, own, held_out, color="#888888", alpha=0.15, label="gap")
        axes.axhline(0, color="#888888", linewidth=0.8)
        _legend(axes)


def _gain_by_kind(axes: Axes, validations: Records) -> None:
    _panel(axes, "Gain by kind at the best validation", "")
    axes.set_xlabel("PSNR over the input, dB")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if not validations:
        return
    best = max(validations, key=_gain)
    kinds = _kinds(validations)
    gains = [best["quality"][kind]["psnr"] - best["quality"][kind]["base_psnr"] for kind in kinds]
    bars = axes.barh(kinds, gains, color=[COLORS[i % len(COLORS)] for i in range(len(kinds))], height=0.6)
    axes.bar_label(bars, fmt="%+.2f", padding=4)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.margins(x=0.18)
    empty = max(0.0, 3 - len(kinds)) / 2  # a single bar need not fill the panel
    axes.set_ylim(len(kinds) - 0.5 + empty, -0.5 - empty)
    axes.set_title(
        f"Gain by kind at step {best['step']}, the best", loc="left", fontsize=11, fontweight="bold"
    )


def _ssim_progress(recipe: Recipe, validations: Records) -> Figure:
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = _panel(figure.subplots(), f"{recipe.name}: SSIM of luma on the validation windows", "SSIM")
    steps = _steps(validations)
    for color, kind in zip(COLORS, _kinds(validations), strict=False):
        values = _column(validations, lambda r, kind=kind: r["quality"][kind]["ssim"])  # type: ignore[misc]
        base, top = validations[-1]["quality"][kind]["base_ssim"], int(values.argmax())
        axes.axhline(base, color=color, linestyle=":", linewidth=1.3, label=f"{kind}, input {base:.4f}")
        axes.plot(steps, values, color=color, linewidth=2, label=f"{kind}, best {values[top]:.4f}")
        axes.plot(steps[top], values[top], marker="o", color=color, markersize=7)
    axes.axhline(GOAL, color="#444444", linestyle="--", linewidth=1.2, label=f"goal {GOAL:.2f}")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
