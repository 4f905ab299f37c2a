"""The README's tables, of what an evaluation summed up."""

from __future__ import annotations

from keenframe.evaluate.summary import ALL, Results
from keenframe_train.evaluate.damage import SENDINGS
from keenframe_train.evaluate.markdown import DASH, wide_table

# What arrives smaller than it was: for networks that enlarge.
SMALLER = ("x2", "received-half", "x4", "received-quarter", "r4-small")


def stills_table(results: Results, model: str, scale: int) -> str:
    """Markdown: PSNR and SSIM of input -> model by degradation and category, with the gain."""
    kinds = [
        kind
        for kind, found in results.items()
        if model in found[ALL] and kind not in SENDINGS and (scale == 1) == (kind not in SMALLER)
    ]
    categories = sorted({category for kind in kinds for category in results[kind]} - {ALL})
    rows = []
    for kind in kinds:
        found = results[kind]
        before, after, mask = found[ALL]["input"], found[ALL][model], found[ALL]["unsharp"]
        if kind == "clean":
            # The input is the reference: the figure is how little it is touched.
            cells = [f"{after['to_input']:.1f} dB to the input, {after['ssim_y']:.4f}", DASH]
            cells += [
                f"{found[c][model]['psnr_y']:.1f} dB" if model in found.get(c, {}) else DASH
                for c in categories
            ]
        else:
            cells = [
                f"{before['psnr_y']:.2f} → **{after['psnr_y']:.2f}** dB, "
                f"{before['ssim_y']:.4f} → **{after['ssim_y']:.4f}**",
                _gain(mask),
            ]
            cells += [_gain(found[c][model]) if model in found.get(c, {}) else DASH for c in categories]
        rows.append([kind, *cells])
    return wide_table(["damage", ALL, "unsharp mask", *categories], rows)


def clips_table(results: Results) -> str:
    """Markdown: per sending the input's PSNR and SSIM, each method's gain (mean, worst clip) and flicker."""
    methods = dict.fromkeys(
        method
        for found in results.values()
        for method in ("unsharp", *found[ALL])
        if method not in ("input", "pristine")
    )
    titles = ["unsharp mask" if method == "unsharp" else method for method in methods]
    rows = []
    for sending, found in results.items():
        base = found[ALL]["input"]
        cells = [f"{base['psnr_y']:.2f} dB, {base['ssim_y']:.4f}, flicker {base['flicker']:.2f}"]
        for method in methods:
            if method not in found[ALL]:
                cells.append(DASH)
                continue
            own = found[ALL][method]
            cells.append(
                f"{own['psnr_gain']:+.2f} dB (worst {own['worst_gain']:+.2f}), {own['ssim_gain']:+.4f}, "
                f"flicker {own['flicker']:.2f}"
            )
        rows.append([SENDINGS[sending][0] if sending in SENDINGS else sending, *cells])
    return wide_table(["sent as", "input", *titles], rows)


def _gain(values: dict[str, float]) -> str:
    return f"{values['psnr_gain']:+.2f} dB, {values['ssim_gain']:+.4f}"
