"""The nodes and constants of an ONNX file's graph, read without any ONNX package."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import ModelError
from keenframe.zoo.wire import fields, numbers

# Field numbers of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto (onnx.proto).
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 2, 3, 8
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_TYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 10: "<f2"}


@dataclass(frozen=True, slots=True)
class Node:
    """One operator. attributes: numbers, and lists of whole numbers; of other kinds there are none here."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """nodes in the order of the file, which is one in which they can run. constants: the stored arrays by name."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]


def read_graph(path: Path) -> Graph:
    """The graph of a model file. ModelError for a file that is no whole ONNX model, or holds types that no model of
    ours has."""
    try:
        data = memoryview(path.read_bytes())
        graph = next(value for number, value in fields(data) if number == _MODEL_GRAPH)
        nodes, constants = [], {}
        for number, value in fields(_message(graph)):
            if number == _GRAPH_NODE:
                nodes.append(_node(_message(value)))
            elif number == _GRAPH_INITIALIZER:
                name, constant = _tensor(_message(value))
                constants[name] = constant
    except (OSError, ValueError, IndexError, KeyError, StopIteration, struct.error) as error:
        raise ModelError(f"cannot read the graph of model {path.name!r}: {error}") from error
    return Graph(tuple(nodes), constants)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()


def _node(data: memoryview) -> Node:
    inputs, outputs, operator, attributes = [], [], "", {}
    for number, value in fields(data):
        if number == _NODE_INPUT:
            inputs.append(_text(value))
        elif number == _NODE_OUTPUT:
            outputs.append(_text(value))
        elif number == _NODE_OPERATOR:
            operator = _text(value)
        elif number == _NODE_ATTRIBUTE:
            name, content = _attribute(_message(value))
            attributes[name] = content
    return Node(operator, tuple(inputs), tuple(outputs), attributes)


def _attribute(data: memoryview) -> tuple[str, Any]:
    name, content, several = "", None, []
    for number, value in fields(data):
        if number == _ATTRIBUTE_NAME:
            name = _text(value)
        elif number == _ATTRIBUTE_FLOAT:
            content = struct.unpack("<f", _message(value))[0]
        elif number == _ATTRIBUTE_INT:
            content = value
        elif number == _ATTRIBUTE_INTS:
            several += numbers(value)
    return name, several or content


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]]:
    dims, kind, name, raw = [], 0, "", memoryview(b"")
    for number, value in fields(data):
        if number == _TENSOR_DIMS:
            dims += numbers(value)
        elif number == _TENSOR_TYPE:
            kind = numbers(value)[0]
        elif number == _TENSOR_NAME:
            name = _text(value)
        elif number == _TENSOR_RAW:
            raw = _message(value)
    if kind not in _TYPES:
        raise ValueError(f"constant {name!r} has type {kind}; expected one of {sorted(_TYPES)}")
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(dims)
