"""The methods that are compared, each as functions from a picture to a sharper or a larger one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from torch import nn

from keenframe import Frame, Sharpener
from keenframe.zoo.store import find_model, list_models, read_spec
from keenframe_train.export.onnx_file import trace

Uint8 = NDArray[np.uint8]
Color = Literal["luma", "rgb"]
Step = Callable[[Uint8], Uint8]

INPUT = "input"
_KEPT_SIZES = 4
CAS_STRENGTH = 0.5


@dataclass(frozen=True)
class Method:
    """One way to sharpen or to enlarge.

    color: of the pictures that it takes, (H, W) uint8 of limited range, or (H, W, 3) RGB. steps: by how many times
    larger the result is. about: what it is, for the table. ours: one of keenframe's own models, the students of the
    source reports aside. small_only: for pictures that were enlarged and whose small form is there, nothing else.
    sha256: of a model's file, whose results those of another file are not.
    """

    name: str
    color: Color
    steps: dict[int, Step]
    about: str
    ours: bool = False
    small_only: bool = False
    sha256: str = ""

    def enlarge(self, small: Uint8, factor: int) -> Uint8:
        """A picture `factor` times as large: by the step of that factor, else by steps until it is at least as large,
        and shrunk then."""
        found, reached = small, 1
        if factor in self.steps:
            return self.steps[factor](small)
        step = max(self.steps)
        while reached < factor:
            found, reached = self.steps[step](found), reached * step
        return found if reached == factor else shrunk(found, reached // factor)

    def sharpen(self, picture: Uint8) -> Uint8:
        """A picture of the same size; one that enlarges is shrunk back."""
        if 1 in self.steps:
            return self.steps[1](picture)
        step = min(self.steps)
        return shrunk(self.steps[step](picture), step)


@dataclass
class Line:
    """All methods, and why others are not among them."""

    methods: list[Method] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def shrunk(picture: Uint8, factor: int) -> Uint8:
    """The mean of each factor x factor pixels."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def all_methods(weights: Path | None, models: Sequence[str], threads: int) -> Line:
    """keenframe's models, the filters, and the peers whose weights are in the folder. models: further names or paths
    of our own; the embedded ones are always there."""
    line = Line()
    cv2.setNumThreads(threads)
    line.methods += [
        Method(INPUT, "luma", {1: lambda picture: picture}, "as a viewer shows it"),
        Method("bicubic", "luma", _resizes(cv2.INTER_CUBIC), "OpenCV", small_only=True),
        Method("Lanczos", "luma", _resizes(cv2.INTER_LANCZOS4), "OpenCV", small_only=True),
        Method("unsharp mask", "luma", {1: _unsharp}, "amount 1, sigma 1, OpenCV"),
        Method("FFmpeg unsharp", "luma", {1: Filter("unsharp", "5:5:1.0", threads)}, "5x5, amount 1"),
        Method("FFmpeg cas", "luma", {1: Filter("cas", f"{CAS_STRENGTH}", threads)}, f"strength {CAS_STRENGTH}"),
    ]  # fmt: skip
    _add_peers(line, weights, threads)
    names = [spec.name for spec in list_models()]
    embedded = [name if name.endswith("-int8") else f"{name}-float" for name in names]
    for name in dict.fromkeys([*embedded, *models]):
        model, spec = Ours(name, threads), read_spec(find_model(name))
        about = f"{spec.role}, {spec.precision}, {spec.parameters / 1e3:.0f} k parameters"
        color: Color = "luma" if spec.color == "luma" else "rgb"
        ours = spec.role == "flagship"
        line.methods.append(
            Method(
                name, color, {spec.scale: model}, about,
                ours=ours, small_only=spec.scale > 1, sha256=spec.sha256,
            )
        )  # fmt: skip
    return line


def _add_peers(line: Line, weights: Path | None, threads: int) -> None:
    from benchmarks.peers.networks import Compact, DnCnn, WebSr

    def has(name: str, *files: str) -> bool:
        missing = [file for file in files if weights is None or not (weights / file).is_file()]
        if missing:
            line.absent[name] = f"not run: {', '.join(missing)} not in --weights"
        return not missing

    for name in ("FSRCNN", "ESPCN"):
        files = {factor: f"{name}_x{factor}.pb" for factor in (2, 4)}
        if has(name, *files.values()):
            assert weights is not None
            steps: dict[int, Step] = {
                factor: Frozen(weights / file, threads) for factor, file in files.items()
            }
            line.methods.append(Method(name, "luma", steps, "OpenCV's dnn_superres file, f32"))
    rgb: tuple[tuple[str, str, type[nn.Module], int], ...] = (
        ("websr large", "websr-anime4k-cnn-2x-l-rl.json", WebSr, 2),
        ("realesr-general-x4v3", "realesr-general-x4v3.param", Compact, 4),
    )
    for name, file, network, factor in rgb:
        if has(name, file, *([file.replace(".param", ".bin")] if file.endswith(".param") else [])):
            assert weights is not None
            step = Torch(network(weights / file), "rgb", threads)
            line.methods.append(Method(name, "rgb", {factor: step}, f"x{factor}, f32"))
    if has("DnCNN-3", "dncnn3.pth"):
        assert weights is not None
        denoise = Torch(DnCnn(weights / "dncnn3.pth"), "luma", threads)
        line.methods.append(Method("DnCNN-3", "luma", {1: denoise}, "f32"))


