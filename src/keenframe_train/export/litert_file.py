"""A LiteRT (TensorFlow Lite) file put together tensor by tensor: a thin layer over its flatbuffer schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

Shape = Sequence[int]

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}


@dataclass(frozen=True, slots=True)
class Steps:
    """How integers stand for reals: real = step * (integer - zero); one for a tensor, or one a channel of `axis`."""

    step: NDArray[np.float32]
    zero: NDArray[np.int64]
    axis: int = 0


class FlatModel:
    """One network being written; tensors are known by their index.

    free: computed tensors with more than one row and column may have any number of them; the sizes given are an
    example, with which a reader that asks for none begins.
    """

    def __init__(self, description: str, free: bool) -> None:
        self._free = free
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._graph.name = b"main"
        self._model = schema.ModelT()
        self._model.version, self._model.description = 3, description.encode()
        self._model.subgraphs, self._model.operatorCodes = [self._graph], []
        self._model.buffers = [_buffer(b"")]  # the first is that of every tensor without a value
        self._model.metadata = []
        self._codes: dict[int, int] = {}

    def tensor(self, name: str, shape: Shape, kind: str = "float32", steps: Steps | None = None) -> int:
        """A tensor that is computed."""
        return self._tensor(name, shape, kind, 0, steps)

    def constant(self, name: str, values: NDArray[Any], steps: Steps | None = None) -> int:
        """A tensor that is stored."""
        self._model.buffers.append(_buffer(np.ascontiguousarray(values).tobytes()))
        return self._tensor(name, values.shape, values.dtype.name, len(self._model.buffers) - 1, steps)

    def shape(self, tensor: int) -> list[int]:
        """A tensor's shape."""
        return list(self._graph.tensors[tensor].shape)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        output: int,
        options: str | None = None,
        version: int = 1,
        **values: Any,
    ) -> int:
        """An operator of the schema's, such as "CONV_2D", with its options' class and values; gives `output` back."""
        made = schema.OperatorT()
        made.opcodeIndex = self._code(name, version)
        made.inputs, made.outputs = list(inputs), [output]
        if options is not None:
            made.builtinOptions = getattr(schema, f"{options}T")()
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            for key, value in values.items():
                setattr(made.builtinOptions, key, value)
        self._graph.operators.append(made)
        return output

    def note(self, key: str, text: str) -> None:
        """Text that readers of the file find under `key`."""
        entry = schema.MetadataT()
        self._model.buffers.append(_buffer(text.encode()))
        entry.name, entry.buffer = key.encode(), len(self._model.buffers) - 1
        self._model.metadata.append(entry)

    def finish(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """The file, its inputs and outputs named in the signature "serving_default"."""
        self._graph.inputs, self._graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = _named(inputs), _named(outputs)
        self._model.signatureDefs = [signature]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, name: str, shape: Shape, kind: str, buffer: int, steps: Steps | None) -> int:
        made = schema.TensorT()
        made.name, made.type, made.buffer = name.encode(), _TYPES[kind], buffer
        made.hasRank = True
        made.shape = [int(side) for side in shape]
        if self._free and not buffer and len(shape) == 4 and max(shape[1:3]) > 1:
            made.shapeSignature = [int(shape[0]), -1, -1, int(shape[3])]
        if steps is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.atleast_1d(steps.step).astype(np.float32)
            made.quantization.zeroPoint = np.atleast_1d(steps.zero).astype(np.int64)
            made.quantization.quantizedDimension = steps.axis
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def _code(self, name: str, version: int) -> int:
        number = getattr(schema.BuiltinOperator, name)
        if number not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
            code.version = version
            self._codes[number] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        found = self._codes[number]
        own = self._model.operatorCodes[found]
        own.version = max(own.version, version)
        return found


def _named(tensors: dict[str, int]) -> list[schema.TensorMapT]:
    entries = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        entries.append(entry)
    return entries


def _buffer(data: bytes) -> schema.BufferT:
    made = schema.BufferT()
    if data:
        made.data = np.frombuffer(data, np.uint8)
    return made
