"""Networks out of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.errors import TrainError
from keenframe_train.nets.keen import Keen
from keenframe_train.nets.registry import build
from keenframe_train.nets.rounding import empty_layers, empty_points
from keenframe_train.recipe import Recipe


def fine_tuned(best: Path) -> Path | None:
    """The int8.pt beside a run's best.pt, None where there is none.

    TrainError when it was made of earlier weights, or of another training.
    """
    tuned = best.with_name("int8.pt")
    if not tuned.exists():
        return None
    states = [load_checkpoint(path) for path in (tuned, best)]
    recipes = [Recipe.from_json(state.get("recipe", "")) for state in states]
    if not recipes[0].same_run(recipes[1]):
        raise TrainError(
            f"'{tuned}' was fine-tuned from a run of another recipe than '{best}' is; run `keenframe-train int8` "
            "again, or remove the file"
        )
    steps = [state.get("step") for state in states]
    if steps[0] != steps[1]:
        raise TrainError(
            f"'{tuned}' was fine-tuned from step {steps[0]} of the run, and '{best}' is of step {steps[1]}; run "
            "`keenframe-train int8` again, or remove the file"
        )
    return tuned


def load_any(checkpoint: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The averaged network of a run, in eval mode on the CPU, and the whole checkpoint.

    checkpoint: best.pt or last.pt, or a run's folder for its best.pt. The recipe inside says which network it is.
    Raises TrainError when there is none.
    """
    path = checkpoint / "best.pt" if checkpoint.is_dir() else checkpoint
    state = load_checkpoint(path)
    try:
        spec = Recipe.from_json(state["recipe"]).network
        network = build(spec.name, **spec.options)
        if "rounded" in state and isinstance(network, Keen):
            network.fold()
            empty_points(network)
        elif "rounded" in state:
            empty_layers(network, state["ema"])
        network.load_state_dict(state["ema"])
        if isinstance(network, Keen):
            network.fold()
    except (KeyError, TypeError, RuntimeError, TrainError) as error:
        raise TrainError(f"'{path}' holds no network of a run: {error}") from error
    return network.eval(), state


def load_float(checkpoint: Path) -> tuple[nn.Module, dict[str, Any]]:
    """`load_any` of a run in float. Raises TrainError for what `int8` made of one, too."""
    network, state = load_any(checkpoint)
    if "rounded" in state:
        raise TrainError(
            f"'{checkpoint}' is in INT8 arithmetic; give the run's folder or its best.pt: int8.pt is found beside it"
        )
    return network, state
