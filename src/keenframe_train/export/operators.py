"""What the writers of formats share: reading a node's attributes, and saying which operator they cannot write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray

from keenframe_train.errors import TrainError
from keenframe_train.export.simplify import attribute

Arrays = dict[str, NDArray[Any]]
# Where a size is free: rows and columns of the picture that a file starts with. Every network's multiple divides it.
EXAMPLE = 64


def refuse(
    format_name: str, network: str, node: onnx.NodeProto, how: str = "", known: Iterable[str] = ()
) -> NoReturn:
    """TrainError that names the operator. how: what about it; known: the operators that can be written."""
    words = f"operator {node.op_type} {how}".strip()
    listed = f" (known: {', '.join(sorted(known))})" if known else ""
    raise TrainError(
        f"'{network}' cannot be written for {format_name}: {words}, node '{node.name}', has no counterpart here"
        f"{listed}; take --to onnx or --to openvino, which write every operator"
    )


def pads(node: onnx.NodeProto) -> tuple[int, int, int, int]:
    """Zeros around a convolution's input: top, left, bottom, right."""
    top, left, bottom, right = attribute(node, "pads", (0, 0, 0, 0))
    return top, left, bottom, right


def same_padding(node: onnx.NodeProto, kernel: int, stride: int) -> bool:
    """Whether the zeros are such that the output has the input's size, as many on every side."""
    return stride == 1 and kernel % 2 == 1 and pads(node) == (kernel // 2,) * 4


def square(
    format_name: str,
    network: str,
    node: onnx.NodeProto,
    name: str,
    default: tuple[int, int],
    allowed: int | None = None,
) -> int:
    """An attribute that has to be the same along both axes, and `allowed` where that is given."""
    found = tuple(attribute(node, name, default))
    if len(set(found)) != 1 or (allowed is not None and found[0] != allowed):
        refuse(format_name, network, node, f"with {name} {found}")
    return int(found[0])


def dense(weights: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """A transposed convolution's weights (I, O / groups, kh, kw) as those of one group, (I, O, kh, kw)."""
    entering, own = weights.shape[:2]
    whole = np.zeros((entering, own * groups, *weights.shape[2:]), np.float32)
    for group in range(groups):
        rows = slice(group * entering // groups, (group + 1) * entering // groups)
        whole[rows, group * own : (group + 1) * own] = weights[rows]
    return whole
