"""The training loop, top to bottom: data, network, steps, validation, checkpoints.

Lightning Fabric places it on what there is: CPU, one GPU, several GPUs or machines (`fabric run` or torchrun).
Batches are a pure function of the step, so a resumed run continues exactly where the interrupted one stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from keenframe_train.checkpoint import load_checkpoint, save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches, item_weights
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.metrics import psnr
from keenframe_train.evaluate.pictures import before_after_sheet
from keenframe_train.losses import LOSS_SCALE as LOSS_SCALE
from keenframe_train.losses import rmse_loss as rmse_loss
from keenframe_train.nets.keen import Keen
from keenframe_train.progress import progress
from keenframe_train.recipe import Recipe

_STALE = "a run with another recipe lies in '{folder}'; resume with the same recipe or choose another --out"


@dataclass(frozen=True, slots=True)
class FitResult:
    """Where the run's weights lie and how they did: mean PSNR gain over the damaged input in dB, per kind."""

    best: Path
    gains: dict[str, float]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine from `rate` to `final_rate` at the last step."""
    if step < recipe.warmup:
        return recipe.rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.final_rate + 0.5 * (recipe.rate - recipe.final_rate) * (
        1 + math.cos(math.pi * min(1.0, done))
    )


@torch.no_grad()
def _average(ema: Keen, model: nn.Module, decay: float) -> None:
    weights, averaged = list(model.parameters()), list(ema.parameters())
    torch._foreach_lerp_(averaged, weights, 1 - decay)


@torch.no_grad()
def validate(model: Keen, samples: list[Sample]) -> dict[str, float]:
    """Mean gain in PSNR (dB) over the base, per kind; for `clean`, PSNR against the input instead."""
    device = next(model.parameters()).device
    values: dict[str, list[float]] = {}
    for sample in samples:
        x = torch.tensor(sample.degraded).to(device)[None, None].float() / 255
        base = (model.base(x).clamp(0, 1) * 255).round().byte()[0, 0].cpu().numpy()
        output = model(x, torch.tensor(sample.condition).to(device)[None])
        restored = (output.clamp(0, 1) * 255).round().byte()[0, 0].cpu().numpy()
        after = psnr(restored, sample.pristine, ceiling=50.0)
        gain = after if sample.kind == "clean" else after - psnr(base, sample.pristine, ceiling=50.0)
        values.setdefault(sample.kind, []).append(gain)
    return {kind: sum(gains) / len(gains) for kind, gains in values.items()}


def _score(gains: dict[str, float]) -> float:
    return sum(gain for kind, gain in gains.items() if kind != "clean")


def fit(
    recipe: Recipe,
    bank: Bank,
    samples: list[Sample],
    out: Path,
    *,
    fabric: Fabric | None = None,
    start: Path | None = None,
    workers: int = 1,
    stop_after: int | None = None,
) -> FitResult:
    """Train `recipe` on `bank`, judged on `samples`, into the folder `out`; resumes when `out` holds a run.

    start: a checkpoint whose equally named and shaped tensors are copied in before the first step.
    stop_after: leave after this many steps of the whole run (a later call goes on).
    Raises TrainError for a foreign run in `out` and for a loss that is not finite (the batch is saved).
    """
    fabric = fabric or Fabric(accelerator="auto", devices="auto")
    torch.manual_seed(recipe.seed)
    model = Keen(recipe.network)
    calibration = BankBatches(bank, 256, recipe.patch, 1, recipe.seed + 1, recipe.network.scale)[0]
    model.calibrate(calibration[0] / 255, calibration[1] / 255, calibration[2])
    if start is not None:
        copy_matching(model, load_checkpoint(start)["ema"])
    ema = Keen(recipe.network)
    ema.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    last, best = out / "last.pt", out / "best.pt"
    step, best_score, gains = 0, -math.inf, {}
    if last.exists():
        state = load_checkpoint(last)
        if state["recipe"] != recipe.to_json():
            raise TrainError(_STALE.format(folder=out))
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        step, best_score, gains = state["step"], state["best_score"], state["gains"]

    model = model.to(memory_format=torch.channels_last)
    ema = ema.to(fabric.device).eval()
    train_model, optimizer = fabric.setup(model, optimizer)
    batches = BankBatches(
        bank, recipe.batch, recipe.patch, recipe.steps, recipe.seed, recipe.network.scale,
        fabric.global_rank, fabric.world_size,
        None if recipe.shares is None else item_weights(bank, recipe.shares, recipe.light),
    )  # fmt: skip
    loader = DataLoader(
        batches, batch_size=None, sampler=range(step, recipe.steps), num_workers=workers,
        prefetch_factor=8 if workers else None,
    )  # fmt: skip
    loader = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    writer = SummaryWriter(str(out / "tensorboard"), purge_step=step) if fabric.is_global_zero else None

    def checkpoint() -> dict[str, Any]:
        return {
            "recipe": recipe.to_json(), "step": step, "best_score": best_score, "gains": gains,
            "model": model.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(),
        }  # fmt: skip

    with progress() as bar:
        task = bar.add_task(recipe.name, total=recipe.steps, completed=step, note="")
        for degraded, pristine, condition in loader:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step)
            x = (degraded.float() / 255).contiguous(memory_format=torch.channels_last)
            y = pristine.float() / 255
            loss = rmse_loss(train_model(x, condition).float(), y)
            if not torch.isfinite(loss):
                save_checkpoint(
                    out / "bad-batch.pt", {"step": step, "batch": (degraded, pristine, condition)}
                )
                raise TrainError(
                    f"loss is {loss.item()} at step {step}; the batch is in '{out / 'bad-batch.pt'}'"
                )
            optimizer.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(train_model, optimizer, max_norm=recipe.clip)
            optimizer.step()
            # A young average forgets its random start quickly.
            _average(ema, model, min(recipe.ema, (1 + step) / (10 + step)))
            step += 1
            bar.advance(task)
            finished = step == recipe.steps or step == stop_after
            if step % 100 == 0 and writer:
                writer.add_scalar("loss", loss.item(), step)
                writer.add_scalar("rate", optimizer.param_groups[0]["lr"], step)
            if (step % recipe.validate_every == 0 or finished) and writer:
                gains = validate(ema, samples)
                for kind, gain in gains.items():
                    writer.add_scalar(f"gain/{kind}", gain, step)
                bar.update(task, note=" ".join(f"{kind} {gain:+.2f}" for kind, gain in gains.items()))
                bar.console.print(f"{step} " + " ".join(f"{k} {g:+.3f}" for k, g in gains.items()))
                before_after_sheet(ema, samples, out / "samples.png")
                if _score(gains) > best_score:
                    best_score = _score(gains)
                    save_checkpoint(
                        best,
                        {"recipe": recipe.to_json(), "step": step, "gains": gains, "ema": ema.state_dict()},
                    )
            if (step % recipe.save_every == 0 or finished) and writer:
                save_checkpoint(last, checkpoint())
            if finished:
                break
    if writer:
        writer.close()
    return FitResult(best, gains)


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


def default_precision() -> str:
    """bf16 where the hardware multiplies it, else float32."""
    if torch.cuda.is_available():
        return "bf16-mixed"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "bf16-mixed" if "avx512_bf16" in flags or "amx_bf16" in flags else "32-true"
