"""keen and keen-x2 in every format, written, run in the format's own runtime and compared with the float network."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from keenframe.condition import band_statistics
from keenframe.conditioning import look_at
from keenframe.metrics import psnr
from keenframe.routing import Router, inputs_of, layers_of, scores
from keenframe.zoo.spec import CONDITION_KIND, ModelSpec, load_spec
from keenframe.zoo.store import MODELS, read_spec
from keenframe_train.errors import TrainError
from keenframe_train.export import onnx_portable, parity
from keenframe_train.export.convert import FORMATS, Conversion, convert, load_format
from keenframe_train.export.frames import frames_for
from keenframe_train.export.onnx_file import radius, to_graph, write_model
from keenframe_train.export.onnx_portable import open_model
from keenframe_train.export.package import halve_weights, load_network, simplify
from keenframe_train.export.portable import condition_network, networks_of
from keenframe_train.nets.keen import KeenConfig
from keenframe_train.recipe import NetworkSpec, Recipe

from .conftest import picture
from .test_cli import run
from .test_cli_export import KEEN, run_of

NEEDS = {"onnx": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert", "ncnn": "ncnn"}


@pytest.fixture(autouse=True)
def small_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "_TIMED_AT", {"luma": (72, 72), "image": (64, 64)})
    monkeypatch.setattr(parity, "_TIMED", 1)
    monkeypatch.setattr(parity, "THREADS", 1)


@pytest.fixture(params=FORMATS)
def to(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(NEEDS[name], reason=f"pip install 'keenframe[export]' to test {name}")
    return name


def checked(done: Conversion) -> dict[str, parity.Written]:
    """The networks of a conversion, held to what is promised of them."""
    found = {item.network: item for item in done.written}
    for item in done.written:
        assert all((done.folder / name).stat().st_size for name in item.files)
        assert item.time_ms > 0
        if item.precision == "float32":
            assert item.difference is not None and item.difference <= 1e-4
        else:
            assert item.int8_to_float is not None and item.int8_to_float > 45
            assert min(item.int8_change.values()) >= -0.05
    return found


@pytest.mark.parametrize("model", ["keen", "keen-x2"])
@pytest.mark.parametrize("size", [None, (136, 96)], ids=["dynamic", "static"])
def test_keen_in_every_format(model: str, size: tuple[int, int] | None, to: str, tmp_path: Path) -> None:
    done = convert(MODELS / f"{model}.onnx", to, tmp_path, size=size)
    found = checked(done)
    parts = {"keen": ("", "-second", "-third", "-fourth"), "keen-x2": ("",)}[model]
    assert set(found) == {
        *(f"{model}{part}{precision}" for part in parts for precision in ("", "-int8")),
        f"{model}-condition",
    }
    assert done.folder.name == f"{model}-{to}" + ("-136x96" if size else "")
    if to != "openvino":  # whose description of the graph is text
        assert all(item.size_bytes < 500_000 for name, item in found.items() if name.endswith("-int8"))
    card = json.loads((done.folder / f"{model}.json").read_text())
    assert card["model"]["name"] == model and card["runtime"] == done.runtime
    assert {entry["network"] for entry in card["files"]} == set(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == [done.folder.name]


@pytest.mark.parametrize(
    "config",
    [
        KeenConfig(4, 8, 16, 1),
        KeenConfig(1, 8, 16, 2, inner=(8, 16)),
        KeenConfig(1, 8, 8, 2, stride=1),
        KeenConfig(2, 8, 0, 2, stride=1),
    ],
    ids=["x4", "pruned", "one size", "no trunk"],
)
def test_other_bodies_in_every_format(config: KeenConfig, to: str, tmp_path: Path) -> None:
    run_of(Recipe("other", NetworkSpec("keen", dataclasses.asdict(config))), tmp_path, 1)
    net, _ = load_network(tmp_path)
    simplify(net)
    spec = ModelSpec(
        name="other", scale=config.scale, size_multiple=config.size_multiple, radius=radius(config),
        enlarging="bicubic", condition={"kind": CONDITION_KIND, "size": 128}, steady=True,
    )  # fmt: skip
    write_model(tmp_path / "other.onnx", halve_weights(to_graph(net)), spec)
    assert set(checked(convert(tmp_path / "other.onnx", to, tmp_path))) == {"other", "other-condition"}


# In 64x48 of the still, at 47 dB, R3's student finds nothing to restore: eight bits are all that would be measured.
@pytest.mark.parametrize(("model", "size"), [("edsr-plain", (64, 48)), ("srresnet-separable", (128, 96))])
def test_rgb_networks_of_plain_operators(model: str, size: tuple[int, int], to: str, tmp_path: Path) -> None:
    done = convert(MODELS / f"{model}.onnx", to, tmp_path, size=size)
    assert f"{model}-int8" in checked(done) or model == "edsr-plain"


@pytest.mark.parametrize(
    ("to", "model", "operator"),
    [
        ("litert", "nafnet-attention", "InstanceNormalization"),
        ("ncnn", "nafnet-attention", "InstanceNormalization"),
        ("litert", "unet-rrdb-x4", "Resize"),
        ("ncnn", "unet-rrdb-x4", "Resize"),
    ],
)
def test_a_refusal_names_the_operator(to: str, model: str, operator: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS[to], reason=f"pip install 'keenframe[export]' to test {to}")
    with pytest.raises(TrainError, match=rf"'{model}' cannot be written for .*operator {operator}, node '/"):
        convert(MODELS / f"{model}.onnx", to, tmp_path)
    assert list(tmp_path.iterdir()) == []


# Of the last two sizes one side and none is long enough for a window of the periodicity.
@pytest.mark.parametrize(("width", "height"), [(640, 360), (1920, 1080), (120, 104), (104, 64), (64, 48)])
@pytest.mark.parametrize("periodic", [False, True])
def test_the_condition_and_the_rule_are_the_runtimes(width: int, height: int, periodic: bool) -> None:
    rng = np.random.default_rng(9)
    inputs = inputs_of(periodic)
    numbers = tuple(rng.normal(size=5 * (inputs + 1 + 1 + periodic) + 1 + periodic).tolist())
    spec = dataclasses.replace(
        read_spec(MODELS / "keen.onnx"),
        experts=2,
        full_size=1,
        route=numbers,
        periodicity=periodic,
        leaves=periodic,
    )
    luma = picture(5, height, width)[..., 0]
    expected = look_at(luma, periodic)
    # Of a free size it looks at everything, which of a small one the runtime does, too.
    for size in ((width, height), None) if (width, height) == (120, 104) else ((width, height),):
        network = condition_network(spec, size)
        found = open_model(network.graph.SerializeToString(), 1)(
            {"luma": luma[None, None].astype(np.float32)}
        )
        assert np.abs(found["condition"][0] - expected[:128]).max() < 1e-4
        preferred = scores(layers_of(numbers, 2, inputs, periodic), expected)[1:]
        assert found["preference"][0] == pytest.approx(preferred, abs=5e-3)
        chosen = int(np.append(0, found["preference"]).argmax())
        assert chosen == Router(numbers, 2, inputs, periodic).expert(expected, still=True)


def test_the_networks_give_what_the_runtimes_file_gives() -> None:
    from keenframe_train.export.onnx_file import run_file

    for path in (MODELS / "keen.onnx", MODELS / "keen-int8.onnx", MODELS / "keen-x2.onnx"):
        luma = picture(6, 80, 96)[..., 1]
        expected, _ = run_file(path, luma, band_statistics(luma))
        feeds = {"luma": luma[None, None].astype(np.float32), "condition": band_statistics(luma)[None]}
        network = networks_of(path)[0]
        found = open_model(network.graph.SerializeToString(), 1)(feeds)["sharpened"][0, 0]
        assert np.abs(np.clip(np.rint(found), 0, 255) - expected).max() <= 1
        kinds = {node.op_type for node in network.graph.graph.node}
        assert not kinds & {"Round", "Transpose", "Resize", "PRelu", "Reshape"}


def test_files_carry_their_description(tmp_path: Path) -> None:
    plain = convert(MODELS / "keen-x2.onnx", "onnx", tmp_path, size=(32, 32), int8=False).folder
    described = onnx.load(plain / "keen-x2.onnx").metadata_props[0]
    assert (described.key, json.loads(described.value)["network"]) == ("keenframe.portable", "keen-x2")
    with pytest.raises(Exception, match="carries no 'keenframe' metadata"):
        load_spec(plain / "keen-x2.onnx")  # a file for elsewhere is no model of the runtime's
    import openvino as ov

    folder = convert(MODELS / "keen-x2.onnx", "openvino", tmp_path, size=(32, 32), int8=False).folder
    text = ov.Core().read_model(folder / "keen-x2.xml").get_rt_info("keenframe").astype(str)
    assert json.loads(text)["name"] == "keen-x2"
    pytest.importorskip("ai_edge_litert", reason="pip install 'keenframe[export]'")
    folder = convert(MODELS / "keen-x2.onnx", "litert", tmp_path, size=(32, 32), int8=False).folder
    assert b'"network": "keen-x2"' in (folder / "keen-x2.tflite").read_bytes()


def test_what_cannot_be_converted_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"in multiples of 8; got 100x90, the next is 104x96"):
        convert(MODELS / "keen.onnx", "onnx", tmp_path, size=(100, 90))
    with pytest.raises(TrainError, match=r"is int8; expected the float model"):
        convert(MODELS / "keen-int8.onnx", "onnx", tmp_path)
    with pytest.raises(TrainError, match=r"unknown format 'coreml'; expected one of onnx, openvino"):
        convert(MODELS / "keen.onnx", "coreml", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_runtime_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keenframe_train.export.litert", None)
    with pytest.raises(TrainError, match=r"--to litert runs what it has written.*keenframe\[export\]"):
        load_format("litert")


def test_a_format_that_computes_something_else_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = parity.open_model

    def off(model: bytes, threads: int) -> parity.Run:
        expected = real(model, threads)
        return lambda feeds: {name: array + 0.1 for name, array in expected(feeds).items()}

    monkeypatch.setattr(parity, "open_model", off)
    with pytest.raises(TrainError, match=r"differs from the float network by 3\.9e-04 of the range"):
        convert(MODELS / "keen-x2.onnx", "onnx", tmp_path, size=(64, 64))
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path: Path) -> None:
    done = run("export", "keen-x2", "--to", "onnx", "--size", "64x48", "--no-int8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "keen-x2-onnx-64x48, run in onnxruntime" in done.stdout and "keen-x2-condition" in done.stdout
    assert sorted(path.name for path in (tmp_path / "models/keen-x2-onnx-64x48").iterdir()) == [
        "keen-x2-condition.onnx",
        "keen-x2.json",
        "keen-x2.onnx",
    ]


def test_a_run_becomes_files_in_another_format(data: Path, tmp_path: Path) -> None:
    run_of(KEEN, tmp_path / "run", seed=1)
    arguments = ["--data", str(data), "--to", "onnx", "--size", "64x64", "--no-int8"]
    done = run("export", "run", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models/tiny.onnx").exists()
    card = json.loads((tmp_path / "models/tiny-onnx-64x64/tiny.json").read_text())
    assert card["model"]["name"] == "tiny" and card["files"][0]["difference"] <= 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["keen"], "is no run's folder; a model is written for another runtime with --to"),
        (
            ["keen", "--to", "tflite"],
            "unknown format 'tflite'; expected one of onnx, openvino, litert, ncnn, web",
        ),
        (["keen", "--to", "onnx", "--name", "x"], "--name is for exporting a run"),
        (["kein", "--to", "onnx"], "there is no model 'kein'"),
        (["/"], "pass --data with a folder of them"),
        (["keen", "--to", "web", "--size", "64x64"], "takes any size; leave --size 64x64 out"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run("export", *arguments, cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_file_that_gives_no_numbers_is_refused(value: float, tmp_path: Path) -> None:
    class Broken:
        NAME, PACKAGE, write = "broken", "onnxruntime", staticmethod(onnx_portable.write)

        @staticmethod
        def open_file(path: Path, threads: int) -> parity.Run:
            run = onnx_portable.open_file(path, threads)
            return lambda feeds: {name: np.full_like(array, value) for name, array in run(feeds).items()}

    spec, network = read_spec(MODELS / "keen-x2.onnx"), networks_of(MODELS / "keen-x2.onnx", None)[0]
    frames = frames_for(spec, (64, 48), None)[:1]
    with pytest.raises(TrainError, match="gives NaN or infinity as sharpened"):
        parity.write_and_compare(Broken(), network, network, tmp_path, "{}", None, frames)


def test_experts_are_compared_on_frames_of_their_own_kind(data: Path) -> None:
    spec = read_spec(MODELS / "keen.onnx")
    kinds = [{sample.kind for sample in frames_for(spec, None, data, whose)} for whose in (None, False, True)]
    assert kinds[0] == kinds[1] | kinds[2] and kinds[2] == {"call-full"}
    enlarged, arrived = (
        [s for s in frames_for(spec, None, None, whose) if s.kind == "call"] for whose in (False, True)
    )
    assert len(enlarged) == len(arrived) == 3
    for large, small in zip(enlarged, arrived, strict=True):
        assert large.degraded.shape[0] == pytest.approx(2 * small.degraded.shape[0], abs=8)
        # What was sent, and not another picture: closer than the enlarged frame is to the camera's.
        assert psnr(small.degraded, small.pristine) > psnr(large.degraded, large.pristine) > 20
    assert [network.full_size for network in networks_of(MODELS / "keen.onnx")] == [False, False, True, True]
    assert [network.full_size for network in networks_of(MODELS / "keen-x2.onnx")] == [None]
