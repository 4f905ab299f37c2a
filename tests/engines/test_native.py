"""Our own engine: the same sums as ONNX Runtime's, in parts and rows of any number, and no more than it promises."""

from __future__ import annotations

import _ctypes
import hashlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from conftest import CPU_ENGINES, picture
from keenframe.engines import native, select
from keenframe.engines.base import Variant
from keenframe.engines.chain import Chain, Kind
from keenframe.engines.cpu import KERNELS, physical_cores, usable_cores
from keenframe.engines.native import NativeEngine, first_rows, ring_sizes
from keenframe.engines.select import available_engines, create_engine, engines_for, measure_engines, model_for
from keenframe.errors import EngineError
from keenframe.frame import Frame
from keenframe.metrics import psnr
from keenframe.sharpener import Sharpener
from keenframe.steady import ENLARGED, FULL_SIZE, Memory, Past, kept_share
from keenframe.zoo.store import find_model, list_models, read_spec

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "native"
MODELS = [spec.name for spec in list_models() if native.runs(spec)]
LIBRARIES = native.libraries()
here = pytest.mark.skipif(not native.supported(), reason="the engine has no library for this machine")


def luma(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Structure and noise, so that the codes are spread and few sums lie between two of them."""
    plane = picture(height, width)[:, :, 1] + np.random.default_rng(seed).normal(0, 6, (height, width))
    return np.ascontiguousarray(plane.clip(0, 255).astype(np.uint8))


def condition(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2, 1.5, 128).astype(np.float32)


def test_there_are_models_for_it() -> None:
    assert set(MODELS) == {"keen-int8", "keen-base-int8", "keen-nano-int8"}
    assert not native.runs(read_spec(find_model("keen-float")))
    assert not native.runs(read_spec(find_model("keen-x2-int8")))


@here
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 96), (72, 200), (136, 392)])
def test_it_computes_what_onnx_runtime_does(name: str, height: int, width: int) -> None:
    path = find_model(name)
    spec = read_spec(path)
    own, other = (create_engine(engine, path, spec, threads=2) for engine in ("native", "onnxruntime"))
    plane = luma(height, width)
    for expert in range(spec.experts):
        # With seed 1 an expert of `keen` hardly changes the picture, and a few codes that fall either way are a tenth.
        for seed in (0, 2):
            residuals = [each.run_residual(plane, condition(seed), expert).copy() for each in (own, other)]
            pixels = [each.run(plane, condition(seed), 0.7, expert).copy() for each in (own, other)]
            # A sum that lies between two codes may be rounded to either of them; what follows differs by little.
            assert psnr(*pixels, ceiling_db=99.0) > 56
            assert (residuals[0] - residuals[1]).std() < 0.1 * residuals[1].std()
            past = Past(
                np.random.default_rng(seed).integers(0, 256, pixels[0].shape, np.uint8),
                np.random.default_rng(seed).random(pixels[0].shape[:2], np.float32),
            )
            kept = [each.run(plane, condition(seed), 1.0, expert, past).copy() for each in (own, other)]
            assert psnr(*kept, ceiling_db=99.0) > 56


@here
@pytest.mark.parametrize("library", LIBRARIES[1:], ids=lambda path: path.stem)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(16, 16), (24, 40), (72, 200), (248, 1000)])
def test_all_libraries_compute_the_same(library: Path, name: str, size: tuple[int, int]) -> None:
    path, plane, random = find_model(name), luma(*size), np.random.default_rng(0)
    blocks = (size[0] // 4, size[1] // 4)
    past = Past(random.integers(0, 256, (*blocks, 16), np.uint8), random.random(blocks, np.float32))
    before = np.ascontiguousarray(plane[::-1][::2])
    engines = [NativeEngine(path, read_spec(path), 2, each) for each in (LIBRARIES[0], library)]
    for expert in (0, 1):
        for wanted, found in zip(
            *(
                (
                    engine.run(plane, condition(), 0.7, expert).copy(),
                    engine.run(plane, condition(), 1.0, expert, past).copy(),
                    engine.run_residual(plane, condition(), expert).copy(),
                    engine.kept_share(plane, before, ENLARGED).copy(),
                )
                for engine in engines
            ),
            strict=True,
        ):
            np.testing.assert_array_equal(found, wanted)


@here
@pytest.mark.parametrize("expert", [0, 1])
@pytest.mark.parametrize("size", [(64, 64), (248, 176), (296, 104)])
def test_threads_change_nothing(size: tuple[int, int], expert: int) -> None:
    path = find_model("keen-int8")
    spec, plane = read_spec(path), luma(*size)
    results = [
        NativeEngine(path, spec, threads).run(plane, condition(), 1.0, expert).copy()
        for threads in (1, 2, 3, 7)
    ]
    assert all(np.array_equal(results[0], other) for other in results[1:])


@here
def test_one_engine_for_many_sizes_conditions_and_outputs() -> None:
    path = find_model("keen-int8")
    spec = read_spec(path)
    engine = NativeEngine(path, spec, 2)
    cases = [(size, seed, expert) for size in ((64, 64), (32, 208)) for seed in (0, 1) for expert in (0, 1)]

    def results(engine: NativeEngine) -> list[np.ndarray]:
        return [engine.run(luma(*size), condition(seed), 1.0, expert).copy() for size, seed, expert in cases]

    first = results(engine)
    prepared, seconds = engine.prepare(64, 64, Variant("pixels", True, 0))
    engine.adopt(64, 64, Variant("pixels", True, 0), prepared)
    assert seconds > 0
    assert all(map(np.array_equal, first, results(engine)))
    engine.close()
    assert all(map(np.array_equal, first, results(engine)))
    alone = [NativeEngine(path, spec, 2).run(luma(*size), condition(s), 1.0, e) for size, s, e in cases]
    assert all(map(np.array_equal, first, alone))


@here
def test_factors_belong_to_the_condition_they_are_kept_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The condition is the engine's: `run` fills it anew while `prepare` still reads it."""
    path = find_model("keen-nano-int8")
    prepared, _ = NativeEngine(path, read_spec(path), 1).prepare(16, 16, Variant())
    shared, bound = condition(0)[None].copy(), Chain.bound

    def overtaken(chain: Chain, given: np.ndarray) -> object:
        found = bound(chain, given)
        shared[0] = condition(1)
        return found

    monkeypatch.setattr(Chain, "bound", overtaken)
    prepared.bind(shared)
    np.testing.assert_array_equal(prepared.condition, condition(0)[None])


@here
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_it_runs_in_a_process_that_was_forked_from_its_own() -> None:
    """The threads are not there, and a lock that another thread held would never be released."""
    plane = luma(192, 64)
    with Sharpener("keen-nano", engine="native", threads=2) as sharpener:
        wanted = sharpener.sharpen(plane)
        child = multiprocessing.get_context("fork").Process(
            target=lambda: os._exit(0 if np.array_equal(sharpener.sharpen(plane), wanted) else 3)
        )
        with sharpener._lock, sharpener._preparing:
            child.start()
            child.join(60)
        child.kill()
        assert child.exitcode == 0
        np.testing.assert_array_equal(sharpener.sharpen(plane), wanted)


@here
@pytest.mark.parametrize("engine", ["native", *CPU_ENGINES])
def test_closing_waits_for_what_is_being_prepared(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, errors, begun = Frame.from_rgb(picture(192, 64)), [], threading.Event()
    sharpener = Sharpener("keen-nano-int8", engine, threads=2)
    infer = sharpener._engine._infer

    def slow(*args: Any) -> Any:
        begun.set()
        time.sleep(0.02)
        return infer(*args)

    def prepare() -> None:
        try:
            sharpener.prepare(frame)
        except Exception as error:
            errors.append(error)

    monkeypatch.setattr(sharpener._engine, "_infer", slow)
    thread = threading.Thread(target=prepare)
    thread.start()
    begun.wait(60)
    sharpener.close()
    thread.join(60)
    assert not errors and not sharpener._engine._prepared


@here
def test_a_library_that_cannot_be_loaded_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, damaged = find_model("keen-nano-int8"), tmp_path / LIBRARIES[0].name
    damaged.write_bytes(b"no library" * 100)
    foreign = Path(_ctypes.__file__)
    for library in (damaged, foreign):
        with pytest.raises(EngineError, match=f"engine 'native' cannot load '{library.name}'"):
            NativeEngine(path, read_spec(path), 1, library)
    monkeypatch.setenv(select.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(native, "libraries", lambda: [damaged])
    assert create_engine("auto", path, read_spec(path), 1).name in CPU_ENGINES


@here
def test_rows_that_do_not_lie_side_by_side_are_read_right() -> None:
    path = find_model("keen-int8")
    engine = NativeEngine(path, read_spec(path), 2)
    wide = luma(64, 128)
    part = np.ascontiguousarray(wide[:, :64])
    wanted = engine.run(part, condition(), 1.0).copy()
    np.testing.assert_array_equal(engine.run(wide[:, :64], condition(), 1.0), wanted)


@here
def test_it_writes_nowhere_else() -> None:
    """The last rows of a picture and of the result end where their memory ends."""
    path = find_model("keen-int8")
    engine = NativeEngine(path, read_spec(path), 2)
    for height, width in ((24, 40), (64, 200)):
        plane = luma(height, width)
        result = engine.run(plane, condition(), 1.0)
        whole = engine._prepared[height, width, Variant()].output
        assert whole is result and result.shape == (height // 4, width // 4, 16)
        guarded = np.full(plane.size + 256, 7, np.uint8)
        guarded[128 : 128 + plane.size] = plane.reshape(-1)
        inner = guarded[128 : 128 + plane.size].reshape(plane.shape)
        np.testing.assert_array_equal(engine.run(inner, condition(), 1.0), result)
        assert (guarded[:128] == 7).all() and (guarded[-128:] == 7).all()


@here
@pytest.mark.parametrize("memory", [FULL_SIZE, ENLARGED])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 36), (64, 148), (248, 200), (1088, 1920)])
def test_it_compares_frames_as_numpy_does(height: int, width: int, memory: Memory) -> None:
    path = find_model("keen-int8")
    random, plane = np.random.default_rng(0), luma(height, width)
    changed = plane + random.integers(-9, 10, plane.shape) * (random.random(plane.shape) < 0.3)
    before = np.ascontiguousarray(changed.clip(0, 255).astype(np.uint8)[::2])
    wanted = kept_share(plane, before, memory)
    assert 0 < wanted.mean() < memory.share
    for threads in (1, 2, 5):
        engine = NativeEngine(path, read_spec(path), threads)
        np.testing.assert_allclose(engine.kept_share(plane, before, memory), wanted, atol=1e-6)
    flipped = plane[:, ::-1]
    found = engine.kept_share(flipped, np.ascontiguousarray(before[:, ::-1]), memory)
    np.testing.assert_allclose(found, wanted[:, ::-1], atol=1e-6)


@here
def test_auto_has_it_to_choose_from() -> None:
    for name in MODELS:
        spec = read_spec(find_model(name))
        assert engines_for(spec)[0] == "native"
    path = find_model("keen-int8")
    times = measure_engines(engines_for(read_spec(path)), path, read_spec(path), threads=1)
    assert times["native"] > 0
    assert "native" not in engines_for(read_spec(find_model("keen-float")))


@here
def test_less_than_the_processor_has_can_be_asked_for() -> None:
    path = find_model("keen-int8")
    names = [name for name in available_engines() if name.startswith("native")]
    assert names == ["native", *(f"native:{native.instructions(each)}" for each in LIBRARIES[1:])]
    for name in names:
        assert create_engine(name, path, read_spec(path)).name == name
        assert model_for("keen", name) == path
        with Sharpener("keen", name) as sharpener:
            assert sharpener.engine_name == name
    with pytest.raises(
        EngineError, match="engine 'native:sse2' is not available on this machine; available: native"
    ):
        create_engine("native:sse2", path, read_spec(path))


@here
@pytest.mark.parametrize("name", ["keen-float", "keen-x2-int8", "edsr-plain"])
def test_what_it_does_not_run_is_refused(name: str) -> None:
    path = find_model(name)
    with pytest.raises(EngineError, match="engine 'native' runs INT8 luma models of scale 1"):
        create_engine("native", path, read_spec(path))


@here
def test_a_sharpener_takes_it_by_name() -> None:
    image = np.stack([luma(70, 90, seed) for seed in range(3)], axis=-1)
    with Sharpener("keen", engine="native") as own, Sharpener("keen", engine="onnxruntime") as other:
        assert own.engine_name == "native" and own.spec.precision == "int8"
        assert psnr(own.sharpen(image), other.sharpen(image), ceiling_db=99.0) > 56


@here
def test_a_machine_without_the_instructions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    path = find_model("keen-int8")
    monkeypatch.setattr(native, "instruction_sets", lambda: frozenset({"avx512f"}))
    assert not native.supported() and "native" not in engines_for(read_spec(path))
    with pytest.raises(
        EngineError, match="needs Linux or Windows on an x86-64 processor with AVX2, or Linux on 64-bit"
    ):
        NativeEngine(path, read_spec(path))


@pytest.mark.parametrize(
    ("system", "machine", "flags", "wanted"),
    [
        (
            "linux",
            "x86_64",
            {"avx2", "fma", "avx_vnni", "avx512bw", "avx512_vnni"},
            ["avx512vnni", "avxvnni", "avx2"],
        ),
        ("linux", "x86_64", {"avx2", "fma", "avx_vnni"}, ["avxvnni", "avx2"]),
        ("linux", "x86_64", {"avx2", "fma", "avx512bw"}, ["avx2"]),
        ("linux", "x86_64", {"avx2", "avx_vnni"}, []),
        ("linux", "x86_64", {"avx512f"}, []),
        ("linux", "aarch64", {"asimddp"}, ["dotprod"]),
        ("linux", "aarch64", set(), []),
        ("linux", "riscv64", {"avx2", "asimddp"}, []),
        ("win32", "AMD64", {"avx2", "fma", "avx_vnni"}, ["avxvnni", "avx2"]),
        ("win32", "ARM64", {"asimddp"}, []),
        ("darwin", "arm64", {"asimddp"}, []),
    ],
)
def test_the_fastest_library_that_runs_here_comes_first(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, flags: set[str], wanted: list[str]
) -> None:
    monkeypatch.setattr(native, "instruction_sets", lambda: frozenset(flags))
    monkeypatch.setattr(native, "sys", SimpleNamespace(platform=system))
    monkeypatch.setattr(native, "platform", SimpleNamespace(machine=lambda: machine))
    found = native.libraries()
    assert [native.instructions(path) for path in found] == wanted
    assert {path.suffix for path in found} <= {".dll" if system == "win32" else ".so"}


@here
def test_where_bytes_saturate_only_our_own_engine_runs_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "fast_int8", lambda: False)
    assert model_for("keen").stem == model_for("keen", "native").stem == "keen-int8"
    assert model_for("keen", "openvino").stem == model_for("keen", "openvino:gpu").stem == "keen"
    assert model_for("keen-x2").stem == "keen-x2"
    assert engines_for(read_spec(find_model("keen-int8"))) == ["native"]
    assert "native" not in engines_for(read_spec(find_model("keen-x2-int8")))
    assert len(engines_for(read_spec(find_model("keen-float")))) == len(
        engines_for(read_spec(find_model("keen-x2-int8")))
    )
    path = find_model("keen-int8")

    def unknown(*args: object) -> None:
        raise EngineError("it does not know Sigmoidal")

    with monkeypatch.context() as patch:
        patch.setattr(native, "read_chain", unknown)
        assert create_engine("auto", path, read_spec(path)).name in ("openvino", "onnxruntime")
    monkeypatch.setattr(native, "libraries", list)
    assert model_for("keen").stem == "keen"


