from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe.condition import CONDITION_SIZE
from keenframe_train import features as f
from keenframe_train import teachers
from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches
from keenframe_train.data.images import dihedral
from keenframe_train.distill import TERMS, Distillation
from keenframe_train.errors import TrainError
from keenframe_train.losses import Losses
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.teachers import CachedBatches, TeacherCache, cache_teacher

from .conftest import picture

CONFIG = KeenConfig(head=8, trunk=8, blocks=2)


class Tiny(nn.Module):
    """A network as the lab has them: three layers, a BatchNorm to watch over, features at 1/`stride`."""

    taps = ("first", "middle", "norm")

    def __init__(self, channels: int = 1, scale: int = 1, width: int = 6, stride: int = 1, multiple: int = 1):
        super().__init__()
        self.channels, self.scale, self.size_multiple = channels, scale, multiple
        self.first = nn.Conv2d(channels, width, 3, padding=1, stride=stride)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, channels * (stride * scale) ** 2, 3, padding=1)
        self.unused = nn.Conv2d(1, 1, 1)
        self.stride = stride

    def base(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.scale, mode="bicubic") if self.scale > 1 else x

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        deep = F.relu(self.norm(self.middle(F.relu(self.first(x)))))
        output = self.base(x) + 0.1 * F.pixel_shuffle(self.last(deep), self.stride * self.scale)
        return output if self.training else output.clamp(0, 1)


def batch(channels: int = 1, size: int = 48, count: int = 2) -> tuple[Tensor, Tensor]:
    images = np.stack([picture(i, 60, 60)[:size, :size, :channels] for i in range(count)])
    return torch.from_numpy(images).movedim(3, 1).float() / 255, torch.rand(count, CONDITION_SIZE)


