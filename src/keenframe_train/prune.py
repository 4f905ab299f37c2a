"""Structured pruning: the channels that the loss misses least are taken out of a `keen` network for good.

The channels between the two convolutions of a block are ranked by `importance` across all blocks, so that a block that
does little loses most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from keenframe_train.checkpoint import save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import gains, measure
from keenframe_train.export.package import load_network
from keenframe_train.importance import importance
from keenframe_train.nets.resize import narrowed
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec
from keenframe_train.start import check_fit

FILE = "pruned.pt"


def groups_kept(widths: Sequence[int], keep: float, multiple: int) -> int:
    """How many groups of `multiple` channels stay when the share `keep` of all does, at least one in every block.

    Raises TrainError for a share that is not between 0 and 1, or that leaves nothing to take out.
    """
    if not 0 < keep < 1:
        raise TrainError(f"--keep is the share of channels that stay, above 0 and below 1; got {keep}")
    if any(width % multiple for width in widths):
        raise TrainError(
            f"blocks of {list(widths)} channels cannot be cut in groups of {multiple}; choose --multiple"
        )
    wanted = max(len(widths), round(keep * sum(widths) / multiple))
    if len(widths) * multiple == sum(widths):
        raise TrainError(
            f"blocks of {list(widths)} channels have already one group a block; choose a smaller --multiple than "
            f"{multiple}"
        )
    if wanted * multiple == sum(widths):
        raise TrainError(
            f"--keep {keep} of {sum(widths)} channels in groups of {multiple} takes none out; choose a smaller one"
        )
    return wanted


def choose(found: list[Tensor], keep: float, multiple: int) -> list[Tensor]:
    """Indices of the channels to keep of each block, in rising order.

    keep: their share of all. multiple: every block keeps a multiple of this, at least one, as engines compute channels
    in groups. Raises TrainError as `groups_kept`.
    """
    wanted = groups_kept([len(values) for values in found], keep, multiple)
    order = [values.argsort(descending=True) for values in found]
    groups = [values[by].reshape(-1, multiple).sum(1) for values, by in zip(found, order, strict=True)]
    # Within a block the groups fall, so that the best of all are the first of each. One stays in any case.
    rest = sorted(
        ((float(value), block) for block, own in enumerate(groups) for value in own[1:]), reverse=True
    )
    counts = [1] * len(found)
    for _, block in rest[: wanted - len(found)]:
        counts[block] += 1
    return [by[: count * multiple].sort().values for by, count in zip(order, counts, strict=True)]


def prune(
    checkpoint: Path,
    bank: Bank,
    samples: list[Sample],
    out: Path,
    *,
    keep: float,
    steps: int,
    rate: float = 5e-4,
    multiple: int = 16,
    batches: int = 64,
) -> Recipe:
    """Write `out`/pruned.pt, a run's network without the channels that matter least; gives the recipe to fine-tune it.

    The recipe is the run's own with the new widths, `steps` and `rate`, and the whole network as teacher beside the
    pristine pictures: `loop.fit` takes it, with pruned.pt to start from. A folder that holds such a network already is
    left as it is, so that an interrupted fine-tuning goes on. TrainError when it holds another one.
    """
    net, state = load_network(checkpoint)
    recipe = Recipe.from_json(state["recipe"])
    if "rounded" in state:
        raise TrainError(
            f"'{checkpoint}' is in INT8 arithmetic; prune the run's best.pt, and run `int8` afterwards"
        )
    check_fit(recipe, net, bank, 1)
    made = out / FILE
    if made.exists():
        _, before = load_network(made)
        old = Recipe.from_json(before["recipe"])
        if before["pruned"] != _description(checkpoint, state, keep, multiple, batches):
            raise TrainError(f"'{made}' was pruned otherwise ({before['pruned']}); choose another --out")
        return _finetuning(recipe, old.network, out.name, checkpoint, steps, rate)
    groups_kept(net.config.inner_widths, keep, multiple)  # rather than after the importance is known
    small = narrowed(net, choose(importance(net, recipe, bank, batches), keep, multiple))
    options = {**recipe.network.options, "inner": list(small.config.inner)}
    options.pop("branches", None)  # they are folded
    tuned = _finetuning(recipe, NetworkSpec("keen", options), out.name, checkpoint, steps, rate)
    card = {"step": state["step"], "gains": gains(measure(small.eval(), samples))}
    card["pruned"] = _description(checkpoint, state, keep, multiple, batches)
    save_checkpoint(made, {"recipe": tuned.to_json(), **card, "ema": small.state_dict()})
    return tuned


def _description(
    checkpoint: Path, state: dict[str, object], keep: float, multiple: int, batches: int
) -> dict[str, object]:
    return {
        "from": f"{checkpoint.parent.name}, step {state['step']}", "keep": keep, "multiple": multiple,
        "batches": batches,
    }  # fmt: skip


def _finetuning(
    recipe: Recipe, network: NetworkSpec, name: str, teacher: Path, steps: int, rate: float
) -> Recipe:
    steps = max(1, steps)
    every = min(recipe.validate_every, -(-steps // 4))
    return dataclasses.replace(
        recipe, name=name, network=network, bank=recipe.bank_name, steps=steps, rate=rate, warmup=min(200, steps // 4),
        validate_every=every, save_every=min(recipe.save_every, every), distill={"response-rmse": 0.5}, taps=(),
        teachers=(TeacherSpec(recipe.network, str(teacher)),),
    )  # fmt: skip
