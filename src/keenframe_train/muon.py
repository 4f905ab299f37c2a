"""Muon: the momentum of each kernel made orthogonal before it is taken as a step; AdamW for what is no matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# The odd polynomial a s + b s^3 + c s^5 that takes every singular value of 0.01 to 1 into 0.7 to 1.2 in five rounds.
A, B, C = 3.4445, -4.775, 2.0315
ROUNDS = 5
SIZE = 0.8  # root mean square of a step, in rates
SMALLEST = 8  # fewer rows or columns: a picture's channels, a depthwise kernel; nothing to make orthogonal


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V^T of `matrix` = U S V^T, (R, C) float32 -> same; zeros stay zeros (Newton and Schulz's iteration)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / x.norm().clamp_min(1e-12)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = A * x + (B * gram + C * gram @ gram) @ x
    turned: Tensor = x.mT if tall else x
    return turned


class Muon(torch.optim.AdamW):
    """AdamW, but for convolutions of at least 8 outputs and 8 inputs: Nesterov's momentum of 0.95, made orthogonal.

    After Jordan et al. 2024, a kernel (O, I, h, w) being the matrix (O, I*h*w). Such a step's root mean square is 0.8
    of the rate whatever the shape: Liu et al. 2025 match Adam's 0.2 on language models, these networks want four times
    as much (docs/log.md), while biases, factors and the picture's own kernels stand AdamW's rate and no more. Linear
    layers take AdamW's, too: those of `keen` read a frame's condition, of which some directions hardly occur, and steps
    of one size in all directions made these so large that a rare frame came out as noise (docs/log.md).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        trained = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if not is_matrix(p)], "momentum": None},
            {"params": [p for p in trained if is_matrix(p)], "momentum": momentum},
        ]
        super().__init__([group for group in groups if group["params"]], rate, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of all parameters; as torch.optim.Optimizer's."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        every = self.param_groups
        for group in every:
            for parameter in group["params"] if group["momentum"] is not None else ():
                if parameter.grad is not None:
                    self._turn(parameter, group)
        self.param_groups = [group for group in every if group["momentum"] is None]
        try:
            super().step()
        finally:
            self.param_groups = every
        return loss

    def _turn(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient, momentum = self.state[parameter], parameter.grad, group["momentum"]
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
            state["step"] = torch.zeros(())  # not ours: AdamW looks for its count wherever it loads a state
        state["momentum"].lerp_(gradient, 1 - momentum)
        ahead = gradient.lerp(state["momentum"], momentum)
        turned = orthogonal(ahead.flatten(1).float()).view_as(parameter)
        rows, columns = parameter.shape[0], parameter[0].numel()
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(turned, alpha=-group["lr"] * SIZE * max(rows, columns) ** 0.5)


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon's step is for it: a convolution's kernel of at least `SMALLEST` outputs and inputs."""
    return parameter.ndim > 2 and min(parameter.shape[:2]) >= SMALLEST