def test_weights_in_pairs_keep_their_order() -> None:
    pairs = native._pairs(np.arange(-8, 8, dtype=np.int8).reshape(2, 2, 4))
    assert pairs.dtype == np.int16 and pairs.flags.c_contiguous
    assert pairs.reshape(4, 4).tolist() == [[-8, -6, -7, -5], [-4, -2, -3, -1], [0, 2, 1, 3], [4, 6, 5, 7]]


@here
def test_a_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = find_model("keen-int8")
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(path.read_bytes().replace(b"LeakyRelu", b"Sigmoidal"))
    with pytest.raises(EngineError, match=r"cannot run model 'changed\.onnx': it does not know Sigmoidal"):
        NativeEngine(changed, read_spec(changed))


NANO = "keen-nano-int8"


@here
def test_sizes_that_its_layers_cannot_halve_are_refused() -> None:
    path = find_model(NANO)
    with pytest.raises(EngineError, match="its sizes are multiples of 4 and not of 8"):
        NativeEngine(path, replace(read_spec(path), size_multiple=4))


@here
def test_what_a_gemm_and_a_slope_leave_out_is_what_onnx_says(tmp_path: Path) -> None:
    """Factors, a missing bias, and a slope's default."""
    model, path = onnx.load(find_model(NANO)), tmp_path / "changed-int8.onnx"
    by_output = {node.output[0]: node for node in model.graph.node}
    del by_output["t20.1"].input[2:]
    for name, factor in (("t6.1", "alpha"), ("t9.1", "beta")):
        next(each for each in by_output[name].attribute if each.name == factor).f = 0.5
    del by_output["t3.1"].attribute[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)
    spec, plane = read_spec(path), luma(64, 96)
    own, other, before = (
        create_engine(engine, file, spec, threads=1).run_residual(plane, condition(), 1).copy()
        for engine, file in (("native", path), ("onnxruntime", path), ("native", find_model(NANO)))
    )
    assert (own - other).std() < 0.1 * other.std() < (own - before).std()


