"""The measures of one picture or frame against its pristine one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError
from keenframe.frame import Frame
from keenframe.metrics import CEILING_DB, Edges, blockiness, colour_drift, luma, psnr, ssim

Pixels = NDArray[np.uint8]
Scores = dict[str, float]
SIDE_MIN = 32


@dataclass(frozen=True, slots=True)
class View:
    """What is measured of a picture: its luma (H, W) and, unless it is gray, its RGB (H, W, 3), uint8."""

    luma: Pixels
    rgb: Pixels | None

    @classmethod
    def of(cls, picture: Pixels | Frame, colour: bool = True) -> View:
        """colour: whether a frame's RGB is wanted, too: it has to be converted first."""
        if isinstance(picture, Frame):
            return cls(picture.luma, picture.to_rgb() if colour and picture.chroma else None)
        return cls(picture, None) if picture.ndim == 2 else cls(luma(picture), picture)


class Judge:
    """Holds outputs to one pristine picture, and to what was shown in its place.

    pristine, shown: of one size, at least 32x32 (InputError).
    """

    def __init__(self, pristine: View, shown: View) -> None:
        check_size(pristine.luma)
        self._pristine, self._shown = pristine, shown
        self.edges = Edges(pristine.luma)
        self._shown_strength = self.edges.strength(shown.luma)

    def score(self, output: View) -> Scores:
        """All measures of a picture by name; those that it has no answer to are left out."""
        pristine, strength = self._pristine, self.edges.strength(output.luma)
        scores = {
            "psnr_y": psnr(output.luma, pristine.luma, ceiling_db=CEILING_DB),
            "ssim_y": ssim(output.luma, pristine.luma),
            "to_input": psnr(output.luma, self._shown.luma, ceiling_db=CEILING_DB),
            "edge_ratio": _ratio(strength, self._shown_strength),
            "edge_to_reference": _ratio(strength, self.edges.strength_of_reference),
            "overshoot": self.edges.overshoot(output.luma),
            "blockiness": blockiness(output.luma),
        }
        if output.rgb is not None and pristine.rgb is not None:
            scores |= {
                "psnr_rgb": psnr(output.rgb, pristine.rgb, ceiling_db=CEILING_DB),
                "ssim_rgb": ssim(output.rgb, pristine.rgb),
                "colour_drift": colour_drift(output.rgb, pristine.rgb),
            }
        return known(scores)

    def of_reference(self) -> Scores:
        """The few measures that the pristine picture itself has, beside which others are read."""
        ratio = _ratio(self.edges.strength_of_reference, self._shown_strength)
        return known({"edge_ratio": ratio, "blockiness": blockiness(self._pristine.luma)})


def check_size(plane: Pixels) -> None:
    """InputError for a picture that is too small to measure."""
    height, width = plane.shape[:2]
    if min(height, width) < SIDE_MIN:
        raise InputError(f"it is {width}x{height}; expected at least {SIDE_MIN} pixels a side to measure")


def known(scores: Scores) -> Scores:
    """Without what is not a number, and rounded to what a file needs."""
    return {name: round(value, 6) for name, value in scores.items() if math.isfinite(value)}


def _ratio(one: float, two: float) -> float:
    return one / two if two else math.nan
