"""Muon: what its step is, whom it leaves to AdamW, and that a run goes on exactly with it."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from keenframe_train.muon import Muon, is_matrix, orthogonal
from keenframe_train.nets.keen import Keen, KeenConfig


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.Conv2d(16, 24, 3), nn.Conv2d(24, 24, 3, groups=24), nn.Conv2d(24, 8, 1)
    )


def learn(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 2) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(2, 1, 12, 12, generator=generator)).square().mean().backward()
        optimizer.step()


def singular(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix.flatten(1))


def test_every_direction_becomes_about_as_long() -> None:
    torch.manual_seed(0)
    wide, tall = torch.randn(24, 90) * 1e-6, torch.randn(90, 24)
    for matrix in (wide, tall):
        lengths = singular(orthogonal(matrix))
        assert lengths.min() > 0.6 and lengths.max() < 1.3
    assert torch.equal(orthogonal(torch.zeros(9, 9)), torch.zeros(9, 9))


def test_kernels_take_orthogonal_steps_of_a_stated_size() -> None:
    net = network()
    before = copy.deepcopy(net)
    learn(net, Muon(net.parameters(), 1e-3), 1)
    for layer, old in ((net[1], before[1]), (net[3], before[3])):
        step = (layer.weight - old.weight).detach()
        lengths = singular(step)
        # A direction that the gradient hardly knows may stay short.
        assert lengths.max() / lengths.quantile(0.1) < 2
        assert 0.5e-3 < step.square().mean().sqrt() < 1e-3


def test_what_is_no_matrix_is_left_to_adamw() -> None:
    """The picture's kernel, depthwise ones, biases: to the bit what AdamW makes of them alone."""
    ours = network()
    theirs = copy.deepcopy(ours)
    learn(ours, Muon(ours.parameters(), 1e-3, weight_decay=1e-2), 1)
    learn(theirs, torch.optim.AdamW(theirs.parameters(), 1e-3, weight_decay=1e-2), 1)
    left = [not is_matrix(parameter) for parameter in ours.parameters()]
    assert left == [True, True, False, True, True, True, False, True]
    for parameter, other, same in zip(ours.parameters(), theirs.parameters(), left, strict=True):
        assert torch.equal(parameter, other) == same


def test_a_run_goes_on_exactly(tmp_path: Path) -> None:
    whole = network()
    learn(whole, Muon(whole.parameters(), 1e-3), 3)
    optimizer = Muon(whole.parameters(), 1e-3)
    halted = network()
    first = Muon(halted.parameters(), 1e-3)
    learn(halted, first, 3)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = Muon(halted.parameters(), 1e-3)
    second.load_state_dict(torch.load(tmp_path / "state.pt"))
    optimizer.load_state_dict(first.state_dict())
    learn(whole, optimizer, 2, seed=3)
    learn(halted, second, 2, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halted.parameters(), strict=True))


def test_without_any_matrix_it_is_adamw() -> None:
    net = nn.Conv2d(1, 4, 3)
    learn(nn.Sequential(net), Muon(net.parameters(), 1e-3), 2)
    assert net.weight.isfinite().all()


def test_only_convolutions_are_turned() -> None:
    """A linear layer reads what is rare, too: a step of one size in all directions makes much of it."""
    assert is_matrix(nn.Conv2d(16, 16, 3).weight) and is_matrix(nn.Conv2d(8, 16, 1).weight)
    assert not is_matrix(nn.Conv2d(1, 16, 3).weight) and not is_matrix(nn.Linear(128, 32).weight)
    net = Keen(KeenConfig(head=8, trunk=0, blocks=1, stride=1))
    turned = {name for name, parameter in net.named_parameters() if is_matrix(parameter)}
    assert turned == {"head.weight", "blocks.0.first.weight", "blocks.0.second.weight", "tail.weight"}
