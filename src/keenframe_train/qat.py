"""Quantisation-aware fine-tuning: the float network's last lesson, in the arithmetic that it will run in."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from keenframe_train.checkpoint import load_checkpoint, save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches, item_weights
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import gains, measure
from keenframe_train.export.package import share_bias, simplify
from keenframe_train.losses import Losses
from keenframe_train.nets.keen import Keen
from keenframe_train.nets.load import load_any, load_float
from keenframe_train.nets.rounding import (
    add_points,
    round_layers,
    round_weights,
    settle_layers,
    settle_weights,
)
from keenframe_train.progress import progress
from keenframe_train.recipe import Recipe
from keenframe_train.start import check_fit

SAVE_EVERY = 500  # steps


def quantize_aware(
    checkpoint: Path,
    bank: Bank,
    samples: list[Sample],
    out: Path,
    *,
    steps: int = 3500,
    rate: float = 5e-4,
    batch: int | None = None,
    patch: int | None = None,
    seed: int = 1234,
    workers: int = 1,
) -> dict[str, float]:
    """Fine-tune a float checkpoint with rounded weights and activations; writes `out`, to be exported as INT8.

    Any network whose time goes into convolutions: `keen` is rounded where its graph runs best, others before each
    convolution (`nets.rounding`). Learns from the pristine pictures and from the float network's own output, with the
    losses and the shares of the checkpoint's recipe. batch, patch: the recipe's where None.

    Every SAVE_EVERY steps all is kept beside `out`, so that a later call goes on where one was interrupted. Gives the
    gains on `samples` as `evaluate.judge.gains` does. Raises TrainError for a bank that does not fit the recipe, for a
    checkpoint that is fine-tuned already and for what another call has left half done.
    """
    torch.manual_seed(seed)
    teacher, state = load_float(checkpoint)
    recipe = Recipe.from_json(state["recipe"])
    batch, patch = batch or recipe.batch, patch or recipe.patch
    losses = Losses(recipe.losses)
    weights = None if recipe.shares is None else item_weights(bank, recipe.shares, recipe.light)
    model, _ = load_any(checkpoint)
    check_fit(recipe, model, bank, 1)
    first = BankBatches(bank, 64, patch, 1, seed + 1, bank.scale, weights=weights)[0]
    if isinstance(model, Keen):
        simplify(model)
        add_points(model, first[0] / 255, first[2])
        round_weights(model)
    else:
        round_layers(model, first[0] / 255)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    settings = {
        "recipe": state["recipe"], "step": state["step"], "steps": steps, "rate": rate, "batch": batch, "patch": patch,
        "seed": seed,
    }  # fmt: skip
    part, done = out.with_suffix(".part.pt"), 0
    if part.exists():
        left = load_checkpoint(part)
        if left.get("settings") != settings:
            raise TrainError(
                f"'{part}' is of a call with other settings; repeat that one, or remove the file"
            )
        model.load_state_dict(left["model"])
        optimizer.load_state_dict(left["optimizer"])
        done = left["done"]
    loader = DataLoader(
        BankBatches(
            bank,
            batch,
            patch,
            steps,
            seed,
            bank.scale,
            weights=weights,
            condition_noise=recipe.condition_noise,
        ),
        batch_size=None,
        sampler=range(done, steps),
        num_workers=workers,
    )
    with progress() as bar:
        task = bar.add_task("INT8", total=steps, completed=done, note="")
        for step, (degraded, pristine, condition) in enumerate(loader, done):
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
            bar.update(task, advance=1, note=f"loss {loss.item():.3f}")
            if (step + 1) % SAVE_EVERY == 0:
                progressed = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                save_checkpoint(part, {"settings": settings, "done": step + 1, **progressed})
    if isinstance(model, Keen):
        settle_weights(model)
        share_bias(model)
    else:
        settle_layers(model)
    reached = gains(measure(model.eval(), samples))
    card = {"recipe": state["recipe"], "step": state["step"], "gains": reached, "rounded": steps}
    save_checkpoint(out, {**card, "ema": model.state_dict()})
    part.unlink(missing_ok=True)
    return reached
