"""Inference engines: array in, array out, nothing else."""

import os
import sys

# keenframe promises that nothing leaves the machine, and both engines report their use to their makers unless they are
# told not to before they are imported: OpenVINO from a process that it forks, when the package for that is there;
# ONNX Runtime from a thread, with an identifier that it keeps on disk.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
