"""Engines speak to nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keenframe.engines.select import installed_engines

WATCHED = """
import sys
seen = []
suspicious = ("os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: seen.append(event) if event in suspicious else None)
from keenframe.engines import {name}
import threading
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join(5)
sys.exit(f"saw {{seen}}" if seen else 0)
"""


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_loading_an_engine_reaches_for_no_network_and_no_process(name: str) -> None:
    if name not in installed_engines():
        pytest.skip(f"{name} is not installed")
    code = WATCHED.format(name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
