"""Which expert of a model a frame goes through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import CONDITION_SIZE

# A stream changes its expert only when the rule is this sure, so that it does not flap between two at the border.
MARGIN = 0.25
# Between the rule's two layers: LeakyReLU of this slope.
SLOPE = 0.1
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def layers_of(route: Sequence[float]) -> list[Layer]:
    """The weights (outputs, inputs) and biases (outputs,) of a rule's one or two layers, from its numbers.

    route: the weights, row by row, and then the biases of one layer after the other; the last has one output. So one
    layer has 129 numbers, two with n units between them 130 n + 1. ValueError for another count.
    """
    numbers, inputs = np.array(route, np.float32), CONDITION_SIZE
    units, rest = divmod(len(numbers) - 1, inputs + 2)
    if len(numbers) == inputs + 1:
        return [(numbers[None, :-1], numbers[-1:])]
    if rest or units < 1:
        raise ValueError(
            f"{len(numbers)} numbers; expected {inputs + 1}, or {inputs + 2} for each unit of a layer between and 1"
        )
    weights, biases, last = np.split(numbers, [units * inputs, units * (inputs + 1)])
    return [(weights.reshape(units, inputs), biases), (last[None, :-1], last[-1:])]


def score(layers: Sequence[Layer], condition: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a rule says of conditions (..., 128): above 0 the second expert is the better one. Shape (...)."""
    x = condition
    for index, (weights, biases) in enumerate(layers):
        x = x @ weights.T + biases
        if index < len(layers) - 1:
            x = np.maximum(x, SLOPE * x)
    return x[..., 0]


class Router:
    """route: the numbers of a rule on the condition (`ModelSpec.route`); None for a model of one network."""

    def __init__(self, route: Sequence[float] | None) -> None:
        self._layers = None if route is None else layers_of(route)
        self._expert: int | None = None

    def expert(self, condition: NDArray[np.float32], still: bool, enlarged: bool | None = None) -> int:
        """0 or 1 for a condition (128,) float32: of a still, or of the stream's next frame.

        enlarged: what is known of the frame (`Frame.enlarged`); None asks the rule.
        """
        if self._layers is None:
            return 0
        if enlarged is not None:
            return int(not enlarged)
        value = float(score(self._layers, condition))
        if still:
            return int(value > 0)
        if self._expert is None or abs(value) > MARGIN:
            self._expert = int(value > 0)
        return self._expert

    def reset(self) -> None:
        """Forget the stream."""
        self._expert = None
