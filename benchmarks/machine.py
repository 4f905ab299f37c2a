"""Where and with what a benchmark ran: what has to stand beside its numbers."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from keenframe.engines.cpu import cpu_name, usable_cores

_PACKAGES = ("keenframe", "openvino", "onnxruntime", "opencv-python-headless", "av", "numpy", "torch")


def describe(threads: int) -> dict[str, Any]:
    """Processor, cores, system and the versions of what was measured."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }
