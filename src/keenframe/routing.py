"""Which expert of a model a frame goes through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A stream changes its expert only when the rule is this sure, so that it does not flap between two at the border.
MARGIN = 0.25


class Router:
    """route: 128 weights and a bias on the condition (`ModelSpec.route`); None for a model of one network."""

    def __init__(self, route: tuple[float, ...] | None) -> None:
        self._weights = None if route is None else np.array(route, np.float32)
        self._expert: int | None = None

    def expert(self, condition: NDArray[np.float32], still: bool, enlarged: bool | None = None) -> int:
        """0 or 1 for a condition (128,) float32: of a still, or of the stream's next frame.

        enlarged: what is known of the frame (`Frame.enlarged`); None asks the rule.
        """
        if self._weights is None:
            return 0
        if enlarged is not None:
            return int(not enlarged)
        score = float(self._weights[:-1] @ condition + self._weights[-1])
        if still:
            return int(score > 0)
        if self._expert is None or abs(score) > MARGIN:
            self._expert = int(score > 0)
        return self._expert

    def reset(self) -> None:
        """Forget the stream."""
        self._expert = None
