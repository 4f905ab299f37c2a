"""Where and with what a benchmark ran: what has to stand beside its numbers."""

from __future__ import annotations

import platform
from typing import Any

from keenframe.engines.cpu import machine
from keenframe.engines.select import versions

_PACKAGES = ("keenframe", "openvino", "onnxruntime", "opencv-python-headless", "av", "numpy", "torch")


def describe(threads: int) -> dict[str, Any]:
    """Processor, cores, system and the versions of what was measured."""
    about = {"threads": threads, "python": platform.python_version(), "versions": versions(_PACKAGES)}
    return machine() | about
