"""docs/results.md: what is better, by how much, where it fails."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from keenframe_train.evaluate.markdown import DASH, figure, table
from keenframe_train.page import sections
from keenframe_train.page.cards import card_names
from keenframe_train.page.claims import claims_table
from keenframe_train.page.figures import KEEN, PRESETS
from keenframe_train.page.sections import FIGURES, MASK
from keenframe_train.page.sources import Sources

_CARDS = "models"


def results_page(sources: Sources, charts: Iterable[str]) -> str:
    """The whole page. charts: the names of the SVG files that there are."""
    present = set(charts)
    parts = [
        _intro(sources),
        _short(sources),
        sections.pictures(sources, present),
        sections.categories(sources),
        sections.clips(sources, present),
        sections.halos(sources, present),
        sections.text(sources, present),
        sections.enlarging(sources),
        sections.sizes(sources),
        sections.students(sources),
        sections.student_clips(sources),
        sections.speed(sources),
        _shown(sources),
        _failures(sources),
        _claims(sources),
        _NOBODY,
        _commands(sources),
    ]
    return "\n".join(part for part in parts if part)


def _intro(s: Sources) -> str:
    lines = ["# Results\n"]
    lines.append(
        "<!-- Written by `keenframe-train results-page` from files in benchmarks/results; do not edit by hand. -->\n"
    )
    lines.append(
        "What `keen` does to damaged pictures and clips, beside an unsharp mask, plain enlarging and the five reports' "
        "students: what is better, by how much, and where it fails. Every figure comes from a result file in "
        "[benchmarks/results](../benchmarks/results); [evaluate.md](evaluate.md) says what the measures mean. Model "
        "cards: " + ", ".join(f"[{name}]({_CARDS}/{name}.md)" for name in card_names(s)) + ".\n"
    )
    pictures = s.evaluations.get("pictures")
    if pictures is not None:
        about, arguments = pictures["about"], pictures["arguments"]
        count = f"{pictures['pictures']} validation pictures"
        if arguments["limit"] is not None:
            count += (
                f" (the first {arguments['limit']} of each of {len(sections.categories_of(s))} categories)"
            )
        lines.append(
            f"Measured on {count} in colour, {about['machine']}, "
            + ", ".join(f"{name} {about['versions'][name]}" for name in ("openvino", "onnxruntime", "av"))
            + ". The validation pictures also chose among training runs: read the figures as a tuning score. The "
            "README's table is of "
            + ("all of them, " if arguments["limit"] is not None else "the same ones, ")
            + "and of their luma alone.\n"
        )
    if stale := s.stale():
        lines.append(f"**Measured with earlier model files:** {', '.join(stale)}.\n")
    return "\n".join(lines)


def _short(s: Sources) -> str:
    """The findings in sentences, each with its figures."""
    lines = ["## In short\n"]

    def say(text: str, *values: float | None) -> None:
        if all(value is not None for value in values):
            lines.append(f"- {text}")

    def of(preset: str, measure: str, method: str = KEEN, run: str = "pictures") -> float | None:
        return s.value(run, preset, method, measure)

    def shown(preset: str, measure: str, method: str = KEEN, run: str = "pictures") -> str:
        return figure(of(preset, measure, method, run), measure, unit=True)

    say(
        f"Blurred and enlarged pictures (R1, R2, R5) gain {shown('r1', 'psnr_gain')}, {shown('r2', 'psnr_gain')} and "
        f"{shown('r5', 'psnr_gain')} in PSNR-Y; an unsharp mask gains {shown('r1', 'psnr_gain', 'unsharp')}, "
        f"{shown('r2', 'psnr_gain', 'unsharp')} and {shown('r5', 'psnr_gain', 'unsharp')}.",
        of("r1", "psnr_gain"), of("r2", "psnr_gain"), of("r5", "psnr_gain"),
    )  # fmt: skip
    say(
        f"Call frames that were sent at half size gain {shown('call-half', 'psnr_gain')} (unsharp mask "
        f"{shown('call-half', 'psnr_gain', 'unsharp')}).",
        of("call-half", "psnr_gain"),
    )
    say(
        f"Call frames that were sent at full size: {shown('call-full', 'psnr_gain')} (unsharp mask "
        f"{shown('call-full', 'psnr_gain', 'unsharp')}).",
        of("call-full", "psnr_gain"),
    )
    say(
        f"Edges on R2's blur become {shown('r2', 'edge_ratio')} times as steep as in the input. Halos: an unsharp mask "
        f"that is as strong at edges overshoots by {shown('r2', 'overshoot', MASK)}, `keen` by "
        f"{shown('r2', 'overshoot')}.",
        of("r2", "edge_ratio"), of("r2", "overshoot", MASK),
    )  # fmt: skip
    say(
        f"Of R2-blurred text Tesseract reads {shown('r2', 'cer', 'input', 'text')} of the characters wrongly, after "
        f"`keen` {shown('r2', 'cer', run='text')}; on half-size call frames "
        f"{shown('call-half', 'cer', 'input', 'text')} and {shown('call-half', 'cer', run='text')}.",
        of("r2", "cer", "input", "text"), of("call-half", "cer", run="text"),
    )  # fmt: skip
    say(f"A pristine picture comes out at {shown('clean', 'to_input')} to itself.", of("clean", "to_input"))
    clips = s.evaluations.get("clips", {}).get("results", {})
    steadier = [
        preset
        for preset in clips
        if (of(preset, "flicker", run="clips") or 0) <= (of(preset, "flicker", "input", "clips") or 0)
    ]
    if clips:
        others = [preset for preset in clips if preset not in steadier]
        text = f"On {len(steadier)} of {len(clips)} ways to send a clip the output flickers no more than what arrived"
        if others:
            worst = max(others, key=lambda p: _over(s, p))
            text += f"; on {', '.join(others)} it does, by up to {_over(s, worst):.3f} code values"
        lines.append(f"- {text}.")
    lines.append("- No person has rated any of this yet.\n")
    return "\n".join(lines)


def _over(s: Sources, preset: str) -> float:
    """Flicker over the input's."""
    return (s.value("clips", preset, KEEN, "flicker") or 0.0) - (
        s.value("clips", preset, "input", "flicker") or 0.0
    )


