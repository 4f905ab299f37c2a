"""The results as Markdown and CSV, and inside a recipe's README."""

from __future__ import annotations

import csv
import io

from keenframe_train.evaluate.markdown import DASH, wide_table
from keenframe_train.experiment import Claim, Plan, Report
from keenframe_train.reproduction.results import ALL, Results, gain

BEGIN = "<!-- measured:begin (written by keenframe-train reproduce; do not edit by hand) -->"
END = "<!-- measured:end -->"


def section(plan: Plan) -> tuple[str, str]:
    """The markers in a recipe's README between which a plan's table stands: a student trained alone has a table of its
    own beside that of teacher, control and student."""
    if plan.own == "student":
        return BEGIN, END
    return BEGIN.replace("measured", "alone"), END.replace("measured", "alone")


def markdown(results: Results, report: Report) -> str:
    """Networks, quality by category, what distillation brought, the published sets, and the report's own figures."""
    pictures = next(iter(results["quality"].values()))[ALL]["input"]["pictures"]
    window = f", middle windows of {results['window']}x{results['window']}" if results["window"] else ""
    parts = [
        f"Budget `{results['budget']}`: {results['cost']}. {pictures:.0f} validation pictures{window}, the same for "
        "every method; PSNR (peak 255) and SSIM (Gaussian window) of BT.601 luma, means over pictures; gains over "
        f"`{results['reference']}`. Each run's best weights were chosen on windows of {results['windows']} of these "
        f"pictures. Milliseconds of one frame of 256x256 out: {results['machine']}.\n",
        *(f"Left out: {note}.\n" for note in results["notes"]),
        _networks(results),
    ]
    for kind in results["quality"]:
        parts += [f"Damage `{kind}`:\n", _quality(results, kind)]
        if results["own"] == "student":
            parts.append(_distilled(results, kind))
    if results["sets"]:
        parts += ["x2, bicubic down and up; luma 16-235, border of 2 pixels left out:\n", _sets(results)]
    if report.claims:
        parts += [f"Beside the report ({report.source}):\n", _claims(results, report)]
    return "\n".join(parts)


def _networks(results: Results) -> str:
    rows = [
        (
            f"**{method}**" if method == results["own"] else method,
            f"`{run['network']}`" + "".join(f" {key}={value}" for key, value in run["options"].items()),
            f"{run['parameters']:,}",
            f"{run['megabytes_fp16']:.2f}",
            f"{run['ms_256']:.1f}",
            f"{run['steps']:,} of {run['batch']}x{run['patch']}x{run['patch']} (best {run['best_step']:,})",
            f"{run['minutes']:.1f}",
        )
        for method, run in results["networks"].items()
    ]
    return wide_table(("run", "network", "parameters", "MB in fp16", "ms", "steps", "minutes"), rows)


def _quality(results: Results, kind: str) -> str:
    by_category = results["quality"][kind]
    colored = "psnr_rgb" in by_category[ALL]["input"]
    head = ["", "PSNR-Y", "SSIM-Y", *(["PSNR RGB"] if colored else []), "gain"]
    rows = []
    for method, values in by_category[ALL].items():
        cells = [
            f"**{method}**" if method == results["own"] else method,
            f"{values['psnr']:.2f} dB",
            f"{values['ssim']:.4f}",
        ]
        cells += [f"{values['psnr_rgb']:.2f} dB"] if colored else []
        for category in by_category:
            cells.append(
                f"{gain(results, kind, method, 'psnr', category):+.2f} dB, "
                f"{gain(results, kind, method, 'ssim', category):+.4f}"
            )
        rows.append(cells)
    return wide_table([*head, *(category for category in by_category if category != ALL)], rows)


def _distilled(results: Results, kind: str) -> str:
    values = results["quality"][kind][ALL]

    def ahead(one: str, other: str) -> str:
        first, second = values[one], values[other]
        return f"{first['psnr'] - second['psnr']:+.3f} dB, {first['ssim'] - second['ssim']:+.4f}"

    return (
        f"Distilled student over its control: {ahead('student', 'control')}; teacher over control: "
        f"{ahead('teacher', 'control')}.\n"
    )


def _sets(results: Results) -> str:
    methods = next(iter(results["sets"].values()))
    rows = [
        (
            method,
            *(
                f"{values[method]['psnr']:.2f} dB, {values[method]['ssim']:.4f}"
                for values in results["sets"].values()
            ),
        )
        for method in methods
    ]
    return wide_table(("", *results["sets"]), rows)


def _claims(results: Results, report: Report) -> str:
    rows = [
        (
            " ".join(part for part in (claim.method, claim.category, claim.measure) if part),
            f"{claim.value:,g}" if claim.value < 1e6 else f"{claim.value:,.0f}",
            measured(results, claim),
            claim.note,
        )
        for claim in report.claims
    ]
    return wide_table(("figure", "report", "here", "the report's is of"), rows)


def measured(results: Results, claim: Claim) -> str:
    """What this machine found where the report says `claim`; a dash for what is not measured here."""
    method = results["own"] if claim.method == "student" else claim.method
    run = results["networks"].get(method, {})
    if claim.measure in ("psnr", "ssim"):
        kind = next(iter(results["quality"]))
        values = results["quality"][kind].get(claim.category or ALL, {}).get(method)
        return DASH if values is None else f"{values[claim.measure]:.{2 if claim.measure == 'psnr' else 4}f}"
    names = {
        "parameters": ("parameters", ","),
        "megabytes": ("megabytes_fp16", ".2f"),
        "ms": ("ms_256", ".1f"),
    }
    name, form = names.get(claim.measure, ("", ""))
    return format(run[name], form) if name in run else DASH


def to_csv(results: Results) -> str:
    """One line for each kind, category, method: pictures, psnr, ssim, psnr_rgb; the published sets as kinds."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(
        ("recipe", "budget", "kind", "category", "method", "pictures", "psnr", "ssim", "psnr_rgb")
    )
    tables = {**results["quality"], **{name: {ALL: values} for name, values in results["sets"].items()}}
    for kind, by_category in tables.items():
        for category, methods in by_category.items():
            for method, values in methods.items():
                numbers = (values["psnr"], values["ssim"], values.get("psnr_rgb"))
                shown = ["" if number is None else f"{number:.5f}" for number in numbers]
                writer.writerow(
                    (
                        results["recipe"],
                        results["budget"],
                        kind,
                        category,
                        method,
                        int(values["pictures"]),
                        *shown,
                    )
                )
    return lines.getvalue()