def test_rows_are_kept_as_long_as_they_are_read() -> None:
    kinds = [Kind.LOAD, Kind.CONV3, Kind.DOWN, Kind.CONV3, Kind.CONV3, Kind.UP, Kind.TAIL]
    residuals = [-1, -1, -1, -1, 2, 1, -1]
    assert first_rows(kinds, 0) == [0] * 7
    # The tail's row 19 needs the trunk's row 9, that 7 below two convolutions, and that rows 14 and 15 of the head.
    assert first_rows(kinds, 20) == [13, 14, 7, 8, 9, 9, 20]
    rings = ring_sizes(kinds, residuals, [40, 40, 20, 20, 20, 40], [0] * 7, 40)
    assert rings[0] >= 8 and rings[1] >= 6 and rings[3] == 3 and rings[4] == 1 and rings[5] == 4
    assert 1 <= physical_cores() <= usable_cores()


def test_the_library_was_built_from_this_source() -> None:
    noted = dict(reversed(line.split()) for line in (SOURCE / "BUILT").read_text().splitlines())
    files = [*SOURCE.glob("*.[ch]"), *KERNELS.iterdir()]
    found = {f"./{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert found == noted, "run native/build.sh, with CC=clang-19 or newer"


@here
def test_what_clang_makes_of_the_source_computes_the_same(tmp_path: Path) -> None:
    compiler = next((name for name in ("clang-19", "clang") if shutil.which(name)), None)
    if compiler is None or shutil.which(compiler.replace("clang", "ld.lld")) is None:
        pytest.skip("no clang with lld here")
    done = subprocess.run(
        [SOURCE / "build.sh", tmp_path],
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path = find_model("keen-int8")
    plane = luma(64, 96)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in KERNELS.iterdir()}
    for library in LIBRARIES:
        wanted, found = (
            NativeEngine(path, read_spec(path), 2, each).run(plane, condition(), 1.0).copy()
            for each in (library, tmp_path / library.name)
        )
        assert psnr(wanted, found, ceiling_db=99.0) > 56


@here
def test_windows_libraries_compute_the_same(tmp_path: Path) -> None:
    """In Wine, where it and a compiler for Windows are."""
    tools = ("wine", "x86_64-w64-mingw32-gcc")
    if not all(map(shutil.which, tools)):
        pytest.skip(f"no {' or no '.join(tools)} here")
    names = [native.instructions(path) for path in LIBRARIES if path.name.startswith("x86_64")]
    program, file = tmp_path / "check.exe", tmp_path / "frames"
    environment = {**os.environ, "WINEDEBUG": "-all", "WINEPREFIX": str(tmp_path / "wine")}
    subprocess.run([tools[1], "-O2", "-o", program, SOURCE / "check_dll.c"], check=True)
    subprocess.run([sys.executable, SOURCE / "dump.py", file, *names], check=True)
    for name in names:
        words = [tools[0], program, KERNELS / f"x86_64-{name}.dll", f"{file}.{name}"]
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("6 frames, 0 pixels differ")


def test_a_compiler_that_is_not_there_is_named(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "CC": "clang-of-tomorrow"}
    done = subprocess.run(
        [SOURCE / "build.sh", tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "clang-of-tomorrow is not here; install clang and lld" in done.stderr
