from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commands import keenframe, start
from keenframe import __version__
from keenframe.cli import bench
from keenframe.engines import select


def test_version_and_help() -> None:
    assert keenframe("--version").out == f"keenframe {__version__}\n"
    done = keenframe("--help")
    assert done.code == 0 and all(
        name in done.out for name in ("image", "video", "models", "bench", "doctor")
    )


def test_no_command_and_unknown_command_exit_2() -> None:
    assert keenframe().code == 2
    assert keenframe("frobnicate").code == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['keenframe', '--help']\n"
        "from keenframe.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'av', 'openvino', 'onnxruntime', 'PIL', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_broken_pipe_is_quiet(tmp_path: Path, unsharp_model: Path) -> None:
    process = start(tmp_path, "models", unsharp_model)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=60)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in keenframe("models", "nothing").err
    monkeypatch.setenv("KEENFRAME_DEBUG", "1")
    done = keenframe("models", "nothing")
    assert "Traceback" in done.err and done.code == 1


def test_unexpected_errors_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("keenframe.zoo.store.list_models", broken)
    done = keenframe("models")
    assert done.code == 1 and "ZeroDivisionError: oops" in done.err and "report" in done.err
    assert "Traceback" not in done.err


def test_models_lists_and_shows_cards(unsharp_model: Path) -> None:
    assert keenframe("models").code == 0
    assert isinstance(json.loads(keenframe("models", "--json").out), list)
    card = keenframe("models", unsharp_model)
    assert card.code == 0 and "name: unsharp" in card.out and "sha256: " in card.out
    assert json.loads(keenframe("models", unsharp_model, "--json").out)["name"] == "unsharp"
    assert keenframe("models", "nothing").code == 1


def test_doctor_names_what_there_is() -> None:
    done = keenframe("doctor")
    for word in ("python", "numpy", "openvino", "onnxruntime", "instructions", "cache", "auto"):
        assert word in done.out
    # Without a model to run, nothing works, and the exit code says so.
    assert done.code == (1 if "✗" in done.out else 0)


def test_doctor_measures_anew_and_says_what_is_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def doctor(native_ms: float) -> str:
        times = {"native": native_ms, "openvino": 2.0}
        monkeypatch.setattr(select, "engines_for", lambda spec: list(times))
        monkeypatch.setattr(select, "measure_engines", lambda *_: times)
        return next(line for line in keenframe("doctor").out.splitlines() if line.startswith("  auto"))

    monkeypatch.setenv(select.CACHE_VARIABLE, str(tmp_path / "cache"))
    remembered = "the fastest measured here, now remembered in the cache"
    assert re.search(f"→ native with .*: {remembered}$", doctor(1.0))
    assert re.search(f"→ openvino with .*: {remembered} in place of native$", doctor(3.0))
    monkeypatch.setattr(select, "_write_cache", lambda *_: False)
    assert re.search(r"→ openvino with .*: remembered in the cache as the fastest$", doctor(3.0))
    assert re.search(r"→ openvino with .*; native is faster now, but the cache cannot be wr", doctor(1.0))
    assert "(cannot be written)" in keenframe("doctor").out
    monkeypatch.setenv(select.CACHE_VARIABLE, str(tmp_path / "none"))
    assert re.search(r"→ native with .*, but every start measures again: the cache cannot be ", doctor(1.0))


def test_bench_writes_rows_and_json(tmp_path: Path, unsharp_model: Path) -> None:
    file = tmp_path / "bench.json"
    done = keenframe(
        *("bench", "--model", unsharp_model, "--engine", "onnxruntime", "--threads", 1),
        *("--size", "96x64", "--size", "64x48", "--frames", 3, "--json", file),
    )
    assert done.code == 0 and "96x64" in done.out and "onnxruntime" in done.out
    content = json.loads(file.read_text())
    assert [(row["width"], row["height"]) for row in content["rows"]] == [(96, 64), (64, 48)]
    first = content["rows"][0]
    assert first["median_ms"] > 0 and first["network_median_ms"] > 0 and first["p95_ms"] >= first["median_ms"]
    assert first["ratio"] == pytest.approx(first["median_ms"] / first["network_median_ms"])
    assert content["machine"]["cpu"]


def test_bench_refuses_what_is_not_there(unsharp_model: Path, tmp_path: Path) -> None:
    assert keenframe("bench", "--model", "nothing", "--frames", 3).code == 1
    assert keenframe("bench", "--model", unsharp_model, "--size", "huge").code == 2
    done = keenframe(
        *("bench", "--model", unsharp_model, "--engine", "onnxruntime", "--size", "64x48"),
        *("--frames", 3, "--json", tmp_path / "no/file.json"),
    )
    assert done.code == 1 and "does not exist" in done.err


def test_parse_size() -> None:
    assert bench.parse_size("1080P") == (1920, 1080) and bench.parse_size("641x361") == (641, 361)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_library_is_loaded_is_no_bug(number: int, code: int) -> None:
    """Compiled libraries make an ImportError of whatever strikes while they are being loaded."""
    script = f"""
import signal
from keenframe.cli import app, main
def load(**options):
    try:
        signal.raise_signal({int(number)})
    except BaseException as error:
        raise ImportError("initialization failed") from error
app.app = load
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == code and "bug" not in done.stderr and "Traceback" not in done.stderr
