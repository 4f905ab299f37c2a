"""The comparison with peers and the roofline: loaders of others' files, fair treatment, and whole small runs."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from benchmarks import live, roofline
from benchmarks.peers.__main__ import app
from benchmarks.peers.methods import INPUT, Filter, Line, Method, all_methods, shrunk
from benchmarks.peers.networks import Compact, DnCnn, WebSr
from benchmarks.peers.quality import SMALL, make_case, measure, restored
from benchmarks.peers.report import beaten, figure, markdown, summary
from benchmarks.peers.speed import jobs, measure_speed
from onnx import helper
from typer.testing import CliRunner

from keenframe.errors import KeenframeError
from keenframe.metrics import luma
from keenframe.zoo.store import MODELS, find_model, read_spec
from keenframe_train.data.images import find_images
from keenframe_train.errors import TrainError

from .conftest import picture


def websr_file(path: Path, layers: int = 2) -> dict[str, dict[str, list[float]]]:
    """websr's JSON of a network with so many layers of eight channels, random weights."""
    random = np.random.default_rng(3)
    stems = ["conv2d_tf", *(f"conv2d_{number}_tf" for number in range(1, layers))]
    entries = {}
    for index, stem in enumerate(stems):
        for end in ("", "1"):
            count = 9 * 16 * (4 if index else 1)
            entries[stem + end] = {
                "weights": random.normal(0, 0.2, count).tolist(),
                "bias": [0.1, 0, -0.1, 0],
            }
    for end in ("", "1", "2"):
        count = 16 * 4 * layers
        entries[f"conv2d_last_tf{end}"] = {
            "weights": random.normal(0, 0.2, count).tolist(),
            "bias": [0.0] * 4,
        }
    path.write_text(json.dumps({"name": "test", "layers": entries}))
    return entries


def test_websr_computes_what_its_shaders_compute(tmp_path: Path) -> None:
    entries = websr_file(tmp_path / "w.json")
    image = np.random.default_rng(4).random((3, 6, 7)).astype(np.float32)

    def matrices(name: str) -> np.ndarray:
        # WGSL's mat4x4 lies column after column: [matrix, column, row].
        return np.array(entries[name]["weights"]).reshape(-1, 4, 4)

    def shader(name: str, sources: list[np.ndarray], row: int, column: int) -> np.ndarray:
        total = np.array(entries[name]["bias"])
        for number, source in enumerate(sources):
            for index in range(9):
                x, y = column + index // 3 - 1, row + index % 3 - 1
                if 0 <= y < source.shape[1] and 0 <= x < source.shape[2]:
                    total = total + matrices(name)[9 * number + index].T @ source[:, y, x]
        return total

    def layer(names: list[str], sources: list[np.ndarray]) -> list[np.ndarray]:
        shape = (4, 6, 7)
        return [
            np.array([shader(name, sources, y, x) for y in range(6) for x in range(7)]).T.reshape(shape)
            for name in names
        ]

    def signs(groups: list[np.ndarray]) -> list[np.ndarray]:
        return [np.maximum(sign * group, 0) for sign in (1, -1) for group in groups]

    first = layer(["conv2d_tf", "conv2d_tf1"], [np.concatenate([image, np.ones((1, 6, 7))])])
    second = layer(["conv2d_1_tf", "conv2d_1_tf1"], signs(first))
    read = [*signs(first), *signs(second)]
    y, x = 2, 4
    with torch.no_grad():
        found = WebSr(tmp_path / "w.json")(torch.tensor(image)[None])[0].numpy()
        base = torch.nn.functional.interpolate(torch.tensor(image)[None], scale_factor=2, mode="bilinear")[0]
    assert found.shape == (3, 12, 14)
    for colour, end in enumerate(("", "1", "2")):
        name = f"conv2d_last_tf{end}"
        value = sum(matrices(name)[i].T @ source[:, y, x] for i, source in enumerate(read))
        for place in range(4):
            at = (colour, 2 * y + place // 2, 2 * x + place % 2)
            assert found[at] == pytest.approx(float(base[at]) + value[place], abs=1e-4)


def compact_files(folder: Path) -> Path:
    """A tiny network of Real-ESRGAN's compact kind in ncnn's two files, one layer in float16."""
    random = np.random.default_rng(5)
    text = [
        "7767517", "8 9", "Input data 0 1 data", "Split split 1 2 data data_0 data_1",
        "Convolution a 1 1 data_1 1 0=8 1=3 4=1 5=1 6=216", "PReLU b 1 1 1 2 0=8",
        "Convolution c 1 1 2 3 0=12 1=3 4=1 5=1 6=864", "PixelShuffle d 1 1 3 4 0=2",
        "Interp e 1 1 data_0 5 0=1 1=2.0 2=2.0", "BinaryOp f 2 1 4 5 output",
    ]  # fmt: skip
    (folder / "x.param").write_text("\n".join(text) + "\n")
    first, slopes = random.normal(0, 0.2, 216).astype("<f2"), random.uniform(0, 0.5, 8).astype("<f4")
    second = random.normal(0, 0.1, 864).astype("<f4")
    parts = [
        struct.pack("<I", 0x01306B47), first.tobytes(), np.full(8, 0.1, "<f4").tobytes(), slopes.tobytes(),
        struct.pack("<I", 0), second.tobytes(), np.zeros(12, "<f4").tobytes(),
    ]  # fmt: skip
    (folder / "x.bin").write_bytes(b"".join(parts))
    return folder / "x.param"


def test_ncnn_files_are_read_as_ncnn_reads_them(tmp_path: Path) -> None:
    ncnn = pytest.importorskip("ncnn", reason="pip install 'keenframe[export]'")
    param = compact_files(tmp_path)
    image = np.random.default_rng(6).random((3, 8, 12)).astype(np.float32)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(image).clone())
    expected = np.array(extractor.extract("output")[1])
    with torch.no_grad():
        found = Compact(param)(torch.tensor(image)[None])[0].numpy()
    assert found.shape == expected.shape == (3, 16, 24)
    assert np.abs(found - expected).max() < 1e-4
    with param.with_suffix(".bin").open("ab") as file:
        file.write(b"more")
    with pytest.raises(TrainError, match="disagree"):
        Compact(param)


