"""What a study of this size can say, and what it cannot, in plain words."""

from __future__ import annotations

from keenframe.study.analysis.scores import Scores
from keenframe.study.design import ALL, Study

# P.913's advice: 24 people in a controlled room, 35 in a public or unknown one. Below 15 BT.500-15 (2.5.1) calls a
# test informal. The least is ours.
_LABORATORY, _PUBLIC, _PILOT, _ANECDOTE = 24, 35, 15, 4
P_LIMIT = 0.05


def about_numbers(kept: int, simulated: bool) -> str:
    """One paragraph on the number of raters."""
    if simulated:
        return (
            f"{kept} SIMULATED raters: programs that follow a rule. Nothing here is an opinion of anybody; it shows "
            "only that the study's machinery works."
        )
    people = f"{kept} {'person' if kept == 1 else 'people'}"
    ask = (
        f"The usual advice (ITU-T P.913) is at least {_LABORATORY} in a controlled room, and {_PUBLIC} where "
        "everybody sits at a screen of his own, as here"
    )
    if kept < _ANECDOTE:
        return f"{people}: anecdotes. No interval of so few is worth anything. {ask}."
    if kept < _PILOT:
        return (
            f"{people}: a first try, informal in the words of BT.500 (below {_PILOT}). It can show that something is "
            f"wrong, not how good something is. {ask}."
        )
    if kept < _LABORATORY:
        return f"{people}: a pilot. Large differences show, small ones do not. {ask}."
    if kept < _PUBLIC:
        return f"{people}: enough for a laboratory and short of what an uncontrolled room needs. {ask}."
    return f"{people}: as many as recommended. {ask}."


def cautions(study: Study) -> list[str]:
    """What stays true however many rated."""
    categories = {source.category for source in study.rated}
    said = [
        f"The scores hold for these {len(study.rated)} sources ({', '.join(sorted(categories))}) and this input "
        f"({study.damage}). The wide interval, drawn over raters and sources, says what other sources might give.",
        "A MOS is no absolute measure: it depends on what else was in the study. Compare conditions within a study, "
        "never a MOS of one study with that of another.",
        "Screens, distance and light were the raters' own. The checks of screen and eyes keep out the worst, and "
        "are no eye test.",
        "The grades are treated as numbers with equal steps, as P.910 does.",
    ]
    if len(study.rated) < 8:
        said.append(f"{len(study.rated)} sources are few: others may give another picture.")
    if not any(source.practice for source in study.sources):
        said.append(
            "There were no spare sources: practice and control questions used the rated ones, so raters saw some of "
            "them in advance."
        )
    return said


def findings(scores: Scores, simulated: bool) -> list[str]:
    """What the tests say, one sentence for each pair; a difference that is not shown is not an equality."""
    mark = "SIMULATED: " if simulated else ""
    return [mark + sentence for sentence in [*_preferences(scores), *_differences(scores)]]


def _preferences(scores: Scores) -> list[str]:
    said = []
    for pair in (pair for pair in scores.cmos if pair.category == ALL):
        better, other = (pair.first, pair.second) if pair.cmos.mean >= 0 else (pair.second, pair.first)
        if pair.p_holm < P_LIMIT:
            said.append(
                f"In pairs {better} was preferred to {other} (CMOS {abs(pair.cmos.mean):.2f}, "
                f"p {_p(pair.p_holm)} after correction)."
            )
        else:
            said.append(
                f"In pairs no preference was shown between {pair.first} and {pair.second} "
                f"(CMOS {pair.cmos.mean:+.2f}, p {_p(pair.p_holm)}); that does not prove them equal."
            )
    return said


def _differences(scores: Scores) -> list[str]:
    said = []
    for row in scores.differences:
        better, other = (row.first, row.second) if row.mean.mean >= 0 else (row.second, row.first)
        if row.p_holm < P_LIMIT:
            said.append(
                f"Graded alone, {better} was {abs(row.mean.mean):.2f} above {other} (p {_p(row.p_holm)} after "
                "correction)."
            )
        else:
            said.append(
                f"Graded alone, no difference was shown between {row.first} and {row.second} "
                f"({row.mean.mean:+.2f}, p {_p(row.p_holm)})."
            )
    return said


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
