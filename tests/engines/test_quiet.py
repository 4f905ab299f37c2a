"""Engines speak to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keenframe.engines.select import installed_engines

WATCHED = """
import sys
seen = []
suspicious = ("os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: seen.append(event) if event in suspicious else None)
from keenframe.sharpener import Sharpener
Sharpener(sys.argv[1], sys.argv[2], 1).close()
import threading
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join(5)
sys.exit(f"saw {seen}" if seen else 0)
"""


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_an_engine_reaches_for_no_network_no_process_and_keeps_no_identifier(
    engine: str, identity_model: Path, tmp_path: Path
) -> None:
    """What Python can see of it, and the file that ONNX Runtime's reports begin with."""
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(identity_model), engine],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
