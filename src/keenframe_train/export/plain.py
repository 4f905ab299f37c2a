"""A plain RGB network becomes the files that the runtime takes: NAME.onnx and NAME-int8.onnx, checked first."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keenframe.engines.select import create_engine
from keenframe.zoo.spec import ModelSpec, load_spec
from keenframe_train.errors import TrainError
from keenframe_train.export.onnx_file import PARITY_LIMIT, Parity, trace, write_model
from keenframe_train.export.package import INT8_LOSS_LIMIT, Exported, halve_weights, store_int8
from keenframe_train.export.plain_int8 import attempts, luma_psnr, quantize_plain
from keenframe_train.export.receptive import receptive_radius
from keenframe_train.nets.network import parameters
from keenframe_train.nets.rounding import frozen_layers

PEAK = 255.0
ENGINES = ("onnxruntime", "openvino")


class RgbSample(Protocol):
    """One degraded picture and its twin: kind, degraded (H, W, 3) and pristine (sH, sW, 3), uint8 RGB, full range."""

    @property
    def kind(self) -> str: ...
    @property
    def degraded(self) -> NDArray[np.uint8]: ...
    @property
    def pristine(self) -> NDArray[np.uint8]: ...


class Deployed(nn.Module):
    """forward(image (1, H, W, 3) uint8, strength (1,) float32) -> (pixels (1, sH, sW, 3) uint8, residual float32 of
    that shape): the runtime's contract for RGB (`keenframe.zoo.spec`). Residual in code values, at strength 1.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # A scalar factor would make OpenVINO reorder the whole plane.
        self.register_buffer("ones", torch.ones(1, 3, 1, 1))

    def forward(self, image: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        plane = image.permute(0, 3, 1, 2).float()
        # The base is linear in the picture: taken of code values, it is exact at scale 1.
        base = self.network.base(plane)
        residual = self.network(plane / PEAK) * PEAK - base
        sharpened = torch.clamp(torch.round(base + residual * (self.ones * strength)), 0, PEAK)
        return sharpened.to(torch.uint8).permute(0, 2, 3, 1), residual.permute(0, 2, 3, 1)


def export_plain(
    network: nn.Module,
    out: Path,
    name: str,
    samples: Sequence[RgbSample],
    *,
    description: str = "",
    training_data: str = "",
    recipe: str = "",
    measured: Mapping[str, Any] | None = None,
    version: str = "1",
    role: str = "research",
    calibration: Sequence[RgbSample] = (),
    rounded: nn.Module | None = None,
    int8_limit: float = INT8_LOSS_LIMIT,
) -> Exported:
    """Write NAME.onnx (float) and, with calibration pairs or `rounded`, NAME-int8.onnx into the folder `out`.

    network: (N, 3, H, W) 0-1 -> (N, 3, sH, sW), with `channels` 3, `scale`, `size_multiple` and `base`
    (`nets.network.Network`); it is not changed. samples: on which parity is proved, in ONNX Runtime and in OpenVINO,
    and the INT8 loss measured: mean PSNR-Y of each kind against the float file's, at most `int8_limit` dB down.
    rounded: the network as `qat.quantize_aware` left it, written instead of quantising afterwards.
    The other fields go into the model's card.

    Convolutions' and linear layers' weights are rounded to float16 first, which moves the picture by far less than a
    code value and halves the file. TrainError for a network of another shape, for no samples, for a file that
    differs from the network by more than 1e-4 of the range, and when INT8 loses more than the limit; a file
    appears only when it has passed.
    """
    _check(network, samples)
    network = halved(network)
    scale, multiple = int(network.scale), int(network.size_multiple)  # type: ignore[arg-type]
    radius = receptive_radius(network)
    spec = ModelSpec(
        name=name,
        version=version,
        scale=scale,
        size_multiple=multiple,
        color="rgb",
        radius=radius or 0,
        whole=radius is None,
        enlarging="bicubic",
        role=role,
        parameters=parameters(network),
        recipe=recipe,
        training_data=training_data,
        measured=dict(measured or {}),
        created=datetime.date.today().isoformat(),
        description=description,
    )
    graph = to_rgb_graph(network)
    float_file, int8_file = out / f"{name}.onnx", out / f"{name}-int8.onnx"
    trial = out / f".{name}.trial.onnx"
    try:
        write_model(trial, halve_weights(graph), spec)
        parity = check_rgb_parity(network, trial, samples[0].degraded)
        trial.replace(float_file)
        if not calibration and rounded is None:
            return Exported(float_file, parity, None, {}, ())
        reference = luma_psnr(float_file.read_bytes(), samples, multiple)
        best: dict[str, float] = {}
        for kept, sweeps in attempts(graph) if rounded is None else [((), 0)]:
            quantized = (
                halve_weights(quantize_plain(graph, calibration, multiple, kept, sweeps))
                if rounded is None
                else to_int8_graph(rounded)
            )
            found = luma_psnr(quantized.SerializeToString(), samples, multiple)
            change = {kind: found[kind] - value for kind, value in reference.items()}
            if not best or min(change.values()) > min(best.values()):
                best = change
            if min(change.values()) >= -int8_limit:
                figures = {**spec.measured, "INT8 to float, dB": change}
                write_model(
                    trial, quantized, replace(spec, name=f"{name}-int8", precision="int8", measured=figures)
                )
                trial.replace(int8_file)
                return Exported(float_file, parity, int8_file, change, kept)
    finally:
        trial.unlink(missing_ok=True)
    raise TrainError(
        f"INT8 loses more than {int8_limit} dB: {best}; ship '{float_file}' alone, or allow more with int8_limit"
    )


def to_int8_graph(rounded: nn.Module) -> onnx.ModelProto:
    """The graph of a network that `qat.quantize_aware` fine-tuned: what it rounds in INT8, the rest in float16."""
    network = frozen_layers(rounded).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and not hasattr(layer, "rounding"):
                layer.weight.copy_(layer.weight.half().float())
    graph = to_rgb_graph(network)
    known = {name for node in graph.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    learned = {node.name for node in graph.graph.node if node.op_type == "Conv" and node.input[0] in known}
    return halve_weights(store_int8(graph, learned=learned))


def _check(network: nn.Module, samples: Sequence[RgbSample]) -> None:
    channels, scale = getattr(network, "channels", None), getattr(network, "scale", None)
    if channels != 3 or scale not in (1, 2, 4) or not hasattr(network, "base"):
        raise TrainError(
            f"{type(network).__name__} has channels={channels} and scale={scale}; expected a network of the lab with "
            f"3 channels, scale 1, 2 or 4 and a `base`: luma networks are exported by export_model"
        )
    if not samples:
        raise TrainError("no samples: parity is proved on real pictures; pass at least one degraded picture")
    for sample in samples:
        (height, width), large = sample.degraded.shape[:2], sample.pristine.shape
        if sample.degraded.shape != (height, width, 3) or large != (height * scale, width * scale, 3):
            raise TrainError(
                f"a sample of kind {sample.kind!r} has {sample.degraded.shape} and {large}; "
                f"expected RGB (H, W, 3) and its twin {scale} times as large"
            )


@torch.no_grad()
def halved(network: nn.Module) -> nn.Module:
    """A copy in eval mode whose convolutions and linear layers have weights that float16 holds exactly."""
    network = copy.deepcopy(network).cpu().float().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.copy_(module.weight.half().float())
    return network


def to_rgb_graph(network: nn.Module) -> onnx.ModelProto:
    """The deployed network as an ONNX graph with free height and width."""
    edge = 8 * int(network.size_multiple)  # type: ignore[arg-type]
    example = (torch.zeros(1, edge, edge + int(network.size_multiple), 3, dtype=torch.uint8), torch.ones(1))  # type: ignore[arg-type]
    large = {key: {1: "rows", 2: "columns"} for key in ("pixels", "residual")}
    return trace(
        Deployed(network).eval(),
        example,
        inputs=["image", "strength"],
        outputs=["pixels", "residual"],
        free={"image": {1: "height", 2: "width"}, **large},
    )


@torch.no_grad()
def check_rgb_parity(network: nn.Module, path: Path, picture: NDArray[np.uint8]) -> Parity:
    """The largest difference between the network and its file on (H, W, 3) uint8, in both engines.

    At the picture's size and at a smaller one, since sizes are free. TrainError past 1e-4 of the range or one
    code value.
    """
    spec = load_spec(path)
    worst = Parity(0.0, 0)
    for part in (picture, picture[: picture.shape[0] * 2 // 3, : picture.shape[1] // 2]):
        height, width = (side // spec.size_multiple * spec.size_multiple for side in part.shape[:2])
        part = np.ascontiguousarray(part[:height, :width])
        x = torch.tensor(part).permute(2, 0, 1)[None].float() / PEAK
        output = network.eval()(x)
        expected = (output - network.base(x))[0].permute(1, 2, 0).numpy() * PEAK  # type: ignore[operator]
        wanted = np.rint(np.clip(output[0].permute(1, 2, 0).numpy() * PEAK, 0, PEAK))
        for engine in ENGINES:
            runner = create_engine(engine, path, spec)
            difference = float(np.abs(runner.run_residual(part, None) - expected).max() / PEAK)
            off = int(np.abs(runner.run(part, None, 1.0) - wanted).max())
            runner.close()
            worst = Parity(max(worst.residual, difference), max(worst.pixels, off))
            if not difference <= PARITY_LIMIT or off > 1:
                raise TrainError(
                    f"'{spec.name}' in {engine} differs from the network by {difference:.2e} of the range and {off} "
                    f"code values; expected at most {PARITY_LIMIT:.0e} and 1: the exporter is at fault"
                )
    return worst
