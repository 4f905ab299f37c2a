"""Everything that a reproduction found, as one JSON value: tables, figures and READMEs are made of nothing else."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from keenframe.engines.cpu import cpu_name
from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.experiment import Plan
from keenframe_train.nets.network import parameters
from keenframe_train.reproduction.compare import Score

ALL = "all"
FRAME = 256  # pixels along the edges of the frame whose time is told
REPEATS = 5
Results = dict[str, Any]


def means(scores: Sequence[Score]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """kind -> category (first `all`) -> method -> psnr, ssim, psnr_rgb where there is one, and pictures."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    categories = [ALL, *sorted({score.category for score in scores})]
    for kind in dict.fromkeys(score.kind for score in scores):
        for category in categories:
            groups: dict[str, list[Score]] = {}
            for score in scores:
                if score.kind == kind and category in (ALL, score.category):
                    groups.setdefault(score.method, []).append(score)
            if groups:
                found.setdefault(kind, {})[category] = {m: _mean(group) for m, group in groups.items()}
    return found


def _mean(group: Sequence[Score]) -> dict[str, float]:
    values = {
        "pictures": float(len(group)),
        "psnr": statistics.fmean(score.psnr for score in group),
        "ssim": statistics.fmean(score.ssim for score in group),
    }
    colored = [score.psnr_rgb for score in group if score.psnr_rgb is not None]
    return values | ({"psnr_rgb": statistics.fmean(colored)} if colored else {})


def machine(device: torch.device) -> str:
    """What the milliseconds belong to, in words."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        count = torch.get_num_threads()
        name = f"{cpu_name()}, {count} thread{'s' if count > 1 else ''}"
    return f"{name}, PyTorch {torch.__version__.partition('+')[0]}, float32, {platform.system()}"


@torch.no_grad()
def milliseconds(network: nn.Module) -> float:
    """Median time of one frame of 256x256 pixels out, in ms, where the network lies, after a warm-up."""
    place = next(network.parameters()).device
    edge = FRAME // int(network.scale)
    x = torch.rand(1, int(network.channels), edge, edge, device=place)
    condition = torch.zeros(1, 128, device=place)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        network(x, condition)
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def about_network(network: nn.Module, plan: Plan, method: str, folder: Path) -> dict[str, Any]:
    """Size, speed and cost of one run."""
    recipe, state = plan.runs[method], load_checkpoint(folder / "last.pt")
    return {
        "network": recipe.network.name,
        "options": dict(recipe.network.options),
        "parameters": parameters(network),
        "megabytes_fp16": 2e-6 * parameters(network),
        "ms_256": milliseconds(network),
        "steps": state["step"],
        "batch": recipe.batch,
        "patch": recipe.patch,
        "losses": dict(recipe.losses),
        "distill": dict(recipe.distill),
        "minutes": state["seconds"] / 60,
        "best_step": load_checkpoint(folder / "best.pt")["step"],
    }


def gain(results: Results, kind: str, method: str, measure: str = "psnr", category: str = ALL) -> float:
    """A method over the reference, in dB or in SSIM."""
    values: Mapping[str, Mapping[str, float]] = results["quality"][kind][category]
    return values[method][measure] - values[results["reference"]][measure]
