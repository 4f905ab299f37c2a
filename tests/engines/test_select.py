from __future__ import annotations

import json
from pathlib import Path

import pytest

from keenframe.engines import select
from keenframe.errors import EngineError
from keenframe.zoo.spec import ModelSpec, load_spec


@pytest.fixture
def two_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Two engines are installed and onnxruntime measures as the faster; the list counts measurements."""
    measured: list[str] = []

    def measure(names: list[str], *_: object) -> dict[str, float]:
        measured.append(",".join(names))
        return {"openvino": 3.0, "onnxruntime": 2.0}

    monkeypatch.setenv(select.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(select, "installed_engines", lambda: ["openvino", "onnxruntime"])
    monkeypatch.setattr(select, "measure_engines", measure)
    return measured


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec(name="keen", sha256="ab")


def test_the_faster_engine_is_chosen_once(two_engines: list[str], spec: ModelSpec) -> None:
    for _ in range(3):
        assert select.choose_engine(Path("keen.onnx"), spec) == "onnxruntime"
    assert two_engines == ["openvino,onnxruntime"]
    assert len(json.loads(select.cache_file().read_text())) == 1


def test_another_model_or_thread_count_is_measured_anew(two_engines: list[str], spec: ModelSpec) -> None:
    select.choose_engine(Path("a.onnx"), spec)
    select.choose_engine(Path("a.onnx"), spec, threads=1)
    select.choose_engine(Path("b.onnx"), ModelSpec(name="keen", sha256="cd"))
    assert len(two_engines) == 3
    assert [path.name for path in select.cache_file().parent.iterdir()] == ["engines.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"KEY": 3}', b'{"KEY": {"tpu": 1}}', b'{"KEY": {"openvino": "x"}}'],
)
def test_a_corrupt_cache_is_replaced(two_engines: list[str], spec: ModelSpec, content: bytes) -> None:
    select.choose_engine(Path("a.onnx"), spec)
    key = next(iter(json.loads(select.cache_file().read_text())))
    select.cache_file().write_bytes(content.replace(b"KEY", key.encode()))
    assert select.choose_engine(Path("a.onnx"), spec) == "onnxruntime"
    assert len(two_engines) == 2
    assert json.loads(select.cache_file().read_text())[key] == {"openvino": 3.0, "onnxruntime": 2.0}


def test_an_unwritable_cache_is_ignored(
    two_engines: list[str], spec: ModelSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(select.CACHE_VARIABLE, str(tmp_path / "file"))
    assert select.choose_engine(Path("a.onnx"), spec) == "onnxruntime"


def test_one_engine_needs_no_measurement(monkeypatch: pytest.MonkeyPatch, spec: ModelSpec) -> None:
    monkeypatch.setattr(select, "installed_engines", lambda: ["openvino"])
    assert select.choose_engine(Path("a.onnx"), spec) == "openvino"
    monkeypatch.setattr(select, "installed_engines", list)
    with pytest.raises(EngineError, match="pip install"):
        select.choose_engine(Path("a.onnx"), spec)


def test_measuring_runs_the_model(identity_model: Path) -> None:
    names = select.installed_engines()
    times = select.measure_engines(names, identity_model, load_spec(identity_model), threads=1)
    assert set(times) == set(names) and all(value > 0 for value in times.values())
    with pytest.raises(EngineError, match="no engine runs model"):
        select.measure_engines(["onnxruntime:absent"], identity_model, load_spec(identity_model))


def test_auto_creates_an_installed_engine(identity_model: Path) -> None:
    engine = select.create_engine("auto", identity_model, load_spec(identity_model), threads=1)
    assert engine.name in select.installed_engines()
