from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import CPU_ENGINES
from keenframe.engines import native, select
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
    [
        b"",
        b"{",
        b"[]",
        b"[" * 200_000,
        b"\xff\xfe",
        b'{"KEY": 3}',
        b'{"KEY": {"tpu": 1}}',
        b'{"KEY": {"openvino": "x"}}',
    ],
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


@pytest.mark.parametrize("busy", [0, 14])
def test_a_busy_machine_is_measured_for_longer(
    monkeypatch: pytest.MonkeyPatch, spec: ModelSpec, busy: int
) -> None:
    """Something else has the processor for the first frames, the faster engine's above all."""
    now, frames = [0.0], {"native": 0, "openvino": 0}

    def run(name: str) -> None:
        frames[name] += 1
        left = busy - frames[name] if name == "native" else -1
        delay_s = 0.02 * 1.15**left if left >= 0 else 0
        now[0] += {"native": 0.005, "openvino": 0.010}[name] + delay_s

    def engine(name: str, *_: object) -> SimpleNamespace:
        return SimpleNamespace(run=lambda *_: run(name), close=lambda: None)

    monkeypatch.setattr(select, "create_engine", engine)
    monkeypatch.setattr(select, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    times = select.measure_engines(list(frames), Path("keen.onnx"), spec)
    assert times == {"native": 5.0, "openvino": 10.0}
    assert now[0] < (3 if busy else 1)


def test_what_is_remembered_can_be_replaced(two_engines: list[str], spec: ModelSpec) -> None:
    names = ["openvino", "onnxruntime"]
    assert select.remembered(names, spec) is None
    assert select.choose_engine(Path("a.onnx"), spec) == "onnxruntime"
    assert select.remembered(names, spec) == {"openvino": 3.0, "onnxruntime": 2.0}
    assert select.remember({"openvino": 1.0, "onnxruntime": 2.0}, names, spec)
    assert select.choose_engine(Path("a.onnx"), spec) == "openvino"
    assert len(two_engines) == 1


NARROW = """
import sys
from keenframe.engines.select import available_engines
from keenframe.errors import EngineError
from keenframe.sharpener import Sharpener
assert Sharpener("keen-nano", "native").engine_name == Sharpener("keen-nano", "NATIVE").engine_name == "native"
assert not {"openvino", "onnxruntime"} & set(sys.modules)
if len(sys.argv) > 1:
    assert "native" in available_engines() and "openvino" not in available_engines()
    try:
        Sharpener("keen-nano", "openvino")
    except EngineError as error:
        assert "'openvino' is installed but cannot be loaded: libtbb is not there; available: nat" in str(error), error
    assert Sharpener("keen-nano", "AUTO").engine_name != "openvino"
    from keenframe.cli import main
    sys.argv = ["keenframe", "doctor"]
    main()
"""


@pytest.mark.skipif(not native.supported(), reason="our own engine has no library for this machine")
@pytest.mark.parametrize("broken", [False, True])
def test_a_library_that_cannot_be_loaded_harms_no_other(broken: bool, tmp_path: Path) -> None:
    """What is not asked for is not even imported."""
    package = tmp_path / "openvino"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libtbb is not there')")
    sources = str(Path(select.__file__).parents[2])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), sources] if broken else [sources]),
        select.CACHE_VARIABLE: str(tmp_path / "cache"),
    }
    words = [sys.executable, "-c", NARROW, *(["broken"] if broken else [])]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if broken:
        assert re.search(r"openvino +✗ .*cannot be loaded: libtbb is not there", done.stdout)


@pytest.mark.skipif(len(CPU_ENGINES) < 2, reason="one engine is installed")
def test_what_is_remembered_and_does_not_load_any_more_is_measured_anew(
    monkeypatch: pytest.MonkeyPatch, identity_model: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv(select.CACHE_VARIABLE, str(tmp_path))
    spec, names_of = load_spec(identity_model), select._names_of

    def names(library: str) -> list[str]:
        if library == "openvino":
            raise EngineError("libtbb is not there")
        return names_of(library)

    assert select.remember({"openvino": 1.0, "onnxruntime": 2.0}, select.engines_for(spec), spec, 1)
    monkeypatch.setattr(select, "_names_of", names)
    assert select.create_engine("auto", identity_model, spec, 1).name == "onnxruntime"
    assert set(select.remembered(select.engines_for(spec), spec, 1) or {}) == {"onnxruntime"}


def test_auto_creates_an_installed_engine(identity_model: Path) -> None:
    engine = select.create_engine("auto", identity_model, load_spec(identity_model), threads=1)
    assert engine.name in select.installed_engines()
