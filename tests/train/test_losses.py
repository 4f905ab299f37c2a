from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from keenframe.metrics import luma, ssim
from keenframe_train.errors import TrainError
from keenframe_train.losses import LOSS_SCALE, LOSSES, Losses, Ssim, fft
from keenframe_train.perceptual import VARIABLE, Perceptual, SqueezeNet, load_features

from .conftest import picture

PIXELS = [name for name in LOSSES if name != "perceptual"]


def squeezenet_file(path: Path) -> Path:
    """SqueezeNet v1.0's layers by name, a few channels each, random weights."""
    rng = np.random.default_rng(0)
    arrays, width = {}, 6

    def layer(name: str, outputs: int, inputs: int, kernel: int) -> None:
        scale = math.sqrt(2 / (inputs * kernel**2))
        arrays[f"{name}.weight"] = rng.normal(0, scale, (outputs, inputs, kernel, kernel)).astype(np.float32)
        arrays[f"{name}.bias"] = np.full(outputs, 0.1, np.float32)

    layer("conv1", width, 3, 7)
    for index in range(2, 9):
        layer(f"fire{index}/squeeze1x1", 2, width, 1)
        layer(f"fire{index}/expand1x1", 3, 2, 1)
        layer(f"fire{index}/expand3x3", 3, 2, 3)
    np.savez(path, **arrays)
    return path


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(squeezenet_file(tmp_path / "squeezenet.npz")))
    return tmp_path / "squeezenet.npz"


def pair(channels: int = 1, size: int = 48, count: int = 2) -> tuple[Tensor, Tensor]:
    """A noisy picture and the picture: (count, channels, size, size) in 0-1."""
    images = np.stack([picture(i, size, size)[..., :channels] for i in range(count)])
    target = torch.from_numpy(images).movedim(3, 1).float() / 255
    noise = 0.05 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return (target + noise).clamp(0, 1), target


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_pictures_cost_nothing_and_noise_costs(name: str, channels: int, weights: Path) -> None:
    output, target = pair(channels)
    loss = LOSSES[name]()
    half = 0.5 / 255  # a code value: these two never see less
    floor = LOSS_SCALE * {"rmse": half, "root-rmse": 2 * (0.02 * half) ** 0.5}.get(name, 0.0)
    assert float(loss(target, target)) == pytest.approx(floor, abs=1e-5)
    assert float(loss(output, target)) > floor + 1e-3


@pytest.mark.parametrize(("error", "more"), [(0.02, 1.0), (0.005, 2.0), (0.08, 0.5)])
def test_root_rmse_pulls_more_at_light_damage_and_less_at_heavy(error: float, more: float) -> None:
    pulls = []
    for name in ("root-rmse", "rmse"):
        output = torch.full((1, 1, 16, 16), 0.5 + error, requires_grad=True)
        LOSSES[name]()(output, torch.full((1, 1, 16, 16), 0.5)).backward()
        pulls.append(float(output.grad.abs().sum()))
    assert pulls[0] == pytest.approx(more * pulls[1], rel=0.06)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_gradients_are_finite(name: str, autocast: bool, equal: bool, weights: Path) -> None:
    output, target = pair()
    output = (target.clone() if equal else output).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value = LOSSES[name]()(output.to(torch.bfloat16) if autocast else output, target)
    value.backward()
    assert value.dtype == torch.float32 and bool(output.grad.isfinite().all())
    assert equal or float(output.grad.abs().max()) > 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", 0.1),
        ("mse", 0.01),
        ("charbonnier", math.sqrt(0.01 + 1e-6) - 1e-3),
        ("rmse", LOSS_SCALE * math.sqrt(0.01 + (0.5 / 255) ** 2)),
        ("gradient", 0.0),
        ("sobel", 0.0),
        # The only coefficient is the constant's: 0.1 * sqrt(16 * 16) over 16 * 16 complex numbers.
        ("fft", 0.1 * 16 / (16 * 16 * 2)),
        # Flat planes: 1 - (2 * 0.5 * 0.6 + C1) / (0.5^2 + 0.6^2 + C1).
        ("ssim", 1 - (0.6 + 1e-4) / (0.61 + 1e-4)),
    ],
)
def test_a_flat_difference_of_a_tenth(name: str, expected: float) -> None:
    target = torch.full((2, 1, 16, 16), 0.5)
    assert float(LOSSES[name]()(target + 0.1, target)) == pytest.approx(expected, abs=2e-6)


