"""The tables of docs/results.md, each with its chart."""

from __future__ import annotations

from keenframe.evaluate.measures import MEASURES
from keenframe_train.evaluate.markdown import DASH, arrow, figure, table
from keenframe_train.page.figures import KEEN, PRESETS
from keenframe_train.page.sources import ALL, Sources

FIGURES = "images/results"
MASK = f"unsharp@{KEEN}"
_STUDENTS = (
    ("r1", "edsr-plain"),
    ("r2", "bsrgan-light"),
    ("r3", "srresnet-separable-int8"),
    ("r4-small", "unet-rrdb-x4"),
    ("r5", "nafnet-attention"),
)


def _chart(name: str, words: str, present: set[str]) -> str:
    return f"\n![{words}]({FIGURES}/{name})\n" if name in present else ""


def pictures(s: Sources, present: set[str]) -> str:
    """Whole pictures by damage, and how little a pristine one is touched."""
    head = [
        "damage",
        "PSNR-Y",
        "gain",
        "unsharp mask",
        "worst gain",
        "SSIM-Y",
        "SSIM > 0.9",
        "worst 1 %",
        "PSNR RGB",
    ]
    rows = []
    for preset in PRESETS:
        before, after, mask = (s.values("pictures", preset, m) for m in ("input", KEEN, "unsharp"))
        if after:
            rows.append(
                [
                    f"`{preset}`",
                    arrow(before["psnr_y"], after["psnr_y"], "psnr_y"),
                    figure(after["psnr_gain"], "psnr_gain"),
                    figure(mask.get("psnr_gain"), "psnr_gain"),
                    figure(after["worst_gain"], "worst_gain"),
                    arrow(before["ssim_y"], after["ssim_y"], "ssim_y"),
                    arrow(before["share_ssim_090"], after["share_ssim_090"], "share_ssim_090"),
                    arrow(before["worst_psnr"], after["worst_psnr"], "worst_psnr"),
                    arrow(before.get("psnr_rgb"), after.get("psnr_rgb"), "psnr_rgb"),
                ]
            )
    if not rows:
        return ""
    descriptions = s.evaluations["pictures"]["arguments"]["presets"]
    legend = "; ".join(f"`{name}` {descriptions[name]}" for name in PRESETS if name in descriptions)
    clean = s.values("pictures", "clean", KEEN)
    harm = (
        f"\nA pristine picture (`clean`): {figure(clean['to_input'], 'to_input', unit=True)} to itself, SSIM "
        f"{figure(clean['ssim_y'], 'ssim_y')}; an unsharp mask "
        f"{figure(s.value('pictures', 'clean', 'unsharp', 'to_input'), 'to_input', unit=True)}.\n"
        if clean
        else ""
    )
    return (
        "## Pictures\n\n`keen` (INT8), input → output; PSNR in dB, the share of pictures above SSIM 0.9 in %, the "
        "worst hundredth by PSNR. Gains are in PSNR-Y, of `keen` and of an unsharp mask (sigma 1, amount 1).\n\n"
        + table(head, rows)
        + f"\n{legend}.\n"
        + harm
        + _chart("gain.svg", "Gain by damage", present)
        + _chart("spread.svg", "Every picture's gain", present)
    )


def categories(s: Sources) -> str:
    """Gains by damage and category."""
    if "pictures" not in s.evaluations:
        return ""
    names = categories_of(s)
    rows = []
    for preset in PRESETS:
        cells = [_gains(s.values("pictures", preset, KEEN, name)) for name in names]
        if set(cells) != {DASH}:
            rows.append([f"`{preset}`", *cells])
    return "## By category\n\nGain of `keen` in PSNR-Y (dB) and SSIM-Y.\n\n" + table(["damage", *names], rows)


