"""The browser module's model file, NAME.kfm, from a float ONNX file of a `keen` network.

    8 bytes   KEENFRM1
    4 bytes   length of the header, little-endian
    header    JSON: what the model is, and its tensors in their order
    tensors   one after another: float32, float16, or int8 followed by its float32 steps along one axis

The order is that in which the WebAssembly engine reads them (web/kernel/network.c); every value is exactly the ONNX
file's.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from keenframe.zoo.spec import ModelSpec, load_spec
from keenframe_train.errors import TrainError
from keenframe_train.files import replacing

MAGIC = b"KEENFRM1"
SUFFIX = ".kfm"
_FIRST = re.compile(r"first\.\d+\.weight")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as it is stored. values: float32, float16 or int8; steps: of int8, float32 along `axis`."""

    name: str
    values: NDArray[Any]
    axis: int = 0
    steps: NDArray[np.float32] | None = None

    @property
    def type(self) -> str:
        """ "f32", "f16" or "i8"."""
        return {"float32": "f32", "float16": "f16", "int8": "i8"}[self.values.dtype.name]

    def describe(self) -> dict[str, Any]:
        """Its entry in the header."""
        entry: dict[str, Any] = {"name": self.name, "shape": list(self.values.shape), "type": self.type}
        return entry if self.steps is None else {**entry, "axis": self.axis}

    def data(self) -> bytes:
        """Its bytes in the file."""
        little = self.values.astype(self.values.dtype.newbyteorder("<"))
        return little.tobytes() + (b"" if self.steps is None else self.steps.astype("<f4").tobytes())


def export_web(model: Path, out: Path) -> Path:
    """Write NAME.kfm of a float `keen` model, NAME.onnx, into the folder `out`; returns its path.

    Raises TrainError for models that the browser's engine does not run, and ModelError for what is no model.
    """
    spec = load_spec(model)
    _check(spec, model)
    experts = 2 if spec.route else 1
    tensors = read_tensors(model, experts)
    shapes = {tensor.name: tensor.values.shape for tensor in tensors}
    network: dict[str, Any] = {
        "head": shapes["head.weight"][0],
        "trunk": shapes["down.weight"][0],
        "stride": shapes["down.weight"][2],
        "blocks": _blocks(shapes),
        "embedding": shapes["embed_linear.weight"][0],
    }
    first = [tensor.values.shape[0] for tensor in tensors if _FIRST.fullmatch(tensor.name)]
    if any(width != network["trunk"] for width in first):
        blocks = network["blocks"]
        network["inner"] = [first[expert * blocks : (expert + 1) * blocks] for expert in range(experts)]
    header = {
        "format": 1,
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "licence": spec.licence,
        "created": spec.created,
        "parameters": spec.parameters,
        "onnx": spec.sha256,
        "network": network,
        "experts": experts,
        "route": spec.route,
        "steady": spec.steady,
        "tensors": [tensor.describe() for tensor in tensors],
    }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{spec.name}{SUFFIX}"
    with replacing(target) as file:
        file.write(MAGIC + struct.pack("<I", len(text)) + text + b"".join(t.data() for t in tensors))
    return target


def read_tensors(model: Path, experts: int) -> list[Tensor]:
    """The weights of a deployed `keen` graph in the file's order, the second expert's after the first's."""
    graph = onnx.load(model).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors = []
    for suffix in ("", ".1")[:experts]:
        pixels = _stored(stored, "pixels.weight", suffix, model).values
        if pixels.size != 256 or not np.array_equal(pixels.reshape(16, 16), np.eye(16)):
            raise TrainError(f"'{model}' does not begin with 4x4 blocks of pixels; expected a `keen` network")
        tensors += [_stored(stored, name, suffix, model) for name in _order(stored, suffix)]
    steps = {tensor.values.shape[2] for tensor in tensors if tensor.name == "down.weight"}
    if len(steps) > 1 or not steps <= {1, 2}:
        raise TrainError(
            f"'{model}' has trunks whose positions are {sorted(steps)} of the head's wide; the browser's engine runs "
            "1 or 2, and experts alike in that"
        )
    return tensors


def _check(spec: ModelSpec, model: Path) -> None:
    wanted = {"color": "luma", "scale": 1, "precision": "float32"}
    found = {key: getattr(spec, key) for key in wanted}
    if found != wanted or spec.condition is None:
        raise TrainError(
            f"'{model}' has {found}, condition={spec.condition}; the browser runs float `keen` networks that keep "
            f"the size ({wanted}, with a condition): give the file without -int8 or -x2 in its name"
        )


def _blocks(names: Container[str], suffix: str = "") -> int:
    return next(index for index in count() if f"films.{index}.film_scale.bias{suffix}" not in names)


def _order(stored: dict[str, NDArray[Any]], suffix: str) -> Iterator[str]:
    def film(name: str) -> Iterator[str]:
        for part in ("film_scale", "film_shift"):
            yield from (f"{name}.{part}.weight", f"{name}.{part}.bias")

    def layer(name: str) -> Iterator[str]:
        yield from (f"{name}.weight", f"{name}.bias")

    for name in ("bands", "embed_linear", "head"):
        yield from layer(name)
    yield from film("head_film")
    yield from layer("down")
    for index in range(_blocks(stored, suffix)):
        yield from layer(f"first.{index}")
        yield from film(f"films.{index}")
        yield from layer(f"second.{index}")
    yield from layer("up")
    yield from layer("tail")
    yield "idct.weight"


def _stored(stored: dict[str, NDArray[Any]], name: str, suffix: str, model: Path) -> Tensor:
    """A tensor in the smallest form that holds it exactly."""
    plain = stored.get(f"{name}{suffix}")
    if (halves := stored.get(f"{name}.half{suffix}")) is not None:
        return Tensor(name, halves)
    if (levels := stored.get(f"{name}.int8{suffix}")) is not None:
        steps = stored[f"{name}.step{suffix}"]
        axis = int(np.argmax(steps.shape)) if steps.size > 1 else 0
        return Tensor(name, levels, axis, np.ascontiguousarray(steps.reshape(-1), np.float32))
    if plain is None or plain.dtype != np.float32:
        raise TrainError(
            f"'{model}' has no float weights '{name}'; expected a file of `keenframe-train export`"
        )
    narrow = plain.astype(np.float16)
    return Tensor(name, narrow if np.array_equal(narrow.astype(np.float32), plain) else plain)