def test_dncnn_is_read_in_the_order_of_its_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    parts = torch.nn.Sequential(*(
        torch.nn.Conv2d(*shape, 3, padding=1) for shape in ((1, 4), *(((4, 4),) * 9), (4, 1))
    ))  # fmt: skip
    state = {f"model.{2 * index}.{key}": value for index, part in enumerate(parts)
             for key, value in part.state_dict().items()}  # fmt: skip
    torch.save(dict(sorted(state.items())), tmp_path / "d.pth")  # "model.10" before "model.2"
    x = torch.rand(1, 1, 9, 9)
    expected = x
    for index, part in enumerate(parts):
        expected = part(expected) if index == len(parts) - 1 else torch.relu(part(expected))
    with torch.no_grad():
        assert torch.allclose(DnCnn(tmp_path / "d.pth")(x), x - expected, atol=1e-6)
    state["model.1.running_mean"] = torch.zeros(4)
    torch.save(state, tmp_path / "d.pth")
    with pytest.raises(TrainError, match="is no DnCNN for gray pictures with its normalisations folded"):
        DnCnn(tmp_path / "d.pth")


def test_peers_without_weights_are_named_and_not_guessed(tmp_path: Path) -> None:
    websr_file(tmp_path / "websr-anime4k-cnn-2x-l-rl.json")
    line = all_methods(tmp_path, [], threads=1)
    names = [method.name for method in line.methods]
    assert "websr large" in names and "FSRCNN" not in names
    assert line.absent["FSRCNN"] == "not run: FSRCNN_x2.pb, FSRCNN_x4.pb not in --weights"
    assert set(line.absent) == {"FSRCNN", "ESPCN", "realesr-general-x4v3", "DnCNN-3"}
    assert {"keen-float", "keen-int8", "keen-x2-int8"} <= {m.name for m in line.methods if m.ours}
    found = next(m for m in line.methods if m.name == "websr large").enlarge(picture(1, 40, 48), 2)
    assert found.shape == (80, 96, 3)


