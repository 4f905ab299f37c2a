"""Several networks in one file, and the rule that says which of them a frame goes through.

Enlarged and blurred frames have detail to give back; frames that come at full size from a codec have errors to take
away, fifty times smaller. One small network trained on both learns the first and forgets the second, and one that is
full of enlarged pictures makes room for noisy ones by forgetting some (docs/log.md). So `keen` is several, each with
all its channels for its own share. The frame's condition tells them apart, and only one of them runs: experts cost
the file's size, not time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe.condition import CONDITION_SIZE
from keenframe.engines.select import AUTO, create_engine
from keenframe.metrics import psnr
from keenframe.periodicity import periodicity
from keenframe.routing import SLOPE, Layer, scores
from keenframe.zoo.spec import ModelSpec, OutputKind
from keenframe.zoo.store import read_spec
from keenframe_train.data.bank import Bank
from keenframe_train.errors import TrainError
from keenframe_train.export.onnx_file import write_model
from keenframe_train.export.simplify import renamed
from keenframe_train.nets.keen import BLOCK
from keenframe_train.nets.network import parameters
from keenframe_train.nets.registry import build
from keenframe_train.progress import progress

# A single layer cannot tell a soft screen from a compressed one. With tens of thousands of pairs 32 units tell more
# than eight, and that is what the browser's engine holds. The decay keeps a rule from knowing its pairs too well, and
# what is left of that differs from one random start to the next: the mean of four is better on other pairs than any of
# them, and teaches one, also on what lies beside the pairs, by so many deviations (docs/log.md).
UNITS, DECAY = 32, 1e-4
TEACHERS, JITTER, SHARPNESS, DECAY_TAUGHT = 4, 0.15, 2.0, 2e-5
# Of a rule that learns of further experts: what weighs that which is given away against the decay, in its last steps,
# and by how much a new expert must be preferred. Its row is sure of the pairs, and an expert of few subjects is a worse
# guess for a noisy face than one of all (docs/log.md).
CERTAINTY, DOUBT_NEW = 3.0, 2.0
# By so much must leaving a frame as it is be preferred: where experts win most, the rule is least sure.
DOUBT = 0.5
# What an expert for enlarged frames does to a frame of full size, or to one that is best left alone, is seen as damage;
# what is not won on an enlarged one is not seen. A picture that loses more than COST, in dB, says no more than one that
# loses that.
HARM, COST = 2.0, 2.0
# Experts that agree on a picture within this: it says nothing about which of them to take.
TIE = 0.01


@dataclass(frozen=True, slots=True)
class Route:
    """The rule between E experts.

    layers: as `keenframe.routing.layers_of` gives them. lost: mean PSNR in dB that the rule gives away against the
    best choice for every picture it was fitted on; shares: of those pictures, that go to each expert and, where the
    rule `leaves` pictures as they are, to none.
    """

    layers: Sequence[Layer]
    lost: float = 0.0
    shares: tuple[float, ...] = ()
    leaves: bool = False

    def numbers(self) -> tuple[float, ...]:
        """The layers as the model's description holds them."""
        parts = [np.concatenate([weights.reshape(-1), biases]) for weights, biases in self.layers]
        return tuple(round(float(value), 5) for value in np.concatenate(parts))

    @property
    def periodicity(self) -> bool:
        """Whether it reads the frame's periodicity behind its condition."""
        return self.layers[0][0].shape[1] > CONDITION_SIZE


def seen(bank: Bank, items: NDArray[np.intp]) -> NDArray[np.float32]:
    """What a rule reads of every item, (len(items), 159): its condition and its periodicity."""
    periods = [periodicity(np.array(bank.degraded[item])) for item in items.tolist()]
    return np.concatenate([bank.conditions[items], periods], axis=1)


def _against(bank: Bank, item: int, outputs: Sequence[NDArray[np.uint8]]) -> list[float]:
    pristine = np.array(bank.pristine[item])
    pictures = [*outputs, np.array(bank.degraded[item])] if bank.scale == 1 else outputs
    return [psnr(picture, pristine, ceiling_db=50.0) for picture in pictures]


