"""`report.html`: everything that an evaluation found on one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from keenframe.evaluate import page
from keenframe.evaluate.crops import Crop, Pick, choose, choose_failures, data_uri, make_crop
from keenframe.evaluate.curves import curves
from keenframe.evaluate.evaluation import Evaluation
from keenframe.evaluate.measures import MEASURES
from keenframe.evaluate.methods import INPUT
from keenframe.evaluate.stills import PRISTINE, Record, Runner
from keenframe.evaluate.summary import ALL, Values, gain
from keenframe.evaluate.svg import Series, lines, strips
from keenframe.media.files import write_text
from keenframe.metrics import CEILING_DB

REPORT = "report.html"
_FIDELITY = (
    *("psnr_y", "psnr_gain", "psnr_gain_low", "psnr_gain_high", "worst_gain", "share_worse"),
    *("ssim_y", "ssim_gain", "share_ssim_090", "worst_psnr"),
    *("psnr_rgb", "ssim_rgb", "vmaf", "lpips", "cer"),
)
_LOOKS = (
    *("edge_ratio", "edge_to_reference", "overshoot", "flicker", "flicker_moving"),
    *("blockiness", "colour_drift", "to_input"),
)
_COLUMNS_MAX = 5
_RULES = (
    "Chosen by rule: of each preset the item where the gain in PSNR-Y is the highest, the one in the middle and the "
    "lowest; within it the window of 144x108 pixels, on a grid of 12, where the squared error falls most (best, "
    "median) or rises most (worst) against the input. Figures are PSNR-Y within the window."
)


class Report:
    """Makes the page. speed: rows of `keenframe bench`. histories: records of training runs, by name."""

    def __init__(
        self,
        evaluation: Evaluation,
        speed: Sequence[dict[str, Any]] = (),
        histories: Sequence[tuple[str, list[dict[str, Any]]]] = (),
    ) -> None:
        self._evaluation = evaluation
        self._results = evaluation.summary["results"]
        self._speed, self._histories = speed, histories
        methods = [method.name for method in evaluation.plan.methods if method.name != INPUT]
        self._models = [name for name in methods if name in evaluation.specs]
        self._methods = methods
        self._subject = (self._models or methods or [INPUT])[0]

    def write(self) -> None:
        """Write `report.html` into the run's folder; the crops are made anew, one by one."""
        title = f"keenframe on {self._evaluation.summary['arguments']['material']}"
        runner = Runner(self._evaluation.plan)
        try:
            sections = [self._section(preset, runner) for preset in self._results]
            failures = self._failures(runner)
        finally:
            runner.close()
        body = [
            self._head(title),
            self._overview(),
            *sections,
            failures,
            self._speed_table(),
            self._training(),
            self._problems(),
            self._meanings(),
        ]
        write_text(self._evaluation.folder / REPORT, page.document(title, [part for part in body if part]))

    def _head(self, title: str) -> str:
        summary = self._evaluation.summary
        arguments, about = summary["arguments"], summary["about"]
        counts = [(f"{summary[kind]:,}", kind) for kind in ("pictures", "clips") if summary[kind]]
        models = [
            (name, f"{entry['file']}, version {entry['version']}, on {entry['engine']}")
            for name, entry in arguments["models"].items()
        ]
        links = [("overview", "Overview"), *((f"preset-{name}", name) for name in self._results)]
        links.append(("failures", "Failures"))
        links += [("speed", "Speed")] if self._speed else []
        links += [("training", "Training")] if self._histories else []
        links += [("problems", "Not measured")] if summary["problems"] else []
        links.append(("meanings", "What is measured"))
        of = "their luma alone" if arguments["luma"] else "in colour"
        return "\n".join(
            [
                page.heading(1, title),
                page.paragraph(
                    f"Measured {about['begun']} on {about['machine']}, one thread for each item; pristine material "
                    f"damaged by {len(self._results)} presets, {of}; seed {arguments['seed']}."
                    if arguments["degraded"] is None
                    else f"Measured {about['begun']} on {about['machine']}; the degraded twins lie in "
                    f"'{arguments['degraded']}'; {of}.",
                    soft=True,
                ),
                page.links(links),
                page.facts([*counts, *models]),
            ]
        )

    def _overview(self) -> str:
        head = [("PSNR-Y gain over the input, SSIM-Y gain below", "")]
        head += [(method, "dB") for method in self._methods]
        rows = [
            (preset, False, [_gain_cell(by_category[ALL], method) for method in self._methods])
            for preset, by_category in self._results.items()
        ]
        return page.heading(2, "Overview", "overview") + page.table(head, rows)

    def _section(self, preset: str, runner: Runner) -> str:
        """One preset: tables, distributions, categories, crops."""
        by_category = self._results[preset]
        records = [r for r in self._evaluation.records if r["preset"] == preset and "scores" in r]
        description = self._evaluation.summary["arguments"]["presets"][preset]
        parts = [
            page.heading(2, preset, f"preset-{preset}"),
            page.paragraph(f"{description[:1].upper()}{description[1:]}."),
        ]
        parts += [self._table(by_category[ALL], columns) for columns in (_FIDELITY, _LOOKS)]
        parts.append(self._distributions(records))
        if len(by_category) > 2:
            parts.append(self._categories(by_category))
        picks = choose(records, self._subject)
        crops = [self._crop(pick, runner) for pick in picks]
        if any(crops):
            parts.append(page.heading(3, f"Before and after: {self._subject} at its best, median and worst"))
            parts += crops
        return "\n".join(parts)

    def _table(self, methods: dict[str, Values], columns: Sequence[str]) -> str:
        present = [
            name
            for name in columns
            if any(name in values for method, values in methods.items() if method != INPUT)
        ]
        head = [("method", "")] + [(MEASURES[name].title, MEASURES[name].unit) for name in present]
        best = {name: self._best(methods, name) for name in present}
        rows = []
        for method, values in methods.items():
            if not any(name in values for name in present):
                continue
            cells = [
                page.cell(
                    MEASURES[name].text(values.get(name), signed="gain" in name),
                    best=name in values and values[name] == best[name] and method != PRISTINE,
                )
                for name in present
            ]
            rows.append((method, method in self._models, cells))
        return page.table(head, rows) if present else ""

    def _best(self, methods: dict[str, Values], name: str) -> float | None:
        """The best value among the methods; of what has no better side, none."""
        better = MEASURES[name].better
        values = [own[name] for method, own in methods.items() if name in own and method != PRISTINE]
        if better == "near" or not values or min(values) == max(values):
            return None
        return max(values) if better == "more" else min(values)

    def _distributions(self, records: Sequence[Record]) -> str:
        columns = {
            method: [record for record in records if method in record["scores"]] for method in self._methods
        }
        rows = [(m, [gain(r, m) for r in own]) for m, own in columns.items() if own]
        # The other chart's first line is the input.
        charts = [strips(rows, "Gain in PSNR-Y by item", "dB", width=600, first_colour=1)] if rows else []
        series = []
        for method in (INPUT, *self._methods):
            values = sorted(r["scores"][method]["ssim_y"] for r in records if method in r["scores"])
            if len(values) > 3:
                share = [100 * (1 - index / len(values)) for index in range(len(values) + 1)]
                steps = [
                    point
                    for value, pair in zip(values, pairwise(share), strict=True)
                    for point in ((value, y) for y in pair)
                ]
                series.append(Series(method, steps))
        if series:
            title = "Share of items above an SSIM-Y"
            charts.append(lines(series, title, "SSIM-Y; dashed: 0.9", "%", width=520, height=300, mark=0.9))
        return page.side_by_side(charts)

    def _categories(self, by_category: dict[str, dict[str, Values]]) -> str:
        names = [category for category in by_category if category != ALL]
        head = [("PSNR-Y gain, SSIM-Y gain below", "")] + [
            (name, f"{by_category[name][INPUT]['items']:.0f} items") for name in names
        ]
        rows = []
        for method in self._methods:
            if method in by_category[ALL]:
                cells = [_gain_cell(by_category[name], method) for name in names]
                rows.append((method, method in self._models, cells))
        return page.heading(3, "By category") + page.table(head, rows)

    def _columns(self) -> list[str]:
        """The methods that crops show: the input, the subject, and others while there is room."""
        others = [m for m in self._methods if m != self._subject][: _COLUMNS_MAX - 3]
        return [INPUT, *others, self._subject]

    def _crop(self, pick: Pick, runner: Runner) -> str:
        evaluation, record = self._evaluation, pick.record
        file = next(file for file in evaluation.files if file.name == record["name"])
        preset = next(preset for preset in evaluation.presets if preset.name == record["preset"])
        crop = make_crop(pick, file, preset, self._subject, self._columns(), runner)
        return "" if crop is None else self._crop_row(crop)

    def _crop_row(self, crop: Crop) -> str:
        record = crop.pick.record
        where = f"{record['name']}, {record['preset']}" + (
            f", frame {crop.frame}" if crop.frame is not None else ""
        )
        told = (
            f"{crop.pick.why.capitalize()}: {where}, {gain(record, self._subject):+.2f} dB over the whole of it; "
            f"window at {crop.left}, {crop.top}"
        )
        row = page.crop_row(
            [
                (data_uri(pixels), name, "" if value is None else f"{value:.2f} dB")
                for name, pixels, value in crop.pictures
            ],
            len(crop.pictures),
        )
        return page.paragraph(told, soft=True) + row

    def _failures(self, runner: Runner) -> str:
        picks = choose_failures(self._evaluation.records, self._subject)
        parts = [page.heading(2, "Where it fails", "failures")]
        if not picks:
            parts.append(page.paragraph(f"{self._subject} made no damaged item worse in PSNR-Y."))
        else:
            count = sum(
                gain(r, self._subject) < 0
                for r in self._evaluation.records
                if self._subject in r.get("scores", {})
            )
            parts.append(
                page.paragraph(
                    f"{self._subject} lowered PSNR-Y on {count} items; the {len(picks)} that lost most, over all "
                    "presets that damage, each where it lost most:"
                )
            )
            parts += [self._crop(pick, runner) for pick in picks]
        parts.append(page.paragraph(_RULES, soft=True))
        return "\n".join(parts)

    def _speed_table(self) -> str:
        if not self._speed:
            return ""
        head = [("model", ""), ("engine", ""), ("frame in", ""), ("median", "ms"), ("p95", "ms"), ("FPS", "")]
        rows = [
            (
                row["model"],
                False,
                [
                    page.cell(row["engine"]),
                    page.cell(f"{row['width']}x{row['height']}"),
                    page.cell(f"{row['median_ms']:.1f}"),
                    page.cell(f"{row['p95_ms']:.1f}"),
                    page.cell(f"{row['fps']:.0f}", best=row["fps"] >= 30),
                ],
            )
            for row in self._speed
        ]
        return page.heading(2, "Speed of whole frames", "speed") + page.table(head, rows)

    def _training(self) -> str:
        parts = []
        for name, records in self._histories:
            parts.append(page.heading(3, name))
            parts.append(page.side_by_side(curves(records)))
        return "\n".join([page.heading(2, "Training", "training"), *parts]) if parts else ""

    def _problems(self) -> str:
        found = self._evaluation.summary["problems"]
        if not found:
            return ""
        return page.heading(2, f"Not measured: {len(found)}", "problems") + page.listed(found)

    def _meanings(self) -> str:
        present = {
            name
            for by_category in self._results.values()
            for values in by_category[ALL].values()
            for name in values
        }
        pairs = [(m.title, m.meaning) for m in MEASURES.values() if m.name in present]
        versions = ", ".join(f"{k} {v}" for k, v in self._evaluation.summary["about"]["versions"].items())
        return (
            page.heading(2, "What is measured", "meanings")
            + page.definitions(pairs)
            + page.paragraph(f"Made with {versions}.", soft=True)
        )


def _gain_cell(methods: dict[str, Values], method: str) -> str:
    """A method's gains. Where the input is the pristine picture itself there is none: how little it is touched."""
    values = methods.get(method, {})
    if "psnr_gain" not in values:
        return page.cell("–")
    if methods[INPUT]["psnr_y"] >= CEILING_DB:
        return page.cell(MEASURES["to_input"].text(values["to_input"]), "to the input")
    note = MEASURES["ssim_gain"].text(values["ssim_gain"], signed=True)
    return page.cell(
        MEASURES["psnr_gain"].text(values["psnr_gain"], signed=True), note, tint=values["psnr_gain"] / 3
    )