def test_a_ramp_against_a_flat_picture() -> None:
    ramp = (0.02 * torch.arange(16.0)).expand(1, 1, 16, 16)
    flat = torch.zeros_like(ramp)
    assert float(LOSSES["gradient"]()(ramp, flat)) == pytest.approx(0.02, abs=1e-6)
    assert float(LOSSES["sobel"]()(ramp, flat)) == pytest.approx(8 * 0.02, abs=1e-6)
    assert float(LOSSES["sobel"]()(ramp.mT, flat)) == pytest.approx(8 * 0.02, abs=1e-6)


def test_frequency_of_one_wave_and_of_noise_in_any_size() -> None:
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 1, 16, 16)
    # A whole wave is two real coefficients, 16 * 16 / 2 / sqrt(16 * 16) = 8 each, across as down.
    assert float(fft(wave, torch.zeros_like(wave))) == pytest.approx(2 * 8 / (16 * 16 * 2), abs=1e-6)
    assert float(fft(wave.mT, torch.zeros_like(wave))) == pytest.approx(2 * 8 / (16 * 16 * 2), abs=1e-6)
    noise = [torch.randn(8, 1, n, n, generator=torch.Generator().manual_seed(n)) for n in (32, 128)]
    small, large = (float(fft(n, torch.zeros_like(n))) for n in noise)
    assert small == pytest.approx(large, rel=0.03)


@pytest.mark.parametrize("noise", [0.3, 2, 20, 80])
def test_ssim_is_that_of_the_metrics_and_of_scikit_image(noise: float) -> None:
    target = luma(picture(5, 70, 90))
    target[:, :45] = 235  # a white page: the hardest for float32
    error = np.random.default_rng(0).normal(0, noise, target.shape)
    output = np.clip(np.rint(target + error), 0, 255).astype(np.uint8)
    x, y = (torch.from_numpy(p)[None, None].float() / 255 for p in (output, target))
    found = 1 - float(Ssim()(x, y))
    assert found == pytest.approx(ssim(output, target), abs=1e-4)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert found == pytest.approx(structural_similarity(output, target, data_range=255, **options), abs=1e-4)


def test_ssim_of_flat_pictures_is_exact() -> None:
    flat = torch.full((1, 3, 32, 32), 0.9)
    assert abs(float(Ssim()(flat, flat))) < 1e-6


def test_a_sum_of_losses_names_its_parts() -> None:
    output, target = pair()
    output.requires_grad_()
    losses = Losses({"l1": 2.0, "ssim": 0.5, "mse": 0.0})
    total, values = losses(output, target)
    assert values.keys() == {"l1", "ssim"} and not any(v.requires_grad for v in values.values())
    assert float(total.detach()) == pytest.approx(2 * float(values["l1"]) + 0.5 * float(values["ssim"]))
    total.backward()
    assert not losses.state_dict() and not list(losses.parameters())
    assert float(Losses({})(output, target)[0]) == 0.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TrainError, match=r"unknown loss 'l3'; known: l1, mse"):
        Losses({"l3": 1})
    for weight in (-1, math.nan, math.inf):
        with pytest.raises(TrainError, match="expected a number from 0 up"):
            Losses({"l1": weight})
    with pytest.raises(TrainError, match=r"one shape; got \(1, 1, 8, 8\) and \(1, 3, 8, 8\)"):
        LOSSES["l1"]()(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8))
    with pytest.raises(TrainError, match="at least 11x11; got 12x10"):
        Ssim()(torch.zeros(1, 1, 10, 12), torch.zeros(1, 1, 10, 12))


