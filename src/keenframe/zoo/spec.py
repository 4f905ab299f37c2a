"""ModelSpec: what a model says about itself, inside its own ONNX file, under the metadata key "keenframe".

The metadata is read straight from the protobuf wire format: no ONNX package at run time, no engine started,
and a file that is cut short or is something else is told apart before an engine fails on it with a message of
its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from keenframe.condition import CONDITION_SIZE
from keenframe.errors import ModelError
from keenframe.routing import inputs_of, layers_of
from keenframe.zoo.wire import payloads

METADATA_KEY = "keenframe"
SCHEMA = 1
CONDITION_KIND = "dct8-log-statistics"
# The graph's picture input and its two outputs, by colour.
GRAPH_NAMES: dict[str, tuple[str, str, str]] = {
    "luma": ("luma", "blocks", "residual"),
    "rgb": ("image", "pixels", "residual"),
}

EXPERTS_MAX = 8  # as in web/kernel/keen.h
# What a graph can give: pixels, what strength 1 adds to its base, and pixels drawn towards the last frame's.
OutputKind = Literal["pixels", "residual", "steady"]

# Field numbers of ModelProto, GraphProto, ValueInfoProto and StringStringEntryProto (onnx.proto).
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INPUT, _GRAPH_OUTPUT = 11, 12
_VALUE_NAME = 1
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model's description.

    color: what the graph takes and gives, uint8 in and out, 0-255, with the float32 `residual` that strength 1
    adds, in code values and in the shape of the pixels, beside them:
        "luma"  luma (1, 1, H, W) -> blocks (1, sH/4, sW/4, 16), the 4x4 pixels of a block in row-major order
        "rgb"   image (1, H, W, 3) -> pixels (1, sH, sW, 3), full range
    with strength (1,) float32 and, for luma models that want one, condition (1, 128) float32 as further inputs.
    steady: a luma model that also has the output `steady`, its blocks drawn towards the stream's last ones, the
    inputs previous (1, sH/4, sW/4, 16) uint8, and keep (1, 1, sH/4, sW/4) float32, by how much, 0-1.
    experts: how many networks the file holds, at most 8; of those behind the first the outputs have ".1", ".2" …
    behind their names. full_size: how many of them, the last, are for frames that were not enlarged. route: of
    several, the numbers of the rule (`keenframe.routing.layers_of`) that prefers one for a frame's condition; None
    for one. periodicity: the rule reads `keenframe.periodicity` of the frame behind its condition. leaves: it may
    prefer to leave a frame as it is, which only a model of scale 1 can.
    scale: s, output size over input size, 1, 2 or 4. size_multiple: H and W given to the graph are multiples of
    it. block: pixels on the side of one output block of a luma model, always 4. radius: receptive field radius
    in input pixels, rounded up to size_multiple: tiles that overlap by it have no seams. whole: every output
    pixel depends on the whole picture (pooling or normalising over it), so an rgb model is never run in tiles.
    enlarging: for a scale above 1, the filter that made the image the residual is added to, "bilinear" or
    "bicubic" (a = -0.75), half-pixel centres, edges replicated. condition: the statistic the graph wants
    ({"kind", "size"}), or None. role: "flagship", or "research" for what the source reports describe: listed
    apart, and measured only when asked for. measured: results by test set, in dB and SSIM. created: ISO 8601
    date. sha256: of the file; computed when it is read, never stored.
    """

    name: str
    version: str = "0"
    scale: int = 1
    size_multiple: int = 4
    block: int = 4
    color: str = "luma"
    precision: str = "float32"
    radius: int = 64
    whole: bool = False
    enlarging: str = "bilinear"
    condition: dict[str, Any] | None = None
    steady: bool = False
    experts: int = 1
    full_size: int = 1
    route: tuple[float, ...] | None = None
    periodicity: bool = False
    leaves: bool = False
    parameters: int = 0
    role: str = "flagship"
    licence: str = "Apache-2.0"
    recipe: str = ""
    training_data: str = ""
    measured: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    description: str = ""
    schema: int = SCHEMA
    sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse values that the runtime cannot honour (ModelError)."""
        allowed: dict[str, tuple[Any, ...]] = {
            "schema": (SCHEMA,),
            "scale": (1, 2, 4),
            "block": (4,),
            "color": tuple(GRAPH_NAMES),
            "precision": ("float32", "float16", "int8"),
            "enlarging": ("bilinear", "bicubic"),
            "role": ("flagship", "research"),
        }
        for key, values in allowed.items():
            if getattr(self, key) not in values:
                raise ModelError(
                    f"model {self.name!r} has {key}={getattr(self, key)!r}; this keenframe knows "
                    f"{', '.join(map(repr, values))}: update keenframe or export the model again"
                )
        block = self.block if self.color == "luma" else 1
        if self.size_multiple < 1 or self.size_multiple * self.scale % block:
            raise ModelError(
                f"model {self.name!r} has size_multiple={self.size_multiple} at scale {self.scale}; "
                f"their product must be a multiple of {block}"
            )
        if self.radius < 0 or self.radius % self.size_multiple:
            raise ModelError(
                f"model {self.name!r} has radius={self.radius}; expected a multiple of {self.size_multiple}"
            )
        if self.color == "luma" and self.whole:
            raise ModelError(f"model {self.name!r} has whole=True, which is known for color='rgb' only")
        if self.color == "rgb" and self.condition is not None:
            raise ModelError(f"model {self.name!r} wants a condition, which is known for color='luma' only")
        if self.color == "rgb" and (self.steady or self.route):
            raise ModelError(f"model {self.name!r} is steady or routed, which is known for color='luma' only")
        if self.steady and self.size_multiple % self.block:
            raise ModelError(
                f"model {self.name!r} is steady with size_multiple={self.size_multiple}; expected a multiple of "
                f"{self.block}, the edge of the blocks of its input that are compared"
            )
        if self.experts > EXPERTS_MAX:
            raise ModelError(
                f"model {self.name!r} has {self.experts} experts; this keenframe knows up to {EXPERTS_MAX}"
            )
        if self.experts < 1 or (self.experts > 1) != (self.route is not None):
            raise ModelError(
                f"model {self.name!r} has {self.experts} experts and {'a' if self.route else 'no'} route; expected a "
                "route where there are several, and only there"
            )
        most = max(self.experts - 1, 1)
        if not 1 <= self.full_size <= most:
            raise ModelError(
                f"model {self.name!r} has full_size={self.full_size} of {self.experts} experts; expected 1 to {most}"
            )
        if self.leaves and (self.route is None or self.scale > 1):
            raise ModelError(
                f"model {self.name!r} leaves frames as they are, at scale {self.scale} and with "
                f"{'a' if self.route else 'no'} route; expected scale 1 and a route"
            )
        if self.route is not None:
            if self.condition is None:
                raise ModelError(f"model {self.name!r} has a route and no condition; expected both")
            try:
                layers_of(self.route, self.experts, inputs_of(self.periodicity), self.leaves)
            except ValueError as error:
                raise ModelError(f"model {self.name!r} has a route of {error}") from error
        if self.condition is not None:
            known = {"kind": CONDITION_KIND, "size": CONDITION_SIZE}
            if {key: self.condition.get(key) for key in known} != known:
                raise ModelError(
                    f"model {self.name!r} wants the condition {self.condition}; known is {known}"
                )

    def to_json(self) -> str:
        """JSON text for the ONNX file's metadata; without sha256."""
        stored = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "sha256"}
        return json.dumps(stored, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, sha256: str = "") -> ModelSpec:
        """The spec written by `to_json`. ModelError for text that is not one."""
        try:
            stored = json.loads(text)
        except ValueError as error:
            raise ModelError(f"the model's description is not JSON: {error}") from error
        if not isinstance(stored, dict) or not isinstance(stored.get("name"), str):
            raise ModelError("the model's description is not a JSON object with a name")
        _check_types(stored)
        if stored.get("route") is not None:
            stored["route"] = tuple(stored["route"])
            stored.setdefault("experts", 2)  # as many as there were when nobody counted them
        known = {item.name for item in fields(cls)} - {"sha256"}
        return cls(**{key: value for key, value in stored.items() if key in known}, sha256=sha256)

    @property
    def inputs(self) -> frozenset[str]:
        """Names of the graph's inputs."""
        names = {self.picture_input, "strength"}
        names |= {"condition"} if self.condition is not None else set()
        return frozenset(names | ({"previous", "keep"} if self.steady else set()))

    @property
    def picture_input(self) -> str:
        """Name of the graph's picture input."""
        return GRAPH_NAMES[self.color][0]

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the graph's outputs."""
        _, pixels, residual = GRAPH_NAMES[self.color]
        names = {pixels, residual} | ({"steady"} if self.steady else set())
        return frozenset(_of_expert(name, expert) for name in names for expert in range(self.experts))

    def output(self, kind: OutputKind, expert: int = 0) -> str:
        """Name of one output."""
        _, pixels, residual = GRAPH_NAMES[self.color]
        return _of_expert({"pixels": pixels, "residual": residual, "steady": "steady"}[kind], expert)


