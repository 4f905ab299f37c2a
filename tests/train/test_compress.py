"""Pruning, widening, and eight bits for every network: what is taken out, what stays the same, and what goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from lightning_fabric import Fabric
from onnx import numpy_helper
from PIL import Image

from keenframe.condition import band_statistics
from keenframe.zoo.spec import load_spec
from keenframe.zoo.store import find_model
from keenframe_train import qat
from keenframe_train.checkpoint import load_checkpoint, save_checkpoint
from keenframe_train.data.bank import Bank, build_bank
from keenframe_train.data.folders import train_and_validation
from keenframe_train.data.images import find_images
from keenframe_train.data.presets import mix
from keenframe_train.data.validation import validation_samples
from keenframe_train.errors import TrainError
from keenframe_train.experiment import load_experiment
from keenframe_train.export.onnx_file import run_file, to_graph
from keenframe_train.export.package import (
    export_model,
    load_network,
    load_rounded,
    mean_psnr,
    simplify,
    store_int8,
)
from keenframe_train.export.plain import export_plain, to_int8_graph
from keenframe_train.export.web import export_web
from keenframe_train.int8_table import as_run, as_shipped
from keenframe_train.loop import fit
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.nets.load import load_any
from keenframe_train.nets.registry import build
from keenframe_train.nets.resize import can_widen, narrowed, widen
from keenframe_train.prune import choose, importance, prune
from keenframe_train.qat import quantize_aware
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec, load_recipe
from keenframe_train.start import inherit, start_from

from .conftest import picture
from .test_cli_export import KEEN, LAB, invoke, run_of
from .test_export import checkpoint

SMALL = KeenConfig(head=8, trunk=16, blocks=2)
ROOT = Path(__file__).resolve().parents[2]


def network(config: KeenConfig, seed: int = 0) -> Keen:
    """With random weights everywhere."""
    torch.manual_seed(seed)
    net = Keen(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return net


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(2, 1, 32, 48), torch.randn(2, 128)


def test_channels_that_are_gone_are_as_good_as_zero(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    net = network(SMALL)
    kept = [torch.tensor([0, 3, 7, 15]), torch.arange(12)]
    small = narrowed(net, kept)
    assert small.config.inner == (4, 12)
    with torch.no_grad():
        for block, indices in zip(net.blocks, kept, strict=True):
            mask = torch.zeros(16)
            mask[indices] = 1
            block.second.weight.mul_(mask[:, None, None])
        assert torch.allclose(small(*batch), net(*batch), atol=1e-6)
    graph = to_graph(small).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    assert shapes["first.0.weight"] == (4, 16, 3, 3) and shapes["second.1.weight"] == (16, 12, 3, 3)
    assert shapes["films.0.film_shift.weight"] == (4, 32)


def test_groups_are_ranked_across_blocks() -> None:
    found = [torch.tensor([9.0, 0, 8, 0]), torch.tensor([1.0, 2, 0.1, 0.2])]
    assert [indices.tolist() for indices in choose(found, 0.5, 2)] == [[0, 2], [0, 1]]
    strong = [torch.tensor([9.0, 5, 8, 6]), torch.tensor([1.0, 2, 0.1, 0.2])]
    assert [len(indices) for indices in choose(strong, 0.75, 2)] == [4, 2]
    assert [len(indices) for indices in choose(strong, 0.01, 2)] == [2, 2]
    for keep, multiple, says in (
        (1.5, 2, "--keep is the share"),
        (0.5, 3, "choose --multiple"),
        (0.95, 2, "takes none"),
        (0.5, 4, "already one group a block; choose a smaller --multiple"),
    ):
        with pytest.raises(TrainError, match=says):
            choose(strong, keep, multiple)


def test_a_channel_that_nobody_reads_does_not_matter(bank: Bank) -> None:
    net = network(SMALL)
    with torch.no_grad():
        net.blocks[0].second.weight[:, 5] = 0
    recipe = dataclasses.replace(KEEN, batch=4, patch=64)
    found = importance(net, recipe, bank, batches=2)
    assert found[0][5] == 0 and (torch.cat(found) > 0).sum() == 31
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in net.parameters())


def test_a_wider_network_begins_where_the_smaller_one_ended(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    small = network(SMALL)
    large = Keen(KeenConfig(head=16, trunk=24, blocks=3, embedding=40, inner=(16, 32, 8)))
    card = {
        "recipe": Recipe("s", NetworkSpec("keen", dataclasses.asdict(SMALL))).to_json(),
        "ema": small.state_dict(),
    }
    start_from(large, card)
    output, expected = large(*batch), small(*batch)
    assert torch.allclose(output, expected, atol=1e-5)
    torch.square(output - torch.rand_like(output)).mean().backward()
    assert large.tail.weight.grad[:, 8:].abs().max() > 0  # what is new is used from the first step on
    assert not can_widen(large.config, SMALL) and not can_widen(SMALL, SMALL)
    assert not can_widen(SMALL, dataclasses.replace(large.config, scale=2))
    with pytest.raises(TrainError, match="something would get smaller"):
        widen(small, large.state_dict(), large.config)


def test_a_student_inherits_what_its_teacher_would_miss_most(data: Path, bank: Bank, tmp_path: Path) -> None:
    teacher = network(SMALL)
    with torch.no_grad():
        for index in range(0, 16, 2):  # half of the first block's channels do nothing
            teacher.blocks[0].second.weight[:, index] = 0
    options = {**dataclasses.asdict(SMALL), "inner": [8, 16]}
    spec = TeacherSpec(NetworkSpec("keen", dataclasses.asdict(SMALL)), str(tmp_path / "best.pt"))
    card = {
        "recipe": Recipe("t", spec.network).to_json(),
        "step": 1,
        "gains": {},
        "ema": teacher.state_dict(),
    }
    save_checkpoint(tmp_path / "best.pt", card)
    recipe = dataclasses.replace(
        KEEN, name="s", network=NetworkSpec("keen", options), batch=2, patch=64, steps=2, warmup=0, rate=1e-9,
        shares=None, teachers=(spec,), distill={"response-rmse": 1.0}, inherit=True,
    )  # fmt: skip
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    samples = validation_samples(find_images(data / "val"), ("r2",), 1, 96)
    fit(recipe, bank, samples, tmp_path / "run", fabric=fabric, workers=0, stop_after=1)
    result = fit(recipe, bank, samples, tmp_path / "run", fabric=fabric, workers=0)
    student, _ = load_network(result.best.with_name("last.pt"))
    x, condition = torch.rand(2, 1, 64, 64), torch.rand(2, 128)
    assert torch.allclose(student.eval()(x, condition), teacher.eval()(x, condition), atol=1e-4)
    assert not recipe.control().inherit and Recipe.from_json(recipe.to_json()).inherit

    with pytest.raises(TrainError, match="no teacher to inherit from"):
        dataclasses.replace(recipe, teachers=(), distill={})
    deeper = Keen(dataclasses.replace(SMALL, blocks=3))
    with pytest.raises(TrainError, match="is not a teacher of"):
        inherit(student, deeper, recipe, bank)
    with pytest.raises(TrainError, match="only a 'keen' can"):
        inherit(torch.nn.Conv2d(1, 1, 1), teacher, recipe, bank)


def test_branches_are_one_kernel_in_the_end(batch: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, branches=True)
    net = network(config)
    recipe = Recipe("b", NetworkSpec("keen", dataclasses.asdict(config)))
    save_checkpoint(
        tmp_path / "best.pt", {"recipe": recipe.to_json(), "step": 1, "gains": {}, "ema": net.state_dict()}
    )
    folded, _ = load_network(tmp_path)
    assert not folded.config.branches and set(folded.state_dict()) == set(Keen(SMALL).state_dict())
    assert torch.allclose(folded(*batch), net(*batch), atol=1e-6)


def test_a_run_with_branches_can_be_pruned(bank: Bank, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, branches=True)
    recipe = Recipe("b", NetworkSpec("keen", dataclasses.asdict(config)), mix="keen", batch=2, patch=64)
    card = {"recipe": recipe.to_json(), "step": 1, "gains": {}, "ema": network(config).state_dict()}
    save_checkpoint(tmp_path / "best.pt", card)
    cut = {"keep": 0.5, "steps": 2, "multiple": 4, "batches": 1}
    tuned = prune(tmp_path / "best.pt", bank, [], tmp_path / "small", **cut)
    small, _ = load_network(tmp_path / "small" / "pruned.pt")
    assert sum(small.config.inner) == 16 and not build("keen", **tuned.network.options).config.branches
    assert prune(tmp_path / "best.pt", bank, [], tmp_path / "small", **cut) == tuned


def test_a_share_that_cannot_be_is_noticed_before_anything_is_measured(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("s", NetworkSpec("keen", dataclasses.asdict(SMALL)))
    card = {"recipe": recipe.to_json(), "step": 1, "gains": {}, "ema": network(SMALL).state_dict()}
    save_checkpoint(tmp_path / "best.pt", card)
    monkeypatch.setattr("keenframe_train.prune.importance", lambda *_: pytest.fail("measured"))
    with pytest.raises(TrainError, match="--keep is the share of channels that stay"):
        prune(tmp_path / "best.pt", bank, [], tmp_path / "small", keep=1.5, steps=2)


def test_shapes_that_cannot_be_are_refused() -> None:
    for options, says in (
        ({"inner": [8]}, "a width from 1 up for each of 2"),
        ({"stride": 3}, "stride is one of"),
        ({"trunk": 0}, "nothing to step down to: give stride 1"),
    ):
        with pytest.raises(TrainError, match=says):
            build("keen", **options)
    assert build("keen", scale=4, stride=4).size_multiple == 4
    assert build("keen", stride=1).size_multiple == 8  # as every body that keeps the size


def test_prune_then_int8_then_every_file(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train, _ = train_and_validation(data)
    recipe = dataclasses.replace(KEEN, batch=2, patch=64)
    build_bank(Path("banks/tiny"), train, mix("keen"), 12, size=128, workers=1)
    run_of(recipe, tmp_path / "tiny", 1)
    cut = ("prune", "tiny", "--data", str(data), "--multiple", "4", "--batches", "2", "--precision", "32-true",
           "--workers", "0", "--keep", "0.5")  # fmt: skip
    said = invoke(*cut, "--steps", "0")
    assert "[8] -> [4] inner channels" in said and not Path("tiny-p50/best.pt").exists()
    said = invoke(*cut, "--steps", "2")
    assert "tiny-p50/best.pt; gain in dB" in said
    assert Recipe.from_json(load_checkpoint(Path("tiny-p50/best.pt"))["recipe"]).network.options["inner"] == [
        4
    ]
    before = Path("tiny-p50/pruned.pt").read_bytes()
    invoke(*cut, "--steps", "2")  # finished: nothing is done again
    assert Path("tiny-p50/pruned.pt").read_bytes() == before
    with monkeypatch.context() as inside:  # from within the run's folder it is the same command
        inside.chdir("tiny")
        invoke("prune", "best.pt", *cut[2:], "--steps", "2", "--bank", "../banks/tiny")
    assert Path("tiny-p50/pruned.pt").read_bytes() == before
    said = invoke(*cut, "--steps", "0", "--out", "tiny[red]")
    assert "tiny[red]/pruned.pt" in said
    build_bank(Path("banks/x2"), train, mix("keen-x2"), 2, size=128, workers=1)
    export = ("export", "tiny", "--data", str(data))
    for words in (cut, export, (*export, "--expert", "tiny")):
        with pytest.raises(TrainError, match="enlarges x1, the bank's pairs x2"):
            invoke(*words, "--bank", "banks/x2")
    with pytest.raises(TrainError, match="was pruned otherwise"):
        invoke(*cut, "--steps", "2", "--multiple", "2")
    said = invoke(
        "int8", "tiny-p50", "--data", str(data), "--bank", "banks/tiny", "--steps", "2", "--workers", "0"
    )
    assert "tiny-p50/int8.pt; gain in dB" in said
    with pytest.raises(TrainError, match=r"prune the run's best\.pt"):
        invoke("prune", "tiny-p50/int8.pt", "--data", str(data), "--bank", "banks/tiny")
    invoke("export", "tiny-p50", "--data", str(data), "--bank", "banks/tiny")
    later = {**load_checkpoint(Path("tiny-p50/best.pt")), "step": 99}
    save_checkpoint(Path("other/best.pt"), later)
    Path("other/int8.pt").write_bytes(Path("tiny-p50/int8.pt").read_bytes())
    with pytest.raises(
        TrainError, match=r"fine-tuned from step 2 of the run, and 'other/best\.pt' is of step 99"
    ):
        invoke("export", "other", "--data", str(data), "--bank", "banks/tiny", "--name", "other")
    invoke("export", "other", "--data", str(data), "--name", "other", "--no-int8")
    another = dataclasses.replace(Recipe.from_json(later["recipe"]), seed=7)
    save_checkpoint(Path("other/best.pt"), {**later, "step": 2, "recipe": another.to_json()})
    with pytest.raises(TrainError, match=r"fine-tuned from a run of another recipe than 'other/best\.pt' is"):
        invoke("export", "other", "--data", str(data), "--bank", "banks/tiny", "--name", "other")
    given = ("--data", str(data), "--bank", "banks/tiny")
    for words in (
        ("int8", "tiny-p50/int8.pt"),
        ("export", "tiny-p50/int8.pt"),
        ("export", "tiny", "--expert", "tiny-p50/int8.pt"),
    ):
        with pytest.raises(TrainError, match=r"int8\.pt' is in INT8 arithmetic"):
            invoke(*words, *given)
    names = {t.name: tuple(t.dims) for t in onnx.load("models/tiny-p50-int8.onnx").graph.initializer}
    assert names["first.0.weight.int8"] == (4, 8, 3, 3)
    assert "inner" in (tmp_path / "models/tiny-p50.onnx").read_bytes().decode("latin1")
    assert b'"inner":[4]' in export_web(Path("models/tiny-p50.onnx"), Path("web")).read_bytes()


def test_linear_layers_lie_in_eight_bits_and_names_are_short(bank: Bank, data: Path, tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 1)
    samples = validation_samples(find_images(data / "val"), ("r2",), 1, 96)
    quantize_aware(path, bank, samples, tmp_path / "int8.pt", steps=2, batch=2, patch=64, workers=0)
    tuned, _ = load_network(tmp_path / "int8.pt")
    again = load_rounded(tmp_path / "int8.pt")
    for name, values in tuned.state_dict().items():
        if ".linear." in name:  # rounded in training: nothing is left to round
            assert torch.allclose(again.state_dict()[name], values, rtol=1e-6), name
    model = store_int8(to_graph(again))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert stored["embed_linear.weight.int8"].dtype == np.int8
    assert stored["films.1.film_scale.weight.int8"].shape == (16, 32)
    assert not any(node.op_type == "Constant" or "_output_0" in node.output[0] for node in model.graph.node)
    # A checkpoint of a time when they were not rounded is rounded when it is exported.
    older = load_checkpoint(tmp_path / "int8.pt")
    older["ema"]["embed.0.weight"] = older["ema"]["embed.0.weight"] + torch.randn(32, 128) * 1e-3
    save_checkpoint(tmp_path / "older.pt", older)
    exported = export_model(
        path, tmp_path, samples, name="older", description="", training_data="", rounded=tmp_path / "older.pt"
    )
    assert exported.int8_file is not None
    with pytest.raises(TrainError, match="was not fine-tuned in INT8"):
        load_rounded(path)


@pytest.mark.parametrize("compact", [False, True])
def test_eight_bits_are_held_against_the_float_network(
    compact: bool, bank: Bank, data: Path, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path, 1)
    samples = validation_samples(find_images(data / "val"), ("r2",), 1, 96)
    quantize_aware(path, bank, samples, tmp_path / "int8.pt", steps=2, batch=2, patch=64, workers=0)
    about = {"name": "held", "description": "", "training_data": "", "compact": compact}
    done = export_model(path, tmp_path / "out", samples, rounded=tmp_path / "int8.pt", **about)
    network = mean_psnr(export_model(path, tmp_path, samples, **about).float_file, samples)["r2"]
    assert done.int8_file is not None
    assert done.int8_change["r2"] == pytest.approx(mean_psnr(done.int8_file, samples)["r2"] - network)
    ruined = load_checkpoint(tmp_path / "int8.pt")
    ruined["ema"]["tail.bias"] += 0.3
    save_checkpoint(tmp_path / "ruined.pt", ruined)
    with pytest.raises(TrainError, match=r"loses more than 0\.1 dB"):
        export_model(path, tmp_path / "bad", samples, rounded=tmp_path / "ruined.pt", **about)
    assert (
        not list((tmp_path / "bad").glob("*-int8.onnx")) and compact != (tmp_path / "bad/held.onnx").exists()
    )


def test_an_interrupted_fine_tuning_goes_on_exactly(
    bank: Bank, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(tmp_path, 1)
    samples = validation_samples(find_images(data / "val"), ("r2",), 1, 96)
    options = {"steps": 4, "batch": 2, "patch": 64, "workers": 0}
    quantize_aware(path, bank, samples, tmp_path / "whole.pt", **options)
    monkeypatch.setattr(qat, "SAVE_EVERY", 2)

    def stop(target: Path, state: dict) -> None:
        save_checkpoint(target, state)
        if target.name == "parts.part.pt" and state["done"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(qat, "save_checkpoint", stop)
        quantize_aware(path, bank, samples, tmp_path / "parts.pt", **options)
    with pytest.raises(TrainError, match="of a call with other settings"):
        quantize_aware(path, bank, samples, tmp_path / "parts.pt", **{**options, "steps": 5})
    quantize_aware(path, bank, samples, tmp_path / "parts.pt", **options)
    whole, parts = (load_checkpoint(tmp_path / name)["ema"] for name in ("whole.pt", "parts.pt"))
    assert all(torch.equal(values, parts[name]) for name, values in whole.items())
    assert not (tmp_path / "parts.part.pt").exists()


def test_a_network_of_the_lab_learns_its_ranges(data: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        LAB, network=NetworkSpec("separable", {"features": 8, "blocks": 1}), batch=2, patch=64, mix="r3"
    )
    run_of(recipe, tmp_path, 3, strength=0.01)
    train, held_out = train_and_validation(data)
    bank = build_bank(tmp_path / "bank", train, mix("r3"), 4, size=64, color="rgb", workers=1)
    samples = validation_samples(held_out, ("r3",), 1, 64, color="rgb")
    quantize_aware(tmp_path / "best.pt", bank, samples, tmp_path / "int8.pt", steps=2, workers=0)
    tuned, _ = load_any(tmp_path / "int8.pt")
    model = to_int8_graph(tuned)
    weights = [t.name for t in model.graph.initializer if t.name.endswith(".weight.int8")]
    # Two separable convolutions and the tail; the head and the attention stay in float.
    assert len(weights) == 5 and not any("head" in name or "attention" in name for name in weights)
    network, _ = load_any(tmp_path / "best.pt")
    done = export_plain(network, tmp_path, "lab", samples, rounded=tuned, int8_limit=3.0)
    assert done.int8_file is not None and load_spec(done.int8_file).precision == "int8"
    from keenframe.engines.select import create_engine

    engine = create_engine("onnxruntime", done.int8_file, load_spec(done.int8_file))
    seen = engine.run(samples[0].degraded, None, 1.0).astype(int)
    engine.close()
    with torch.no_grad():
        x = torch.tensor(samples[0].degraded).permute(2, 0, 1)[None] / 255
        expected = (tuned.eval()(x)[0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(seen - expected).mean() < 0.1


def test_a_research_model_becomes_a_run_again(tmp_path: Path) -> None:
    model = find_model("srresnet-separable")
    network, state = load_any(as_run(model, tmp_path / "run") / "best.pt")
    assert Recipe.from_json(state["recipe"]).network.name == "separable"
    x = picture(9, 64, 64)
    from keenframe.engines.select import create_engine

    engine = create_engine("onnxruntime", model, load_spec(model))
    found = engine.run(x, None, 1.0)
    engine.close()
    with torch.no_grad():
        wanted = network(torch.tensor(x).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0) * 255
    assert np.abs(found - wanted.round().numpy()).max() <= 1
    with pytest.raises(TrainError, match="give the run's folder"):
        as_run(find_model("keen-float"), tmp_path / "keen")


@pytest.mark.parametrize(
    ("name", "file"), [("keen", "keen-int8"), ("keen-full", "keen-int8"), ("keen-x2", "keen-x2-int8")]
)
def test_a_packaged_keen_becomes_a_run_with_its_int8_file(name: str, file: str, tmp_path: Path) -> None:
    about = as_shipped(name, tmp_path / "run")
    assert about is not None and about.startswith(f"{file} {load_spec(find_model(file)).version}, ")
    network, state = load_any(tmp_path / "run" / "best.pt")
    assert isinstance(network, Keen) and Recipe.from_json(state["recipe"]).name == name
    plane = picture(3, 64, 64)[..., 0]
    condition = band_statistics(plane)
    simplify(network)
    onnx.save(to_graph(network), tmp_path / "float.onnx")
    wanted = run_file(tmp_path / "float.onnx", plane, condition)[0].astype(int)
    found = run_file(tmp_path / "run" / "int8.onnx", plane, condition)[0].astype(int)
    # The same network in other arithmetic: nearly the same picture, and not the very same one.
    assert 0 < np.abs(found - wanted).mean() < 2


def test_a_packaged_research_model_becomes_a_run_with_its_int8_file(tmp_path: Path) -> None:
    about = as_shipped("srresnet-separable", tmp_path / "run")
    assert about is not None and about.startswith("srresnet-separable-int8 ")
    assert (tmp_path / "run" / "int8.onnx").read_bytes() == find_model("srresnet-separable-int8").read_bytes()
    _, state = load_any(tmp_path / "run" / "best.pt")
    assert Recipe.from_json(state["recipe"]).network.name == "separable"


@pytest.mark.parametrize("name", ["edsr-plain", "nothing-of-that-name"])
def test_what_is_not_packaged_in_eight_bits_is_no_run(name: str, tmp_path: Path) -> None:
    assert as_shipped(name, tmp_path / "run") is None and not (tmp_path / "run").exists()


def test_the_table_of_int8(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train, _ = train_and_validation(data)
    build_bank(Path("banks/tiny"), train, mix("keen"), 8, size=128, workers=1)
    run_of(dataclasses.replace(KEEN, batch=2, patch=64), tmp_path / "tiny", 1)
    call = (
        "int8-table",
        "tiny",
        "--data",
        str(data),
        "--steps",
        "2",
        "--frames",
        "2",
        "--workers",
        "0",
        "--out",
        "out",
    )
    said = invoke(*call)
    assert "| tiny | r2 |" in said and Path("tiny/int8.pt").exists()
    assert (
        Path("out/int8.md").read_text() in said
        and "post-training, tuned" in Path("out/int8.json").read_text()
    )
    assert "tiny: as it was" in invoke(*call)
    Path("out/int8.json").write_text("{}")
    with pytest.raises(TrainError, match="is no table of this command"):
        invoke(*call)


@pytest.mark.parametrize(
    "name",
    [
        "keen-base",
        "keen-full",
        "keen-nano",
        "keen-nano-full",
        "keen-screens",
        "keen-screens-enlarged",
        "keen-x2",
        "keen-x4",
    ],
)
def test_the_recipes_without_a_teacher_run(name: str, tmp_path: Path) -> None:
    for part, seed in (("train-0", 1), ("val", 2)):
        folder = tmp_path / part / "faces"
        folder.mkdir(parents=True)
        Image.fromarray(picture(seed, 300, 320)).save(folder / "a.png")
    # Eight pairs are too few for the shares of all kinds.
    few = {"batch": 2, "patch": 64, "steps": 4, "warmup": 1, "validate_every": 4, "shares": None}
    recipe = dataclasses.replace(load_recipe(name), **few)
    train, held_out = train_and_validation(tmp_path)
    pairs = build_bank(tmp_path / "bank", train, mix(recipe.mix), 8, size=256, workers=1)
    windows = validation_samples(held_out, mix(recipe.mix).validation, 1, 256)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    result = fit(recipe, pairs, windows, tmp_path / "run", fabric=fabric, workers=0)
    assert np.isfinite(list(result.gains.values())).all()
    net, _ = load_any(result.best)
    assert isinstance(net, Keen)
    plane = picture(3, 64, 64)[..., 0]
    done = export_model(
        result.best, tmp_path, [sample_of(plane, net.scale)], name=name, description="", training_data=""
    )
    pixels, _ = run_file(done.float_file, plane, np.zeros(128, np.float32))
    assert done.parity.residual <= 1e-4 and pixels.shape == (64 * net.scale, 64 * net.scale)
    if name == "keen-base":
        assert sum(p.numel() for p in net.parameters()) <= 450_000
        assert can_widen(KeenConfig(**load_experiment("keen").recipe.network.options), net.config)


def sample_of(plane: np.ndarray, scale: int):
    from keenframe.condition import band_statistics
    from keenframe_train.data.validation import Sample

    large = np.ascontiguousarray(plane.repeat(scale, 0).repeat(scale, 1))
    return Sample("x", "", "", np.ascontiguousarray(plane), large, band_statistics(plane))