def test_the_perceptual_network_is_frozen_and_not_saved(weights: Path) -> None:
    losses = Losses({"perceptual": 1.0})
    losses.train().double()
    network = losses.terms["perceptual"].network[0]
    assert network.conv1.weight.dtype == torch.float64, "it follows its owner"
    assert not network.training and not network.conv1.weight.requires_grad
    assert not losses.state_dict() and not list(losses.parameters())


def test_luma_is_grey_and_blur_costs_more_the_stronger_it_is(weights: Path) -> None:
    _, target = pair(size=64)
    loss = Perceptual()
    assert float(loss(target, 1 - target)) == pytest.approx(
        float(loss(target.expand(-1, 3, -1, -1), (1 - target).expand(-1, 3, -1, -1)))
    )
    blurred = [torch.nn.functional.avg_pool2d(target, k, 1, k // 2, count_include_pad=False) for k in (3, 9)]
    assert 0 < float(loss(blurred[0], target)) < float(loss(blurred[1], target))


def test_squeezenet_takes_blue_green_red_and_halves_thrice(weights: Path) -> None:
    with np.load(weights) as arrays:
        network = SqueezeNet(dict(arrays))
        first = torch.from_numpy(arrays["conv1.weight"])
    assert [tuple(f.shape[1:]) for f in network(torch.rand(1, 3, 64, 64))] == [
        (6, 14, 14),
        (6, 14, 14),
        (6, 7, 7),
    ]
    seen: list[Tensor] = []
    network.conv1.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    network(torch.tensor([1.0, 0.5, 0.0])[None, :, None, None].expand(1, 3, 64, 64))
    assert torch.equal(network.conv1.weight, first)
    assert seen[0][0, :, 0, 0].tolist() == [-104.0, 127.5 - 117.0, 255.0 - 123.0]


def test_vgg_is_taken_from_the_folder_of_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    state, width = {}, 3
    for stage, positions in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21))):
        for index in positions:
            state[f"features.{index}.weight"] = torch.randn(4 + stage, width, 3, 3)
            state[f"features.{index}.bias"] = torch.zeros(4 + stage)
            width = 4 + stage
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / "vgg16-0.pth")
    features = load_features()(torch.rand(1, 3, 32, 32))
    assert [tuple(f.shape[1:]) for f in features] == [(4, 32, 32), (5, 16, 16), (6, 8, 8), (7, 4, 4)]
    torch.save({"features.0.weight": state["features.0.weight"]}, tmp_path / "other.pth")
    with pytest.raises(TrainError, match="VGG-16 weights lack features"):
        load_features(tmp_path / "other.pth")


def test_missing_perceptual_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(TrainError, match=rf"{VARIABLE} is not set, and there is no .*vgg16-\*\.pth"):
        Losses({"perceptual": 1.0})
    with pytest.raises(TrainError, match=r"perceptual weights '.*none\.npz' do not exist"):
        Losses({"perceptual": 1.0}, perceptual=tmp_path / "none.npz")
    np.savez(tmp_path / "part.npz", conv1=np.zeros(1))
    with pytest.raises(TrainError, match=r"lack conv1\.weight, conv1\.bias"):
        load_features(tmp_path / "part.npz")
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    with pytest.raises(TrainError, match="cannot read"):
        load_features(tmp_path / "broken.npz")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(TrainError, match=r"expected \.npz or \.pth"):
        load_features(tmp_path / "a.bin")


def test_small_pictures_are_refused_by_the_perceptual_loss(weights: Path) -> None:
    with pytest.raises(TrainError, match="32x32 at least"):
        Perceptual()(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
