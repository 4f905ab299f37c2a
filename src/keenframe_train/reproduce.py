"""One source system from pictures to a table: bank, teacher, control, distilled student, comparison.

Everything lies in one folder: teacher/, control/ and student/, or control/ and tuned/ (runs of `loop.fit`),
scores.jsonl, results.json, results.csv, table.md, gains.png and before-after-KIND.png. Each stage is skipped when it is
finished and goes on where it was interrupted.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from lightning_fabric import Fabric

from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.data.bank import Bank, build_bank
from keenframe_train.data.folders import train_and_validation
from keenframe_train.data.images import ImageFile, first_of_each
from keenframe_train.data.presets import mix
from keenframe_train.data.validation import Sample, validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.report import check_section, insert_section
from keenframe_train.experiment import RUNS, Experiment, Plan, load_experiment, make_plan
from keenframe_train.files import write_text
from keenframe_train.loop import fit
from keenframe_train.nets.load import load_any
from keenframe_train.recipe import Recipe
from keenframe_train.reproduction.compare import Subject, compare, digest, names, on_set, sets_below
from keenframe_train.reproduction.pictures import before_after, write_figure
from keenframe_train.reproduction.results import ALL, Results, about_network, machine, means
from keenframe_train.reproduction.ship import check_color, ship
from keenframe_train.reproduction.tables import markdown, section, to_csv
from keenframe_train.schedule import Standing

SANE_LOSS = 3.0  # dB that a network of a few steps may stand below its input; broken ones stand far lower


def reproduce(
    experiment: Experiment,
    data: Path,
    out: Path,
    *,
    budget: str = "cpu",
    bank: Path | None = None,
    steps: int | None = None,
    steps_teacher: int | None = None,
    limit: int | None = None,
    sets: Path | None = None,
    readme: Path | None = None,
    models: Path | None = None,
    fabric: Fabric | None = None,
    workers: int = 1,
) -> Results:
    """Do what is missing of a reproduction in the folder `out`, and give its results (`results.json`).

    data: pictures, as `data.folders` takes them. bank: folder of the pairs [banks/NAME-BUDGET]. steps, steps_teacher:
    instead of the budget's. limit: pictures of each category in the comparison; None: all. sets: folder that holds
    Set5 or Set14 [data/sets]. readme: README whose measured section is written anew. models: folder for the student's
    ONNX files. workers: processes that make pairs and batches.
    Raises TrainError for an unknown budget, `models` of a luma recipe, a README without such a section, missing
    pictures, and a folder with runs of other settings.
    """
    plan = make_plan(experiment, budget, out, steps=steps, steps_teacher=steps_teacher)
    if models is not None:
        check_color(plan.runs[plan.own], out / plan.own)
    if readme is not None:
        check_section(readme, *section(plan))
    training, held_out = train_and_validation(data)
    fabric = fabric or Fabric(accelerator="auto", devices=1)
    for note in plan.notes:
        fabric.print(note)

    def pairs() -> Bank:
        recipe, folder = plan.runs[plan.own], bank or Path("banks") / f"{experiment.name}-{budget}"
        return build_bank(
            folder, training, mix(recipe.mix), recipe.bank_items,
            size=recipe.bank_size, color=recipe.color, workers=workers,
        )  # fmt: skip

    def windows() -> list[Sample]:
        recipe, about = plan.runs[plan.own], plan.budget
        kinds = mix(recipe.mix).validation
        return validation_samples(held_out, kinds, about.windows, about.window, color=recipe.color)

    for name, recipe in plan.runs.items():
        if finished(recipe, out / name):
            fabric.print(f"{name}: finished before")
            continue
        fabric.print(f"{name}: {recipe.network.name}, {recipe.steps:,} steps")
        before = plan.start(name)
        start = None if before is None else out / before / "best.pt"
        fit(recipe, pairs(), windows(), out / name, fabric=fabric, start=start, workers=workers)
    results: Results = {}
    if fabric.is_global_zero:
        files = first_of_each(held_out, limit)
        results = _evaluate(experiment, plan, budget, files, out, sets_below(sets or data), fabric)
        if readme is not None:
            insert_section(readme, (out / "table.md").read_text(), *section(plan))
        if models is not None:
            recipe = plan.runs[plan.own]
            source = (
                f"{len(training):,} pictures of '{data.name}', "
                f"degraded by keenframe_train.data.presets.MIXES['{recipe.mix}']"
            )
            made = ship(recipe, results, plan.own, out, models, pairs(), windows(), source)
            fabric.print(
                "wrote " + ", ".join(f"{path} ({path.stat().st_size / 1e3:.0f} kB)" for path in made)
            )
    fabric.barrier()
    return results


def smoke(recipe: str | Path, data: Path, out: Path) -> Results:
    """The whole way at the budget `smoke` on the pictures below `data`, into `out`; what recipes' tests run.

    Raises TrainError when a figure is not finite or a network does worse than a few steps can explain.
    """
    experiment = load_experiment(str(recipe))
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    results = reproduce(experiment, data, out, budget="smoke", bank=out / "bank", fabric=fabric, workers=1)
    for kind, by_category in results["quality"].items():
        values = by_category[ALL]
        for run in RUNS:
            fall = values[results["reference"]]["psnr"] - values[run]["psnr"]
            if not all(map(math.isfinite, values[run].values())) or (fall > SANE_LOSS and kind != "clean"):
                raise TrainError(f"smoke of '{experiment.name}': {run} on {kind} gives {values[run]}")
    return results


def finished(recipe: Recipe, folder: Path) -> bool:
    """Whether the folder holds this very run, at its end."""
    if not (folder / "last.pt").exists() or not (folder / "best.pt").exists():
        return False
    state = load_checkpoint(folder / "last.pt")
    return recipe.same_run(Recipe.from_json(state["recipe"])) and (
        state["step"] == recipe.steps or Standing(**state["standing"]).exhausted(recipe)
    )


def _evaluate(
    experiment: Experiment,
    plan: Plan,
    budget: str,
    files: list[ImageFile],
    out: Path,
    sets: list[Path],
    fabric: Fabric,
) -> Results:
    folders = {name: out / name for name in sorted(plan.runs)}
    student, window = plan.runs[plan.own], plan.budget.evaluation_window
    weights = [folder / "best.pt" for folder in folders.values()]
    sets = sets if experiment.report.sets else []
    key = digest(*weights, student.mix, window)
    whole = digest(
        key,
        names(files),
        *(file.path for file in files),
        [str(p) for p in sets],
        *(path for folder in sets for path in sorted(folder.iterdir()) if path.is_file()),
        plan.budget,
        experiment.report,
        plan.notes,
        str(fabric.device),
    )
    if (out / "results.json").exists():
        before: Results = json.loads((out / "results.json").read_text())
        if before.get("key") == whole:
            return before
    networks = {
        name: load_any(path)[0].to(fabric.device, memory_format=torch.channels_last)
        for name, path in zip(folders, weights, strict=True)
    }
    subject = Subject(networks, student.color, window)
    kinds = mix(student.mix).validation
    scores = compare(subject, files, kinds, out, key)
    results: Results = {
        "recipe": experiment.name,
        "budget": budget,
        "own": plan.own,
        "cost": plan.budget.cost,
        "machine": machine(fabric.device),
        "notes": list(plan.notes),
        "reference": subject.reference,
        "window": window,
        "windows": plan.budget.windows * len({file.category for file in files}),
        "networks": {m: about_network(networks[m], plan, m, out / m) for m in networks},
        "quality": means(scores),
        "sets": {folder.name: means(on_set(subject, folder))["x2"][ALL] for folder in sets},
        "key": whole,
    }
    write_text(out / "table.md", markdown(results, experiment.report))
    write_text(out / "results.csv", to_csv(results))
    write_figure(results, out, out / "gains.png")
    for kind in kinds:
        before_after(subject, files, scores, kind, plan.own, out / f"before-after-{kind}.png")
    # Last, because it is what says that all is done.
    write_text(out / "results.json", json.dumps(results, indent=1))
    return results