def _of_expert(name: str, expert: int) -> str:
    return f"{name}.{expert}" if expert else name


def _check_types(stored: dict[str, Any]) -> None:
    whole = ("schema", "scale", "size_multiple", "block", "radius", "experts", "full_size", "parameters")
    for key, value in stored.items():
        if key in whole:
            right = type(value) is int
        elif key == "condition":
            right = value is None or isinstance(value, dict)
        elif key == "route":
            right = value is None or (
                isinstance(value, list) and all(isinstance(number, int | float) for number in value)
            )
        elif key in ("whole", "steady", "periodicity", "leaves"):
            right = type(value) is bool
        elif key == "measured":
            right = isinstance(value, dict)
        else:
            right = isinstance(value, str) or key not in ModelSpec.__dataclass_fields__
        if not right:
            raise ModelError(f"the model's description has {key}={value!r}, which is not of the right type")


def load_spec(path: str | Path) -> ModelSpec:
    """Read a model file's spec and check that its graph has the right inputs and outputs.

    ModelError when the file is missing, empty, cut short, no ONNX at all, or an ONNX made by something else.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"model {str(path)!r} cannot be read: {error.strerror or error}") from error
    if not data:
        raise ModelError(f"model {path.name!r} is empty (0 bytes); download or export it again")
    metadata, inputs, outputs = _read_model(memoryview(data), path.name)
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"model {path.name!r} is an ONNX file with inputs {sorted(inputs)}, but it carries no "
            f"{METADATA_KEY!r} metadata; expected a model written by `keenframe-train export`"
        )
    try:
        spec = ModelSpec.from_json(metadata[METADATA_KEY], hashlib.sha256(data).hexdigest())
    except ModelError as error:
        raise ModelError(f"model {path.name!r}: {error}") from error
    if inputs != spec.inputs or not spec.outputs <= outputs:
        raise ModelError(
            f"model {path.name!r} has inputs {sorted(inputs)} and outputs {sorted(outputs)}; expected inputs "
            f"{sorted(spec.inputs)} and outputs {sorted(spec.outputs)}: export it again"
        )
    return spec


def _read_model(data: memoryview, name: str) -> tuple[dict[str, str], frozenset[str], frozenset[str]]:
    """Metadata, input names and output names of an ONNX ModelProto."""
    metadata: dict[str, str] = {}
    names: dict[int, set[str]] = {_GRAPH_INPUT: set(), _GRAPH_OUTPUT: set()}
    graphs = 0
    try:
        for number, value in payloads(data):
            if number == _MODEL_METADATA:
                entry = {key: bytes(text).decode() for key, text in payloads(value)}
                metadata[entry.get(_ENTRY_KEY, "")] = entry.get(_ENTRY_VALUE, "")
            elif number == _MODEL_GRAPH:
                graphs += 1
                for part, info in payloads(value):
                    if part in names:
                        names[part].update(bytes(v).decode() for n, v in payloads(info) if n == _VALUE_NAME)
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"model {name!r} ({len(data)} bytes) is not a whole ONNX file ({error}); "
            f"it is cut short, damaged or of another kind: download or export it again"
        ) from error
    if graphs != 1:
        raise ModelError(f"model {name!r} ({len(data)} bytes) holds no ONNX graph; expected an .onnx file")
    return metadata, frozenset(names[_GRAPH_INPUT]), frozenset(names[_GRAPH_OUTPUT])
