"""One picture through every method, and its measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError, KeenframeError
from keenframe.evaluate.extras import Distance, load_lpips, read_text
from keenframe.evaluate.judge import Judge, Scores, View, known
from keenframe.evaluate.material import File, cut, read_pixels
from keenframe.evaluate.methods import (
    INPUT,
    Filter,
    Method,
    Picture,
    enlarged,
    matched_amount,
    on_pixels,
    unsharp_mask,
)
from keenframe.evaluate.presets import Preset, choose_presets
from keenframe.metrics import character_error_rate
from keenframe.sharpener import Sharpener

Pixels = NDArray[np.uint8]
Record = dict[str, Any]
PRISTINE = "pristine"
_FACTORS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Model:
    """The very file and engine that stand for a model's name in a run."""

    path: Path
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How every item is measured.

    seed: of the presets. frames: of a clip at most. shrink: pristine clips are made this much smaller first. gray:
    luma alone. enlarging: how what arrives smaller is shown; None leaves it to the preset. text, vmaf, lpips: whether
    these are measured.
    """

    seed: int = 7
    frames: int = 60
    shrink: int = 1
    gray: bool = False
    enlarging: Filter | None = None
    text: bool = False
    vmaf: bool = False
    lpips: bool = False


@dataclass(frozen=True, slots=True)
class Plan(Settings):
    """What is done with every item. models: by the names of the methods that they are."""

    methods: tuple[Method, ...]
    models: Mapping[str, Model] = field(default_factory=dict)


class Runner:
    """A process's models, loaded when first used, on one thread each."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._sharpeners: dict[str, Sharpener] = {}
        self._presets: dict[str, Preset] = {}

    def preset(self, name: str) -> Preset:
        """A preset by name, looked up once."""
        if name not in self._presets:
            self._presets[name] = choose_presets([name])[0]
        return self._presets[name]

    def sharpener(self, method: Method) -> Sharpener:
        """The model of a method."""
        if method.name not in self._sharpeners:
            model = self.plan.models[method.name]
            self._sharpeners[method.name] = Sharpener(model.path, engine=model.engine, threads=1)
        return self._sharpeners[method.name]

    def fits(self, method: Method, factor: int) -> bool:
        """Whether a method has something to say about what arrives `factor` times smaller."""
        if method.kind == "filter":
            return factor > 1
        return method.kind != "model" or self.sharpener(method).scale in (1, factor)

    def plain(self, method: Method, received: Picture, shown: Picture, factor: int, still: bool) -> Picture:
        """The result of any method but a matched mask. A model of scale 1 works on what is shown."""
        if method.kind == "input":
            return shown
        if method.kind == "filter":
            return enlarged(received, factor, method.name)  # type: ignore[arg-type]
        if method.kind == "unsharp":
            return on_pixels(shown, lambda pixels: unsharp_mask(pixels, method.amount))
        sharpener = self.sharpener(method)
        source: Any = shown if sharpener.scale == 1 else received
        return cast(Picture, sharpener.sharpen(source, still=still))

    @cached_property
    def lpips(self) -> Distance:
        """LPIPS, loaded when first used."""
        return load_lpips()

    def close(self) -> None:
        """Free all models."""
        for sharpener in self._sharpeners.values():
            sharpener.close()
        self._sharpeners.clear()


@dataclass(frozen=True, slots=True)
class Outputs:
    """A picture through every method: pixels by method name, of the pristine picture's size, and why some failed."""

    pristine: Pixels
    pictures: Mapping[str, Pixels]
    failed: Mapping[str, str]

    @property
    def shown(self) -> Pixels:
        return self.pictures[INPUT]


def factor_between(pristine: tuple[int, ...], received: tuple[int, ...]) -> int:
    """By how much `received` (H, W, ...) is smaller: 1, 2, 3 or 4. InputError for any other relation."""
    for factor in _FACTORS:
        if (received[0] * factor, received[1] * factor) == tuple(pristine[:2]):
            return factor
    raise InputError(
        f"the degraded one is {received[1]}x{received[0]}, the pristine one {pristine[1]}x{pristine[0]}; expected the "
        "same size, or a half, third or quarter of it"
    )


def outputs_of(file: File, preset: Preset, runner: Runner) -> Outputs:
    """Damage a picture, or read its twin, and run every method on it. InputError for what cannot be measured."""
    plan = runner.plan
    pristine = read_pixels(file.path, plan.gray)
    if file.degraded is not None:
        received = read_pixels(file.degraded, plan.gray)
    else:
        assert preset.picture is not None
        pristine = cut(pristine, preset.window)
        received = preset.picture(pristine, preset.generator(plan.seed, file.path.name))
    factor = factor_between(pristine.shape, received.shape)
    shown = enlarged(received, factor, plan.enlarging or preset.enlarging)
    edges = Judge(View.of(pristine), View.of(shown)).edges if _any_matched(plan) else None
    pictures: dict[str, Pixels] = {}
    failed: dict[str, str] = {}
    for method in plan.methods:
        if not runner.fits(method, factor):
            continue
        try:
            if method.kind != "matched":
                pictures[method.name] = runner.plain(method, received, shown, factor, still=True)
            elif method.like in pictures:
                assert edges is not None
                strength = edges.strength(View.of(pictures[method.like]).luma)
                amount = matched_amount(View.of(shown).luma, edges, strength)
                pictures[method.name] = unsharp_mask(shown, amount)
        except KeenframeError as error:
            failed[method.name] = str(error)
    return Outputs(pristine, pictures, failed)


def measure_picture(file: File, preset: Preset, runner: Runner) -> Record:
    """The record of one picture: `scores` by method and measure, and `failed`, why a method has none."""
    found = outputs_of(file, preset, runner)
    pristine = View.of(found.pristine)
    judge = Judge(pristine, View.of(found.shown))
    scores: dict[str, Scores] = {PRISTINE: judge.of_reference()}
    views = {name: View.of(pixels) for name, pixels in found.pictures.items()}
    for name, view in views.items():
        scores[name] = judge.score(view)
        if runner.plan.lpips and view.rgb is not None and pristine.rgb is not None:
            scores[name] |= known({"lpips": runner.lpips(view.rgb, pristine.rgb)})
    if runner.plan.text and file.truth is not None:
        truth = file.truth.read_text(encoding="utf-8", errors="replace")
        for name, view in (*views.items(), (PRISTINE, pristine)):
            scores[name] |= {"cer": round(100 * character_error_rate(read_text(view.luma), truth), 4)}
    height, width = found.pristine.shape[:2]
    return {"kind": "picture", "size": [width, height], "scores": scores, "failed": dict(found.failed)}


def _any_matched(plan: Plan) -> bool:
    return any(method.kind == "matched" for method in plan.methods)
