"""One clip through every method, as a stream, and its measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from statistics import fmean

import numpy as np

from keenframe.errors import InputError, KeenframeError
from keenframe.evaluate.extras import vmaf
from keenframe.evaluate.judge import Judge, Scores, View, known
from keenframe.evaluate.material import MULTIPLE, File, read_clip
from keenframe.evaluate.methods import Method, enlarged, matched_amount, on_pixels, unsharp_mask
from keenframe.evaluate.presets import Preset
from keenframe.evaluate.stills import PRISTINE, Record, Runner, factor_between
from keenframe.frame import Frame
from keenframe.metrics import CEILING_DB, Flicker, motion, psnr, ssim

# Of the judged frames every fifth is held to all measures, the others to PSNR, SSIM and flicker.
EVERY = 5


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip as it was, as it arrived and as it is shown: as many frames each; the first `settle` are not judged."""

    pristine: Sequence[Frame]
    received: Sequence[Frame]
    shown: Sequence[Frame]
    factor: int
    settle: int

    @property
    def middle(self) -> int:
        """The frame in the middle of the judged ones."""
        return (self.settle + len(self.pristine)) // 2


def load_clip(file: File, preset: Preset, runner: Runner) -> Clip:
    """Read a clip and damage it, or read its twin. InputError for what cannot be measured."""
    plan = runner.plan
    if file.degraded is not None:
        pristine = read_clip(file.path, plan.frames, plan.shrink, plan.gray)
        received = read_clip(file.degraded, plan.frames, 1, plan.gray)
        if len(pristine) != len(received):
            raise InputError(
                f"'{file.degraded}' has {len(received)} frames and '{file.path}' {len(pristine)}; expected one for "
                "each: a clip that lost frames cannot be matched"
            )
        settle = 0
    else:
        pristine = read_clip(file.path, plan.frames, plan.shrink, plan.gray, MULTIPLE)
        settle = preset.settle
        if len(pristine) < settle + 2:
            raise InputError(
                f"'{file.path}' has {len(pristine)} frames; preset '{preset.name}' needs {settle + 2} at least, "
                f"{settle} of them to settle"
            )
        received = damaged(pristine, preset, plan.seed, file.path.name)
    factor = factor_between(pristine[0].planes[0].shape, received[0].planes[0].shape)
    filter = plan.enlarging or preset.enlarging
    # One line of time for both, so that models see a stream.
    times = range(len(received))
    received = [replace(frame, pts=pts) for frame, pts in zip(received, times, strict=True)]
    shown = [enlarged(frame, factor, filter) for frame in received]
    return Clip(pristine, received, shown, factor, settle)


def damaged(pristine: Sequence[Frame], preset: Preset, seed: int, name: str) -> list[Frame]:
    """A clip as a preset leaves it. One for pictures meets every frame alike."""
    if preset.clip is not None:
        return preset.clip(pristine)
    assert preset.picture is not None
    frames = []
    for frame in pristine:
        generator = preset.generator(seed, name)
        if not frame.chroma:
            plane = preset.picture(frame.planes[0], generator)
            frames.append(frame.with_planes((plane,)))
            continue
        rgb = preset.picture(frame.to_rgb(), generator)
        frames.append(
            Frame.from_rgb(rgb, frame.matrix, frame.range, "i420", pts=frame.pts, time_base=frame.time_base)
        )
    return frames


def stream(clip: Clip, method: Method, runner: Runner) -> Iterator[Frame]:
    """The clip through a method, frame by frame from the first one on."""
    if method.kind == "matched":
        like = next(other for other in runner.plan.methods if other.name == method.like)
        judged = clip.middle
        target = next(islice(stream(clip, like, runner), judged, None))
        edges = Judge(View(clip.pristine[judged].luma, None), View(clip.shown[judged].luma, None)).edges
        amount = matched_amount(clip.shown[judged].luma, edges, edges.strength(target.luma))
        for frame in clip.shown:
            yield on_pixels(frame, lambda pixels: unsharp_mask(pixels, amount))
        return
    if method.kind == "model":
        runner.sharpener(method).reset()
    for received, shown in zip(clip.received, clip.shown, strict=True):
        yield runner.plain(method, received, shown, clip.factor, still=False)


def measure_clip(file: File, preset: Preset, runner: Runner) -> Record:
    """The record of one clip: `scores` by method and measure, means over judged frames, and each judged frame's
    `psnr_y` and `ssim_y` in `frames`; `failed`, why a method has no scores or no VMAF."""
    clip = load_clip(file, preset, runner)
    judged = range(clip.settle, len(clip.pristine))
    lumas = [clip.pristine[index].luma for index in judged]
    vectors = [None, *(motion(before, after) for before, after in pairwise(lumas))]
    judges = {
        index: Judge(View.of(clip.pristine[index]), View.of(clip.shown[index])) for index in judged[::EVERY]
    }
    scores: dict[str, Scores] = {PRISTINE: _means([judge.of_reference() for judge in judges.values()])}
    frames: dict[str, dict[str, list[float]]] = {}
    failed: dict[str, str] = {}
    for method in runner.plan.methods:
        if not runner.fits(method, clip.factor) or method.like in failed:
            continue
        try:
            looked: list[Scores] = []
            values: dict[str, list[float]] = {"psnr_y": [], "ssim_y": []}
            total = Flicker()
            kept: list[Frame] = []
            for index, frame in enumerate(stream(clip, method, runner)):
                if index < clip.settle:
                    continue
                reference = lumas[index - clip.settle]
                total.add(frame.luma, reference, vectors[index - clip.settle])
                values["psnr_y"].append(round(psnr(frame.luma, reference, ceiling_db=CEILING_DB), 4))
                values["ssim_y"].append(round(ssim(frame.luma, reference), 6))
                if index in judges:
                    looked.append(_look(judges[index], clip, index, frame, runner))
                if runner.plan.vmaf:
                    kept.append(frame.with_planes(tuple(np.array(plane) for plane in frame.planes)))
            scores[method.name] = _means(looked) | known(
                {
                    "psnr_y": fmean(values["psnr_y"]),
                    "ssim_y": fmean(values["ssim_y"]),
                    "flicker": total.value,
                    "flicker_moving": total.along_motion,
                }
            )
            frames[method.name] = values
        except KeenframeError as error:
            failed[method.name] = str(error)
            continue
        if runner.plan.vmaf:
            try:
                scores[method.name] |= known({"vmaf": vmaf(kept, [clip.pristine[index] for index in judged])})
            except KeenframeError as error:
                # Under a name of its own: the method has everything else.
                failed[f"{method.name}, VMAF"] = str(error)
    return {
        "kind": "clip",
        "size": [clip.pristine[0].width, clip.pristine[0].height],
        "scores": scores,
        "frames": frames,
        "failed": failed,
    }


def _look(judge: Judge, clip: Clip, index: int, frame: Frame, runner: Runner) -> Scores:
    view = View.of(frame)
    scores = judge.score(view)
    if runner.plan.lpips and view.rgb is not None:
        scores |= known({"lpips": runner.lpips(view.rgb, clip.pristine[index].to_rgb())})
    return scores


def _means(records: Sequence[Scores]) -> Scores:
    names = dict.fromkeys(name for record in records for name in record)
    return known({name: fmean(r[name] for r in records if name in r) for name in names})
