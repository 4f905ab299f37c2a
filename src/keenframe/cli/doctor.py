"""`keenframe doctor`."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from keenframe.cli.doctor_lines import heading, line, version

_LIBRARIES = ("keenframe", "numpy", "av", "pillow", "openvino", "onnxruntime")


class Part(Enum):
    """What there is to look at besides keenframe itself."""

    camera = "camera"


def doctor(
    part: Annotated[
        Part | None, typer.Argument(help="camera: cameras, virtual cameras and how to get one.")
    ] = None,
) -> None:
    """Show versions, processor, engines and models, and what would be used and why. Measures the engines and
    remembers the fastest anew. Exits 1 if nothing works."""
    if part is Part.camera:
        from keenframe.cli.doctor_camera import doctor_camera

        if not doctor_camera():
            raise typer.Exit(1)
        return
    _show_machine()
    healthy = _show_models()
    healthy = _show_engines() and healthy
    if not healthy:
        print("\nkeenframe cannot work here: see the lines marked ✗", file=sys.stderr)
        raise typer.Exit(1)


def _show_machine() -> None:
    from keenframe import __version__
    from keenframe.engines.cpu import cpu_name, fast_int8, instruction_sets, usable_cores

    heading("System")
    line("os", platform.platform())
    line("python", f"{platform.python_version()} ({sys.executable})")
    for name in _LIBRARIES:
        line(name, __version__ if name == "keenframe" else version(name))
    heading("Processor")
    line("name", f"{cpu_name()} ({platform.machine()})")
    line("cores", f"{usable_cores()} usable of {os.cpu_count()} logical")
    line("instructions", ", ".join(sorted(instruction_sets())) or "unknown")
    line(
        "fast INT8",
        "yes" if fast_int8() else "no: float models are preferred where our own engine does not run",
    )


def _show_models() -> bool:
    """List the embedded models with their checksums; whether any can be read."""
    from keenframe.errors import ModelError
    from keenframe.zoo.spec import load_spec
    from keenframe.zoo.store import MODELS, model_files

    heading("Models")
    readable = 0
    for path in model_files():
        try:
            spec = load_spec(path)
        except ModelError as error:
            line(path.stem, f"✗ {error}")
            continue
        readable += 1
        kind = f"x{spec.scale}, {spec.color}, {spec.precision}"
        line(path.stem, f"✓ {spec.role}, version {spec.version}, {kind}, {_checksum(path)}")
    if not readable:
        line("none", f"✗ no usable model in {MODELS}; install keenframe again")
    return readable > 0


def _checksum(path: Path) -> str:
    """The file's SHA-256, and whether it is the one that was installed."""
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = _installed_checksum(path)
    if expected is None:
        return f"sha256 {actual[:16]}"
    return (
        f"sha256 {actual[:16]} as installed"
        if actual == expected
        else f"✗ sha256 {actual[:16]} differs from install"
    )


def _installed_checksum(path: Path) -> str | None:
    """The hex SHA-256 that pip recorded for `path`; None when keenframe runs from its source folder."""
    import base64

    try:
        files = metadata.files("keenframe") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if (
            file.name == path.name
            and file.hash is not None
            and Path(str(file.locate())).resolve() == path.resolve()
        ):
            padded = file.hash.value + "=" * (-len(file.hash.value) % 4)
            return base64.urlsafe_b64decode(padded).hex()
    return None


def _show_engines() -> bool:
    """List the engines and what "auto" takes, measured and remembered anew; whether one of them runs the default
    model."""
    from keenframe.engines.native import libraries
    from keenframe.engines.select import (
        available_engines,
        cache_file,
        choose_engine,
        engines_for,
        measure_engines,
        model_for,
        remember,
        remembered,
        unusable_engines,
    )
    from keenframe.errors import KeenframeError
    from keenframe.zoo.spec import load_spec

    heading("Engines")
    line("available", ", ".join(available_engines()) or "✗ none; run: pip install openvino")
    for name, reason in unusable_engines().items():
        line(name, f"✗ {reason}")
    line(
        "native with",
        ", ".join(path.stem for path in libraries()[:1]) or "nothing: no library for this processor",
    )
    try:
        path = model_for("keen")
        spec = load_spec(path)
        names = engines_for(spec)
        before = remembered(names, spec)
        times = measure_engines(names, path, spec)
        written = remember(times, names, spec)
        chosen = choose_engine(path, spec)
    except KeenframeError as error:
        line("auto", f"✗ {error}")
        return False
    line("cache", f"{cache_file()}{'' if written else ' (cannot be written)'}")
    for name, milliseconds in sorted(times.items(), key=lambda item: item[1]):
        line(name, f"✓ {path.stem} 640x360 in {milliseconds:.1f} ms")
    line("auto", f"→ {chosen} with {path.stem}: {_reason(chosen, times, before, written)}")
    return True


def _reason(chosen: str, times: dict[str, float], before: dict[str, float] | None, written: bool) -> str:
    """Why "auto" takes `chosen`.

    times: as measured now. before: what was remembered until now. written: whether `times` is remembered from now on.
    """
    from keenframe.engines.select import fastest

    if len(times) == 1:
        return "the only one for it"
    if written:
        changed = before is not None and fastest(before) != chosen
        was = f" in place of {fastest(before)}" if before is not None and changed else ""
        return f"the fastest measured here, now remembered in the cache{was}"
    if before is None:
        return "the fastest measured here, but every start measures again: the cache cannot be written"
    faster = (
        ""
        if fastest(times) == chosen
        else f"; {fastest(times)} is faster now, but the cache cannot be written"
    )
    return f"remembered in the cache as the fastest{faster}"
