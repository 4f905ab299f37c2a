"""The engine that is committed is the one that its source makes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .conftest import MODULE, ROOT
from .test_engine import Case, agree, compare

if TYPE_CHECKING:
    from playwright.sync_api import Page

KERNEL = ROOT / "web" / "kernel"


def test_the_engine_was_built_from_this_source() -> None:
    noted = dict(reversed(line.split()) for line in (KERNEL / "BUILT").read_text().splitlines())
    files = [*KERNEL.glob("*.[ch]"), *MODULE.glob("*.wasm")]
    found = {f"./{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert found == noted, "run web/build.sh, with CC=clang-19 or newer for both files"


def test_what_clang_makes_of_the_source_computes_the_same(page: Page, files: Path) -> None:
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        pytest.skip("no clang with lld for wasm32 here")
    done = subprocess.run([ROOT / "web" / "build.sh", files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plane = np.random.default_rng(1).integers(0, 256, (96, 136), np.uint8)
    agree(compare(page, files, "keen", [Case(plane), Case(plane)], "/files/keenframe.wasm"))


def test_a_compiler_that_is_not_there_is_named(files: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "CC": "clang-of-tomorrow"}
    done = subprocess.run(
        [ROOT / "web" / "build.sh", files], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "clang-of-tomorrow is not here; install clang and lld" in done.stderr
