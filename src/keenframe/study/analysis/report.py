"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from keenframe.study.analysis import figures, words
from keenframe.study.analysis.figures import interval_text
from keenframe.study.analysis.robust import Screening
from keenframe.study.analysis.scores import Scores
from keenframe.study.analysis.screening import RULES, Verdict
from keenframe.study.design import ALL, REFERENCE, Study

_STYLE = """
:root { color-scheme: light; }
body { background: #fff; color: #1d1d1d; font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 1000px;
       padding: 32px 24px 64px; }
h1 { font-size: 30px; letter-spacing: -.01em; line-height: 1.2; margin: 0 0 4px; }
h2 { border-top: 1px solid #ddd; font-size: 21px; margin: 40px 0 10px; padding-top: 22px; }
p, li { max-width: 76ch; }
.soft { color: #5c5c5c; }
figure { margin: 18px 0; overflow-x: auto; }
figure svg { height: auto; max-width: 100%; }
figcaption { color: #5c5c5c; font-size: 14px; max-width: 80ch; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums; margin: 12px 0; }
th, td { border-bottom: 1px solid #e3e3e3; padding: 6px 14px 6px 0; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #bbb; font-weight: 600; }
td.n, th.n { text-align: right; white-space: nowrap; }
td:first-child { white-space: nowrap; }
.rules td:first-child { white-space: normal; }
.out td { color: #8a8a8a; }
.numbers { background: #f4f4f4; border-left: 4px solid #8c8c8c; padding: 12px 18px; }
.simulated { background: repeating-linear-gradient(-45deg, #c00000, #c00000 18px, #a80000 18px, #a80000 36px);
  color: #fff; font-size: 19px; font-weight: 600; margin: 0 0 28px; padding: 20px 24px; text-align: center; }
.simulated strong { display: block; font-size: clamp(26px, 7vw, 44px); letter-spacing: .1em; line-height: 1.2; }
"""
_BANNER = (
    '<div class="simulated" role="alert"><strong>SIMULATED</strong>These answers were given by programs. They are '
    "nobody's opinion and must not be reported as such.</div>"
)


