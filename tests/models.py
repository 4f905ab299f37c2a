"""Small ONNX models that honour the graph contract, so that the runtime is tested without trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from keenframe.condition import CONDITION_SIZE
from keenframe.zoo.spec import CONDITION_KIND, METADATA_KEY, ModelSpec

CONDITION = {"kind": CONDITION_KIND, "size": CONDITION_SIZE}


def identity_kernel() -> NDArray[np.float32]:
    """(16, 1, 4, 4): a stride-4 convolution that is space to depth."""
    return np.eye(16, dtype=np.float32).reshape(16, 1, 4, 4)


def unsharp_kernel(amount: float) -> NDArray[np.float32]:
    """(16, 1, 12, 12): stride 4, padding 4; channel 4*dy+dx is `amount` times (pixel - its 3x3 mean)."""
    kernel = np.zeros((16, 1, 12, 12), np.float32)
    for dy in range(4):
        for dx in range(4):
            kernel[4 * dy + dx, 0, 4 + dy, 4 + dx] = amount
            kernel[4 * dy + dx, 0, 3 + dy : 6 + dy, 3 + dx : 6 + dx] -= amount / 9
    return kernel


def build(
    path: Path,
    amount: float = 1.0,
    scale: int = 1,
    conditioned: bool = True,
    metadata: bool = True,
    steady: bool = False,
    **spec: object,
) -> Path:
    """Write a model: base plus strength times an unsharp residual of `amount` (0: none).

    With `conditioned`, the residual grows by the condition's first number, so a wrong condition shows. For
    scale 2 the base is the bilinear enlargement. With a `route`, which may be between more than two `experts`, the
    second expert's residual is that of the first with its sign changed, the third's three times as large and so on.
    """
    nodes = [helper.make_node("Cast", ["luma"], ["pixels"], to=TensorProto.FLOAT)]
    values = {
        "space_to_depth": identity_kernel(),
        "unsharp": unsharp_kernel(amount),
        "low": np.float32(0),
        "high": np.float32(255),
    }
    image = "pixels"
    if scale > 1:
        values["scales"] = np.array([1, 1, scale, scale], np.float32)
        nodes.append(helper.make_node("Resize", ["pixels", "", "scales"], ["large"], mode="linear"))
        image = "large"
    nodes += [
        helper.make_node("Conv", [image, "space_to_depth"], ["base"], strides=[4, 4]),
        helper.make_node("Conv", [image, "unsharp"], ["plain"], strides=[4, 4], pads=[4, 4, 4, 4]),
    ]
    inputs = [
        helper.make_tensor_value_info("luma", TensorProto.UINT8, [1, 1, "height", "width"]),
        helper.make_tensor_value_info("strength", TensorProto.FLOAT, [1]),
    ]
    channels_first = "plain"
    if conditioned:
        values |= {
            "start": np.array([0], np.int64),
            "end": np.array([1], np.int64),
            "axis": np.array([1], np.int64),
        }
        nodes += [
            helper.make_node("Slice", ["condition", "start", "end", "axis"], ["gain"]),
            helper.make_node("Mul", ["plain", "gain"], ["weighted"]),
        ]
        channels_first = "weighted"
        inputs.append(helper.make_tensor_value_info("condition", TensorProto.FLOAT, [1, CONDITION_SIZE]))
    nodes += [
        helper.make_node("Transpose", [channels_first], ["residual"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", ["base"], ["base_last"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["residual", "strength"], ["added"]),
        helper.make_node("Add", ["base_last", "added"], ["sum"]),
        helper.make_node("Round", ["sum"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["blocks"], to=TensorProto.UINT8),
    ]
    outputs = [
        helper.make_tensor_value_info("blocks", TensorProto.UINT8, [1, "rows", "columns", 16]),
        helper.make_tensor_value_info("residual", TensorProto.FLOAT, [1, "rows", "columns", 16]),
    ]
    if steady:
        inputs += [
            helper.make_tensor_value_info("previous", TensorProto.UINT8, [1, "rows", "columns", 16]),
            helper.make_tensor_value_info("keep", TensorProto.FLOAT, [1, 1, "rows", "columns"]),
        ]
        nodes += [
            helper.make_node("Transpose", ["keep"], ["kept"], perm=[0, 2, 3, 1]),
            helper.make_node("Cast", ["previous"], ["before"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["before", "sum"], ["step"]),
            helper.make_node("Mul", ["step", "kept"], ["part"]),
            helper.make_node("Add", ["sum", "part"], ["drawn"]),
            helper.make_node("Round", ["drawn"], ["drawn_rounded"]),
            helper.make_node("Clip", ["drawn_rounded", "low", "high"], ["drawn_clipped"]),
            helper.make_node("Cast", ["drawn_clipped"], ["steady"], to=TensorProto.UINT8),
        ]
        outputs.append(helper.make_tensor_value_info("steady", TensorProto.UINT8, [1, "rows", "columns", 16]))
    if spec.get("route"):
        spec.setdefault("experts", 2)
        given = {value.name for value in inputs} | set(values)
        single, ends = list(nodes), list(outputs)
        for number in range(1, int(spec["experts"])):  # type: ignore[call-overload]
            for node in single:
                again = onnx.NodeProto()
                again.CopyFrom(node)
                again.input[:] = [
                    name if not name or name in given else f"{name}.{number}" for name in node.input
                ]
                again.output[:] = [f"{name}.{number}" for name in node.output]
                if node.output[0] == "plain":
                    again.input[1] = f"other{number}"
                    values[again.input[1]] = (-1) ** number * (2 * number - 1) * values["unsharp"]
                nodes.append(again)
            for value in ends:
                other = onnx.ValueInfoProto()
                other.CopyFrom(value)
                other.name = f"{value.name}.{number}"
                outputs.append(other)
    described = ModelSpec(
        **({"name": path.stem, "scale": scale, "radius": 8, "steady": steady} | spec),  # type: ignore[arg-type]
        condition=dict(CONDITION) if conditioned else None,
    )
    return _write(path, nodes, inputs, outputs, values, described if metadata else None)


def build_rgb(
    path: Path,
    amount: float = 0.0,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    by_mean: float = 0.0,
    scale: int = 1,
    **spec: object,
) -> Path:
    """Write an RGB model whose residual is, for each channel, `amount` times (pixel - its 3x3 mean) plus `shift`.

    by_mean: that times the picture's mean is added, so that every pixel depends on the whole picture. For a
    scale above 1 the base is the bicubic enlargement.
    """
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    for channel in range(3):
        kernel[channel, channel] = -amount / 9
        kernel[channel, channel, 1, 1] += amount
    values = {
        "unsharp": kernel,
        "shift": np.array(shift, np.float32),
        "by_mean": np.float32(by_mean),
        "low": np.float32(0),
        "high": np.float32(255),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["channels_first"], perm=[0, 3, 1, 2]),
    ]
    base = "channels_first"
    if scale > 1:
        values["scales"] = np.array([1, 1, scale, scale], np.float32)
        cubic = {"mode": "cubic", "cubic_coeff_a": -0.75, "coordinate_transformation_mode": "half_pixel"}
        nodes.append(helper.make_node("Resize", [base, "", "scales"], ["large"], **cubic))
        base = "large"
    nodes += [
        helper.make_node("Conv", [base, "unsharp", "shift"], ["local"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", [base], ["mean"]),
        helper.make_node("Mul", ["mean", "by_mean"], ["everywhere"]),
        helper.make_node("Add", ["local", "everywhere"], ["correction"]),
        helper.make_node("Transpose", ["correction"], ["residual"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", [base], ["base_last"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["residual", "strength"], ["added"]),
        helper.make_node("Add", ["base_last", "added"], ["sum"]),
        helper.make_node("Round", ["sum"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["pixels"], to=TensorProto.UINT8),
    ]
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "height", "width", 3]),
        helper.make_tensor_value_info("strength", TensorProto.FLOAT, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, "rows", "columns", 3]),
        helper.make_tensor_value_info("residual", TensorProto.FLOAT, [1, "rows", "columns", 3]),
    ]
    fields = {"name": path.stem, "scale": scale, "size_multiple": 1, "radius": 8, "enlarging": "bicubic"}
    fields |= {"color": "rgb", "whole": by_mean != 0, "role": "research"}
    described = ModelSpec(**(fields | spec))  # type: ignore[arg-type]
    return _write(path, nodes, inputs, outputs, values, described)


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    values: dict[str, Any],
    described: ModelSpec | None,
) -> Path:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    if described is not None:
        helper.set_model_props(model, {METADATA_KEY: described.to_json()})
    path.write_bytes(model.SerializeToString())
    return path
