"""Plain RGB networks as model files: the same in both engines, small, with an honest card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe import Sharpener, rgb
from keenframe.zoo.spec import load_spec
from keenframe_train.errors import TrainError
from keenframe_train.export.package import Exported
from keenframe_train.export.plain import check_rgb_parity, export_plain, halved
from keenframe_train.export.plain_int8 import float_nodes, luma_psnr
from keenframe_train.export.receptive import receptive_radius

from .conftest import picture


class Small(nn.Module):
    """Two convolutions and a residual block; optionally with pooling, whole-picture attention, enlarging."""

    channels = 3

    def __init__(
        self, scale: int = 1, pool: bool = False, attention: bool = False, norm: bool = False
    ) -> None:
        super().__init__()
        self.scale, self.size_multiple = scale, 2 if pool else 1
        self.head = nn.Conv2d(3, 16, 3, padding=1)
        self.first, self.second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.InstanceNorm2d(16, affine=True) if norm else nn.Identity()
        self.squeeze = nn.Conv2d(16, 16, 1) if attention else None
        self.up = nn.ConvTranspose2d(16, 16, 2, 2) if pool else None
        self.tail = nn.Conv2d(16, 3 * scale**2, 3, padding=1)

    def base(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        return F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        y = F.relu(self.head(x))
        z = F.max_pool2d(y, 2) if self.up is not None else y
        z = self.norm(self.second(F.leaky_relu(self.first(z), 0.1)))
        if self.up is not None:
            z = self.up(z)
        if self.squeeze is not None:
            z = z * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(z, 1)))
        output = self.base(x) + F.pixel_shuffle(self.tail(y + z), self.scale)
        return output if self.training else output.clamp(0, 1)


@dataclass(frozen=True)
class Sample:
    kind: str
    degraded: np.ndarray
    pristine: np.ndarray


def network(seed: int = 0, **options: bool | int) -> Small:
    torch.manual_seed(seed)
    made = Small(**options)  # type: ignore[arg-type]
    with torch.no_grad():
        made.tail.weight.mul_(0.3)
    return made


def samples(count: int, scale: int = 1, edge: int = 65) -> list[Sample]:
    """Pictures and their local means, or every scale-th pixel."""
    made = []
    for index in range(count):
        sharp = picture(60 + index)[: edge * scale, : (edge + 11) * scale]
        soft = (sharp.astype(np.uint16) + np.roll(sharp, 1, 1) + np.roll(sharp, 1, 0)) // 3
        small = np.ascontiguousarray(soft.astype(np.uint8)[::scale, ::scale])
        made.append(Sample(("blur", "shift")[index % 2], small, np.ascontiguousarray(sharp)))
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_plain(
        network(), tmp_path_factory.mktemp("models"), "small", samples(2),
        description="a test", training_data="made on the spot", recipe="small",
        measured={"val": {"psnr_db": 30.5}}, calibration=samples(4),
    )  # fmt: skip


def test_the_files_say_what_they_are(exported: Exported) -> None:
    spec = load_spec(exported.float_file)
    assert (spec.name, spec.color, spec.scale, spec.role, spec.precision) == (
        "small",
        "rgb",
        1,
        "research",
        "float32",
    )
    assert (spec.recipe, spec.training_data, spec.measured) == (
        "small",
        "made on the spot",
        {"val": {"psnr_db": 30.5}},
    )
    assert spec.parameters == sum(p.numel() for p in network().parameters())
    assert (spec.radius, spec.whole, spec.size_multiple) == (4, False, 1)
    assert exported.int8_file is not None
    int8 = load_spec(exported.int8_file)
    assert (int8.name, int8.precision) == ("small-int8", "int8")
    assert int8.measured["INT8 to float, dB"] == exported.int8_change
    assert sorted(p.name for p in exported.float_file.parent.iterdir()) == ["small-int8.onnx", "small.onnx"]


def test_parity_holds_in_both_engines_and_is_measured(exported: Exported) -> None:
    assert 0 <= exported.parity.residual <= 1e-4 and exported.parity.pixels <= 1
    with pytest.raises(TrainError, match=r"'small' in onnxruntime differs from the network"):
        check_rgb_parity(network(seed=1).eval(), exported.float_file, picture(1))


def test_weights_are_stored_in_half_and_int8_for_each_channel(exported: Exported) -> None:
    def stored(path: Path, kind: type) -> int:
        tensors = (numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer)
        return sum(tensor.size for tensor in tensors if tensor.dtype == kind and tensor.size >= 256)

    weights = sum(p.numel() for p in network().parameters() if p.ndim == 4)
    assert stored(exported.float_file, np.float16) == weights and stored(exported.float_file, np.float32) == 0
    assert exported.int8_file is not None
    assert stored(exported.int8_file, np.int8) == weights
    graph = onnx.load(exported.int8_file).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    steps = [
        (tensors[node.input[0]].shape[0], tensors[node.input[1]].size)
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors
    ]
    assert len(steps) == 4 and all(channels == count for channels, count in steps)


def test_int8_is_measured_by_kind_and_held_to_its_limit(exported: Exported, tmp_path: Path) -> None:
    assert exported.int8_file is not None and set(exported.int8_change) == {"blur", "shift"}
    float_db, int8_db = (
        luma_psnr(path.read_bytes(), samples(2), 1) for path in (exported.float_file, exported.int8_file)
    )
    for kind, change in exported.int8_change.items():
        assert change >= -0.1 and int8_db[kind] - float_db[kind] == pytest.approx(change)
    with pytest.raises(TrainError, match=r"INT8 loses more than -90 dB: .*ship .*small\.onnx"):
        export_plain(
            network(), tmp_path, "small", samples(1), calibration=samples(1, edge=32), int8_limit=-90
        )
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


def test_the_runtime_runs_both_files(exported: Exported) -> None:
    image = picture(31, 70, 93)
    outputs = []
    for path in (exported.float_file, exported.int8_file):
        for engine in ("onnxruntime", "openvino"):
            with Sharpener(path, engine, threads=1) as sharpener:  # type: ignore[arg-type]
                outputs.append(sharpener.sharpen(image).astype(int))
    assert np.abs(outputs[0] - outputs[1]).max() <= 1
    assert max(np.abs(output - outputs[0]).mean() for output in outputs) < 2


def test_what_stays_in_float(exported: Exported) -> None:
    from keenframe_train.export.plain import to_rgb_graph

    graph = to_rgb_graph(network(attention=True).eval())
    kept = set(float_nodes(graph))
    inside = [node.op_type for node in graph.graph.node if node.name not in kept]
    assert inside.count("Conv") == 5 and "Clip" not in inside and "Round" not in inside


@pytest.mark.parametrize(
    "options", [{"scale": 4}, {"pool": True}, {"attention": True}, {"norm": True}], ids=str
)
def test_other_kinds_of_networks(
    options: dict[str, bool | int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(**options)
    done = export_plain(net, tmp_path, "other", samples(1, net.scale, 45))
    assert done.int8_file is None and net.training
    spec = load_spec(done.float_file)
    assert spec.whole == ("attention" in options or "norm" in options)
    assert (spec.scale, spec.size_multiple) == (net.scale, net.size_multiple)
    image = picture(5, 90, 131)
    with Sharpener(done.float_file, "onnxruntime", threads=1) as sharpener:
        expected = sharpener.sharpen(image)
        monkeypatch.setattr(rgb, "TILED_PIXELS", 1)
        monkeypatch.setattr(rgb, "TILE", 48)
        assert np.abs(sharpener.sharpen(image).astype(int) - expected).max() <= 1
    net = halved(net).double()  # type: ignore[assignment]
    x = torch.tensor(image[:, :130]).permute(2, 0, 1)[None].double() / 255
    with torch.no_grad():
        wanted = np.rint(net(x)[0].permute(1, 2, 0).numpy() * 255)
    if not spec.whole and net.size_multiple == 1:
        inner = (slice(None), slice(0, 100 * net.scale))
        assert np.abs(expected[inner] - wanted[inner]).max() <= 1


def test_the_radius_is_the_receptive_field() -> None:
    assert receptive_radius(network()) == 4
    assert receptive_radius(network(scale=2)) == 4
    assert receptive_radius(nn.Conv2d(3, 3, 9, padding=4)) == 4
    assert receptive_radius(nn.Sequential(nn.Conv2d(3, 3, 5, padding=4, dilation=2), nn.ReLU6())) == 4
    radius = receptive_radius(network(pool=True))
    assert radius is not None and radius % 2 == 0 and 8 <= radius <= 12
    assert receptive_radius(network(norm=True)) is None
    assert receptive_radius(network(attention=True)) is None
    # A last layer that starts at zero hides nothing.
    fresh = network()
    nn.init.zeros_(fresh.tail.weight)
    assert receptive_radius(fresh) == 4


class Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0 + 0.5


def test_a_network_that_sees_nothing_is_told() -> None:
    with pytest.raises(TrainError, match="does not depend on its input"):
        receptive_radius(Blind())


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    luma_network = network()
    luma_network.channels = 1
    with pytest.raises(
        TrainError, match=r"channels=1 and scale=1; expected a network of the lab with 3 channels"
    ):
        export_plain(luma_network, tmp_path, "x", samples(1))
    with pytest.raises(TrainError, match="no samples"):
        export_plain(network(), tmp_path, "x", [])
    with pytest.raises(TrainError, match=r"kind 'blur' has .* its twin 4 times as large"):
        export_plain(network(scale=4), tmp_path, "x", samples(1))
    assert list(tmp_path.iterdir()) == []