def qualities(model: Path, bank: Bank, items: NDArray[np.intp]) -> NDArray[np.float32]:
    """PSNR in dB (at most 50) of every expert of a model file on every item, (len(items), experts), in the engine that
    the runtime takes here; of pairs whose sides are alike one column more, the item's own.

    Raises TrainError for a file that holds one network, and for pairs of another scale.
    """
    spec, found = read_spec(model), []
    if spec.experts == 1:
        raise TrainError(f"'{model}' holds one network; a rule is between several experts")
    if bank.scale != spec.scale:
        raise TrainError(
            f"'{model}' has scale {spec.scale}, the pairs have {bank.scale}: another bank is needed"
        )
    engine = create_engine(AUTO, model, spec, threads=1)
    with progress() as bar:
        row = bar.add_task("all experts", total=len(items), note="")
        for item in items.tolist():
            degraded, condition = np.array(bank.degraded[item]), np.array(bank.conditions[item])
            outputs = []
            for expert in range(spec.experts):
                blocks = engine.run(degraded, condition, 1.0, expert)
                rows, columns = blocks.shape[:2]
                plane = blocks.reshape(rows, columns, BLOCK, BLOCK).swapaxes(1, 2)
                outputs.append(plane.reshape(rows * BLOCK, columns * BLOCK))
            found.append(_against(bank, item, outputs))
            bar.advance(row)
    engine.close()
    return np.array(found, np.float32)


class _Stakes:
    """What every choice of a rule costs on N pictures, of the qualities (N, choices) that `fit_route` takes."""

    def __init__(self, quality: NDArray[np.float32], leaves: bool, full_size: int) -> None:
        choices = quality.shape[1]
        experts = choices - leaves
        if float(np.ptp(quality[:, :experts], axis=1).max()) < TIE:
            raise TrainError(
                "all experts give the same pictures; expected networks trained on different damage"
            )
        first_full_size = experts - full_size
        self.leaves, best = leaves, quality.argmax(1)
        self.cost = quality.max(1, keepdims=True) - quality
        harm = np.where(
            (best >= first_full_size)[:, None] & (np.arange(choices) < first_full_size), HARM, 1.0
        )
        counted = np.minimum(harm * self.cost, COST)
        self.counted = torch.from_numpy(counted).double()
        self.weight = torch.from_numpy(counted * (self.cost >= TIE)).double()
        self._target = torch.from_numpy(best)[:, None]

    def pairwise(self, preferred: Tensor) -> Tensor:
        """How wrong the best choice against each other one is, (N, choices) preferences -> a mean by weight."""
        wrong = F.softplus(preferred - preferred.gather(1, self._target))
        return (self.weight * wrong).sum() / self.weight.sum()

    def given_away(self, preferred: Tensor) -> Tensor:
        """What would be given away if each choice were taken as often as the softmax of its preference says."""
        return (preferred.softmax(1) * self.counted).sum(1).mean()

    def route(self, layers: Sequence[Layer], read: NDArray[np.float32]) -> Route:
        """A rule of these layers, with what it loses and how often it chooses what."""
        chosen = scores(layers, read).argmax(1)
        lost = np.take_along_axis(self.cost, chosen[:, None], 1).mean()
        shares = np.bincount(chosen, minlength=self.cost.shape[1]) / len(chosen)
        return Route(layers, float(lost), tuple(shares.tolist()), self.leaves)


def _standard(read: NDArray[np.float32]) -> tuple[Tensor, Tensor, Tensor]:
    """What is read, each number less its mean and by its deviation, and these."""
    x = torch.from_numpy(np.ascontiguousarray(read)).double()
    mean, spread = x.mean(0), x.std(0).clamp_min(0.1)
    return (x - mean) / spread, mean, spread


