"""Quantisation-aware fine-tuning: the float network's last lesson, in the arithmetic that it will run in."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from keenframe_train.checkpoint import save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches, item_weights
from keenframe_train.data.validation import Sample
from keenframe_train.evaluate.judge import gains, measure
from keenframe_train.export.package import load_network, share_bias, simplify
from keenframe_train.losses import Losses
from keenframe_train.nets.rounding import add_points, round_weights, settle_weights
from keenframe_train.progress import progress
from keenframe_train.recipe import Recipe


def quantize_aware(
    checkpoint: Path,
    bank: Bank,
    samples: list[Sample],
    out: Path,
    *,
    steps: int = 3500,
    rate: float = 5e-4,
    batch: int = 16,
    patch: int = 128,
    seed: int = 1234,
    workers: int = 1,
) -> dict[str, float]:
    """Fine-tune a float checkpoint with rounded weights and activations; writes `out`, to be exported as INT8.

    Learns from the pristine pictures and from the float network's own output, with the losses and the shares of the
    checkpoint's recipe. Gives the gains on `samples` as `evaluate.judge.gains` does.
    """
    torch.manual_seed(seed)
    teacher, state = load_network(checkpoint)
    recipe = Recipe.from_json(state["recipe"])
    losses = Losses(recipe.losses)
    weights = None if recipe.shares is None else item_weights(bank, recipe.shares, recipe.light)
    model, _ = load_network(checkpoint)
    simplify(model)
    scale = model.config.scale
    first = BankBatches(bank, 64, patch, 1, seed + 1, scale, weights=weights)[0]
    add_points(model, first[0] / 255, first[2])
    round_weights(model)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    loader = DataLoader(
        BankBatches(bank, batch, patch, steps, seed, scale, weights=weights),
        batch_size=None,
        num_workers=workers,
    )
    with progress() as bar:
        task = bar.add_task("INT8", total=steps, note="")
        for step, (degraded, pristine, condition) in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            x, y = degraded.float() / 255, pristine.float() / 255
            with torch.no_grad():
                wanted = teacher(x, condition)
            output = model(x, condition)
            loss = losses(output, y)[0] + losses(output, wanted)[0]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            bar.update(task, advance=1)
    settle_weights(model)
    share_bias(model)
    reached = gains(measure(model.eval(), samples))
    card = {"recipe": state["recipe"], "step": state["step"], "gains": reached, "rounded": steps}
    save_checkpoint(out, {**card, "ema": model.state_dict()})
    return reached
