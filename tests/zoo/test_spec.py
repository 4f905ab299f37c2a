from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from keenframe.errors import ModelError
from keenframe.zoo.spec import METADATA_KEY, ModelSpec, load_spec
from keenframe.zoo.store import MODELS, list_models
from models import CONDITION, build, build_rgb


def test_a_spec_survives_json() -> None:
    spec = ModelSpec(
        name="keen",
        version="1.2",
        scale=2,
        size_multiple=2,
        precision="int8",
        radius=36,
        enlarging="bicubic",
        condition=dict(CONDITION),
        parameters=46_000,
        measured={"val R2": {"psnr_db": 32.5}},
        training_data="Ünicode",
    )
    text = spec.to_json()
    assert "sha256" not in text
    assert ModelSpec.from_json(text) == spec


def test_a_model_written_before_there_was_rgb_is_what_it_was() -> None:
    spec = ModelSpec.from_json('{"name": "keen", "schema": 1, "color": "luma"}')
    assert (spec.color, spec.whole, spec.role) == ("luma", False, "flagship")
    assert spec.inputs == {"luma", "strength"} and spec.outputs == {"blocks", "residual"}


def test_an_rgb_model_describes_itself(tmp_path: Path) -> None:
    spec = load_spec(build_rgb(tmp_path / "x4.onnx", scale=4, size_multiple=3, radius=9, by_mean=0.1))
    assert (spec.color, spec.scale, spec.size_multiple, spec.whole) == ("rgb", 4, 3, True)
    assert spec.inputs == {"image", "strength"} and spec.outputs == {"pixels", "residual"}
    assert ModelSpec.from_json(spec.to_json(), spec.sha256) == spec


def test_an_rgb_spec_in_a_luma_graph_is_told(tmp_path: Path) -> None:
    path = build(tmp_path / "mixed.onnx", conditioned=False)
    model = onnx.load(path)
    helper.set_model_props(model, {METADATA_KEY: ModelSpec(name="mixed", color="rgb").to_json()})
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"expected inputs \['image', 'strength'\] and outputs \['pixels'"):
        load_spec(path)


def test_load_reads_the_metadata_and_the_hash(unsharp_model: Path) -> None:
    spec = load_spec(unsharp_model)
    assert (spec.name, spec.scale, spec.condition) == ("unsharp", 1, CONDITION)
    assert spec.sha256 == hashlib.sha256(unsharp_model.read_bytes()).hexdigest()


def test_unknown_keys_of_a_later_minor_version_are_ignored() -> None:
    text = ModelSpec(name="keen").to_json().replace("{", '{"colour_of_the_sky": "blue", ', 1)
    assert ModelSpec.from_json(text).name == "keen"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema=2"),
        ({"scale": 3}, "scale=3"),
        ({"color": "cmyk"}, "color='cmyk'"),
        ({"role": "hero"}, "role='hero'"),
        ({"whole": True}, "whole=True"),
        ({"color": "rgb", "size_multiple": 0, "radius": 0}, "size_multiple=0"),
        ({"color": "rgb", "condition": dict(CONDITION)}, "wants a condition"),
        ({"precision": "int4"}, "precision='int4'"),
        ({"size_multiple": 2}, "multiple of 4"),
        ({"size_multiple": 0}, "size_multiple=0"),
        ({"radius": 6}, "radius=6"),
        ({"condition": {"kind": "histogram", "size": 9}}, "histogram"),
    ],
)
def test_what_the_runtime_cannot_honour_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelSpec(**({"name": "keen"} | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"name": 3}',
        '{"name": "a", "scale": "2"}',
        '{"name": "a", "radius": 1.5}',
        '{"name": "a", "color": "rgb", "whole": 1}',
    ],
)
def test_text_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        ModelSpec.from_json(text)


def test_every_truncation_of_a_model_is_told(unsharp_model: Path, tmp_path: Path) -> None:
    data = unsharp_model.read_bytes()
    cut = tmp_path / "cut.onnx"
    for size in [*range(1, 64), *range(64, len(data), 97), len(data) - 1]:
        cut.write_bytes(data[:size])
        with pytest.raises(ModelError, match=r"cut\.onnx"):
            load_spec(cut)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00" * 100, "not a whole ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a whole ONNX file|no ONNX graph"),
        (b"<!DOCTYPE html><html>404</html>", "not a whole ONNX file|no ONNX graph"),
        (b"\xff" * 50, "not a whole ONNX file"),
    ],
)
def test_other_files_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_spec(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_spec(tmp_path / "absent.onnx")


def test_foreign_onnx_is_told(tmp_path: Path) -> None:
    path = build(tmp_path / "foreign.onnx", metadata=False)
    with pytest.raises(ModelError, match=r"no 'keenframe' metadata.*keenframe-train export"):
        load_spec(path)


def test_wrong_inputs_are_told(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["result"])], "g", [image], [result])
    model = helper.make_model(graph)
    helper.set_model_props(model, {METADATA_KEY: ModelSpec(name="other").to_json()})
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"inputs \['image'\].*expected inputs \['luma', 'strength'\]"):
        load_spec(path)


def test_a_damaged_description_names_the_file(tmp_path: Path) -> None:
    path = build(tmp_path / "damaged.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {METADATA_KEY: "{"})
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"'damaged\.onnx'.*not JSON"):
        load_spec(path)


def test_embedded_models_describe_themselves() -> None:
    specs = list_models()
    assert len(specs) == len(list(MODELS.glob("*.onnx")))
    for spec in specs:
        assert spec.licence and spec.recipe and spec.training_data and spec.parameters > 0
