"""What the page is made of: result files of the repository, and the specs of the embedded models."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import list_models, model_files
from keenframe_train.errors import TrainError

EVALUATIONS = Path("benchmarks/results/evaluate")
REPRODUCTIONS = Path("benchmarks/results/reproduce")
SPEED = (Path("benchmarks/results/speed.json"), Path("benchmarks/results/speed-research.json"))
CROPS = EVALUATIONS / "own" / "crops.json"
ALL = "all"


@dataclass(frozen=True, slots=True)
class Model:
    """An embedded model: its spec, and the size of its file in bytes."""

    spec: ModelSpec
    size: int


@dataclass(frozen=True, slots=True)
class Sources:
    """evaluations: `summary.json` by run. items: their `items.csv`. reproductions: `results.json` by recipe. speed:
    rows of `keenframe bench`, with the machine's name in each. models: by file stem. crops: captions of the own
    pictures."""

    evaluations: Mapping[str, dict[str, Any]]
    items: Mapping[str, list[dict[str, str]]]
    reproductions: Mapping[str, dict[str, Any]]
    speed: list[dict[str, Any]]
    models: Mapping[str, Model]
    crops: list[dict[str, Any]]

    def values(self, run: str, preset: str, method: str, category: str = ALL) -> dict[str, float]:
        """The measures of one method; empty where the run does not have it."""
        found = self.evaluations.get(run, {}).get("results", {})
        values: dict[str, float] = found.get(preset, {}).get(category, {}).get(method, {})
        return values

    def value(self, run: str, preset: str, method: str, measure: str, category: str = ALL) -> float | None:
        """One measure, or None."""
        return self.values(run, preset, method, category).get(measure)

    def column(self, run: str, preset: str, method: str, measure: str) -> dict[str, float]:
        """One measure of every single item, by its name."""
        return {
            row["name"]: float(row[measure])
            for row in self.items.get(run, ())
            if row["preset"] == preset and row["method"] == method and row.get(measure)
        }

    def fps(self, model: str, height: int) -> float | None:
        """Frames a second at an input height, by the engine that is faster there."""
        rows = [row["fps"] for row in self.speed if row["model"] == model and row["height"] == height]
        return max(rows, default=None)

    def stale(self) -> list[str]:
        """Models whose file is no longer the one that was measured, as "run: model"."""
        found = []
        for run, summary in self.evaluations.items():
            for name, used in summary["arguments"]["models"].items():
                model = self.models.get(Path(used["file"]).stem)
                if model is None or model.spec.sha256 != used["sha256"]:
                    found.append(f"{run}: {name}")
        return found


def load(root: Path) -> Sources:
    """Everything below a checkout. Raises TrainError where it is no checkout, or where a file is damaged."""
    folder = root / EVALUATIONS
    if not folder.is_dir():
        raise TrainError(
            f"'{root}' has no {EVALUATIONS}; run this in a checkout of keenframe, or pass --root with one"
        )
    runs = sorted(path.parent for path in folder.glob("*/summary.json"))
    speed = []
    for path in SPEED:
        if (root / path).is_file():
            table = _json(root / path)
            speed += [row | {"cpu": table["machine"]["cpu"]} for row in table["rows"]]
    return Sources(
        evaluations={run.name: _json(run / "summary.json") for run in runs},
        items={run.name: _csv(run / "items.csv") for run in runs},
        reproductions={
            path.parent.name: _json(path) for path in sorted((root / REPRODUCTIONS).glob("*/results.json"))
        },
        speed=speed,
        models={
            path.stem: Model(spec, path.stat().st_size)
            for spec, path in zip(list_models(), model_files(), strict=True)
        },
        crops=_json(root / CROPS) if (root / CROPS).is_file() else [],
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"'{path}' cannot be read: {error}") from error


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise TrainError(f"'{path}' cannot be read: {error}") from error