def report(
    study: Study,
    verdicts: Sequence[Verdict],
    scores: Scores,
    simulated: bool,
    left_out: int,
    screenings: Sequence[Screening],
) -> str:
    """The HTML text. simulated: all raters are programs. left_out: simulated raters that were not looked at."""
    kept = sum(verdict.kept for verdict in verdicts)
    flag = "SIMULATED: " if simulated else ""
    parts = [
        _BANNER if simulated else "",
        f"<h1>{escape(flag + study.title)}</h1>",
        f'<p class="soft">Study {escape(study.id)} · {escape(", ".join(m.upper() for m in study.methods))} · '
        f"{len(study.rated)} sources · {len(study.conditions)} conditions · {escape(study.made_with)}</p>",
        f'<p class="numbers">{escape(words.about_numbers(kept, simulated))}</p>',
        _findings(scores, kept, simulated),
        _acr(scores, simulated),
        _ccr(scores, simulated),
        _screening(verdicts, left_out),
        _screenings(screenings),
        _design(study),
        "<h2>What this cannot tell</h2>",
        _list(words.cautions(study)),
        _BANNER if simulated else "",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(flag + study.title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _findings(scores: Scores, kept: int, simulated: bool) -> str:
    found = words.findings(scores, simulated)
    if not found or kept < 2:
        return "<h2>In short</h2><p>There are not enough ratings yet to compare anything.</p>"
    return "<h2>In short</h2>" + _list(found)


def _acr(scores: Scores, simulated: bool) -> str:
    if not scores.mos:
        return ""
    rows = [
        [
            score.condition,
            _n(interval_text(score.mos)),
            _n(_range(score.wide)),
            _n("—" if score.dmos is None else interval_text(score.dmos)),
            _n(str(score.mos.count)),
        ]
        for score in scores.mos
        if score.category == ALL
    ]
    differences = [
        [
            f"{row.first} − {row.second}",
            _n(interval_text(row.mean, sign=True)),
            _n(f"{row.p:.4f}"),
            _n(f"{row.p_holm:.4f}"),
        ]
        for row in scores.differences
    ]
    html = (
        "<h2>Grades of each condition (ACR)</h2>"
        + _figure(
            figures.mos_figure(scores.mos, simulated),
            "Mean opinion score, 1 bad to 5 excellent; whiskers are 95 % intervals over raters.",
        )
        + _table(
            ["condition", _n("MOS"), _n("other raters and sources"), _n("DMOS"), _n("raters")],
            rows,
        )
        + "<p class=\"soft\">In brackets 95 % intervals: Student's, over the raters' means. The third column is "
        "drawn anew over raters and sources together. DMOS is against the hidden reference of the same rater and "
        "source, plus 5.</p>"
        + "<h3>Differences between conditions</h3>"
        + _table(["difference", _n("mean"), _n("p"), _n("p, corrected")], differences)
        + '<p class="soft">Within raters, over the sources that they graded in both conditions; sign-flip '
        "permutation test, Holm's correction for all rows.</p>"
    )
    if scores.categories:
        html += _figure(
            figures.category_figure(scores.mos, simulated),
            "Mean opinion score by category; 95 % intervals over raters.",
        )
    return html


def _ccr(scores: Scores, simulated: bool) -> str:
    if not scores.cmos:
        return ""
    rows = {
        category: [
            [
                f"{pair.first} against {pair.second}",
                _n(interval_text(pair.cmos, sign=True)),
                _n(_range(pair.wide, sign=True)),
                _n(" / ".join(f"{share:.0%}" for share in pair.shares)),
                _n(f"{pair.p:.4f}"),
                _n(f"{pair.p_holm:.4f}"),
                _n(str(pair.cmos.count)),
            ]
            for pair in scores.cmos
            if pair.category == category
        ]
        for category in (ALL, *scores.categories)
    }
    heads = [
        "pair",
        _n("CMOS"),
        _n("other raters and sources"),
        _n("first / neither / second"),
        _n("p"),
        _n("p, corrected"),
        _n("raters"),
    ]
    order = ""
    if scores.order is not None:
        order = (
            f"<p>Whatever it was, the second of a pair got {interval_text(scores.order, sign=True)} on average: "
            "the habit of favouring what comes last (or first). Each pair was shown in both orders, so it falls "
            "out of the scores.</p>"
        )
    return (
        "<h2>Comparisons (CCR)</h2>"
        + _figure(
            figures.cmos_figure(scores.cmos, simulated),
            "Comparison score from −3 to +3; whiskers are 95 % intervals over raters.",
        )
        + _table(heads, rows[ALL])
        + '<p class="soft">Above 0 the first of the pair is preferred. Sign-flip permutation test over the raters\' '
        "means, Holm's correction for all rows of a table.</p>"
        + order
        + "".join(f"<h3>{escape(name)}</h3>{_table(heads, rows[name])}" for name in scores.categories)
    )


def _screening(verdicts: Sequence[Verdict], left_out: int) -> str:
    kept = sum(verdict.kept for verdict in verdicts)
    finished = sum(verdict.rater.finished for verdict in verdicts)
    reasons = Counter(reason for verdict in verdicts for reason in verdict.reasons)
    html = (
        f"<h2>Raters and screening</h2><p>{len(verdicts)} started, {finished} finished, {kept} count."
        + (f" {left_out} simulated raters are left out of everything here." if left_out else "")
        + "</p>"
        + '<div class="rules">'
        + _table(
            ["rule that puts a rater out", _n("raters")],
            [[text, _n(str(reasons.get(key, 0)))] for key, text in RULES.items()],
        )
        + "</div>"
        + '<p class="soft">A rater can break several rules. The rules look at no condition.</p>'
    )
    rows = []
    for verdict in verdicts:
        rater = verdict.rater
        rated = [rating for rating in rater.ratings if rating.role == "rated"]
        rows.append(
            [
                rater.name,
                "counts" if verdict.kept else "out: " + ", ".join(verdict.reasons),
                _n(f"{len(rated)}/{rater.planned}"),
                _n(f"{verdict.traps[0]}/{verdict.traps[1]}"),
                _n(f"{verdict.golds[0]}/{verdict.golds[1]}"),
                _n("—" if verdict.correlation is None else f"{verdict.correlation:.2f}"),
                _n(" / ".join(f"{drift:.1f}" for drift in verdict.drift.values()) or "—"),
                _n(f"{sum(rating.replays for rating in rated)}"),
                _n(_colour(verdict)),
            ]
        )
    heads = [
        "rater",
        "verdict",
        _n("rated"),
        _n("attention"),
        _n("known"),
        _n("correlation"),
        _n("repeats apart"),
        _n("replays"),
        _n("colour plates"),
    ]
    dimmed = [index for index, verdict in enumerate(verdicts) if not verdict.kept]
    return html + _table(heads, rows, dimmed)


def _screenings(screenings: Sequence[Screening]) -> str:
    heads = ["mean", *(_n(f"{screening.name} ({screening.raters})") for screening in screenings)]
    names = dict.fromkeys(name for screening in screenings for name in screening.means)
    rows = []
    for name in names:
        pair = "/" in name
        found = [screening.means.get(name) for screening in screenings]
        cells = [_n("—" if mean is None else interval_text(mean, sign=pair)) for mean in found]
        rows.append([f"CMOS {name.replace('/', ' against ')}" if pair else f"MOS {name}", *cells])
    return (
        "<h3>Does the screening decide the result?</h3>"
        + _table(heads, rows)
        + '<p class="soft">In brackets the raters. If a conclusion holds in one column only, it hangs on who was put '
        "out. The last column leaves out also those who correlate less than 0.75 by stimulus and 0.80 by condition "
        "with the mean of all, the limits of the VQEG Multimedia test plan (Annex VI), which suit studies from bad to "
        "excellent.</p>"
    )


def _colour(verdict: Verdict) -> str:
    seen = verdict.rater.checks.get("colour")
    return "—" if seen is None else "read" if seen else "not read"


def _design(study: Study) -> str:
    conditions = [[condition.name, condition.what] for condition in study.conditions]
    counts = Counter(source.category for source in study.rated)
    return (
        "<h2>What was compared</h2>"
        + _table(["condition", "what it is"], conditions)
        + f"<p>Sources: {escape(', '.join(f'{count} {name}' for name, count in sorted(counts.items())))}; each rater "
        f"rated {study.per_rater} of them. The input is {escape(study.damage)}. "
        + (
            "The pristine material was hidden among the conditions. "
            if REFERENCE in study.condition_names
            else ""
        )
        + f"Orders were balanced over raters and seeded ({study.seed}); each method had {study.traps} attention "
        f"checks, {study.golds} questions with a known answer and {study.repeats} repeated items a rater.</p>"
    )


class _N(str):
    """Text of a cell that is set to the right."""


def _n(text: str) -> _N:
    return _N(text)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], dimmed: Sequence[int] = ()) -> str:
    def cell(tag: str, text: str) -> str:
        kind = ' class="n"' if isinstance(text, _N) else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    head = "".join(cell("th", text) for text in heads)
    body = "".join(
        f"<tr{' class=out' if index in dimmed else ''}>{''.join(cell('td', text) for text in row)}</tr>"
        for index, row in enumerate(rows)
    )
    return f'<div class="table"><table><tr>{head}</tr>{body}</table></div>'


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _range(bounds: tuple[float, float] | None, sign: bool = False) -> str:
    if bounds is None:
        return "—"
    plus = "+" if sign else ""
    return f"[{bounds[0]:{plus}.2f}, {bounds[1]:{plus}.2f}]"