def clips(s: Sources, present: set[str]) -> str:
    """Clips sent as bad calls, with their flicker."""
    summary = s.evaluations.get("clips")
    if summary is None:
        return ""
    head = [
        "sent as",
        "PSNR-Y",
        "gain",
        "keen-x2",
        "unsharp mask",
        "SSIM-Y",
        "VMAF NEG",
        "unsharp mask",
        "flicker",
        "along motion",
        "unsharp mask",
    ]
    rows = []
    for preset, found in summary["results"].items():
        before, after, mask = found[ALL]["input"], found[ALL][KEEN], found[ALL]["unsharp"]
        rows.append(
            [
                f"`{preset}`",
                arrow(before["psnr_y"], after["psnr_y"], "psnr_y"),
                figure(after["psnr_gain"], "psnr_gain"),
                figure(found[ALL].get("keen-x2-int8", {}).get("psnr_gain"), "psnr_gain"),
                figure(mask["psnr_gain"], "psnr_gain"),
                arrow(before["ssim_y"], after["ssim_y"], "ssim_y"),
                arrow(before.get("vmaf"), after.get("vmaf"), "vmaf"),
                figure(mask.get("vmaf"), "vmaf"),
                arrow(before["flicker"], after["flicker"], "flicker"),
                arrow(before.get("flicker_moving"), after.get("flicker_moving"), "flicker_moving"),
                figure(mask["flicker"], "flicker"),
            ]
        )
    arguments = summary["arguments"]
    legend = "; ".join(f"`{name}` {text}" for name, text in arguments["presets"].items())
    return (
        f"## Clips\n\n{summary['clips']} webcam clips, made {arguments['shrink']} times smaller first because they are "
        f"compressed themselves, then sent as a bad call; up to {arguments['frames']} frames, the first ones while the "
        "rate control settles not judged. VMAF by Netflix's model that does not reward sharpening (NEG), 0 to 100. "
        "Flicker in code values, the last column that of the unsharp mask: the mean change of the error from frame to "
        "frame; along motion: followed along the pristine clip's own motion.\n\n"
        + table(head, rows)
        + f"\n{legend}.\n"
        + _chart("flicker.svg", "Flicker over the input's", present)
    )


def halos(s: Sources, present: set[str]) -> str:
    """Edge strength, and overshoot beside that of an unsharp mask as strong."""
    rows = []
    for preset in PRESETS:
        found = {m: s.values("pictures", preset, m) for m in ("input", KEEN, MASK, "unsharp", "pristine")}
        if found[MASK]:
            rows.append(
                [
                    f"`{preset}`",
                    *(figure(found[m].get("edge_ratio"), "edge_ratio") for m in (KEEN, MASK, "pristine")),
                    *(figure(found[m].get("overshoot"), "overshoot") for m in ("input", KEEN, MASK)),
                    *(figure(found[m].get("psnr_gain"), "psnr_gain") for m in (KEEN, MASK)),
                ]
            )
    if not rows:
        return ""
    head = [
        "damage", "edge ratio", "mask", "pristine", "overshoot of the input", "keen", "mask", "gain", "mask",
    ]  # fmt: skip
    return (
        "## Sharper edges, without halos\n\nThe edge ratio is the mean gradient at the pristine picture's edges over "
        "the input's. The mask is an unsharp mask whose amount is chosen for every picture so that its edges are as "
        "strong as `keen`'s. Overshoot, in code values: how far luma leaves the pristine picture's own range beside "
        "edges.\n\n" + table(head, rows) + _chart("halos.svg", "Overshoot at equal edge strength", present)
    )


def text(s: Sources, present: set[str]) -> str:
    """Reading errors."""
    found = s.evaluations.get("text", {}).get("results", {})
    rows = []
    for preset, by_category in found.items():
        for category, methods in by_category.items():
            rows.append(
                [
                    f"`{preset}`, {category}",
                    f"{methods['input']['items']:.0f}",
                    *(
                        figure(methods.get(m, {}).get("cer"), "cer")
                        for m in ("input", "unsharp", KEEN, "pristine")
                    ),
                ]
            )
    if not rows:
        return ""
    reader = s.evaluations["text"]["about"]["versions"].get("tesseract", "Tesseract")
    return (
        f"## Readable text\n\nCharacters that {reader} reads wrongly, in %, on pages drawn by `keenframe-train pages`: "
        "words of no language, so that nothing can be guessed; letters of 12 to 28 pixels an em. No photographed text "
        "was measured.\n\n"
        + table(["damage, letters", "pages", "input", "unsharp mask", "keen", "pristine"], rows)
        + _chart("text.svg", "Reading errors", present)
    )


def enlarging(s: Sources) -> str:
    """Networks that enlarge, beside plain enlarging."""
    rows = []
    for preset in ("x2", "received-half", "x4", "received-quarter"):
        found = s.evaluations.get("pictures", {}).get("results", {}).get(preset, {}).get(ALL, {})
        for method, title in (
            ("bicubic", "bicubic"),
            ("lanczos", "Lanczos"),
            (KEEN, "keen on the bicubic picture"),
            ("keen-x2-int8", "keen-x2"),
            ("keen-x4-int8", "keen-x4"),
        ):
            if method in found:
                own = found[method]
                rows.append(
                    [f"`{preset}`, {title}"]
                    + [
                        figure(own.get(m), m)
                        for m in ("psnr_y", "psnr_gain", "ssim_y", "edge_ratio", "overshoot")
                    ]
                )
    if not rows:
        return ""
    head = [
        "frame, method",
        *(MEASURES[m].title for m in ("psnr_y", "psnr_gain", "ssim_y", "edge_ratio", "overshoot")),
    ]
    return "## Enlarging by two and by four\n\nGains are over bicubic enlarging.\n\n" + table(head, rows)


