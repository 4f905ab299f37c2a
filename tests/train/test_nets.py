from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.errors import TrainError
from keenframe_train.nets.bands import FromBands, ToBands
from keenframe_train.nets.nafnet import ChannelNorm
from keenframe_train.nets.network import Network, conv, padded, parameters, whiten
from keenframe_train.nets.registry import NETWORKS, build

TINY: dict[str, dict[str, Any]] = {
    "edsr": {"features": 8, "blocks": 2},
    "srresnet": {"features": 8, "blocks": 2},
    "rrdbnet": {"features": 8, "blocks": 2, "growth": 4},
    "unet": {"features": 8},
    "nafnet": {"width": 4, "encoder": [1, 2], "middle": 1, "decoder": [1, 1]},
    "dncnn": {"features": 8, "layers": 5},
    "plain": {"features": 8, "blocks": 2},
    "light": {"features": 8, "blocks": 2},
    "separable": {"features": 8, "blocks": 2},
    "rrdbnet-lite": {"features": 8, "blocks": 1, "growth": 4},
    "enhanced": {"features": 8, "blocks": 2},
}
STUDENTS = ("plain", "light", "separable", "rrdbnet-lite", "enhanced")
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TINY),
    *((name, {"channels": 1}) for name in TINY),
    *((name, {"scale": scale}) for name in ("edsr", "srresnet") for scale in (2, 4)),
    *(("rrdbnet", {"scale": scale}) for scale in (1, 2)),
    *((name, {"unshuffle": edge}) for name in ("edsr", "srresnet", "nafnet", "dncnn") for edge in (2, 4)),
    ("edsr", {"scale": 2, "unshuffle": 2}),
    ("separable", {"unshuffle": 1}),
    ("srresnet", {"norm": False, "activation": "leaky"}),
    ("dncnn", {"norm": False}),
]


def tiny(name: str, **options: Any) -> Network:
    torch.manual_seed(0)
    network = build(name, **{**TINY[name], **options})
    assert isinstance(network, Network)
    return network


