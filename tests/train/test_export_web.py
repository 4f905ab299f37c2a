from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from typer.testing import CliRunner

from keenframe.errors import ModelError
from keenframe.zoo.store import find_model
from keenframe_train.cli import app
from keenframe_train.errors import TrainError
from keenframe_train.export.web import MAGIC, export_web
from keenframe_train.recipe import NetworkSpec

from .test_cli_export import KEEN, run_of

TYPES = {"f32": "<f4", "f16": "<f2", "i8": "i1"}


def decode(path: Path) -> tuple[dict, list[tuple[str, NDArray[np.float32]]]]:
    """Header, and names and values of the tensors in their order, as keenframe.js reads them."""
    data = path.read_bytes()
    assert data[:8] == MAGIC
    (length,) = struct.unpack_from("<I", data, 8)
    header = json.loads(data[12 : 12 + length])
    at, tensors = 12 + length, []
    for entry in header["tensors"]:
        kind, count = np.dtype(TYPES[entry["type"]]), int(np.prod(entry["shape"]))
        values = np.frombuffer(data, kind, count, at).astype(np.float32).reshape(entry["shape"])
        at += count * kind.itemsize
        if entry["type"] == "i8":
            edge = entry["shape"][entry["axis"]]
            steps = np.frombuffer(data, "<f4", edge, at)
            values = values * steps.reshape([-1 if i == entry["axis"] else 1 for i in range(values.ndim)])
            at += 4 * edge
        tensors.append((entry["name"], values))
    assert at == len(data)
    return header, tensors


def initialisers(model: Path) -> dict[str, NDArray[np.float32]]:
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(model).graph.initializer}
    for name in [name for name in stored if ".int8" in name]:
        product = stored[name].astype(np.float32) * stored[name.replace(".int8", ".step")]
        stored[name.replace(".int8", "")] = product
    for name in [name for name in stored if ".half" in name]:
        stored[name.replace(".half", "")] = stored[name].astype(np.float32)
    return stored


BOTH = {"blocks": 3, "embedding": 32}
EXPERTS = {
    # The trunk lies where the head does.
    "keen": ({**BOTH, "head": 32, "trunk": 32, "inner": [16] * 3, "stride": 1},) * 4,
    # Without a trunk, and with a deeper one.
    "keen-nano": (
        {**BOTH, "head": 16, "trunk": 0, "inner": [16] * 3, "stride": 1},
        {**BOTH, "head": 16, "trunk": 32, "inner": [32] * 3, "stride": 2},
    ),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_every_weight_is_exactly_the_onnx_files(name: str, tmp_path: Path) -> None:
    model = find_model(f"{name}-float")
    header, tensors = decode(export_web(model, tmp_path))
    assert (header["name"], header["steady"]) == (name, True)
    assert header["experts"] == list(EXPERTS[name])
    assert header["fullSize"] == {"keen": 2, "keen-nano": 1}[name]
    stored, expert = initialisers(model), 0
    for index, (tensor, values) in enumerate(tensors):
        expert += index > 0 and tensors[index - 1][0] == "idct.weight"
        wanted = stored[tensor + (f".{expert}" if expert else "")]
        if (
            tensor == "up.weight" and EXPERTS[name][expert]["stride"] == 1
        ):  # a plain convolution: read the other way
            wanted = wanted.swapaxes(0, 1)
        np.testing.assert_array_equal(values, wanted)
    assert tensors[-1][0] == "idct.weight" and expert == len(EXPERTS[name]) - 1


@pytest.mark.parametrize("name", ["keen-int8", "keen-x2", "edsr-plain"])
def test_models_that_the_browser_does_not_run_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainError, match="the browser runs float `keen` networks"):
        export_web(find_model(name), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_trunk_that_the_engine_does_not_know_is_refused(data: Path, tmp_path: Path) -> None:
    deep = dataclasses.replace(KEEN, network=NetworkSpec("keen", {"head": 8, "trunk": 8, "stride": 4}))
    run = run_of(deep, tmp_path / "tiny", 1)
    arguments = ["export", str(run), "--no-int8", "--data", str(data), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with pytest.raises(TrainError, match="4 of its head"):
        export_web(tmp_path / "out" / "tiny.onnx", tmp_path / "web")
    assert not (tmp_path / "web").exists()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no")
    with pytest.raises(ModelError, match=r"text\.onnx"):
        export_web(tmp_path / "text.onnx", tmp_path)


def test_a_run_becomes_a_web_model(data: Path, tmp_path: Path) -> None:
    run = run_of(KEEN, tmp_path / "tiny", 1)
    arguments = ["export", str(run), "--to", "web", "--no-int8", "--out", str(tmp_path / "out")]
    with pytest.raises(TrainError, match="pass --data"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    result = CliRunner().invoke(app, [*arguments, "--data", str(data)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"tiny.kfm", "tiny.onnx"}
    header, tensors = decode(tmp_path / "out" / "tiny.kfm")
    assert [expert["blocks"] for expert in header["experts"]] == [1] and header["route"] is None
    assert {values.dtype for _, values in tensors} == {np.dtype(np.float32)}
