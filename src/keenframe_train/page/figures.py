"""The page's charts: SVG files, the same bytes for the same results."""

from __future__ import annotations

from keenframe.evaluate.svg import bars, strips
from keenframe_train.page.sources import Sources

KEEN = "keen-int8"
PRESETS = ("r1", "r1-opencv", "r2", "r3", "r4", "r5", "call-half", "call-full")
_WIDTH = 780


def charts(sources: Sources) -> dict[str, str]:
    """SVG text by file name; those that nothing was measured for are left out."""
    made = {
        "gain.svg": _gains(sources),
        "spread.svg": _spread(sources),
        "halos.svg": _halos(sources),
        "text.svg": _text(sources),
        "flicker.svg": _flicker(sources),
    }
    return {name: chart for name, chart in made.items() if chart}


def _gains(s: Sources) -> str:
    groups = [
        (preset, [s.value("pictures", preset, method, "psnr_gain") for method in (KEEN, "unsharp")])
        for preset in PRESETS
        if s.values("pictures", preset, KEEN)
    ]
    title = "Gain in PSNR-Y over the input by damage, means over pictures"
    return (
        bars(groups, ["keen", "unsharp mask"], title, "dB", width=_WIDTH, standalone=True) if groups else ""
    )


def _spread(s: Sources) -> str:
    rows = []
    for preset in PRESETS:
        before = s.column("pictures", preset, "input", "psnr_y")
        after = s.column("pictures", preset, KEEN, "psnr_y")
        if after:
            rows.append((preset, [after[name] - before[name] for name in sorted(after)]))
    title = "Gain of keen in PSNR-Y, every picture a dot"
    return strips(rows, title, "dB", width=_WIDTH, standalone=True) if rows else ""


def _halos(s: Sources) -> str:
    mask = f"unsharp@{KEEN}"
    groups = [
        (preset, [s.value("pictures", preset, method, "overshoot") for method in (KEEN, mask)])
        for preset in PRESETS
        if s.values("pictures", preset, mask)
    ]
    title = "Overshoot at equal edge strength, code values: less is better"
    labels = ["keen", "unsharp mask as strong at edges"]
    return (
        bars(groups, labels, title, "", width=_WIDTH, decimals=3, signed=False, standalone=True)
        if groups
        else ""
    )


def _text(s: Sources) -> str:
    labels = ["keen", "unsharp mask", "input", "pristine"]
    groups = [
        (preset, [s.value("text", preset, m, "cer") for m in (KEEN, "unsharp", "input", "pristine")])
        for preset in ("r1", "r2", "call-half")
        if s.values("text", preset, KEEN)
    ]
    title = "Characters that Tesseract reads wrongly, %: less is better"
    return (
        bars(groups, labels, title, "%", width=_WIDTH, decimals=1, signed=False, standalone=True)
        if groups
        else ""
    )


def _flicker(s: Sources) -> str:
    groups = []
    for preset in s.evaluations.get("clips", {}).get("results", {}):
        base = s.value("clips", preset, "input", "flicker")
        found = [s.value("clips", preset, method, "flicker") for method in (KEEN, "unsharp")]
        if base is not None:
            groups.append((preset, [None if value is None else value - base for value in found]))
    title = "Flicker over the input's, code values: 0 is as steady as what arrived"
    return (
        bars(groups, ["keen", "unsharp mask"], title, "", width=_WIDTH, decimals=3, standalone=True)
        if groups
        else ""
    )