def _solve(loss: Callable[[], Tensor], weights: Iterable[nn.Parameter], steps: int) -> None:
    solver = torch.optim.LBFGS(weights, max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = loss()
        value.backward()
        return value

    solver.step(closure)


def _trained(loss: Callable[[Tensor], Tensor], x: Tensor, choices: int, decay: float) -> nn.Sequential:
    """A rule of two layers for x (N, I), by `loss` of its preferences (N, choices), the first being 0, and `decay`."""
    rule = nn.Sequential(
        nn.Linear(x.shape[1], UNITS), nn.LeakyReLU(SLOPE), nn.Linear(UNITS, choices - 1)
    ).double()

    def decayed() -> Tensor:
        kept = rule[0].weight.square().sum() + rule[2].weight.square().sum()
        return loss(F.pad(rule(x), (1, 0))) + decay * kept

    _solve(decayed, rule.parameters(), 500)
    return rule


def fit_route(
    read: NDArray[np.float32], quality: NDArray[np.float32], leaves: bool = False, full_size: int = 1
) -> Route:
    """A rule of two layers that loses as little quality as possible: logistic regression of the best choice against
    each other one, every picture weighted by what that other one would cost, `HARM` times that where the best is one
    of the last `full_size` experts or none and the other one neither, up to `COST`. Taught by `TEACHERS` of its kind.

    read: what the rule reads, (N, 159) as `seen` gives it. quality: (N, choices) as `qualities` gives it. leaves:
    whether the last of the choices is the picture itself. Raises TrainError when the experts do as well everywhere, so
    that there is nothing to choose.
    """
    choices = quality.shape[1]
    stakes = _Stakes(quality, leaves, full_size)
    x, mean, spread = _standard(read)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rules = [_trained(stakes.pairwise, x, choices, DECAY) for _ in range(TEACHERS)]
        more = torch.cat([x, x + JITTER * torch.randn_like(x)])
        with torch.no_grad():
            meant = SHARPNESS * torch.stack([F.pad(rule(more), (1, 0)) for rule in rules]).mean(0)
        matters = stakes.weight.amax(1).repeat(2)

        def unlike(preferred: Tensor) -> Tensor:
            told = -(meant.softmax(1) * (SHARPNESS * preferred).log_softmax(1)).sum(1)
            return (matters * told).sum() / matters.sum()

        rule = _trained(unlike, more, choices, DECAY_TAUGHT)
    inner, outer = rule[0], rule[2]
    with torch.no_grad():
        inner.weight.div_(spread)
        inner.bias.sub_(inner.weight @ mean)
        if leaves:
            outer.bias[-1] -= DOUBT
    layers = [
        (layer.weight.detach().float().numpy(), layer.bias.detach().float().numpy())
        for layer in (inner, outer)
    ]
    return stakes.route(layers, read)


def extend_route(
    known: Route,
    new: Sequence[int],
    read: NDArray[np.float32],
    quality: NDArray[np.float32],
    full_size: int = 1,
) -> Route:
    """A rule that also chooses the experts at `new`, and among all others decides as `known` does.

    Each new one gets a row over the known units and nothing else changes: what took many pairs, and some luck, to learn
    stays (docs/log.md). Fitted as `fit_route` begins, and then by what is given away itself, each choice being taken as
    often as it is preferred. The rest as `fit_route`'s; `known` leaves pictures as they are or does not, and so does
    the new rule. Raises TrainError for a known rule of one layer, for one of another number of choices or that reads
    other numbers, and for a new expert in the first place, against which all are weighed.
    """
    choices = quality.shape[1]
    others = [choice for choice in range(choices) if choice not in new]
    (inner, inner_bias), (outer, outer_bias) = known.layers[0], known.layers[-1]
    if len(known.layers) != 2 or len(outer) != len(others) - 1 or inner.shape[1] != read.shape[1]:
        raise TrainError(
            f"expected a rule of 2 layers that reads {read.shape[1]} numbers and has the {len(others)} choices that "
            f"are not new; this one has {len(known.layers)}, reads {inner.shape[1]} and has {len(outer) + 1}"
        )
    if others[0] != 0:
        raise TrainError("the first expert is new; expected one that the known rule chooses, too")
    stakes = _Stakes(quality, known.leaves, full_size)
    between = read @ inner.T + inner_bias
    units, mean, spread = _standard(np.maximum(between, SLOPE * between))
    kept = torch.from_numpy(scores(known.layers, read)).double()
    rows = nn.Linear(len(inner), len(new)).double()
    with torch.no_grad():
        rows.weight.zero_()
        rows.bias.fill_(-1.0)

    def preferred() -> Tensor:
        found = kept.new_zeros(len(read), choices)
        found[:, others] = kept
        found[:, list(new)] = rows(units)
        return found

    def pairwise() -> Tensor:
        return stakes.pairwise(preferred()) + DECAY * rows.weight.square().sum()

    def given_away() -> Tensor:
        return CERTAINTY * stakes.given_away(preferred()) + DECAY * rows.weight.square().sum()

    for loss in (pairwise, given_away):
        _solve(loss, rows.parameters(), 500)
    weights, biases = np.zeros((choices, len(inner)), np.float32), np.zeros(choices, np.float32)
    weights[others[1:]], biases[others[1:]] = outer, outer_bias
    with torch.no_grad():
        own = rows.weight / spread
        weights[list(new)] = own.float().numpy()
        biases[list(new)] = (rows.bias - own @ mean).float().numpy() - DOUBT_NEW
    return stakes.route([(inner, inner_bias), (weights[1:], biases[1:])], read)


def join(parts: Sequence[Path], route: Route, out: Path, full_size: int = 1, **changes: object) -> ModelSpec:
    """Write one model file that holds several of the same contract, the first's description with `changes`.

    full_size: how many of them, the last, are for frames that were not enlarged. The outputs of those behind the first
    get the suffixes ".1", ".2" … Raises TrainError when they don't belong together.
    """
    specs = [read_spec(path) for path in parts]
    alike = ("scale", "block", "color", "precision", "enlarging", "condition", "steady")
    for path, spec in zip(parts[1:], specs[1:], strict=True):
        if differing := [name for name in alike if getattr(specs[0], name) != getattr(spec, name)]:
            raise TrainError(f"'{parts[0]}' and '{path}' differ in {', '.join(differing)}: export both alike")
    joined = onnx.load(parts[0])
    inputs = {value.name for value in joined.graph.input}
    for number, path in enumerate(parts[1:], start=1):
        other = _renamed(onnx.load(path).graph, partial(_behind, kept=inputs, end=f".{number}"))
        joined.graph.node.extend(other.node)
        joined.graph.initializer.extend(other.initializer)
        joined.graph.output.extend(other.output)
    recipes = [json.loads(spec.recipe) if spec.recipe.startswith("{") else spec.recipe for spec in specs]
    spec = replace(
        specs[0],
        # What fits the one whose trunk lies deepest fits the others too: multiples are powers of two.
        size_multiple=max(spec.size_multiple for spec in specs),
        radius=max(spec.radius for spec in specs),
        parameters=sum(spec.parameters for spec in specs),
        recipe=json.dumps({"experts": recipes}, sort_keys=True),
        measured={"experts": [spec.measured for spec in specs]},
        experts=len(specs),
        full_size=full_size,
        route=route.numbers(),
        periodicity=route.periodicity,
        leaves=route.leaves,
        **changes,  # type: ignore[arg-type]
    )
    write_model(out, joined, spec)
    return read_spec(out)


def provisional(experts: int) -> Route:
    """A rule for a file whose experts are to be measured first: it takes the first of them, always."""
    zeros = np.zeros((experts - 1, CONDITION_SIZE), np.float32)
    return Route([(zeros, np.full(experts - 1, -1, np.float32))])


def expert_of(model: Path, expert: int, out: Path) -> ModelSpec:
    """Write one expert of a model file, from 0, as a model of its own.

    Raises TrainError for a file that holds one network, or that does not say how its experts were trained.
    """
    spec = read_spec(model)
    if spec.experts == 1:
        raise TrainError(f"'{model}' holds one network; expected a model of several experts, or a keen run")
    try:
        recipe = json.loads(spec.recipe)["experts"][expert]
        network = build(recipe["network"]["name"], **recipe["network"]["options"])
        measured = spec.measured["experts"][expert]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise TrainError(f"'{model}' does not say how its experts were trained: {error!r}") from error
    alone = replace(
        spec,
        experts=1, full_size=1, route=None, periodicity=False, leaves=False,
        recipe=json.dumps(recipe, sort_keys=True), measured=measured, parameters=parameters(network),
    )  # fmt: skip
    part = only(onnx.load(model), spec, expert)
    # As it was before it was joined: whoever reads such files knows its names.
    part.graph.CopyFrom(
        _renamed(part.graph, lambda name: name.removesuffix(f".{expert}") if expert else name)
    )
    write_model(out, part, alone)
    return read_spec(out)


def with_route(model: Path, route: Route, out: Path, version: str) -> ModelSpec:
    """Write the model file with another rule between its experts, and the version that this makes it."""
    spec = replace(
        read_spec(model),
        route=route.numbers(),
        periodicity=route.periodicity,
        leaves=route.leaves,
        version=version,
    )
    write_model(out, onnx.load(model), spec)
    return read_spec(out)


def only(model: onnx.ModelProto, spec: ModelSpec, expert: int) -> onnx.ModelProto:
    """One expert of what `join` wrote, its outputs without a suffix: pixels, residual and, where there is one, the
    steady picture."""
    kinds: tuple[OutputKind, ...] = ("pixels", "residual", *(("steady",) if spec.steady else ()))
    names = {spec.output(kind, expert): spec.output(kind) for kind in kinds}
    wanted, nodes = set(names), []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(renamed(node, names))
    part = onnx.ModelProto()
    part.CopyFrom(model)
    for kept, everything in (
        (nodes[::-1], part.graph.node),
        ([tensor for tensor in model.graph.initializer if tensor.name in wanted], part.graph.initializer),
        ([value for value in model.graph.output if value.name in names], part.graph.output),
    ):
        del everything[:]
        everything.extend(kept)
    for value in part.graph.output:
        value.name = names[value.name]
    return part


def _behind(name: str, kept: set[str], end: str) -> str:
    return name if not name or name in kept else name + end


def _renamed(graph: onnx.GraphProto, rename: Callable[[str], str]) -> onnx.GraphProto:
    """The graph with other names for all that it holds."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    for node in copy.node:
        node.name = rename(node.name)
        node.input[:] = map(rename, node.input)
        node.output[:] = map(rename, node.output)
    for named in (*copy.initializer, *copy.output):
        named.name = rename(named.name)
    return copy
