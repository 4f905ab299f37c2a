"""Two networks in one file, and the rule that says which of them a frame goes through.

Enlarged and blurred frames have detail to give back; frames that come at full size from a codec have errors to take
away, fifty times smaller. One small network trained on both learns the first and forgets the second (docs/log.md), so
`keen` is two, each with all its channels for its own half. The frame's condition tells them apart, and only one of
them runs: two experts cost the file's size, not time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe.condition import CONDITION_SIZE
from keenframe.metrics import psnr
from keenframe.routing import SLOPE, Layer, score
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import read_spec
from keenframe_train.data.bank import Bank
from keenframe_train.errors import TrainError
from keenframe_train.export.onnx_file import write_model
from keenframe_train.nets.keen import Keen
from keenframe_train.progress import progress

# A single layer cannot tell a soft screen from a compressed one; eight units between can, and more do no better. The
# decay keeps the rule from knowing its pairs too well (docs/log.md).
UNITS, DECAY = 8, 3e-3
# What the wrong expert does to a frame of full size is seen as damage; what is not won on an enlarged one is not seen.
HARM = 3.0
# Pictures on which two experts agree within this say nothing about which to take.
TIE = 0.01


@dataclass(frozen=True, slots=True)
class Route:
    """The second expert takes a frame when the rule gives its condition a value above 0.

    layers: as `keenframe.routing.layers_of` gives them. lost: mean PSNR in dB that the rule gives away against the
    better expert of every picture it was fitted on; second: share of those that go to the second expert.
    """

    layers: Sequence[Layer]
    lost: float = 0.0
    second: float = 0.0

    def numbers(self) -> tuple[float, ...]:
        """The layers as the model's description holds them."""
        parts = [np.concatenate([weights.reshape(-1), biases]) for weights, biases in self.layers]
        return tuple(round(float(value), 5) for value in np.concatenate(parts))


@torch.no_grad()
def advantages(experts: Sequence[Keen], bank: Bank, items: NDArray[np.intp]) -> NDArray[np.float32]:
    """How much better the second expert is on every item, in dB of PSNR after rounding, (len(items),)."""
    found = []
    with progress() as bar:
        row = bar.add_task("both experts", total=len(items), note="")
        for item in items.tolist():
            x = torch.from_numpy(np.array(bank.degraded[item]))[None, None].float() / 255
            condition = torch.from_numpy(np.array(bank.conditions[item]))[None]
            quality = []
            for expert in experts:
                output = (expert(x, condition).clamp(0, 1) * 255).round().byte()[0, 0].numpy()
                quality.append(psnr(output, bank.pristine[item], ceiling_db=50.0))
            found.append(quality[1] - quality[0])
            bar.advance(row)
    return np.array(found, np.float32)


def fit_route(conditions: NDArray[np.float32], advantage: NDArray[np.float32]) -> Route:
    """A rule of two layers that loses as little quality as possible: logistic regression, every picture weighted by
    what a wrong choice would cost, `HARM` times that where the second expert is better.

    conditions: (N, 128). advantage: (N,) dB by which the second expert is better. Raises TrainError when the
    experts do as well everywhere, so that there is nothing to choose.
    """
    weight = torch.from_numpy(np.abs(advantage)).double()
    if float(weight.max()) < TIE:
        raise TrainError(
            "both experts give the same pictures; expected two networks trained on different damage"
        )
    harm = torch.from_numpy(np.where(advantage > 0, HARM, 1.0))
    weight = (harm * weight).clamp(max=1.0) * (weight >= TIE)
    x = torch.from_numpy(np.ascontiguousarray(conditions)).double()
    mean, spread = x.mean(0), x.std(0).clamp_min(0.1)
    x = (x - mean) / spread
    sign = torch.from_numpy(np.sign(advantage)).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rule = nn.Sequential(
            nn.Linear(CONDITION_SIZE, UNITS), nn.LeakyReLU(SLOPE), nn.Linear(UNITS, 1)
        ).double()
    inner, outer = rule[0], rule[2]
    solver = torch.optim.LBFGS(rule.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        kept = inner.weight.square().sum() + outer.weight.square().sum()
        value = (weight * F.softplus(-sign * rule(x)[:, 0])).sum() / weight.sum() + DECAY * kept
        value.backward()
        return value

    solver.step(loss)
    with torch.no_grad():
        inner.weight.div_(spread)
        inner.bias.sub_(inner.weight @ mean)
    layers = [
        (layer.weight.detach().float().numpy(), layer.bias.detach().float().numpy())
        for layer in (inner, outer)
    ]
    second = score(layers, conditions) > 0
    lost = np.where(second, np.maximum(-advantage, 0), np.maximum(advantage, 0)).mean()
    return Route(layers, float(lost), float(second.mean()))


def join(first: Path, second: Path, route: Route, out: Path, **changes: object) -> ModelSpec:
    """Write one model file that holds two of the same contract, the first's description with `changes`.

    The second expert's outputs get the suffix ".1". Raises TrainError when the two don't belong together.
    """
    specs = [read_spec(path) for path in (first, second)]
    alike = ("scale", "block", "color", "precision", "enlarging", "condition", "steady")
    differing = [name for name in alike if getattr(specs[0], name) != getattr(specs[1], name)]
    if differing:
        raise TrainError(f"'{first}' and '{second}' differ in {', '.join(differing)}: export both alike")
    graphs = [onnx.load(first), onnx.load(second)]
    inputs = {value.name for value in graphs[0].graph.input}
    joined = onnx.ModelProto()
    joined.CopyFrom(graphs[0])
    other = _renamed(graphs[1].graph, inputs)
    joined.graph.node.extend(other.node)
    joined.graph.initializer.extend(other.initializer)
    joined.graph.output.extend(other.output)
    recipes = [json.loads(spec.recipe) if spec.recipe.startswith("{") else spec.recipe for spec in specs]
    spec = replace(
        specs[0],
        # What fits the one whose trunk lies deeper fits the other too: multiples are powers of two.
        size_multiple=max(spec.size_multiple for spec in specs),
        radius=max(spec.radius for spec in specs),
        parameters=sum(spec.parameters for spec in specs),
        recipe=json.dumps({"experts": recipes}, sort_keys=True),
        measured={"experts": [spec.measured for spec in specs]},
        route=route.numbers(),
        **changes,  # type: ignore[arg-type]
    )
    write_model(out, joined, spec)
    return read_spec(out)


def _renamed(graph: onnx.GraphProto, inputs: set[str]) -> onnx.GraphProto:
    """The graph with ".1" behind every name but the inputs'."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)

    def rename(name: str) -> str:
        return name if not name or name in inputs else f"{name}.1"

    for node in copy.node:
        node.name = rename(node.name)
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for tensor in copy.initializer:
        tensor.name = rename(tensor.name)
    for value in copy.output:
        value.name = rename(value.name)
    return copy