def sizes(s: Sources) -> str:
    """The other sizes beside the flagship."""
    names = [name for name in ("keen-nano-int8", KEEN, "keen-base-int8") if s.values("nano", "r2", name)]
    rows = []
    for preset in (*PRESETS, "clean"):
        found = [v for name in names if (v := s.values("nano", preset, name))]
        if len(found) < len(names):
            continue
        if preset == "clean":
            cells = [figure(v["to_input"], "to_input", unit=True) + " to the input" for v in found]
        else:
            cells = [_gains(v) for v in found]
        rows.append([f"`{preset}`", *cells])
    if not rows:
        return ""
    count = s.evaluations["nano"]["pictures"]
    return f"## Sizes\n\n{count} pictures; gain in PSNR-Y (dB) and SSIM-Y over the input.\n\n" + table(
        ["damage", *(name.removesuffix("-int8") for name in names)], rows
    )


def students(s: Sources) -> str:
    """The reports' students, each on its own damage."""
    rows = []
    for preset, model in _STUDENTS:
        run = f"student-{preset.removesuffix('-small')}"
        if not s.values(run, preset, model):
            continue
        rows.append(
            [f"`{preset}`, {s.evaluations[run]['pictures']}", f"`{model}`"]
            + [_gains(s.values(run, preset, m)) for m in (model, KEEN, "unsharp")]
        )
    if not rows:
        return ""
    return (
        "## The reports' students beside keen\n\nEach on the damage that it was made for, by the files in this "
        "package; they were trained for minutes, R1's and R2's for 80 of them. Gain in PSNR-Y (dB) and "
        "SSIM-Y over the input (R4: over bicubic).\n\n"
        + table(["damage, pictures", "student", "student's gain", "keen", "unsharp mask"], rows)
    )


def student_clips(s: Sources) -> str:
    """The reports' students on clips sent as bad calls, beside `keen` and what needs no network."""
    summary = s.evaluations.get("student-clips")
    if summary is None:
        return ""
    presets = list(summary["results"])
    methods = [name for name, found in summary["results"][presets[0]][ALL].items() if "psnr_y" in found]
    rows = []
    for method in methods:
        found = [s.values("student-clips", preset, method) for preset in presets]
        measure = "psnr_y" if method == "input" else "psnr_gain"
        rows.append(
            [f"`{method}`"]
            + [figure(values.get(measure), measure) for values in found]
            + [figure(values.get("flicker"), "flicker") for values in found]
        )
    return (
        f"## The reports' students in a call\n\n{summary['clips']} webcam clips sent as bad calls, up to "
        f"{summary['arguments']['frames']} frames each. None of the students was made for a codec's damage. Gain in "
        "PSNR-Y (dB; of the input the PSNR itself), then flicker. R4's student takes quarter-size pictures and is not "
        "among them.\n\n"
        + table(["", *(f"`{preset}`" for preset in presets), *(f"flicker, `{p}`" for p in presets)], rows)
    )


def speed(s: Sources) -> str:
    """Rows of `keenframe bench`."""
    if not s.speed:
        return ""
    rows = [
        [
            f"`{row['model']}`",
            row["engine"],
            f"{row['width']}x{row['height']}",
            f"{row['median_ms']:.1f}",
            f"{row['p95_ms']:.1f}",
            f"{row['fps']:.0f}" if row["fps"] >= 10 else f"{row['fps']:.1f}",
        ]
        for row in s.speed
    ]
    machines = ", ".join(dict.fromkeys(row["cpu"] for row in s.speed))
    return f"## Speed\n\nWhole frames by `keenframe bench` ({machines}).\n\n" + table(
        ["model", "engine", "frame in", "median ms", "p95 ms", "frames/s"], rows
    )


def _gains(values: dict[str, float]) -> str:
    """ "+1.20, +0.0123": in PSNR-Y and SSIM-Y; a dash where nothing was measured."""
    return ", ".join(figure(values[name], name) for name in ("psnr_gain", "ssim_gain")) if values else DASH


def categories_of(s: Sources) -> list[str]:
    """Categories of the pictures."""
    found = s.evaluations["pictures"]["results"]
    return [category for category in next(iter(found.values())) if category != ALL]
