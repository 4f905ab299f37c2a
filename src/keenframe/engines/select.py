"""Choosing an engine: by name, or "auto" by a short measurement that is remembered.

Names: "native" (`keenframe.engines.native`; "native:avx2" and others take less than this processor has),
"openvino", "openvino:bf16", "openvino:gpu" (or another OpenVINO device),
"onnxruntime", and "onnxruntime:PROVIDER" with PROVIDER cuda, tensorrt, directml, coreml, openvino, …
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from importlib import metadata, util
from itertools import count
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from keenframe.engines import native
from keenframe.engines.base import Engine
from keenframe.engines.cpu import cpu_name, fast_int8
from keenframe.errors import EngineError, KeenframeError
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import find_model, read_spec

AUTO, NATIVE = "auto", "native"
CACHE_VARIABLE = "KEENFRAME_CACHE_DIR"
_LIBRARIES = ("openvino", "onnxruntime")
# The size (height, width) of the input that "auto" measures at, and how many frames it takes. RGB models work
# on every pixel with many channels: a tenth of the picture takes as long.
_SIZES = {"luma": (360, 640), "rgb": (112, 192)}
_WARM_UP, _MEASURED = 2, 7
# For how long it goes on where frames are short, as another program may have the processor for longer than a few of
# them; and at most, where times are not alike, that is, where they differ by more than this.
_SHORTEST_S, _LONGEST_S, _ALIKE = 0.5, 3.0, 1.1


def installed_engines() -> list[str]:
    """Engine libraries that are installed, without importing them: "openvino", "onnxruntime" or both."""
    return [name for name in _LIBRARIES if util.find_spec(name) is not None]


def engines_for(spec: ModelSpec) -> list[str]:
    """The CPU engines that "auto" has to choose from for a model."""
    own = [NATIVE] if native.supported() and native.runs(spec) else []
    if own and not fast_int8():
        return own  # the others' sums of bytes saturate on such a processor
    return own + installed_engines()


def model_for(model: str | Path, engine: str = AUTO) -> Path:
    """The file of a model by name (or path) that `engine` is to run here.

    The plain name takes the INT8 file where every engine computes it fast and exactly, or where our own engine does,
    and the float file otherwise. ModelError, listing the names there are, when nothing matches.
    """
    int8 = find_model(model, prefer_int8=True)
    library, _, part = engine.lower().partition(":")
    if library != NATIVE and (library not in (AUTO, *_LIBRARIES) or part not in ("", "cpu")):
        return find_model(model)
    own = library in (AUTO, NATIVE) and native.supported()
    return int8 if fast_int8() or (own and native.runs(read_spec(int8))) else find_model(model)


def _native_name(library: Path) -> str:
    return f"{NATIVE}:{native.instructions(library)}"


def _native_library(instructions: str) -> Path:
    return next(path for path in native.libraries() if native.instructions(path) == instructions)


def available_engines() -> list[str]:
    """Every engine name that can be asked for on this machine. A library that is there but cannot be loaded has none:
    `unusable_engines`."""
    names = []
    for library in (NATIVE, *installed_engines()):
        with contextlib.suppress(EngineError):
            names += _names_of(library)
    return names


def unusable_engines() -> dict[str, str]:
    """Libraries that are installed and cannot be loaded, and why."""
    reasons = {}
    for library in installed_engines():
        try:
            _names_of(library)
        except EngineError as error:
            reasons[library] = str(error)
    return reasons


def _names_of(library: str) -> list[str]:
    """The engine names that one library offers here; the others are not even imported. EngineError where it is
    installed and cannot be loaded."""
    if library == NATIVE:
        return [NATIVE, *map(_native_name, native.libraries()[1:])] if native.supported() else []
    if library not in installed_engines():
        return []
    try:
        if library == "openvino":
            from keenframe.engines import openvino

            devices = openvino.devices()
            names = ["openvino", "openvino:bf16"] if "cpu" in devices else []
            return names + [f"openvino:{device}" for device in devices if device != "cpu"]
        from keenframe.engines import onnxruntime

        return ["onnxruntime" if name == "cpu" else f"onnxruntime:{name}" for name in onnxruntime.providers()]
    except Exception as error:  # whatever a library of another build or without its driver comes up with
        raise EngineError(f"library {library!r} is installed but cannot be loaded: {error}") from error


def create_engine(name: str, model: Path, spec: ModelSpec, threads: int | None = None) -> Engine[Any]:
    """The engine called `name` with `model` loaded; "auto" measures, or remembers, which is fastest here.

    EngineError, listing what is there, for a name that is unknown or absent, or whose library cannot be loaded.
    """
    if name.lower() == AUTO:
        try:
            return create_engine(choose_engine(model, spec, threads), model, spec, threads)
        except EngineError:  # what was remembered may not load any more
            return create_engine(choose_engine(model, spec, threads, anew=True), model, spec, threads)
    library, _, part = name.lower().partition(":")
    part = part or "cpu"
    if library == NATIVE and part in map(native.instructions, native.libraries()[:1]):
        part = "cpu"  # the fastest by its own name
    # A machine may have several devices of a kind: openvino:gpu is the first, openvino:gpu.1 the second.
    normal = library if part == "cpu" else f"{library}:{part}"
    try:
        present, reason = _names_of(library), ""
    except EngineError as error:
        present, reason = [], f"{error}; "
    if normal not in present and f"{normal}.0" not in present:
        raise EngineError(
            f"engine {name!r} is not available on this machine; {reason}available: "
            f"{', '.join(available_engines()) or 'none'}. "
            f"Choose one of these or 'auto', or install the library, driver or build that provides it"
        )
    if library == NATIVE:
        return native.NativeEngine(model, spec, threads, None if part == "cpu" else _native_library(part))
    if library == "openvino":
        from keenframe.engines.openvino import OpenVinoEngine

        if part == "bf16":
            return OpenVinoEngine(model, spec, threads, precision="bf16")
        return OpenVinoEngine(model, spec, threads, device=part)
    from keenframe.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(model, spec, threads, provider=part)


def choose_engine(model: Path, spec: ModelSpec, threads: int | None = None, anew: bool = False) -> str:
    """The fastest CPU engine for this model here, from the cache or, also where it is to be found `anew`, by measuring
    (about a second, on a busy machine some seconds)."""
    names = engines_for(spec)
    if not names:
        raise EngineError("no inference engine is installed; run: pip install openvino (or onnxruntime)")
    if names == [NATIVE]:
        try:
            native.NativeEngine(model, spec, threads).close()
        except EngineError:  # a graph that it does not know; others are not exact here, but they run it
            names = installed_engines() or names
    if len(names) == 1:
        return names[0]
    times = None if anew else remembered(names, spec, threads)
    if times is None:
        times = measure_engines(names, model, spec, threads)
        remember(times, names, spec, threads)
    return fastest(times)


def fastest(times: dict[str, float]) -> str:
    """The engine that takes the least time."""
    return min(times, key=times.__getitem__)


def remembered(names: list[str], spec: ModelSpec, threads: int | None = None) -> dict[str, float] | None:
    """What `measure_engines` found for these engines when it was last remembered."""
    times = _read_cache().get(_cache_key(names, spec, threads))
    return times if _is_times(times) else None


def remember(times: dict[str, float], names: list[str], spec: ModelSpec, threads: int | None = None) -> bool:
    """Note what `measure_engines` found for these engines, in place of what was; whether that could be written."""
    return _write_cache(_cache_key(names, spec, threads), times)


def measure_engines(
    names: list[str], model: Path, spec: ModelSpec, threads: int | None = None
) -> dict[str, float]:
    """Milliseconds per frame of 640x360 (RGB models: 192x112) of each engine: the least of several, taken in turns, as
    the choice is to hold when what else runs now has ended. It takes half a second beside the loading, and longer on a
    busy machine: until each engine has come as low as that three times, or three seconds have passed.

    Engines that fail on the model are left out.

    EngineError, with each engine's own reason, when all fail.
    """
    failures: list[str] = []
    multiple = spec.size_multiple
    height, width = (max(size // multiple, 1) * multiple for size in _SIZES[spec.color])
    channels = (3,) if spec.color == "rgb" else ()
    picture = np.random.default_rng(0).integers(16, 236, (height, width, *channels), np.uint8)
    condition = None if spec.condition is None else np.zeros(spec.condition["size"], np.float32)
    engines: dict[str, Engine[Any]] = {}
    taken: dict[str, list[float]] = {}
    begun = 0.0
    for index in count():
        if index == _WARM_UP:
            begun = time.perf_counter()
        if index >= _WARM_UP + _MEASURED and _enough(taken, time.perf_counter() - begun):
            break
        for name in names if index == 0 else list(engines):
            try:
                if index == 0:
                    engines[name] = create_engine(name, model, spec, threads)
                start = time.perf_counter()
                engines[name].run(picture, condition, 1.0)
                taken.setdefault(name, []).append(time.perf_counter() - start)
            except KeenframeError as error:
                failures.append(f"{name}: {error}")
                taken.pop(name, None)
                if name in engines:
                    engines.pop(name).close()
    for engine in engines.values():
        engine.close()
    if not taken:
        raise EngineError(f"no engine runs model {model.name!r}. " + "; ".join(failures))
    return {name: round(1000 * min(each[_WARM_UP:]), 3) for name, each in taken.items()}


def _enough(taken: dict[str, list[float]], past_s: float) -> bool:
    """Whether the least of each engine's times is more than luck after so many seconds: the third is hardly longer."""
    if not taken or past_s > _LONGEST_S:
        return True
    lowest = [sorted(times[_WARM_UP:])[:3] for times in taken.values()]
    return past_s > _SHORTEST_S and all(last <= _ALIKE * first for first, _, last in lowest)


