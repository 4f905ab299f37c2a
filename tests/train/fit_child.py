"""A run as a process of its own, for the tests that kill it or give it company.

    fit_child.py BANK DATA OUT RECIPE_JSON PROCESSES WAIT_AT

At step WAIT_AT (-1: never) it says so and waits to be killed. Each process leaves OUT/rank-N.json and gradients-N.pt.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch.optim.optimizer import register_optimizer_step_pre_hook

from keenframe_train import loop
from keenframe_train.data.bank import open_bank
from keenframe_train.data.batches import BankBatches, Batch
from keenframe_train.data.images import find_images
from keenframe_train.data.presets import mix
from keenframe_train.data.validation import validation_samples
from keenframe_train.recipe import Recipe

measured = 0


@contextmanager
def first_gradients() -> Iterator[list[torch.Tensor]]:
    """Collects the clipped gradients of the first step that any optimizer makes within the block."""
    found: list[torch.Tensor] = []

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        if not found:
            found.extend(p.grad.clone() for group in optimizer.param_groups for p in group["params"])

    handle = register_optimizer_step_pre_hook(look)
    try:
        yield found
    finally:
        handle.remove()


def main() -> None:
    bank, data, out = map(Path, sys.argv[1:4])
    recipe, processes, wait_at = Recipe.from_json(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
    torch.set_num_threads(1)
    take, measure = BankBatches.__getitem__, loop.measure

    def taken(self: BankBatches, step: int) -> Batch:
        if step == wait_at and len(self) == recipe.steps:
            print("waiting", flush=True)
            sys.stdin.read()
        return take(self, step)

    def counted(*arguments: object) -> object:
        global measured
        measured += 1
        return measure(*arguments)

    BankBatches.__getitem__, loop.measure = taken, counted
    samples = validation_samples(
        find_images(data / "val"), mix(recipe.mix).validation, 1, 96, color=recipe.color
    )
    strategy = "ddp" if processes > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy, precision="32-true")
    fabric.launch()
    with first_gradients() as gradients:
        result = loop.fit(recipe, open_bank(bank), samples, out, fabric=fabric, workers=0)
    torch.save(gradients, out / f"gradients-{fabric.global_rank}.pt")
    quality = {kind: q.to_dict() for kind, q in result.quality.items()}
    left = {"quality": quality, "measured": measured}
    (out / f"rank-{fabric.global_rank}.json").write_text(json.dumps(left))


if __name__ == "__main__":
    main()
