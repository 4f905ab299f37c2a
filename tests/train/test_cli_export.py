from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from keenframe import Sharpener
from keenframe.errors import ModelError
from keenframe.routing import inputs_of, layers_of
from keenframe.zoo.spec import load_spec
from keenframe_train.checkpoint import save_checkpoint
from keenframe_train.cli import app
from keenframe_train.data.bank import build_bank
from keenframe_train.data.folders import train_and_validation
from keenframe_train.data.presets import mix
from keenframe_train.errors import TrainError
from keenframe_train.nets.registry import build
from keenframe_train.recipe import NetworkSpec, Recipe

from .conftest import picture

KEEN = Recipe(name="tiny", network=NetworkSpec("keen", {"head": 8, "trunk": 8, "blocks": 1}), bank_size=128)
LAB = Recipe(name="lab", network=NetworkSpec("plain", {}), color="rgb", mix="r1", bank_size=64, patch=64)


def run_of(recipe: Recipe, folder: Path, seed: int, strength: float = 0.05) -> Path:
    torch.manual_seed(seed)
    network = build(recipe.network.name, **recipe.network.options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * strength)
    state = {"recipe": recipe.to_json(), "step": seed, "gains": {"r2": 0.1}, "ema": network.state_dict()}
    save_checkpoint(folder / "best.pt", state)
    return folder


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_two_runs_become_one_model(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train, _ = train_and_validation(data)
    build_bank(Path("banks/tiny"), train, mix("keen"), 12, size=128, workers=1)
    first, second = run_of(KEEN, tmp_path / "a", 1), run_of(KEEN, tmp_path / "b", 2)
    said = invoke(
        "export",
        str(first),
        "--expert",
        str(second),
        "--data",
        str(data),
        "--name",
        "tiny",
        "--pairs",
        "6",
        "--rule-bank",
        "banks/tiny",
        "--no-int8",
    )
    assert "of 12 pairs the experts and none take" in said and "parity" in said
    spec = load_spec(Path("models/tiny.onnx"))
    assert spec.route is not None and spec.steady and not Path("models/tiny-int8.onnx").exists()
    with Sharpener("models/tiny.onnx", engine="onnxruntime", threads=1) as sharpener:
        assert sharpener.sharpen(picture(51, 64, 64)).shape == (64, 64, 3)
    said = invoke(
        "rule",
        "models/tiny.onnx",
        "--bank",
        "banks/tiny",
        "--pairs",
        "6",
        "--version",
        "1.1",
        "--out",
        "again",
    )
    assert "of 6 pairs the experts and none take" in said
    anew = load_spec(Path("again/tiny.onnx"))
    # Only the rule is another one.
    assert anew.version == "1.1" and anew.route not in (None, spec.route)
    weights = [onnx.load(folder / "tiny.onnx").graph for folder in (Path("models"), Path("again"))]
    assert weights[0] == weights[1]
    with pytest.raises(TrainError, match="holds one network"):
        invoke("rule", "keen-x2", "--bank", "banks/tiny", "--version", "9")
    # A model's experts for frames of full size beside another first one.
    words = ("--data", str(data), "--name", "other", "--bank", "banks/tiny", "--pairs", "6", "--no-int8")
    invoke("export", str(first), "--expert", "models/tiny.onnx", *words, "--version", "2")
    other = load_spec(Path("models/other.onnx"))
    assert other.version == "2" and other.experts == 2
    assert json.loads(other.recipe)["experts"][1] == json.loads(spec.recipe)["experts"][1]
    # And a model's for enlarged frames before a new one and one of its own.
    several = ("--expert", str(second), "--expert", "models/other.onnx", *words)
    invoke("export", "models/tiny.onnx", *several, "--name", "three")
    three = load_spec(Path("models/three.onnx"))
    assert (three.experts, three.full_size) == (3, 2)
    assert [part["name"] for part in json.loads(three.recipe)["experts"]] == ["tiny"] * 3
    graph = onnx.load("models/three.onnx").graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    name = next(name for name in stored if name.startswith("head") and name + ".1" in stored)
    kept = {tensor.name: tensor for tensor in onnx.load("models/tiny.onnx").graph.initializer}
    assert stored[name].raw_data == kept[name].raw_data
    assert stored[name + ".1"].raw_data == stored[name + ".2"].raw_data == kept[name + ".1"].raw_data
    invoke("export", str(first), "--expert", "models/three.onnx", *words, "--name", "again")
    again = load_spec(Path("models/again.onnx"))
    assert (again.experts, again.full_size) == (3, 2)
    with pytest.raises(TrainError, match="--full-size is 3 of 3 experts; expected 1 to 2"):
        invoke("export", str(first), "--expert", "models/three.onnx", *words, "--full-size", "3")
    with pytest.raises(TrainError, match="pass --expert, too"):
        invoke("export", str(first), *words, "--full-size", "1")
    # Nothing is proved of what is a model already.
    invoke("export", "models/tiny.onnx", "--expert", "models/three.onnx", *words[2:], "--name", "proved")
    assert load_spec(Path("models/proved.onnx")).full_size == 2
    # Or one expert of each, by name and in any order.
    picked = (
        "export",
        "keen:keen",
        "--expert",
        "keen:keen-full",
        "--expert",
        "keen:keen-screens",
        *words[2:],
    )
    invoke(*picked, "--name", "picked")
    card = load_spec(Path("models/picked.onnx"))
    assert [part["name"] for part in json.loads(card.recipe)["experts"]] == [
        "keen",
        "keen-full",
        "keen-screens",
    ]
    assert card.full_size == 2
    with pytest.raises(TrainError, match=r"'nope' names 0 experts of 'keen'; it has keen, .*keen-full"):
        invoke(*picked[:-3], "--expert", "keen:nope", *words[2:])
    with pytest.raises(TrainError, match=r"'tiny' names 3 experts of 'models/three\.onnx'"):
        invoke("export", "keen", "--expert", "models/three.onnx:tiny", *words[2:])
    # Or all of it and a run, whose rule is that of the model where the run is not taken.
    grow = (
        "export",
        "models/three.onnx",
        "--expert",
        str(second),
        "--expert",
        "models/three.onnx",
        "--full-size",
        "2",
    )
    invoke(*grow, *words, "--name", "grown", "--extend")
    grown = load_spec(Path("models/grown.onnx"))
    assert (grown.experts, grown.full_size) == (4, 2) and grown.route is not None and three.route is not None
    had, has = (
        layers_of(s.route or (), s.experts, inputs_of(s.periodicity), s.leaves) for s in (three, grown)
    )
    assert all(np.array_equal(*pair) for pair in zip(had[0], has[0], strict=True))
    assert np.array_equal(had[1][0], has[1][0][1:]) and np.array_equal(had[1][1], has[1][1][1:])
    for wrong in (
        ("export", str(first), "--expert", "models/three.onnx"),
        ("export", "models/three.onnx", "--expert", "models/three.onnx"),
        ("export", "models/three.onnx", "--expert", str(second)),
        ("export", "models/tiny.onnx", "--expert", str(second), "--expert", "models/three.onnx"),
    ):
        with pytest.raises(TrainError, match="--extend takes all experts of one model in their order"):
            invoke(*wrong, *words, "--extend")
    with pytest.raises(TrainError, match="--extend is for further experts; pass --expert, too"):
        invoke("export", "models/three.onnx", *words, "--extend")
    with pytest.raises(ModelError, match="there is no model 'none-such'"):
        invoke("export", str(first), "--expert", "none-such", *words)
    for model, wrong in (("keen-int8", "is an INT8 file"), ("keen-x2", "is one network")):
        with pytest.raises(TrainError, match=f"'{model}' {wrong}"):
            invoke("export", str(first), "--expert", model, *words)
    with pytest.raises(TrainError, match=r"tiny-int8\.onnx' is not there"):
        invoke("export", str(first), "--expert", "models/tiny.onnx", *words[:-1])


def test_a_network_of_the_lab_becomes_an_rgb_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_of(LAB, tmp_path / "lab", 3, strength=0.001)
    invoke("export", "lab", "--data", str(data), "--no-int8", "--training-data", "drawn")
    spec = load_spec(Path("models/lab.onnx"))
    assert (spec.name, spec.color, spec.role, spec.training_data) == ("lab", "rgb", "research", "drawn")
    with Sharpener("models/lab.onnx", engine="onnxruntime", threads=1) as sharpener:
        assert np.asarray(sharpener.sharpen(picture(52, 48, 64))).shape == (48, 64, 3)


def test_only_keen_has_experts(data: Path, tmp_path: Path) -> None:
    lab = run_of(dataclasses.replace(LAB, name="other"), tmp_path / "lab", 4)
    with pytest.raises(TrainError, match="only keen networks"):
        invoke("export", str(lab), "--expert", str(lab), "--data", str(data))
