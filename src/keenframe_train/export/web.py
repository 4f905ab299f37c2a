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
from dataclasses import dataclass, replace
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
    experts = read_experts(model, spec.experts)
    shapes = [_shape(tensors) for tensors in experts]
    if any(shape["stride"] > 2 for shape in shapes):
        raise TrainError(
            f"'{model}' has a trunk whose positions are {max(shape['stride'] for shape in shapes)} of its head's wide; "
            "the browser's engine runs 1 or 2"
        )
    header = {
        "format": 2,
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "licence": spec.licence,
        "created": spec.created,
        "parameters": spec.parameters,
        "onnx": spec.sha256,
        "experts": shapes,
        "fullSize": spec.full_size,
        "route": spec.route,
        "periodicity": spec.periodicity,
        "leaves": spec.leaves,
        "steady": spec.steady,
        "tensors": [tensor.describe() for tensors in experts for tensor in tensors],
    }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{spec.name}{SUFFIX}"
    with replacing(target) as file:
        file.write(
            MAGIC + struct.pack("<I", len(text)) + text + b"".join(t.data() for ts in experts for t in ts)
        )
    return target


def read_experts(model: Path, experts: int) -> list[list[Tensor]]:
    """The weights of each expert of a deployed `keen` graph, in the file's order."""
    graph = onnx.load(model).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = []
    for suffix in ("", *(f".{number}" for number in range(1, experts))):
        pixels = _stored(stored, "pixels.weight", suffix, model).values
        if pixels.size != 256 or not np.array_equal(pixels.reshape(16, 16), np.eye(16)):
            raise TrainError(f"'{model}' does not begin with 4x4 blocks of pixels; expected a `keen` network")
        tensors = [_stored(stored, name, suffix, model) for name in _order(stored, suffix)]
        # The engine reads the step up as (trunk, head, y, x), which without a stride the graph has the other way round.
        plain = any(node.name == f"/up/Conv{suffix}" for node in graph.node)
        found.append([_turned(each) if plain and each.name == "up.weight" else each for each in tensors])
    return found


def _turned(tensor: Tensor) -> Tensor:
    return replace(tensor, values=np.ascontiguousarray(tensor.values.swapaxes(0, 1)), axis=1 - tensor.axis)


def _shape(tensors: list[Tensor]) -> dict[str, Any]:
    """What the engine has to know of an expert before it reads the weights."""
    shapes = {tensor.name: tensor.values.shape for tensor in tensors}
    inner = [shape[0] for name, shape in shapes.items() if _FIRST.fullmatch(name)]
    return {
        "head": shapes["head.weight"][0],
        "trunk": shapes["down.weight"][0] if "down.weight" in shapes else 0,
        "stride": shapes["down.weight"][2] if "down.weight" in shapes else 1,
        "blocks": len(inner),
        "embedding": shapes["embed_linear.weight"][0],
        "inner": inner,
    }


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
    trunk = f"down.bias{suffix}" in stored
    if trunk:
        yield from layer("down")
    for index in range(_blocks(stored, suffix)):
        yield from layer(f"first.{index}")
        yield from film(f"films.{index}")
        yield from layer(f"second.{index}")
    if trunk:
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