def test_methods_that_enlarge_get_the_small_picture_where_there_is_one(data: Path) -> None:
    file = find_images(data / "val")[0]
    seen: list[tuple[int, ...]] = []

    def double(small: np.ndarray) -> np.ndarray:
        seen.append(small.shape)
        return small.repeat(2, 0).repeat(2, 1)

    method = Method("double", "luma", {2: double}, "")
    for kind, (_, factor) in SMALL.items():
        case = make_case(file, kind)
        assert case.small is not None and case.small[1] == factor
        seen.clear()
        found = restored(method, case)
        height, width = case.pristine.shape[:2]
        assert found is not None and found.shape == (height, width)
        assert seen == [(height // factor, width // factor), (height // 2, width // 2)][: factor // 2]
    for kind in ("r3", "call-full"):
        case = make_case(file, kind)
        assert case.small is None
        assert np.array_equal(restored(method, case), luma(case.shown))  # enlarged and shrunk back
        small_only = Method("x", "luma", {2: double}, "", small_only=True)
        assert restored(small_only, case) is None


def test_the_small_picture_is_the_one_that_is_shown_enlarged(data: Path) -> None:
    file = find_images(data / "val")[0]
    for kind in ("r1", "r2", "r5", "call-half"):
        case = make_case(file, kind)
        assert case.small is not None
        small = luma(case.small[0]).astype(float)
        again = shrunk(luma(case.shown), case.small[1]).astype(float)
        other = shrunk(luma(make_case(find_images(data / "val")[1], kind).shown), 2).astype(float)
        assert np.abs(small - again).mean() < 4 < np.abs(small - other).mean()


@pytest.mark.parametrize(("name", "options"), [("unsharp", "5:5:1.0"), ("cas", "0.5")])
def test_filters_of_ffmpeg_sharpen_in_place(name: str, options: str) -> None:
    plane = picture(7, 64, 80)[..., 0]
    sharpen = Filter(name, options, threads=1)
    found = [sharpen(plane) for _ in range(2)] + [sharpen(plane[:48])]
    assert np.array_equal(found[0], found[1]) and found[2].shape == (48, 80)
    assert found[0].astype(float).std() > plane.astype(float).std()
    assert np.abs(found[0].astype(int) - plane).mean() < 20


def stamp(name: str, ours: bool = False) -> Method:
    return Method(name, "luma", {1: lambda plane: plane // 2}, "a test", ours)


def test_measuring_and_reporting(data: Path, tmp_path: Path) -> None:
    line = Line(
        [Method(INPUT, "luma", {1: lambda plane: plane}, ""), stamp("half"), stamp("keen-int8", True)]
    )
    line.absent["Other"] = "not run: other.bin not in --weights"
    records = []
    for file in find_images(data / "val")[:2]:
        scores, failed = measure(make_case(file, "r1"), line.methods)
        assert not failed and scores[INPUT][2] == 1.0 and scores["half"][0] < scores[INPUT][0]
        records.append({"preset": "r1", "name": file.path.name, "category": file.category, "scores": scores})
    speed = measure_speed(jobs(line.methods, 64, 48), rounds=3, limit_s=1)
    assert {(row["method"], row["task"]) for row in speed} == {("half", "same"), ("keen-int8", "same")}
    rows = summary(line, records, speed, ["r1"])
    text = markdown(line, rows, ["r1"], 2, "a machine", "64x48")
    assert "- Other: not run: other.bin not in --weights" in text and "| **keen-int8** |" in text
    figure(rows, ["r1"], tmp_path / "f.png", "a test")
    assert (tmp_path / "f.png").stat().st_size > 5000


def test_a_peer_that_is_faster_and_better_is_told() -> None:
    def row(method: str, ours: bool, gain: float, ms: float) -> dict[str, object]:
        return {"kind": "call", "method": method, "ours": ours, "gain_db": gain, "time_ms": ms}

    rows = [row("keen", True, 0.5, 15), row("slow", False, 0.9, 20), row("weak", False, 0.1, 1)]
    assert beaten(rows, "call") == []
    assert beaten([*rows, row("best", False, 0.6, 10)], "call") == [("best", "keen")]


def test_a_whole_comparison_goes_on_where_it_was_stopped(data: Path, tmp_path: Path) -> None:
    arguments = [
        "--data", str(data), "--out", str(tmp_path), "--kind", "r1", "--limit", "1", "--size", "96x64", "--rounds",
        "3", "--method", "unsharp mask", "--method", "bicubic", "--method", "keen-int8",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    journal = tmp_path / "quality" / "journal.jsonl"
    before = journal.read_text()
    assert len(before.splitlines()) == 2  # two categories
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["machine"]["versions"]["openvino"] and content["pictures"] == 2
    assert {row["method"] for row in content["rows"]} == {INPUT, "unsharp mask", "bicubic", "keen-int8"}
    assert all(row["time_ms"] for row in content["rows"] if row["method"] != INPUT)
    journal.write_text(before.splitlines(keepends=True)[0])
    done = CliRunner().invoke(app, [*arguments, "--only", "quality"], catch_exceptions=False)
    assert done.exit_code == 0 and sorted(journal.read_text()) == sorted(before)
    # What another file of the model gave is not mixed with what this one gives.
    about = tmp_path / "quality" / "run.json"
    stored = json.loads(about.read_text())
    assert stored["arguments"]["models"]["keen-int8"] == read_spec(find_model("keen-int8")).sha256[:16]
    stored["arguments"]["models"]["keen-int8"] = "0" * 16
    about.write_text(json.dumps(stored))
    with pytest.raises(KeenframeError, match="run with other arguments"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_comparison_says_what_it_does_not_know(data: Path, tmp_path: Path) -> None:
    for option, value in (("--kind", "r9"), ("--method", "magic")):
        with pytest.raises(TrainError, match=rf"unknown (damage|method) {value}"):
            arguments = ["--data", str(data), "--out", str(tmp_path), option, value]
            CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_operations_of_a_model_are_counted() -> None:
    found = roofline.operations(MODELS / "keen-nano-int8.onnx")
    assert found["/first.0/Conv"] == 16 * 9 and found["/pixels/Conv"] == 16
    # Of its second expert, which has a trunk.
    assert found["/first.0/Conv.1"] == 32 * 9 and found["/down/Conv.1"] == 16 * 4
    assert found["/up/ConvTranspose.1"] == 32


def test_the_chain_that_measures_int8_computes_in_int8() -> None:
    import openvino as ov

    compiled = ov.Core().compile_model(roofline.chain(32, 32, "int8"), "CPU", {"PERF_COUNT": True})
    compiled(np.random.default_rng(0).random((1, 32, 32, 32), np.float32))
    kinds = {
        step.get_rt_info()["primitiveType"].astype(str)
        for step in compiled.get_runtime_model().get_ops()
        if step.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    if not any("avx512" in kind or "amx" in kind or "I8" in kind for kind in kinds):
        pytest.skip(f"this processor multiplies no INT8 in OpenVINO: {kinds}")
    assert all(kind.endswith("I8") for kind in kinds)


def test_a_roofline_accounts_for_the_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "CHAINS", ((32, 24),))
    out = tmp_path / "roofline.json"
    roofline.roofline("keen-int8", "128x96", 1, 2, 0.01, out)
    content = json.loads(out.read_text())
    names = {row["name"] for row in content["layers"] if row["gops"]}
    assert {"/first.2/Conv", "/tail/Conv", "/head/Conv", "/up/Conv"} <= names
    assert content["counted_ms"] == pytest.approx(sum(content["where_ms"].values()))
    # Of the first expert, all of which lies at 4x4 blocks: three blocks, head and tail, steps down and up.
    positions = 128 * 96 / 16
    blocks = 6 * 32 * 16 * 9
    ends = 16 * 9 * 32 + 32 * 9 * 16 + 16 * 16 * 2 + 16 * 16
    assert content["gops_a_frame"] == pytest.approx(2e-9 * (blocks + ends + 2 * 32 * 32) * positions, rel=0.1)
    assert "at the INT8 peak" in capsys.readouterr().out


def test_models_of_others_are_no_onnx_of_ours(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph), tmp_path / "x.onnx")
    with pytest.raises(Exception, match="carries no 'keenframe' metadata"):
        all_methods(None, [str(tmp_path / "x.onnx")], threads=1)


def test_a_soak_prints_its_numbers_and_writes_them_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {
        "fps": 30.0,
        "latency_ms": {"p95": 20.0},
        "rss_slope_mb_per_minute": 0.1,
        "undeclared_drops": 0,
    }
    monkeypatch.setattr(live, "soak", lambda given: numbers)
    monkeypatch.setattr("sys.argv", ["live.py"])
    assert live.main() == 0 and json.loads(capsys.readouterr().out) == numbers
    target = tmp_path / "new" / "soak.json"
    monkeypatch.setattr("sys.argv", ["live.py", "--json", str(target)])
    assert live.main() == 0 and json.loads(target.read_text()) == numbers
    monkeypatch.setattr("sys.argv", ["live.py", "--json", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        live.main()
    assert "is a folder" in capsys.readouterr().err
