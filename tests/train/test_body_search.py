"""The search over bodies and the curve of pruned runs: what is chosen, and whole small runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from benchmarks.bodies.__main__ import _comparable
from benchmarks.bodies.__main__ import app as bodies
from benchmarks.bodies.shapes import BRANCHES, SHIPPED, budget_ms, candidates, edge_of, shapes, sizes
from benchmarks.latency import Latency, measure, random_model
from benchmarks.pruning import app as pruning
from benchmarks.trained import app as trained
from typer.testing import CliRunner

from keenframe.zoo.spec import load_spec
from keenframe_train.checkpoint import load_checkpoint, save_checkpoint
from keenframe_train.data.bank import build_bank
from keenframe_train.data.folders import train_and_validation
from keenframe_train.data.presets import mix
from keenframe_train.errors import TrainError
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.nets.network import parameters
from keenframe_train.recipe import load_recipe

from .test_cli_export import KEEN as TINY
from .test_cli_export import run_of


def test_the_edge_and_the_sizes() -> None:
    rows = {"a": (5.0, 1.0), "b": (6.0, 0.9), "c": (10.0, 1.5), "d": (20.0, 1.5), "e": (40.0, 2.0)}
    assert edge_of(rows) == ["a", "c", "e"]
    assert sizes(rows) == {"nano": "a", "small": "c", "base": "c"}
    assert budget_ms("small") == pytest.approx(14.0, abs=0.1)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_shipped_bodies_are_those_of_the_recipes(scale: int) -> None:
    assert list(shapes(scale))[: len(SHIPPED[scale])] == list(SHIPPED[scale])
    for name, config in SHIPPED[scale].items():
        assert config == KeenConfig(**load_recipe(name).network.options)


@pytest.mark.parametrize("scale", [1, 2])
def test_candidates_keep_to_their_budgets(scale: int) -> None:
    configs = shapes(scale)
    assert len(set(configs.values())) == len(configs)
    # As if a million parameters took 50 ms.
    counts = {name: parameters(Keen(config)) for name, config in configs.items()}
    times = {name: Latency(count / 2e4, 1.0) for name, count in counts.items()}
    chosen = candidates(configs, times, 2)
    branched = next(iter(SHIPPED[scale])) + BRANCHES
    always = {*SHIPPED[scale], branched}
    assert always <= set(chosen) and chosen[branched].branches
    for name in set(chosen) - always:
        assert counts[name] <= 460_000
        limit = min(budget_ms(b) for b in ("nano", "small", "base") if times[name].time_ms <= budget_ms(b))
        assert times[name].time_ms >= 0.6 * limit
    assert {configs[name].stride for name in chosen if name in configs} == {1, 2}


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_random_models_are_models(scale: int, tmp_path: Path) -> None:
    random_model(KeenConfig(scale, 8, 16, 1, inner=(8,)), tmp_path / "one.onnx")
    random_model(KeenConfig(scale, 8, 16, 2, stride=1, branches=True), tmp_path / "two.onnx")
    files = {name: tmp_path / f"{name}.onnx" for name in ("one", "two")}
    assert load_spec(files["one"]).precision == "int8"
    found = measure(files, "one", 96, 64, threads=1, rounds=2, frames=1)
    assert found["one"].ratio == 1 and found["two"].time_ms > 0 and found["two"].ratio > 0


def test_a_small_search(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train, _ = train_and_validation(data)
    build_bank(Path("banks/keen"), train, mix("keen"), 16, size=160, workers=1)
    call = ["--limit", "3", "--size", "128x64", "--threads", "1", "--rounds", "1", "--out", "out"]
    times = CliRunner().invoke(bodies, [*call, "--steps", "0"], catch_exceptions=False)
    assert (
        times.exit_code == 0
        and "| keen-nano | 26,912 |" in times.output
        and not Path("out/bodies.png").exists()
        and "steps of training" not in times.output
    )
    before = {
        row["name"]: row["time_ms"] for row in json.loads(Path("out/bodies.json").read_text())["bodies"]
    }
    done = CliRunner().invoke(bodies, [*call, "--steps", "1", "--data", str(data)], catch_exceptions=False)
    assert (
        done.exit_code == 0 and "keen+1x1" in done.output and Path("out/bodies.png").stat().st_size > 10_000
    )
    after = {row["name"]: row for row in json.loads(Path("out/bodies.json").read_text())["bodies"]}
    assert all(after[name]["time_ms"] == time_ms for name, time_ms in before.items())  # measured once
    assert "mean_gain" in after["keen"] and after["keen" + BRANCHES]["shape"]["branches"]
    again = CliRunner().invoke(bodies, [*call, "--steps", "0"], catch_exceptions=False)
    assert "; 1 steps of training each, 4 windows a kind." in again.output  # what was trained is still there
    assert {_comparable(row, 2).get("mean_gain") for row in after.values()} == {None}
    with pytest.raises(TrainError, match="training needs --data"):
        CliRunner().invoke(bodies, [*call, "--steps", "1"], catch_exceptions=False)


def test_the_curve_of_pruned_runs(tmp_path: Path) -> None:
    gains = {"r1": 1.0, "r2": 2.0}
    for name, inner in (("whole", []), ("half", [4])):
        options = {**TINY.network.options, "inner": inner}
        recipe = dataclasses.replace(TINY, network=dataclasses.replace(TINY.network, options=options))
        run = run_of(recipe, tmp_path / name, 1)
        save_checkpoint(run / "best.pt", {**load_checkpoint(run / "best.pt"), "gains": gains})
    save_checkpoint(
        tmp_path / "half/pruned.pt",
        {**load_checkpoint(tmp_path / "half/best.pt"), "gains": {"r1": 0.5, "r2": 1}},
    )
    call = [str(tmp_path / "whole"), str(tmp_path / "half"), "--size", "64x64", "--threads", "1", "--rounds", "1",
            "--out", str(tmp_path / "out")]  # fmt: skip
    done = CliRunner().invoke(pruning, [*call, "--kind", "r1", "--kind", "r2"], catch_exceptions=False)
    assert done.exit_code == 0 and "| half | 4 (50%) |" in done.output and "+1.00 (+0.50)" in done.output
    assert (tmp_path / "out/pruning.png").stat().st_size > 10_000
    with pytest.raises(TrainError, match="whole' was not judged on r3, call-half; it was on r1, r2"):
        CliRunner().invoke(pruning, call, catch_exceptions=False)


def test_networks_that_are_trained_out(data: Path, tmp_path: Path) -> None:
    runs = [
        f"{name}={run_of(TINY, tmp_path / name, seed)}" for seed, name in enumerate(("first", "second"), 1)
    ]
    call = ["--data", str(data), "--windows", "1", "--size", "64x64", "--threads", "1", "--rounds", "1"]
    out = tmp_path / "out"
    done = CliRunner().invoke(trained, [*runs, *call, "--out", str(out)], catch_exceptions=False)
    assert (
        done.exit_code == 0 and "| first |" in done.output and "trained out, 2 windows a kind" in done.output
    )
    assert (out / "trained.png").stat().st_size > 10_000
    for row in json.loads((out / "trained.json").read_text())["networks"]:
        assert all(row["worst"][kind] <= gain for kind, gain in row["gains"].items())
    with pytest.raises(TrainError, match="'first' is not NAME=CHECKPOINT"):
        CliRunner().invoke(trained, ["first", *call], catch_exceptions=False)
    other = dataclasses.replace(TINY.network, options={**TINY.network.options, "scale": 2})
    run = run_of(dataclasses.replace(TINY, network=other), tmp_path / "x2", 3)
    with pytest.raises(TrainError, match="enlarges x2; expected networks of scale 1"):
        CliRunner().invoke(trained, [f"x2={run}", *call], catch_exceptions=False)