def _resizes(kind: int) -> dict[int, Step]:
    def by(factor: int) -> Step:
        def enlarge(picture: Uint8) -> Uint8:
            size = (picture.shape[1] * factor, picture.shape[0] * factor)
            return np.asarray(cv2.resize(picture, size, interpolation=kind), np.uint8)

        return enlarge

    return {factor: by(factor) for factor in (2, 4)}


def _unsharp(picture: Uint8) -> Uint8:
    return np.asarray(
        cv2.addWeighted(picture, 2.0, cv2.GaussianBlur(picture, (0, 0), 1.0), -1.0, 0.0), np.uint8
    )


class Filter:
    """A video filter of FFmpeg's on the luma of frames of one size."""

    def __init__(self, name: str, options: str, threads: int) -> None:
        self._name, self._options, self._threads = name, options, threads
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def __call__(self, picture: Uint8) -> Uint8:
        if self._graph is None or self._shape != picture.shape:
            self._shape, self._graph = picture.shape, av.filter.Graph()
            self._graph.threads = self._threads
            template = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
            source = self._graph.add_buffer(
                width=template.width, height=template.height, format=template.format, time_base=1
            )
            middle = self._graph.add(self._name, self._options)
            self._graph.link_nodes(source, middle, self._graph.add("buffersink")).configure()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
        frame.pts = self._count
        self._count += 1
        self._graph.push(frame)
        found = self._graph.pull()
        assert isinstance(found, av.VideoFrame)
        return found.to_ndarray(format="gray")


class _Network:
    """An OpenVINO model in f32, compiled for each size that comes, the last few kept."""

    def __init__(self, model: ov.Model, color: Color, threads: int, channels_last: bool = False) -> None:
        self._model, self._color, self._channels_last = model, color, channels_last
        self._settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled: OrderedDict[tuple[int, ...], ov.CompiledModel] = OrderedDict()

    def __call__(self, picture: Uint8) -> Uint8:
        if self._color == "luma":
            # Others' networks know luma of full range.
            planes = (picture.astype(np.float32) - 16)[None, None] / np.float32(219)
        else:
            planes = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        if self._channels_last:
            planes = planes.transpose(0, 2, 3, 1)
        found = self._run(np.ascontiguousarray(planes))
        if self._color == "luma":
            return np.rint(found[0, 0] * 219 + 16).clip(0, 255).astype(np.uint8)
        return np.rint(found[0].transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)

    def _run(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        if planes.shape not in self._compiled:
            model = self._model.clone()
            model.reshape(planes.shape)
            self._compiled[planes.shape] = ov.Core().compile_model(model, "CPU", self._settings)
            if len(self._compiled) > _KEPT_SIZES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(planes.shape)
        return np.asarray(self._compiled[planes.shape](planes)[0])


class Frozen(_Network):
    """A frozen TensorFlow graph of one luma plane: (1, H, W, 1) 0-1 -> (1, 1, sH, sW)."""

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(ov.Core().read_model(path), "luma", threads, channels_last=True)


class Torch(_Network):
    """A torch network, (1, C, H, W) 0-1 -> (1, C, sH, sW)."""

    def __init__(self, network: nn.Module, color: Color, threads: int) -> None:
        channels = 3 if color == "rgb" else 1
        free = {2: "height", 3: "width"}
        graph = trace(
            network.eval(), (torch.zeros(1, channels, 32, 48),), ["image"], ["result"],
            {"image": free, "result": {2: "rows", 3: "columns"}},
        )  # fmt: skip
        super().__init__(ov.Core().read_model(model=graph.SerializeToString()), color, threads)


class Ours:
    """A model of keenframe's, on stills or, when `streaming`, as a stream's next frame.

    Such a frame is said to have been enlarged: of two experts the dearer one runs, as in `keenframe bench`.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name, self._threads = name, threads
        self.streaming = False

    @cached_property
    def sharpener(self) -> Sharpener:
        return Sharpener(self._name, threads=self._threads)

    def __call__(self, picture: Uint8) -> Uint8:
        if not self.streaming or picture.ndim == 3:
            return np.array(self.sharpener.sharpen(picture, still=not self.streaming))
        height, width = picture.shape
        frame = Frame((picture,), "gray", width, height, pts=0, enlarged=True)
        return np.array(self.sharpener.sharpen(frame, still=False).luma)
