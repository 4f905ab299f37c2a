"""What a run needs before its first step: parts that fit each other, first weights, an optimizer, a precision."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from keenframe.engines.cpu import fast_bf16
from keenframe_train.data.bank import Bank
from keenframe_train.errors import TrainError
from keenframe_train.importance import importance
from keenframe_train.muon import Muon
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.nets.resize import can_widen, narrowed, widen
from keenframe_train.recipe import Recipe

IMPORTANCE_BATCHES = 64


def check_fit(recipe: Recipe, model: nn.Module, bank: Bank, processes: int) -> None:
    """Refuse, before anything is written, what does not go together: recipe, network, bank and processes.

    Raises TrainError that names both sides.
    """
    check_pairs(recipe, model, bank)
    multiple = model.scale * model.size_multiple
    if recipe.patch % multiple or recipe.patch > bank.size:
        raise TrainError(
            f"patch is {recipe.patch}; expected a multiple of {multiple}, at most the bank's {bank.size}"
        )
    if recipe.batch % processes:
        raise TrainError(f"a batch of {recipe.batch} does not split among {processes} processes evenly")


def check_pairs(recipe: Recipe, model: nn.Module, bank: Bank) -> None:
    """Raises TrainError when a bank's pairs are of another colour or scale than a recipe's network."""
    channels = 3 if bank.color == "rgb" else 1
    if bank.color != recipe.color or channels != model.channels:
        raise TrainError(
            f"recipe '{recipe.name}' says {recipe.color}, its network takes {model.channels} channels and the bank "
            f"holds {bank.color}; all three must agree: check color, the network's options and --bank"
        )
    if bank.scale != model.scale:
        raise TrainError(
            f"network '{recipe.network.name}' enlarges x{model.scale}, the bank's pairs x{bank.scale}; "
            "check the network's scale, the mix and --bank"
        )


def make_optimizer(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), or AdamW with the recipe's weight decay (Loshchilov and Hutter 2019), or `Muon`."""
    if recipe.optimizer == "muon":
        return Muon(parameters, recipe.rate, recipe.weight_decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, recipe.rate)
    return torch.optim.AdamW(parameters, recipe.rate, weight_decay=recipe.weight_decay)


def start_from(model: nn.Module, state: dict[str, Any]) -> None:
    """Take the weights of a checkpoint along.

    A smaller `keen` is widened into a larger one, which then computes the same (`nets.resize.widen`); otherwise the
    tensors whose name and shape agree are copied. Raises TrainError when nothing fits.
    """
    weights = state.get("ema", {})
    if isinstance(model, Keen) and "recipe" in state and "rounded" not in state:
        spec = Recipe.from_json(state["recipe"]).network
        if spec.name == "keen" and can_widen(small := KeenConfig(**spec.options), model.config):
            widen(model, weights, small)
            return
    copy_matching(model, weights)


def copy_matching(model: nn.Module, weights: dict[str, Tensor]) -> int:
    """Copy the tensors whose name and shape agree; gives how many. Raises TrainError when none does."""
    own = model.state_dict()
    matching = {
        name: value for name, value in weights.items() if name in own and own[name].shape == value.shape
    }
    if not matching:
        raise TrainError("no tensor of the starting checkpoint fits this network; check --start")
    model.load_state_dict({**own, **matching})
    return len(matching)


def inherit(model: nn.Module, teacher: nn.Module, recipe: Recipe, bank: Bank) -> None:
    """Make `model` the teacher without the inner channels that it misses least: first weights for a smaller `keen`.

    As Sanh et al. 2019 (DistilBERT) start a student from layers of its teacher, and Muralidharan et al. 2024 (Minitron)
    from its pruned width. teacher: a `keen` of the same shape but wider inside its blocks; it is not changed.
    Raises TrainError that names both shapes when the one cannot be cut out of the other.
    """
    if not isinstance(model, Keen) or not isinstance(teacher, Keen):
        raise TrainError(
            f"recipe '{recipe.name}' inherits, which only a 'keen' can from a 'keen'; got a student of "
            f"{type(model).__name__} and a teacher of {type(teacher).__name__}: set inherit=False"
        )
    widths, wide = model.config.inner_widths, teacher.config.inner_widths
    cut = replace(teacher.config, inner=model.config.inner)
    if cut != model.config or any(own > other for own, other in zip(widths, wide, strict=True)):
        raise TrainError(
            f"recipe '{recipe.name}' inherits, but a student of {model.config} is not a teacher of {teacher.config} "
            "with fewer channels inside its blocks"
        )
    own = copy.deepcopy(teacher).requires_grad_(True)
    found = importance(own, recipe, bank, IMPORTANCE_BATCHES)
    kept = [
        values.argsort(descending=True)[:width].sort().values
        for values, width in zip(found, widths, strict=True)
    ]
    model.load_state_dict(narrowed(own, kept).state_dict())


def default_precision() -> str:
    """bf16 where the hardware is faster in it, else float32."""
    if torch.cuda.is_available():
        return "bf16-mixed"
    return "bf16-mixed" if fast_bf16() else "32-true"
