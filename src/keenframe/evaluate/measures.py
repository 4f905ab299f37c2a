"""Every measure by its short name: what it is called, its unit, which way is better, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Measure:
    """better: "more" or "less" is better, or "near" its reference value, which stands in `meaning`."""

    name: str
    title: str
    unit: str
    decimals: int
    better: Literal["more", "less", "near"]
    meaning: str

    def text(self, value: float | None, signed: bool = False) -> str:
        """The value with its decimals; a dash for None."""
        if value is None:
            return "–"
        rounded = round(value, self.decimals) + 0.0  # no minus before a zero
        return f"{rounded:{'+' if signed else ''}.{self.decimals}f}"


_ALL = (
    # Of every picture and every frame.
    Measure("psnr_y", "PSNR-Y", "dB", 2, "more", "fidelity of luma (BT.601, limited range), at most 60 dB"),
    Measure("ssim_y", "SSIM-Y", "", 4, "more", "structural similarity of luma, Gaussian window of 11x11"),
    Measure(
        "psnr_rgb", "PSNR RGB", "dB", 2, "more", "fidelity of red, green and blue together, at most 60 dB"
    ),
    Measure("ssim_rgb", "SSIM RGB", "", 4, "more", "structural similarity, mean of red, green and blue"),
    Measure("to_input", "PSNR to input", "dB", 2, "near", "how little the input was touched, at most 60 dB"),
    Measure(
        "edge_ratio",
        "edge ratio",
        "",
        3,
        "more",
        "mean luma gradient at the reference's edges over the input's",
    ),
    Measure(
        "edge_to_reference", "edges to reference", "", 3, "near", "the same over the reference's; 1 is right"
    ),
    Measure(
        "overshoot",
        "overshoot",
        "levels",
        3,
        "less",
        "by how much luma leaves the reference's own range at edges",
    ),
    Measure(
        "blockiness", "blockiness", "levels", 3, "less", "luma's steps on the 8x8 grid, less those elsewhere"
    ),
    Measure(
        "colour_drift", "colour drift", "ΔE ab", 3, "less", "how far colours moved, over means of 8x8 pixels"
    ),
    Measure("cer", "CER", "%", 1, "less", "characters that Tesseract reads wrongly, at most 100 %"),
    Measure("lpips", "LPIPS", "", 4, "less", "learned perceptual distance (AlexNet)"),
    # Of clips.
    Measure("flicker", "flicker", "levels", 3, "less", "mean change of the error from frame to frame"),
    Measure(
        "flicker_moving", "flicker, moving", "levels", 3, "less", "the same along the reference's own motion"
    ),
    Measure(
        "vmaf", "VMAF NEG", "", 2, "more", "Netflix's measure, the version that does not reward sharpening"
    ),
    # Of many items together.
    Measure("psnr_gain", "gain", "dB", 2, "more", "PSNR-Y over the input's"),
    Measure(
        "psnr_gain_low",
        "gain from",
        "dB",
        2,
        "more",
        "lower end of the gain's 95 % interval over items (bootstrap), of five items at least",
    ),
    Measure("psnr_gain_high", "gain to", "dB", 2, "more", "its upper end"),
    Measure(
        "share_worse", "made worse", "%", 1, "less", "share of items whose PSNR-Y fell below the input's"
    ),
    Measure("ssim_gain", "SSIM gain", "", 4, "more", "SSIM-Y over the input's"),
    Measure(
        "share_ssim_090", "SSIM > 0.9", "%", 1, "more", "share of pictures, or frames, above 0.9 in SSIM-Y"
    ),
    Measure(
        "worst_psnr",
        "worst 1 %",
        "dB",
        2,
        "more",
        "mean PSNR-Y of the worst hundredth of pictures, or frames",
    ),
    Measure("worst_gain", "worst gain", "dB", 2, "more", "the lowest PSNR-Y gain of any item"),
)
MEASURES: MappingProxyType[str, Measure] = MappingProxyType({measure.name: measure for measure in _ALL})
# What stands in an item's record, in the order of the columns.
OF_ITEMS = tuple(measure.name for measure in _ALL[:15])