def distill(
    student: nn.Module, distillation: Distillation, x: Tensor, condition: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    with distillation.watch():
        output = student(x, condition)
    return distillation(output, x, condition, output.detach())


def state(module: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


EQUAL = dict.fromkeys(TERMS, 1.0)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("make", [lambda: Tiny(stride=2), lambda: Keen(CONFIG)])
def test_gradients_reach_student_and_adapters_only(make: Callable[[], nn.Module], autocast: bool) -> None:
    student, teachers = make(), [Tiny(width=5), Keen(dataclasses.replace(CONFIG, trunk=12, blocks=3))]
    if isinstance(student, Keen):
        nn.init.normal_(student.tail.weight, std=0.1)
    distillation = Distillation(student, teachers, EQUAL).train()
    x, condition = batch()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        total, values = distill(student, distillation, x, condition)
    total.backward()
    assert total.dtype == torch.float32 and set(values) == set(TERMS)
    assert float(total.detach()) == pytest.approx(sum(map(float, values.values())), rel=1e-5)
    assert all(float(value) > 0 and not value.requires_grad for value in values.values())
    for name, parameter in (*student.named_parameters(), *distillation.named_parameters()):
        if "unused" not in name:
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
    assert all(p.grad is None and not p.requires_grad for t in teachers for p in t.parameters())


def test_teachers_stay_as_they_are_and_are_not_saved() -> None:
    torch.manual_seed(0)
    student, teacher = Tiny(), Tiny(width=9)
    before = state(teacher)
    distillation = Distillation(student, [teacher], EQUAL)
    assert list(distillation.state_dict()) == [
        f"adapters.0.{i}.{part}" for i in range(3) for part in ("weight", "bias")
    ]
    assert [tuple(p.shape) for p in distillation.adapters[0][0].parameters()] == [(9, 6, 1, 1), (9,)]
    parameters = [*student.parameters(), *distillation.parameters()]
    optimizer = torch.optim.AdamW(parameters, 1e-2)
    student.train(), distillation.train()
    x, condition = batch()
    losses = []
    for _ in range(20):
        total, values = distill(student, distillation, x, condition)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(values)
    assert not teacher.training
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert all(float(losses[-1][name]) < float(losses[0][name]) for name in TERMS), "and the student learns"


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    student = Tiny(width=4).eval()
    teacher = copy.deepcopy(student)
    terms = dict.fromkeys(("response-l1", "response-mse", "gradients", "fakd"), 1.0)
    total, _ = distill(student, Distillation(student, [teacher], terms), *batch())
    assert float(total.detach()) == pytest.approx(0, abs=1e-6)


def test_making_one_leaves_the_student_and_the_random_numbers_alone() -> None:
    student, teacher = Tiny(), Tiny()
    student.norm.eval()
    before, numbers = state(student), torch.get_rng_state()
    Distillation(student, [teacher], {"features": 1})
    assert student.training and not student.norm.training
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    assert torch.equal(numbers, torch.get_rng_state())
    assert not any(module._forward_hooks for module in student.modules())


def test_several_teachers_count_by_their_weights() -> None:
    student, (one, two) = Tiny().eval(), (Tiny(), Tiny())
    x, condition = batch()

    def value(teachers: list[nn.Module], weights: list[float] | None) -> float:
        terms = {"response-l1": 2.0}
        distillation = Distillation(student, teachers, terms, weights=weights)
        return float(distill(student, distillation, x, condition)[0].detach())

    alone = value([one], None), value([two], [7.0])
    assert value([one, two], [3, 1]) == pytest.approx(0.75 * alone[0] + 0.25 * alone[1], rel=1e-5)
    assert value([one, two], None) == pytest.approx(sum(alone) / 2, rel=1e-5)
    for weights in ([1.0], [0, 0], [1, -1], [1, float("nan")]):
        with pytest.raises(TrainError, match="expected 2 numbers from 0 up"):
            value([one, two], weights)


def test_a_teacher_at_full_size_gets_the_enlarged_input_of_a_student_that_enlarges() -> None:
    student, teacher = Tiny(3, scale=4), Tiny(3, multiple=8)
    seen: list[Tensor] = []
    teacher.first.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    distillation = Distillation(student, [teacher], EQUAL)
    x, condition = batch(3, 24)
    distill(student, distillation, x, condition)[0].backward()
    assert torch.equal(seen[-1], student.base(x).clamp(0, 1)) and seen[-1].shape == (2, 3, 96, 96)
    with pytest.raises(TrainError, match="multiples of 8; got 60x60"):
        distill(student, distillation, *batch(3, 15))


def test_teachers_that_do_not_fit_are_refused() -> None:
    for student, teacher, message in (
        (Tiny(1), Tiny(3), "takes 3 channels, student Tiny 1"),
        (Tiny(3), Keen(CONFIG), "teacher Keen takes 1 channels"),
        (Tiny(), Tiny(scale=2), r"enlarges x2; expected 1 or x1"),
        (Tiny(scale=4), Tiny(scale=2), r"enlarges x2; expected 1 or x4"),
    ):
        with pytest.raises(TrainError, match=message):
            Distillation(student, [teacher], {"response-l1": 1})
    student = Tiny()
    with pytest.raises(TrainError, match="its own teacher"):
        Distillation(student, [student], {"response-l1": 1})
    with pytest.raises(TrainError, match="unknown distillation term 'logits'; known: response-l1"):
        Distillation(student, [Tiny()], {"logits": 1})
    for given, terms in (([], {"fakd": 1}), ([Tiny()], {}), ([Tiny()], {"fakd": 0})):
        with pytest.raises(TrainError, match="needs a teacher and a term"):
            Distillation(student, given, terms)


def test_taps_that_do_not_exist_or_do_not_fire_are_named() -> None:
    def make(*pairs: tuple[str, str]) -> Distillation:
        return Distillation(Keen(CONFIG), [Tiny()], {"fakd": 1}, taps=[pairs])

    with pytest.raises(TrainError, match=r"Keen has no layer 'blocks\.7' to tap; near: blocks\.[01]"):
        make(("blocks.7", "first"))
    with pytest.raises(TrainError, match=r"tap 'blocks\.0' of Keen never fired; those that did: down"):
        make(("down", "first"), ("blocks.0", "middle"))
    with pytest.raises(TrainError, match="tap 'unused' of Tiny never fired"):
        make(("down", "unused"))
    with pytest.raises(TrainError, match=r"tap 'embed' of Keen gives .*expected a tensor \(N, C, H, W\)"):
        make(("embed", "first"))
    with pytest.raises(TrainError, match="Linear names no taps"):
        f.default_taps(nn.Linear(1, 1))
    with pytest.raises(TrainError, match="taps for 2 teachers; there are 1"):
        Distillation(Tiny(), [Tiny()], {"fakd": 1}, taps=[None, None])
    student = Tiny()
    distillation = Distillation(student, [Tiny()], {"features": 1})
    x, condition = batch()
    with pytest.raises(TrainError, match=r"never fired; those that did: none\. Run the student within"):
        distillation(student(x), x, condition)


def test_default_taps_pair_up_evenly_and_keep_the_deepest() -> None:
    assert f.default_taps(Keen(CONFIG)) == ("down", "blocks.0.second", "blocks.1.second", "up")
    long, short = SimpleNamespace(taps=tuple("abcdefg")), SimpleNamespace(taps=("x", "y"))
    assert f.paired_taps(long, short) == (("c", "x"), ("g", "y"))
    assert f.paired_taps(short, long) == (("x", "c"), ("y", "g"))


def test_feature_distance_is_the_unexplained_share_at_the_students_resolution() -> None:
    teacher = torch.rand(2, 3, 8, 8) * 40
    assert float(f.feature_distance(f.unit(teacher), teacher)) == 0
    assert float(f.feature_distance(torch.zeros_like(teacher), teacher)) == pytest.approx(1)
    for other in (F.avg_pool2d(teacher, 4), F.interpolate(teacher, scale_factor=2, mode="bilinear")):
        assert float(f.feature_distance(f.unit(other), teacher)) == pytest.approx(0, abs=1e-6)
    assert float(f.feature_distance(teacher * 0 + 1, teacher * 0)) == pytest.approx(1), "a dead teacher"


def test_the_feature_term_starts_alike_whatever_the_networks_magnitude() -> None:
    features = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for factor in (1e-2, 1.0, 1e3):
        scaled = f.unit((features * factor).requires_grad_())
        assert float(scaled.detach().square().mean()) == pytest.approx(1) and scaled.requires_grad
    assert float(f.unit(torch.zeros(1, 1, 2, 2)).abs().max()) == 0
    student, teacher = Tiny(), Tiny()
    with torch.no_grad():
        for network, factor in ((student, 100), (teacher, 0.01)):
            network.first.weight.mul_(factor)
            network.middle.weight.mul_(factor)
    _, values = distill(student, Distillation(student, [teacher], {"features": 1}), *batch())
    assert 0.5 < float(values["features"]) < 3


def test_affinity_by_hand_whatever_the_channels_and_the_size() -> None:
    # Left and right answer on different channels; then on the same one.
    apart = torch.zeros(1, 2, 1, 2)
    apart[0, 0, 0, 0], apart[0, 1, 0, 1] = 5.0, 3.0
    alike = torch.full((1, 4, 1, 2), 2.0)
    assert torch.allclose(f.affinity(apart, (1, 2)), torch.eye(2)[None], atol=1e-4)
    assert float(f.affinity_distance(apart, alike)) == pytest.approx(0.5, abs=1e-4)
    assert float(f.affinity_distance(alike, alike * 9)) == pytest.approx(0, abs=1e-5)
    assert float(f.affinity_distance(alike, alike * 1e-4)) == pytest.approx(0, abs=1e-5)
    large = torch.rand(1, 3, 100, 80)
    assert f.affinity(large, (16, 16)).shape == (1, 256, 256)
    assert float(f.affinity_distance(large, F.avg_pool2d(large, 5))) < 0.02


def test_descriptors_know_direction_and_not_contrast() -> None:
    ramp = (0.02 * torch.arange(34.0)).expand(1, 1, 34, 34)
    vectors = f.descriptors(ramp)
    assert vectors.shape == (1, 128, 9)
    assert torch.allclose(vectors.square().sum(1), torch.ones(1, 9), atol=0.01)
    bins = vectors.reshape(1, 8, 16, 9)[0, :, 0, 0]
    expected = torch.tensor([1, 0.5**0.5, 0, 0, 0, 0, 0, 0.5**0.5])
    assert torch.allclose(bins / bins[0], expected, atol=1e-5)
    assert float(f.descriptor_distance(ramp * 2, ramp)) < 0.001
    assert float(f.descriptor_distance(1 - ramp, ramp)) == pytest.approx(2, abs=0.02)
    assert float(f.descriptors(torch.full((1, 3, 18, 18), 0.7)).abs().max()) == 0
    with pytest.raises(TrainError, match="at least 18x18 pixels; got 16x16"):
        f.descriptors(torch.zeros(1, 1, 16, 16))


def test_output_terms_have_the_losses_values() -> None:
    student, teacher = Tiny().eval(), Tiny().eval()
    x, condition = batch()
    _, values = distill(student, Distillation(student, [teacher], EQUAL), x, condition)
    with torch.no_grad():
        _, expected = Losses({"l1": 1, "mse": 1, "rmse": 1})(student(x), teacher(x))
    for name, value in expected.items():
        assert float(values[f"response-{name}"]) == pytest.approx(float(value), rel=1e-6)


# --- teachers' outputs on disk


@pytest.fixture
def teacher() -> Tiny:
    torch.manual_seed(1)
    network = Tiny(width=4)
    nn.init.normal_(network.last.weight, std=0.5)
    return network


def test_cached_outputs_are_the_live_ones_within_the_stated_error(
    bank: Bank, teacher: Tiny, tmp_path: Path
) -> None:
    cache = cache_teacher(tmp_path, bank, teacher)
    batches = BankBatches(bank, 6, 64, 100, seed=3)
    dataset = CachedBatches(batches, [cache])
    degraded, pristine, condition, outputs = dataset[7]
    assert len(dataset) == 100 and outputs.shape == (1, 6, 1, 64, 64) and outputs.dtype == torch.float32
    for ours, plain in zip((degraded, pristine, condition), batches[7], strict=True):
        assert torch.equal(ours, plain), "a cache does not change what the student sees"
    for row, draw in enumerate(batches.draws(7)):
        item, top, left, turn = draw.item, draw.top, draw.left, draw.turn
        assert torch.equal(condition[row], torch.tensor(bank.conditions[item])), "the item's, turned or not"
        with torch.no_grad():
            whole = teacher(torch.tensor(bank.degraded[item])[None, None].float() / 255)[0, 0].numpy()
        live = dihedral(whole[top : top + 64, left : left + 64], turn)
        assert np.abs(outputs[0, row, 0].numpy() - live).max() <= 1 / (2 * 64 * 255) + 1e-7
    assert float((outputs[0] - degraded / 255).abs().max()) > 0.01, "the teacher does something"
    assert all(torch.equal(a, b) for a, b in zip(dataset[7], CachedBatches(batches, [cache])[7], strict=True))


def test_cached_outputs_stand_in_for_the_teacher(bank: Bank, teacher: Tiny, tmp_path: Path) -> None:
    cache = cache_teacher(tmp_path, bank, teacher)
    # The whole item as one patch: then nothing lies beyond the crop, and turn 0 is the item itself.
    x = torch.tensor(bank.degraded[:2]).float()[:, None] / 255
    outputs = torch.stack([torch.tensor(cache.outputs[:2]).float()[:, None] / (64 * 255)])
    condition = torch.tensor(bank.conditions[:2])
    student = Tiny().eval()
    distillation = Distillation(student, [teacher], {"response-l1": 1, "gradients": 1})
    live, _ = distillation(student(x), x, condition)
    calls: list[int] = []
    handle = teacher.register_forward_hook(lambda *_: calls.append(1))
    cached, _ = distillation(student(x), x, condition, None, outputs)
    assert (
        float(cached.detach()) == pytest.approx(float(live.detach()), abs=1e-3)
        and not calls
        and not distillation.needs_features
    )
    with_features = Distillation(student, [teacher], {"response-l1": 1, "fakd": 1})
    calls.clear()
    with with_features.watch():
        output = student(x)
    with_features(output, x, condition, None, outputs)
    assert calls and with_features.needs_features, "features are not in the cache"
    handle.remove()
    with pytest.raises(TrainError, match="check scale and channels"):
        distillation(student(x), x, condition, None, outputs[..., :32, :32])


class Interrupted(Exception):
    pass


def test_an_interrupted_cache_goes_on_where_it_stopped(bank: Bank, teacher: Tiny, tmp_path: Path) -> None:
    whole = cache_teacher(tmp_path / "whole", bank, teacher, batch=7)
    sizes: list[int] = []

    def count(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if len(sizes) == 2:
            raise Interrupted
        sizes.append(len(inputs[0]))

    handle = teacher.register_forward_pre_hook(count)
    with pytest.raises(Interrupted):
        cache_teacher(tmp_path / "parts", bank, teacher, batch=7)
    handle.remove()
    (folder,) = (tmp_path / "parts").iterdir()
    assert np.memmap(folder / "done.u8", np.uint8, "r").sum() == sum(sizes)
    ran: list[int] = []
    handle = teacher.register_forward_pre_hook(lambda _m, inputs: ran.append(len(inputs[0])))
    parts = cache_teacher(tmp_path / "parts", bank, teacher, batch=7)
    assert sum(ran) == len(bank) - sum(sizes)
    assert np.array_equal(parts.outputs, whole.outputs)
    ran.clear()
    cache_teacher(tmp_path / "parts", bank, teacher)
    assert not ran, "a whole cache is only opened"
    handle.remove()


def test_another_teacher_or_bank_has_another_cache(bank: Bank, teacher: Tiny, tmp_path: Path) -> None:
    digest, own = teachers.weights_digest(teacher), teachers.bank_digest(bank)
    assert digest == teachers.weights_digest(copy.deepcopy(teacher).train())
    for change in (lambda t: t.last.bias.data.add_(1e-3), lambda t: setattr(t, "factor", 0.5)):
        other = copy.deepcopy(teacher)
        change(other)
        assert teachers.weights_digest(other) != digest
    conditions = bank.conditions.copy()
    conditions[3, 5] += 1e-3
    assert teachers.bank_digest(dataclasses.replace(bank, conditions=conditions)) != own
    cache_teacher(tmp_path, bank, teacher)
    teacher.last.bias.data.add_(1e-3)
    whole = cache_teacher(tmp_path, bank, teacher)
    assert len(list(tmp_path.iterdir())) == 2
    with torch.autocast("cpu", torch.bfloat16):  # another arithmetic gives another output
        coarse = cache_teacher(tmp_path, bank, teacher)
    assert len(list(tmp_path.iterdir())) == 3 and not np.array_equal(coarse.outputs, whole.outputs)


def small_bank(shape: tuple[int, ...], scale: int = 1) -> Bank:
    rng = np.random.default_rng(0)
    low = (shape[0], shape[1] // scale, shape[2] // scale, *shape[3:])
    return Bank(
        rng.integers(0, 256, low, np.uint8), rng.integers(0, 256, shape, np.uint8),
        np.zeros((shape[0], CONDITION_SIZE), np.float32), np.zeros(shape[0], np.uint8), ("any",),
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1, 2])
def test_banks_that_enlarge(scale: int, tmp_path: Path) -> None:
    bank, teacher = small_bank((3, 64, 64), scale=2), Tiny(scale=scale).eval()
    cache = cache_teacher(tmp_path, bank, teacher)
    x = torch.from_numpy(bank.degraded)[:, None].float() / 255
    with torch.no_grad():
        live = teacher(x if scale == 2 else Tiny(scale=2).base(x).clamp(0, 1))
    assert np.abs(cache.outputs / (64 * 255) - live[:, 0].numpy()).max() < 3.2e-5
    outputs = CachedBatches(BankBatches(bank, 4, 32, 5, seed=0, scale=2), [cache, cache])[1][3]
    assert outputs.shape == (2, 4, 1, 32, 32)


def test_colour_banks(tmp_path: Path) -> None:
    bank, teacher = small_bank((3, 32, 32, 3)), Tiny(3).eval()
    cache = cache_teacher(tmp_path, bank, teacher)
    (draw,) = BankBatches(small_bank((1, 32, 32)), 1, 32, 9, seed=2).draws(0)
    with torch.no_grad():
        live = teacher(torch.from_numpy(bank.degraded[:1]).movedim(3, 1).float() / 255)[0]
    turned = dihedral(live.movedim(0, 2).numpy(), draw.turn)
    found = cache.crops([draw], 32)
    assert found.shape == (1, 3, 32, 32)
    assert np.abs(found[0].movedim(0, 2).numpy() - turned).max() < 3.2e-5


def test_what_cannot_be_cached_is_refused(
    tmp_path: Path, teacher: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = small_bank((3, 32, 32))
    with pytest.raises(TrainError, match="takes 3 channels, the bank's pictures have 1"):
        cache_teacher(tmp_path, bank, Tiny(3))
    with pytest.raises(TrainError, match=r"enlarges x2; expected 1 or x1"):
        cache_teacher(tmp_path, bank, Tiny(scale=2))
    with pytest.raises(TrainError, match="multiples of 24; got 32x32"):
        cache_teacher(tmp_path, bank, Tiny(multiple=24))
    with pytest.raises(TrainError, match="the cache holds"):
        other = TeacherCache(np.zeros((2, 32, 32), np.int16))
        CachedBatches(BankBatches(bank, 1, 32, 1, seed=0), [other])
    jittered = BankBatches(bank, 1, 32, 1, seed=0)
    jittered.jitter = 0.5
    with pytest.raises(TrainError, match="colour jitter changes the pictures"):
        CachedBatches(jittered, [TeacherCache(np.zeros((3, 32, 32), np.int16))])
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=10))
        with pytest.raises(TrainError, match=r"0\.0 GB are free; choose another folder"):
            cache_teacher(tmp_path / "full", bank, teacher)
    teacher.last.bias.data.fill_(float("nan"))
    with pytest.raises(TrainError, match=r"gives NaN or infinity among items \[0 1 2\]"):
        cache_teacher(tmp_path, bank, teacher)
