"""The shapes that are searched, and those of them that are worth training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.latency import WHOLE_FRAME, Latency
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.nets.network import parameters

# The shipped bodies by scale, of several experts the first; what the others are measured against comes first.
SHIPPED = {
    1: {
        "keen": KeenConfig(1, 32, 32, 3, inner=(16,) * 3, stride=1),
        "keen-nano": KeenConfig(1, 16, 0, 3, stride=1),
        "keen-base": KeenConfig(1, 32, 32, 6, stride=1),
    },
    2: {"keen-x2": KeenConfig(2, 32, 32, 3, stride=1)},
    4: {"keen-x4": KeenConfig(4, 32, 32, 3, stride=1)},
}
BUDGETS = {"nano": 120, "small": 60, "base": 30}  # frames a second at 1080p
# A network that leaves more than this of its budget unused is no candidate for it.
LEAST = 0.6
MOST_PARAMETERS = 460_000  # what an INT8 file of 500 kB holds
BRANCHES = "+1x1"


def shapes(scale: int = 1) -> dict[str, KeenConfig]:
    """All bodies by name; the shipped ones first."""
    first = SHIPPED[scale]
    others: list[KeenConfig] = []
    for head in (16, 24, 32, 48):
        for trunk in (2 * head, 3 * head):
            for blocks in (2, 3, 4):
                for share in (0.75, 1.0):
                    inner = max(16, round(share * trunk / 16) * 16)
                    widths = (inner,) * blocks if inner < trunk else ()
                    others.append(KeenConfig(scale, head, trunk, blocks, inner=widths))
    # A trunk at the head's own size, or none at all, and one at a sixteenth of the picture's.
    for head in (16, 24, 32, 48):
        for blocks in (2, 3, 4, 6):
            others += [KeenConfig(scale, head, trunk, blocks, stride=1) for trunk in (head, 0)]
    narrow = ((16, 0, 32, 3), (16, 16, 32, 4), (32, 0, 48, 2), (32, 32, 16, 3), (32, 32, 16, 4))
    for head, trunk, inner, blocks in narrow:
        others.append(KeenConfig(scale, head, trunk, blocks, inner=(inner,) * blocks, stride=1))
    others += [KeenConfig(scale, 32, trunk, blocks, stride=4) for trunk, blocks in ((96, 3), (128, 4))]
    return first | {name_of(config): config for config in others if config not in first.values()}


def name_of(config: KeenConfig) -> str:
    """ "h32 t64 i48 b3": head, trunk and inner channels, blocks; "r4" or "r16" where a trunk position has that edge.
    Without a trunk "h32 i48 b3".
    """
    inner = f" i{config.inner[0]}" if config.inner else ""
    if not config.trunk:
        return f"h{config.head}{inner} b{config.blocks}"
    edge = f" r{4 * config.stride}" if config.stride != 2 else ""
    return f"h{config.head} t{config.trunk}{inner} b{config.blocks}{edge}"


def reference(scale: int) -> str:
    """The shipped body whose time is 1."""
    return next(iter(SHIPPED[scale]))


def budget_ms(budget: str) -> float:
    """What a network alone may take of a frame at that budget."""
    return 1000 / BUDGETS[budget] / WHOLE_FRAME


def candidates(
    configs: Mapping[str, KeenConfig], times: Mapping[str, Latency], points: int
) -> dict[str, KeenConfig]:
    """What to train: the shipped bodies, the first with branches, too; and for each budget and each place of the
    trunk the `points` slowest bodies that keep to it, use most of it, and fit a file of 500 kB.
    """
    scale = next(iter(configs.values())).scale
    first = reference(scale)
    chosen = {name: configs[name] for name in SHIPPED[scale] if name in configs}
    chosen[first + BRANCHES] = replace(configs[first], branches=True)
    for budget in BUDGETS:
        limit = budget_ms(budget)
        near = [
            name
            for name, config in configs.items()
            if LEAST * limit <= times[name].time_ms <= limit and parameters(Keen(config)) <= MOST_PARAMETERS
        ]
        near.sort(key=lambda name: times[name].time_ms, reverse=True)
        for stride in (1, 2, 4):
            slowest = [name for name in near if configs[name].stride == stride]
            chosen |= {name: configs[name] for name in slowest[:points]}
    return chosen


def edge_of(rows: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names on the Pareto edge of (ms, dB), the fastest first: whatever is faster than one of them is worse."""
    best, found = float("-inf"), []
    for name, (_, quality) in sorted(rows.items(), key=lambda item: (item[1][0], -item[1][1])):
        if quality > best:
            best = quality
            found.append(name)
    return found


def sizes(rows: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """The best body within each budget, where there is one."""
    found = {}
    for budget in BUDGETS:
        inside = [name for name, (time_ms, _) in rows.items() if time_ms <= budget_ms(budget)]
        if inside:
            found[budget] = max(inside, key=lambda name: rows[name][1])
    return found
