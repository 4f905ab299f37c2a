"""A whole evaluation: what was asked for, turned into items, measured, and summed up in the run's folder."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from keenframe.engines.cpu import cpu_name
from keenframe.engines.select import versions
from keenframe.errors import InputError
from keenframe.evaluate import extras
from keenframe.evaluate.material import File, find_files
from keenframe.evaluate.methods import Method, parse_methods
from keenframe.evaluate.presets import Preset, choose_presets
from keenframe.evaluate.run import Run
from keenframe.evaluate.stills import Model, Plan, Record, Settings
from keenframe.evaluate.summary import items_csv, summary
from keenframe.evaluate.work import GIVEN, fits, make_tasks, run_tasks
from keenframe.media.files import write_text
from keenframe.sharpener import Sharpener
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import find_model

SUMMARY, ITEMS = "summary.json", "items.csv"
_PACKAGES = ("keenframe", "numpy", "pillow", "av", "openvino", "onnxruntime", "opencv-python-headless")


@dataclass(frozen=True, slots=True)
class Request(Settings):
    """What `keenframe evaluate` is asked for. material: a folder of pristine pictures or clips. folder: of the run.

    presets or degraded: one of them. methods: as `methods` has them. limit: as `find_files`.
    """

    material: Path
    folder: Path
    presets: Sequence[str] = ()
    degraded: Path | None = None
    methods: Sequence[str] = ("keen", "unsharp")
    engine: str = "auto"
    limit: int | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it. records: of all items, by file and preset; those with an `error` among them."""

    request: Request
    plan: Plan
    presets: Sequence[Preset]
    files: Sequence[File]
    specs: dict[str, ModelSpec]
    records: Sequence[Record]
    summary: dict[str, Any] = field(repr=False)

    @property
    def folder(self) -> Path:
        return self.request.folder


def evaluate(
    request: Request,
    told: Callable[[int, int], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure everything that the run's folder does not have yet, and write its summary and its items there.

    told: called with the items done and their total. check: called often; may raise to stop: the same request goes on.
    KeenframeError for a request that cannot be carried out, before anything is written; what is wrong with single
    items stands in their records. InputError when not one item could be measured.
    """
    presets = _presets(request)
    methods = parse_methods(list(request.methods))
    files, problems = find_files(request.material, request.degraded, request.limit)
    _check_fit(files, presets, request)
    extra = _check_extras(request, files)
    models, specs = _models(methods, request.engine)
    settings = {item.name: getattr(request, item.name) for item in fields(Settings)}
    plan = Plan(tuple(methods), models, **settings)
    arguments = _arguments(request, presets, plan, specs)
    run = Run(request.folder, arguments, _about(extra))
    try:
        items = [(preset.name, file.name) for file in files for preset in presets if fits(file, preset)]
        tasks, unreadable = make_tasks(files, presets, run.known)
        left = sum(len(task.presets) for task in tasks)
        done = len(items) - left
        told(done, len(items))
        for record in run_tasks(tasks, plan, request.workers, check):
            run.add(record)
            done += 1
            told(done, len(items))
        # What cannot be read now counts as that, whatever an earlier time found in it.
        gone = {(record["preset"], record["name"]) for record in unreadable}
        records = [*run.records(item for item in items if item not in gone), *unreadable]
    finally:
        run.close()
    whole = summary(arguments, run.about, records, problems)
    if not whole["results"]:
        raise InputError(f"nothing in '{request.material}' could be measured: {whole['problems'][0]}")
    write_text(request.folder / SUMMARY, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    write_text(request.folder / ITEMS, items_csv(records))
    return Evaluation(request, plan, presets, files, specs, records, whole)


def _presets(request: Request) -> list[Preset]:
    if bool(request.presets) == (request.degraded is not None):
        raise InputError(
            "what is to be measured is either damaged here (--preset NAME) or degraded already (--degraded DIR); give "
            "one of them"
        )
    return choose_presets(request.presets) if request.presets else [GIVEN]


def _check_fit(files: Sequence[File], presets: Sequence[Preset], request: Request) -> None:
    """InputError where nothing fits a preset that was asked for by name."""
    for preset in presets:
        if "all" not in request.presets and not any(fits(file, preset) for file in files):
            raise InputError(
                f"preset '{preset.name}' damages clips, and '{request.material}' holds pictures alone; "
                "choose another preset, or a folder of clips"
            )


def _check_extras(request: Request, files: Sequence[File]) -> dict[str, str]:
    """What the extra measures are made with. InputError when one of them is not there."""
    made_with = {}
    if request.text:
        made_with["tesseract"] = extras.check_tesseract()
        if not any(file.truth is not None for file in files):
            raise InputError(
                f"--text compares pictures to the text that they show, and '{request.material}' has no such text; "
                "expected NAME.txt beside NAME.png (keenframe-train pages makes such pictures)"
            )
    if request.vmaf:
        made_with["vmaf"] = Path(extras.find_vmaf()[0]).name
    if request.lpips:
        extras.load_lpips()
    return made_with


def _models(methods: Sequence[Method], engine: str) -> tuple[dict[str, Model], dict[str, ModelSpec]]:
    """The file and engine that each model stands for here, and its spec."""
    models, specs = {}, {}
    for method in methods:
        if method.kind == "model":
            with Sharpener(method.name, engine=engine, threads=1) as sharpener:
                spec = sharpener.spec
                path = find_model(method.name, prefer_int8=spec.precision == "int8")
                models[method.name] = Model(path, sharpener.engine_name)
                specs[method.name] = spec
    return models, specs


def _arguments(
    request: Request, presets: Sequence[Preset], plan: Plan, specs: dict[str, ModelSpec]
) -> dict[str, Any]:
    """All that decides what is measured. Folders go by their names: a run may move with its material."""
    models = {
        name: {
            "file": model.path.name,
            "version": specs[name].version,
            "precision": specs[name].precision,
            "scale": specs[name].scale,
            "engine": model.engine,
            "sha256": specs[name].sha256,
        }
        for name, model in plan.models.items()
    }
    return {
        "material": request.material.resolve().name,
        "degraded": None if request.degraded is None else request.degraded.resolve().name,
        "presets": {preset.name: preset.description for preset in presets},
        "methods": [method.name for method in plan.methods],
        "models": models,
        "limit": request.limit,
        "seed": plan.seed,
        "frames": plan.frames,
        "shrink": plan.shrink,
        "luma": plan.gray,
        "enlarging": plan.enlarging,
        "text": plan.text,
        "vmaf": plan.vmaf,
        "lpips": plan.lpips,
    }


def _about(extra: dict[str, str]) -> dict[str, Any]:
    return {
        "begun": datetime.date.today().isoformat(),
        "machine": cpu_name(),
        "system": platform.system(),
        "versions": versions(_PACKAGES) | extra,
    }
