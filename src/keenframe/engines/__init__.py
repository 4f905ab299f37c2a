"""Inference engines: array in, array out, nothing else."""

import sys

# Importing openvino reports to its makers over the network, from a process that it forks, as long as the package for
# that is there. keenframe promises that nothing leaves the machine: to openvino, the package is not there.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
