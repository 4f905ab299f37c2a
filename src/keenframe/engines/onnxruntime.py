"""ONNX Runtime: runs everywhere; CUDA, DirectML, CoreML and others through its execution providers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from keenframe.engines.base import Engine, Variant
from keenframe.errors import EngineError, ModelError
from keenframe.steady import Past
from keenframe.zoo.spec import ModelSpec

# The names users give -> the names ONNX Runtime gives.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
}
_NO_BLOCKS = np.zeros((1, 1, 1, 16), np.uint8)
_NO_SHARE = np.zeros((1, 1, 1, 1), np.float32)


def providers() -> list[str]:
    """Providers of the installed ONNX Runtime, by our names."""
    present = set(ort.get_available_providers())
    return [name for name, full in PROVIDERS.items() if full in present]


@dataclass(slots=True)
class _Binding:
    binding: Any
    output: NDArray[Any]


class OnnxRuntimeEngine(Engine[_Binding]):
    """One model on one ONNX Runtime execution provider."""

    def __init__(
        self, model: Path, spec: ModelSpec, threads: int | None = None, provider: str = "cpu"
    ) -> None:
        super().__init__(model, spec, threads)
        self.name = "onnxruntime" if provider == "cpu" else f"onnxruntime:{provider}"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # DirectML refuses to run with memory patterns.
        options.enable_mem_pattern = provider != "directml"
        try:
            self._session = ort.InferenceSession(str(model), options, providers=[PROVIDERS[provider]])
        except Exception as error:
            if provider == "cpu":
                raise ModelError(f"ONNX Runtime cannot load model {model.name!r}: {error}") from error
            raise EngineError(f"ONNX Runtime cannot start provider {provider!r}: {error}") from error
        # One output is asked for at a time: without this the others, and the other expert, would be computed too.
        self._options = ort.RunOptions()
        self._options.only_execute_path_to_fetches = True
        if PROVIDERS[provider] not in self._session.get_providers():
            raise EngineError(
                f"ONNX Runtime has provider {provider!r} but it did not start (driver or library missing); "
                f"working: {', '.join(self._session.get_providers())}"
            )

    def _prepare(self, height: int, width: int, variant: Variant) -> _Binding:
        output = self._output(height, width, variant)
        binding = self._session.io_binding()
        _bind(binding.bind_input, "strength", self._strength)
        if self.spec.condition is not None:
            _bind(binding.bind_input, "condition", self._condition)
        _bind(binding.bind_output, self.spec.output(variant.kind, variant.expert), output)
        if self.spec.steady and variant.kind != "steady":
            # Nothing that is run reads them, but every input has to be there.
            _bind(binding.bind_input, "previous", _NO_BLOCKS)
            _bind(binding.bind_input, "keep", _NO_SHARE)
        return _Binding(binding, output[0])

    def _infer(self, prepared: _Binding, picture: NDArray[np.uint8], past: Past | None) -> NDArray[Any]:
        try:
            if past is not None:
                _bind(prepared.binding.bind_input, "previous", past.previous[None])
                _bind(prepared.binding.bind_input, "keep", past.keep[None, None])
            _bind(prepared.binding.bind_input, self.spec.picture_input, self._batch(picture))
            self._session.run_with_iobinding(prepared.binding, self._options)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on model {self.model.name!r}: {error}") from error
        return prepared.output


def _bind(bind: Any, name: str, array: NDArray[Any]) -> None:
    """Bind an array's own memory: the caller keeps it alive."""
    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
