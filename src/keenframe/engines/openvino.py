"""OpenVINO: the fastest on x86 processors; also Intel GPUs and NPUs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from keenframe.engines.base import Engine, Variant
from keenframe.engines.cpu import fast_bf16
from keenframe.errors import EngineError, ModelError
from keenframe.steady import Past
from keenframe.zoo.spec import ModelSpec


@cache
def core() -> ov.Core:
    """The process's OpenVINO core."""
    return ov.Core()


def devices() -> list[str]:
    """Device names in lower case: cpu, and gpu, gpu.0, npu … where there are any."""
    return [device.lower() for device in core().available_devices]


@dataclass(slots=True)
class _Request:
    request: Any
    output: NDArray[Any]


class OpenVinoEngine(Engine[_Request]):
    """One model on one OpenVINO device.

    precision: "f32", or "bf16" to let float layers run in bfloat16 where the processor has it: float models up to
    twice as fast, and off by up to a few code values. None takes bf16 for INT8 models where the processor is faster in
    it (`cpu.fast_bf16`).
    """

    def __init__(
        self,
        model: Path,
        spec: ModelSpec,
        threads: int | None = None,
        device: str = "cpu",
        precision: str | None = None,
    ) -> None:
        super().__init__(model, spec, threads)
        default = precision is None
        if precision is None:
            # What an INT8 network leaves in float is small, and its result the same to the last 0.02 dB.
            precision = "bf16" if spec.precision == "int8" and fast_bf16() else "f32"
        if device != "cpu":
            self.name = f"openvino:{device}"
        else:
            self.name = "openvino" if default or precision == "f32" else f"openvino:{precision}"
        self._device = device.upper()
        self._config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if device == "cpu":
            self._config["INFERENCE_PRECISION_HINT"] = precision
            if threads is not None:
                self._config["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model = core().read_model(str(model))
        except Exception as error:
            raise ModelError(f"OpenVINO cannot read model {model.name!r}: {_first_line(error)}") from error

    def _prepare(self, height: int, width: int, variant: Variant) -> _Request:
        wanted = self.spec.output(variant.kind, variant.expert)
        try:
            network = self._model.clone()
            shape = [1, height, width, 3] if self.spec.color == "rgb" else [1, 1, height, width]
            network.reshape({self.spec.picture_input: shape})
            if variant.kind == "steady":
                block = self.spec.block
                rows, columns = height * self.spec.scale // block, width * self.spec.scale // block
                network.reshape({"previous": [1, rows, columns, block**2], "keep": [1, 1, rows, columns]})
            if variant.unit:
                _fix_strength(network)
            for result in network.get_results():
                if wanted not in result.output(0).get_names() | result.input_value(0).get_names():
                    network.remove_result(result)
            if variant.kind != "steady":
                _drop_past(network)
            if self.spec.color == "luma":
                _pixels_as_channels(network)
            request = core().compile_model(network, self._device, self._config).create_infer_request()
            output = self._output(height, width, variant)
            request.set_output_tensor(0, _tensor(output))
            if not variant.unit:
                request.set_tensor("strength", _tensor(self._strength))
            if self.spec.condition is not None:
                request.set_tensor("condition", _tensor(self._condition))
        except Exception as error:
            raise EngineError(
                f"OpenVINO cannot compile model {self.model.name!r} for {width}x{height} on {self._device}: "
                f"{_first_line(error)}"
            ) from error
        return _Request(request, output[0])

    def _infer(self, prepared: _Request, picture: NDArray[np.uint8], past: Past | None) -> NDArray[Any]:
        try:
            if past is not None:
                prepared.request.set_tensor("previous", _tensor(past.previous[None]))
                prepared.request.set_tensor("keep", _tensor(past.keep[None, None]))
            prepared.request.set_tensor(self.spec.picture_input, _tensor(self._batch(picture)))
            # Otherwise it copies the output, which is bound to our own memory already.
            prepared.request.infer(share_outputs=True)
        except Exception as error:
            raise EngineError(
                f"OpenVINO failed on model {self.model.name!r}: {_first_line(error)}"
            ) from error
        return prepared.output


def _fix_strength(network: ov.Model) -> None:
    """Make the strength the constant 1: as an input it costs a reorder of the whole plane, some 10 % of a frame."""
    for parameter in network.get_parameters():
        if "strength" in parameter.output(0).get_names():
            one = ov.opset13.constant(np.ones(1, np.float32))
            parameter.output(0).replace(one.output(0))
            network.remove_parameter(parameter)


def _pixels_as_channels(network: ov.Model) -> None:
    """Let convolutions that step over a plane read each step's pixels of a row as channels: the same sums.

    The processor multiplies runs of channels, and of a plane's single one it leaves most of its width unused: the
    space-to-depth at the network's start takes a third of its time so, some 6 % of a frame. A model of somebody's own
    may have convolutions of other kinds, which stay.
    """
    ops = ov.opset13
    for node in network.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        plane, kernel, kept = node.input_value(0), node.input_value(1), node.get_attributes()
        padded = any([*kept["pads_begin"], *kept["pads_end"]]) or kept["auto_pad"].startswith("same")
        known = plane.partial_shape.is_static and kernel.partial_shape.is_static
        if not known or padded or list(kept["dilations"]) != [1, 1]:
            continue
        (_, channels, height, width), (outputs, _, rows, columns) = plane.shape, kernel.shape
        step_y, step = kept["strides"]
        if channels > 1 or step == 1 or columns % step or width % step:
            continue
        lines = ops.reshape(plane, np.array([1, height, width // step, step]), False)
        runs = ops.reshape(kernel, np.array([outputs, rows, columns // step, step]), False)
        first = np.array([0, 3, 1, 2])
        convolution = ops.convolution(
            ops.transpose(lines, first), ops.transpose(runs, first), [step_y, 1], [0, 0], [0, 0], [1, 1]
        )
        convolution.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(convolution.output(0))


def _drop_past(network: ov.Model) -> None:
    """Remove the inputs that only the steady output reads."""
    for parameter in network.get_parameters():
        if {"previous", "keep"} & parameter.output(0).get_names():
            network.remove_parameter(parameter)


def _tensor(array: NDArray[Any]) -> ov.Tensor:
    """A tensor on an array's own memory. OpenVINO refuses read-only arrays even where it only reads."""
    if not array.flags.writeable:
        interface = array.__array_interface__ | {"data": (array.ctypes.data, False)}
        array = np.asarray(SimpleNamespace(__array_interface__=interface))
    return ov.Tensor(array, shared_memory=True)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