def _shown(s: Sources) -> str:
    rows = [crop for crop in s.crops if crop["why"] in ("best", "median")]
    if not rows:
        return ""
    return (
        "## Before and after\n\nOn the demo's own pictures and on drawn pages, chosen by rule: of each damage the one "
        "with the highest and the middle gain, and in it the window where the squared error falls most. Pixels are "
        "doubled; figures are PSNR-Y within the window.\n" + "".join(_crop(crop) for crop in rows)
    )


def _crop(crop: dict[str, Any]) -> str:
    words = (
        f"{crop['why'].capitalize()} of `{crop['preset']}`"
        if crop["why"] != "failure"
        else f"`{crop['preset']}`"
    )
    return (
        f"\n{words}: {crop['name']}, {crop['gain']:+.2f} dB, {crop['ssim_gain']:+.4f} over the whole of it\n\n"
        f"![{crop['why']}, {crop['preset']}]({FIGURES}/{crop['file']})\n"
    )


def _failures(s: Sources) -> str:
    """Where `keen` makes things worse, in figures of all pictures and in crops of our own."""
    rows = []
    for preset in PRESETS:
        before = s.column("pictures", preset, "input", "psnr_y")
        after = s.column("pictures", preset, KEEN, "psnr_y")
        gains = {name: after[name] - before[name] for name in after}
        worse = {name: gain for name, gain in gains.items() if gain < 0}
        if gains:
            lowest = min(gains, key=lambda name: gains[name])
            lost = f"{fmean(worse.values()):+.2f}" if worse else DASH
            rows.append(
                [
                    f"`{preset}`",
                    f"{len(worse)} of {len(gains)}",
                    lost,
                    f"{gains[lowest]:+.2f}",
                    lowest.split("/")[0],
                ]
            )
    if not rows:
        return ""
    head = ["damage", "pictures made worse", "mean of these, dB", "the worst, dB", "its category"]
    crops = [crop for crop in s.crops if crop["why"] == "failure"]
    gallery = (
        "\nOn our own pictures it lost most here, each window where it lost most:\n"
        + "".join(map(_crop, crops))
        if crops
        else ""
    )
    return (
        "## Where it fails\n\nPictures whose PSNR-Y `keen` lowers:\n\n"
        + table(head, rows)
        + "\n- Frames of full size from a codec: what is missing cannot be told from what was never there.\n"
        "- Small letters that a codec has mixed up become sharp wrong letters.\n"
        "- Fine, noise-like texture (grain, cloth, leaves) stays smooth: it is trained not to invent any.\n"
        "- Colours are carried, so coloured blocks stay.\n" + gallery
    )


def _claims(s: Sources) -> str:
    return (
        "## The five reports' claims, row by row\n\n"
        + claims_table(s)
        + "\nThe reports describe each system's training in hours on GPUs; here each had minutes on one CPU core "
        "(`keenframe-train reproduce NAME --budget cpu`), so these rows say what the code does, not what the methods "
        "are worth.\n"
    )


_NOBODY = """## What nobody has rated yet

Everything above is arithmetic. PSNR and SSIM favour what is smooth and safe; that a sharper picture looks better to
people, looks natural in motion, and helps them in a call, is an assumption until people have rated it. Not one person
has rated a picture of this project. In particular nobody knows yet

- whether raters prefer `keen` to what arrived, and by how much on a scale of five (R2 reports 4.2 for its own system);
- whether the little flicker that sharpening adds on half-size clips is seen;
- whether faces look like themselves, or like plastic;
- how it does on phones, in low light, and on faces of every skin colour: no such material was measured.

`keenframe study` prepares, serves and analyses such a study, blinded, as ITU-T P.910 and P.913 ask for. Its tests use
simulated raters, whose answers are never reported as opinions.
"""


def _commands(s: Sources) -> str:
    ran = "\n".join(f"keenframe evaluate {line}" for line in command_lines(s))
    return (
        "## Made by\n\n```sh\n"
        + (ran + "\n" if ran else "")
        + "keenframe-train results-page            # this page, its charts and the model cards, from the result files\n"
        "keenframe-train results-page --crops    # the pictures on it, too\n```\n\n"
        "`keenframe evaluate` leaves `summary.json` and `items.csv` in its run's folder; both are copied to "
        "`benchmarks/results/evaluate/NAME`.\n"
    )


def command_lines(s: Sources) -> list[str]:
    """The arguments that each committed evaluation was made with."""
    lines = []
    for run, summary in s.evaluations.items():
        a = summary["arguments"]
        words = [a["material"], "-o", f"runs/{run}"]
        words += [word for preset in a["presets"] for word in ("--preset", preset)]
        words += [word for method in a["methods"] if method != "input" for word in ("--method", method)]
        words += ["--limit", str(a["limit"])] if a["limit"] is not None else []
        words += ["--shrink", str(a["shrink"])] if a["shrink"] > 1 else []
        words += ["--frames", str(a["frames"])] if summary["clips"] else []
        words += ["--luma"] if a["luma"] else []
        words += ["--text"] if a["text"] else []
        words += ["--vmaf"] if a.get("vmaf") else []
        lines.append(" ".join(words))
    return lines