def wake(network: Network) -> Network:
    """Past the first steps: what starts at zero no longer is."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.05)
    return network


def pixels(network: Network, rows: int = 3, columns: int = 5, batch: int = 2) -> Tensor:
    """Smooth pictures of an odd number of multiples."""
    torch.manual_seed(2)
    edge = max(4, network.size_multiple)
    coarse = torch.rand(batch, network.channels, rows, columns)
    return F.interpolate(coarse, scale_factor=edge, mode="bilinear") * 0.8 + 0.1


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("plain", {}, 372_803),  # R1, exact
        ("light", {}, 334_147),  # R2, exact
        ("unet", {}, 906_915),  # R4's teacher, exact
        ("rrdbnet-lite", {}, 758_755),  # R4's student, exact
        ("rrdbnet", {"features": 32, "blocks": 4, "growth": 16}, 758_755),
        ("edsr", {}, 19_486_723),  # R1: "~20M"
        ("edsr", {"features": 64, "residual_scale": 1.0}, 1_222_147),
        ("edsr", {"features": 64, "scale": 2}, 1_369_859),
        ("edsr", {"features": 64, "scale": 4}, 1_517_571),
        ("srresnet", {}, 1_251_924),
        ("srresnet", {"scale": 4}, 1_547_350),
        ("rrdbnet", {}, 16_697_987),
        ("rrdbnet", {"scale": 2}, 16_703_171),
        ("rrdbnet", {"scale": 1}, 16_723_907),
        ("nafnet", {}, 17_111_907),
        ("nafnet", {"width": 64}, 67_888_835),
        ("dncnn", {}, 558_403),
        ("dncnn", {"layers": 20}, 669_379),
        ("separable", {}, 75_856),
        ("enhanced", {}, 274_140),
    ],
)
def test_parameter_counts(name: str, options: dict[str, Any], count: int) -> None:
    with torch.device("meta"):  # shapes without memory
        assert parameters(build(name, **options)) == count


def test_the_sum_with_the_input_has_no_parameters() -> None:
    for name in TINY:
        assert parameters(tiny(name, residual=False)) == parameters(tiny(name))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_shape_and_start_at_base(name: str, options: dict[str, Any]) -> None:
    network = tiny(name, **options)
    x = pixels(network)
    output = network(x)
    assert output.shape == (2, network.channels, x.shape[2] * network.scale, x.shape[3] * network.scale)
    assert torch.equal(output, network.base(x))
    assert not torch.equal(wake(network)(x), output)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_gradients_reach_all_parameters(name: str, options: dict[str, Any]) -> None:
    network = wake(tiny(name, **options))
    output = network(pixels(network))
    (output - torch.rand_like(output)).square().mean().backward()
    for label, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, label


@pytest.mark.parametrize("name", ["keen", *TINY])
def test_taps_are_modules_that_run_shallow_to_deep(name: str) -> None:
    network: Any = build(name, **TINY.get(name, {}))
    modules, seen = dict(network.named_modules()), []
    assert network.taps
    for tap in network.taps:
        modules[tap].register_forward_hook(lambda _, __, output, tap=tap: seen.append((tap, output.dim())))
    network(torch.rand(1, network.channels, 32, 32), torch.rand(1, 128))
    assert seen == [(tap, 4) for tap in network.taps]


@pytest.mark.parametrize("name", list(TINY))
def test_clips_in_eval_mode_only(name: str) -> None:
    network = tiny(name)
    x = pixels(network)
    with torch.no_grad():
        network.tail.bias.fill_(9.0 if network.size_multiple < 4 else 99.0)  # type: ignore[union-attr]
    assert network.train()(x).max() > 1
    network.eval()
    assert network(x).max() == 1 and network(-x).min() >= 0


@pytest.mark.parametrize("name", list(TINY))
def test_bfloat16_autocast_and_channels_last(name: str) -> None:
    network = wake(tiny(name)).train()
    x = pixels(network)
    plain = network(x)
    torch.testing.assert_close(network(x.to(memory_format=torch.channels_last)), plain, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(x)
    assert output.dtype == torch.float32
    correction = (plain - network.base(x)).abs().max()
    assert (output - plain).abs().max() < 0.1 * correction
    output.mean().backward()


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in TINY), ("rrdbnet", {"scale": 1}), ("edsr", {"scale": 2, "unshuffle": 2})],
)
@pytest.mark.filterwarnings("ignore")
def test_onnx_of_free_size_computes_the_same(name: str, options: dict[str, Any]) -> None:
    network = wake(tiny(name, **options)).eval()
    file = io.BytesIO()
    torch.onnx.export(
        network,
        (pixels(network, 2, 2, batch=1),),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {2: "height", 3: "width"}, "y": {2: "rows", 3: "columns"}},
    )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for rows, columns in ((2, 2), (3, 5)):
        x = pixels(network, rows, columns, batch=1)
        (result,) = session.run(None, {"x": x.numpy()})
        with torch.no_grad():
            expected = network(x).numpy()
        assert np.abs(result - expected).max() <= 1e-4
        assert np.abs(expected - network.base(x).numpy()).max() > 1e-4


def test_without_the_sum_the_body_makes_the_picture() -> None:
    network = tiny("light", residual=False)
    x = pixels(network)
    assert torch.equal(network(x), network.body(x))


@pytest.mark.parametrize("edge", [2, 4])
def test_bands_are_blocks_and_come_back(edge: int) -> None:
    x = torch.rand(2, 3, 4 * edge, 5 * edge)
    bands = ToBands(3, edge)(x)
    assert bands.shape == (2, 3 * edge**2, 4, 5)
    torch.testing.assert_close(FromBands(3, edge, correction=False)(bands), x)
    # One position is one block, one channel's bands are next to each other.
    x[:, 1, :edge, :edge] += 0.3
    changed = (ToBands(3, edge)(x) - bands).abs() > 1e-4
    assert changed.nonzero()[:, 1:].tolist() == [[edge**2, 0, 0]] * 2


def test_channel_norm_is_layer_norm_of_each_pixel() -> None:
    x = torch.randn(2, 6, 3, 4) * 5 + 2
    y = ChannelNorm(6)(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(1, correction=0), torch.ones(2, 3, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(13, 22), (16, 16), (1, 3)])
def test_padded_takes_any_size(height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width)
    for name in ("separable", "rrdbnet-lite", "unet"):
        network = wake(tiny(name)).eval()
        output = padded(network, x)
        assert output.shape == (1, 3, height * network.scale, width * network.scale)
    network = wake(tiny("separable")).eval()
    whole = F.pad(x, (0, -width % 4, 0, -height % 4), mode="replicate")
    assert torch.equal(padded(network, x), network(whole)[..., :height, :width])


def test_the_separable_student_is_made_for_int8() -> None:
    allowed = (nn.Conv2d, nn.ReLU6, nn.Identity, ToBands, FromBands)
    leaves = [module for module in build("separable").modules() if not list(module.children())]
    assert all(isinstance(leaf, allowed) for leaf in leaves)


def test_registry_builds_all() -> None:
    assert set(NETWORKS) == {"keen", *TINY} and set(STUDENTS) <= set(TINY)
    keen: Any = build("keen", scale=2, head=8, trunk=8, blocks=1)
    assert (keen.scale, keen.channels, keen.size_multiple) == (2, 1, keen.config.size_multiple)
    with torch.device("meta"):
        for name in TINY:
            assert isinstance(build(name), Network)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("resnet", {}, "known are keen, edsr, srresnet"),
        ("edsr", {"width": 8}, "no option width; it has features, blocks, scale"),
        ("keen", {"features": 8}, "no option features; it has scale, head"),
        ("keen", {"scale": 3}, "scale is one of 1, 2, 4; got 3"),
        ("edsr", {"scale": 3}, "scale is one of 1, 2, 4; got 3"),
        ("edsr", {"blocks": 0}, "blocks is a whole number of at least 1; got 0"),
        ("plain", {"features": "64"}, "features is a whole number of at least 1; got '64'"),
        ("plain", {"residual_scale": 0}, "residual_scale is a number above 0; got 0"),
        ("plain", {"residual": 1}, "residual is one of True, False; got 1"),
        ("light", {"channels": 4}, "channels is one of 1, 3; got 4"),
        ("separable", {"unshuffle": 8}, "unshuffle is one of 1, 2, 4; got 8"),
        ("srresnet", {"activation": "swish"}, "activation is one of relu, relu6, leaky, prelu; got 'swish'"),
        ("srresnet", {"norm": "no"}, "norm is one of True, False; got 'no'"),
        ("dncnn", {"layers": 2}, "layers is at least 3"),
        ("nafnet", {"encoder": [1, 1]}, "as many levels; got 2 and 4"),
        ("nafnet", {"encoder": 3}, "encoder is a list"),
        ("nafnet", {"decoder": [1, 0, 1, 1]}, r"decoder\[1\] is a whole number of at least 1; got 0"),
    ],
)
def test_what_is_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainError, match=said):
        build(name, **options)


def test_a_whitened_layer_hears_small_differences_as_loudly_as_large_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = F.avg_pool2d(torch.rand(4, 3, 132, 132, generator=generator), 5, 1).clamp(
        0, 1
    )  # neighbours alike
    plain, layer = conv(3, 48), conv(3, 48)
    whiten(layer, smooth)

    @torch.no_grad()
    def spread(output: torch.Tensor) -> torch.Tensor:
        values = output[..., 1:-1, 1:-1].permute(1, 0, 2, 3).flatten(1)
        return torch.linalg.eigvalsh(torch.cov(values))[-27:].clamp_min(0).sqrt()

    heard = spread(layer(smooth))
    assert float(heard.min() / heard.max()) > 0.8 > 0.1 > float((s := spread(plain(smooth))).min() / s.max())
    assert layer(smooth)[..., 1:-1, 1:-1].mean().item() == pytest.approx(0, abs=1e-3)
    narrow = conv(3, 8, bias=False)
    whiten(narrow, smooth)
    assert narrow.weight.isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("light", {"features": 8, "blocks": 1}, "head.0"),
        ("unet", {"features": 8}, "above.0"),
        ("unet", {"features": 8, "scale": 4}, "above.0"),
        ("rrdbnet-lite", {"features": 8, "blocks": 1, "growth": 4}, "head"),
        ("rrdbnet", {"features": 8, "blocks": 1, "growth": 4, "scale": 1}, "head"),
    ],
)
def test_what_starts_whitened(name: str, options: dict[str, Any], layer: str) -> None:
    network, pictures = build(name, **options), torch.rand(2, 3, 32, 32)
    before = network.get_submodule(layer).weight.clone()
    network.calibrate(pictures, pictures, torch.zeros(2, 128))
    assert not torch.equal(network.get_submodule(layer).weight, before)
    assert network.get_submodule(layer).weight.isfinite().all()
    start = network.base(pictures).clamp(0, 1)
    torch.testing.assert_close(network.eval()(pictures), start)  # and still as the identity