def cache_file() -> Path:
    """Where measurements are remembered: $KEENFRAME_CACHE_DIR, or the user's cache folder."""
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder) / "engines.json"
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("keenframe", appauthor=False)) / "engines.json"


def _cache_key(names: list[str], spec: ModelSpec, threads: int | None) -> str:
    known = versions(names) | ({NATIVE: native.version()} if NATIVE in names else {})
    libraries = [f"{name} {version}" for name, version in known.items()]
    identity = json.dumps([spec.sha256, libraries, cpu_name(), os.cpu_count(), threads])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those among these distributions that are installed."""
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _is_times(value: Any) -> TypeGuard[dict[str, float]]:
    return (
        isinstance(value, dict)
        and bool(value)
        and set(value) <= {NATIVE, *installed_engines()}
        and all(isinstance(number, int | float) and number > 0 for number in value.values())
    )


def _read_cache() -> dict[str, Any]:
    """The cache's content; empty when there is none or it is unreadable: it only saves a measurement."""
    try:
        content = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_cache(key: str, times: dict[str, float]) -> bool:
    """Add one entry by replacing the file whole; a folder that cannot be written costs only the next
    start."""
    path = cache_file()
    content = json.dumps(_read_cache() | {key: times}, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="engines-", suffix=".json")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(content)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError:
        return False
    return True
