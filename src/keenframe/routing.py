"""Which expert of a model a frame goes through, if any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keenframe.condition import CONDITION_SIZE
from keenframe.periodicity import PERIODICITY_SIZE

# A stream changes its expert only when the rule prefers the other by this much, so that it does not flap between two at
# the border.
MARGIN = 0.25
# Between the rule's two layers: LeakyReLU of this slope.
SLOPE = 0.1
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def inputs_of(periodicity: bool) -> int:
    """How many numbers a rule reads: the condition's 128, and behind them the 31 of `keenframe.periodicity`."""
    return CONDITION_SIZE + (PERIODICITY_SIZE if periodicity else 0)


def layers_of(
    route: Sequence[float], experts: int = 2, inputs: int = CONDITION_SIZE, leaves: bool = False
) -> list[Layer]:
    """The weights (outputs, inputs) and biases (outputs,) of a rule's one or two layers, from its numbers.

    route: the weights, row by row, and then the biases of one layer after the other; the last has an output for every
    expert but the first and, where the rule `leaves` frames as they are, one for that. inputs: I, `inputs_of`. So with
    O outputs one layer has (I + 1) O numbers, two with n units between them (I + 1 + O) n + O. ValueError for another
    count.
    """
    numbers, outputs = np.array(route, np.float32), experts - 1 + leaves
    if len(numbers) == (inputs + 1) * outputs:
        return [_layer(numbers, outputs)]
    units, rest = divmod(len(numbers) - outputs, inputs + 1 + outputs)
    if rest or units < 1:
        raise ValueError(
            f"{len(numbers)} numbers for {experts} experts; expected {(inputs + 1) * outputs}, or "
            f"{inputs + 1 + outputs} for each unit of a layer between and {outputs}"
        )
    inner, last = np.split(numbers, [units * (inputs + 1)])
    return [_layer(inner, units), _layer(last, outputs)]


def _layer(numbers: NDArray[np.float32], outputs: int) -> Layer:
    return numbers[:-outputs].reshape(outputs, -1), numbers[-outputs:]


def scores(layers: Sequence[Layer], seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a rule that reads (..., I) prefers each choice, (..., O + 1): the greatest wins, the first's are 0."""
    x = seen
    for index, (weights, biases) in enumerate(layers):
        x = x @ weights.T + biases
        if index < len(layers) - 1:
            x = np.maximum(x, SLOPE * x)
    return np.concatenate([np.zeros_like(x[..., :1]), x], axis=-1)


class Router:
    """The rule of a stream; its parameters are those of `layers_of`, and no route that of a model of one network."""

    def __init__(
        self,
        route: Sequence[float] | None,
        experts: int = 2,
        inputs: int = CONDITION_SIZE,
        leaves: bool = False,
        full_size: int = 1,
    ) -> None:
        self._layers = None if route is None else layers_of(route, experts, inputs, leaves)
        self._first_full_size = experts - full_size
        self._expert: int | None = None

    def expert(self, seen: NDArray[np.float32], still: bool, enlarged: bool | None = None) -> int:
        """The expert, from 0, for what the rule reads (I,) float32: of a still, or of the stream's next frame. As many
        as there are experts stands for none: the frame stays as it is.

        enlarged: what is known of the frame (`Frame.enlarged`): the last `full_size` experts, and none, are for frames
        that were not, and the rule chooses among the others or among these; None lets it choose among all.
        """
        if self._layers is None:
            return 0
        preferred = scores(self._layers, seen)
        if enlarged is not None:
            preferred[
                slice(self._first_full_size, None) if enlarged else slice(self._first_full_size)
            ] = -np.inf
        best = int(preferred.argmax())
        if still:
            return best
        now = self._expert
        if now is None or preferred[best] - preferred[now] > MARGIN:
            now = self._expert = best
        return now

    def reset(self) -> None:
        """Forget the stream."""
        self._expert = None
