"""The training loop, top to bottom: data, network, teachers, steps, validation, checkpoints, figures.

Lightning Fabric places it on what there is: CPU, one GPU, several GPUs or machines (`fabric run` or torchrun).
Batches are a pure function of the step, so a resumed run continues exactly where the interrupted one stopped.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from keenframe_train.checkpoint import load_checkpoint, save_checkpoint
from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches, item_weights
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.judge import Quality, gains, measure, score, to_picture
from keenframe_train.evaluate.pictures import before_after_sheet
from keenframe_train.figures import write_figures
from keenframe_train.history import Clock, Journal, Means
from keenframe_train.lesson import load_teacher, prepare_lesson
from keenframe_train.nets.registry import build
from keenframe_train.progress import progress
from keenframe_train.recipe import Recipe
from keenframe_train.schedule import Standing, learning_rate
from keenframe_train.start import check_fit, inherit, make_optimizer, start_from

PROBE = 24  # fixed training crops, measured as the validation pictures are: the gap shows over-fitting
_STALE = "a run with another recipe lies in '{folder}'; resume with the same recipe or choose another --out"


@dataclass(frozen=True, slots=True)
class FitResult:
    """Where the run's weights lie and how they did at the last validation, per kind; nothing before the first."""

    best: Path
    quality: dict[str, Quality]

    @property
    def gains(self) -> dict[str, float]:
        """PSNR over the damaged input in dB, per kind; the PSNR itself for `clean`."""
        return gains(self.quality)


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
    teacher_cache: Path | None = None,
) -> FitResult:
    """Train `recipe` on `bank`, judged on `samples`, into the folder `out`; resumes when `out` holds a run.

    start: a checkpoint whose equally named and shaped tensors are copied in before the first step; a smaller `keen` is
    widened and computes the same at first.
    stop_after: leave after this many steps of the whole run (a later call goes on, exactly).
    teacher_cache: keep the teachers' outputs on whole items there instead of running them on every crop.
    Raises TrainError for a foreign run in `out`, a bank or teacher that does not fit the recipe, and a loss or
    gradient that is not finite (the batch is saved).
    """
    fabric = fabric or Fabric(accelerator="auto", devices="auto")
    torch.manual_seed(recipe.seed)
    model = build(recipe.network.name, **recipe.network.options)
    check_fit(recipe, model, bank, fabric.world_size)
    weights = None if recipe.shares is None else item_weights(bank, recipe.shares, recipe.light)
    degraded, pristine, condition = BankBatches(bank, 256, recipe.patch, 1, recipe.seed + 1, bank.scale)[0]
    model.calibrate(degraded / 255, pristine / 255, condition)
    last, best = out / "last.pt", out / "best.pt"
    if start is not None:
        start_from(model, load_checkpoint(start))
    elif recipe.inherit and not last.exists():
        inherit(model, load_teacher(recipe.teachers[0]), recipe, bank)
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = model.to(memory_format=torch.channels_last)
    ema = copy.deepcopy(model).to(fabric.device).eval()
    lesson = prepare_lesson(recipe, model)
    trained = [parameter for parameter in lesson.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(recipe, trained)
    train_lesson, optimizer = fabric.setup(lesson, optimizer)
    # Mixed precision would round pictures and targets on their way in, bright pixels to a whole code value in
    # bfloat16. Autocast alone is meant: it rounds inside the layers that gain by it.
    fabric.strategy.precision.convert_input = lambda data: data  # type: ignore[method-assign]

    step, seconds, standing = 0, 0.0, Standing()
    quality: dict[str, Quality] = {}
    if last.exists():
        state = load_checkpoint(last)
        _check_same(recipe, state, out)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        if lesson.distillation is not None:
            lesson.distillation.load_state_dict(state["adapters"])
        if state.get("precision"):  # the gradient scaler of float16
            fabric.strategy.precision.load_state_dict(state["precision"])
        standing = Standing(**state.get("standing", {"score": state.get("best_score", -math.inf)}))
        quality = {kind: Quality(**values) for kind, values in state.get("quality", {}).items()}
        step, seconds = state["step"], state.get("seconds", 0.0)
    elif fabric.is_global_zero and best.exists():
        # Of a run that was killed before it saved itself. Somebody else's weights are not to be lost.
        _check_same(recipe, load_checkpoint(best), out)
        best.unlink()

    def checkpoint() -> dict[str, Any]:
        adapters = {} if lesson.distillation is None else lesson.distillation.state_dict()
        return {
            "recipe": recipe.to_json(), "step": step, "seconds": clock.total, "standing": standing.to_dict(),
            "quality": {kind: q.to_dict() for kind, q in quality.items()}, "gains": gains(quality),
            "model": model.state_dict(), "ema": ema.state_dict(), "adapters": adapters,
            "optimizer": optimizer.state_dict(), "precision": fabric.strategy.precision.state_dict(),
        }  # fmt: skip

    batches = BankBatches(
        bank, recipe.batch, recipe.patch, recipe.steps, recipe.seed, bank.scale,
        fabric.global_rank, fabric.world_size, weights, recipe.jitter, recipe.condition_noise,
    )  # fmt: skip
    if teacher_cache is not None:
        batches = lesson.cached(batches, teacher_cache, fabric)
    end = step if standing.exhausted(recipe) else recipe.steps
    if stop_after is not None:  # of a run that is there already, nothing is left
        end = max(step, min(end, stop_after))
    loader = DataLoader(
        batches, batch_size=None, sampler=range(step, end), num_workers=workers,
        prefetch_factor=8 if workers else None,
    )  # fmt: skip
    loader = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    probe = _probe(BankBatches(bank, PROBE, recipe.patch, 1, recipe.seed + 2, bank.scale, weights=weights))
    journal = Journal(out, step, fabric.is_global_zero)
    log_every = max(1, min(100, recipe.validate_every // 20))
    clock, means = Clock(seconds), Means()
    scaled = getattr(fabric.strategy.precision, "scaler", None) is not None

    with progress() as bar:
        task = bar.add_task(recipe.name, total=recipe.steps, completed=step, note="")
        for degraded, pristine, condition, *outputs in loader:
            rate = learning_rate(recipe, step, standing.drops)
            for group in optimizer.param_groups:
                group["lr"] = rate
            x = (degraded.float() / 255).contiguous(memory_format=torch.channels_last)
            loss, terms = train_lesson(x, condition, pristine.float() / 255, *outputs)
            optimizer.zero_grad()
            fabric.backward(loss)
            norm = fabric.clip_gradients(
                train_lesson, optimizer, max_norm=recipe.clip or math.inf, error_if_nonfinite=False
            )
            loss = fabric.all_reduce(loss.detach().clone())  # every process must see the same end
            # With float16 a gradient may overflow: its scaler leaves the step out and scales less.
            if not torch.isfinite(loss if scaled else loss + norm):
                name = f"bad-batch-{fabric.global_rank}.pt" if fabric.global_rank else "bad-batch.pt"
                save_checkpoint(out / name, {"step": step, "batch": (degraded, pristine, condition)})
                journal.close()
                raise TrainError(
                    f"loss is {loss.item()} at step {step}; the batch is in '{out / name}' "
                    f"(gradient norm {norm.item()}); try a lower rate, or look at the batch"
                )
            optimizer.step()
            # A young average forgets its random start quickly.
            _average(ema, model, min(recipe.ema, (1 + step) / (10 + step)))
            step += 1
            bar.advance(task)
            means.add({"loss": loss, "grad_norm": norm, **terms})

            if step % log_every == 0 or step == recipe.steps:
                count, names, lap = means.count, list(means.sums), clock.lap()
                values = dict(zip(names, fabric.all_reduce(means.take()).tolist(), strict=True))
                run = {key: values.pop(key) for key in ("loss", "grad_norm")}
                run |= {"rate": rate, "seconds": clock.total, "steps_per_s": count / lap}
                journal.train(step, run, values)
            if step % recipe.validate_every == 0 or step == recipe.steps:
                clock.lap()
                if fabric.is_global_zero:
                    quality = measure(ema, samples)
                    sheet = before_after_sheet(ema, samples, out / "samples.png")
                    journal.validation(step, quality, measure(ema, probe)["train"], sheet)
                quality = fabric.broadcast(quality)
                text = " ".join(f"{kind} {gain:+.3f}" for kind, gain in gains(quality).items())
                bar.update(task, note=text)
                if fabric.is_global_zero:
                    bar.console.print(f"{step} {text}", soft_wrap=True)
                if standing.judge(score(quality), recipe) and fabric.is_global_zero:
                    kept = ("recipe", "step", "quality", "gains", "ema")
                    save_checkpoint(best, {key: value for key, value in checkpoint().items() if key in kept})
                clock.resume()
            finished = step == recipe.steps or standing.exhausted(recipe)
            if (step % recipe.save_every == 0 or finished or step == stop_after) and fabric.is_global_zero:
                clock.lap()
                save_checkpoint(last, checkpoint())
                clock.resume()
            if finished or step == stop_after:
                break
    journal.close()
    if fabric.is_global_zero:
        write_figures(out, recipe)
    fabric.barrier()
    return FitResult(best, quality)


def _check_same(recipe: Recipe, state: dict[str, Any], out: Path) -> None:
    if not recipe.same_run(Recipe.from_json(state["recipe"])):
        raise TrainError(_STALE.format(folder=out))


@torch.no_grad()
def _average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential mean of the weights (Polyak averaging); running statistics are copied."""
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
    for averaged, own in zip(ema.buffers(), model.buffers(), strict=True):
        averaged.copy_(own)


def _probe(batches: BankBatches) -> list[Sample]:
    """Training crops as samples."""
    degraded, pristine, conditions = batches[0]
    pairs = zip(degraded / 255, pristine / 255, conditions, strict=True)
    return [Sample("train", "", "", to_picture(x[None]), to_picture(y[None]), c.numpy()) for x, y, c in pairs]
