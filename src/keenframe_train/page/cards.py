"""docs/models/NAME.md: a card for every embedded model, from what its file says about itself and from result files.

What no file can know, what a model is for and where it should not be used, stands here by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keenframe.zoo.spec import ModelSpec
from keenframe_train.evaluate.markdown import arrow, figure, table, wide_table
from keenframe_train.page.figures import KEEN, PRESETS
from keenframe_train.page.sources import Sources

_INT8 = "-int8"
_LEAKY = "1,875 public pictures"
_LEAKS = (
    "Six of the training pictures show what four of the validation pictures show (docs/log.md); everything else that "
    "was measured was not trained on, but chose among training runs."
)
_NOT_FOR = (
    "- Evidence: identifying people, reading number plates, medical or forensic pictures. It estimates what was there; "
    "it does not recover it.\n"
    "- High dynamic range, which is refused, and interlaced video."
)


@dataclass(frozen=True, slots=True)
class Words:
    """What is written by hand for a family of models."""

    use: str
    limits: str


_KEEN = Words(
    "Sharpens frames of video calls, videos and screenshots at their own size, in real time on a CPU: blurred and "
    "enlarged frames foremost. Works on luma; colours are carried.",
    "- Frames of full size from a codec gain tenths of a decibel at most.\n"
    "- Text whose letters a codec has mixed up does not become right.\n"
    "- Detail that no frame holds does not come back: grain, cloth and leaves stay smooth.\n"
    "- One frame at a time: nothing is taken from neighbouring frames but a steadying filter on still areas.\n"
    "- Coloured blocks stay.",
)
_FAMILIES = {
    "keen": _KEEN,
    "keen-base": Words(
        "A deeper `keen` for processors with time to spare: files, pictures, and calls at 30 frames a second. Live "
        "streams take it when it is named.",
        _KEEN.limits,
    ),
    "keen-nano": Words("A smaller `keen` for busy or small processors and for the browser.", _KEEN.limits),
    "keen-x2": Words(
        "Takes the half-size frame of a poor call and gives the full-size one: an enlarger for luma; colours are "
        "enlarged bilinearly.",
        _KEEN.limits + "\n- It sharpens more than `keen` does, and so overshoots more at edges.",
    ),
    "keen-x4": Words(
        "Takes the quarter-size frame of a very poor call (150 kbit/s are often 320x180) and gives the full-size one: "
        "an enlarger for luma; colours are enlarged bilinearly.",
        _KEEN.limits
        + "\n- Of sixteen pixels fifteen are estimated: small text and faces in a group stay unclear.",
    ),
}
_RESEARCH = Words(
    "Research only: the student of one of the five source reports, rebuilt to the last weight and trained for minutes "
    "on one CPU core. For comparing methods, not for calls.",
    "- Far from the report's training: hours or days on GPUs.\n"
    "- Too slow for real time on a CPU at full size.\n"
    "- Knows only the damage that its report describes.",
)


def card_names(s: Sources) -> list[str]:
    """Names of the cards: an INT8 file shares that of its float twin."""
    return list(dict.fromkeys(_twin(name, s) for name in s.models))


def _twin(name: str, s: Sources) -> str:
    plain = name.removesuffix(_INT8)
    return plain if plain in s.models else name


def cards(s: Sources) -> dict[str, str]:
    """Markdown by model name."""
    return {name: _card(name, s) for name in card_names(s)}


def _card(name: str, s: Sources) -> str:
    files = {file: model for file, model in s.models.items() if _twin(file, s) == name}
    spec = next(iter(files.values())).spec
    words = _FAMILIES.get(name, _RESEARCH if spec.role == "research" else _KEEN)
    parts = [
        f"# {name}\n",
        "<!-- Written by `keenframe-train results-page`; do not edit by hand. -->\n",
        f"{spec.description}. Version {spec.version}, {spec.created}.\n",
        "## Intended use\n",
        f"{words.use}\n",
        "Not for:\n",
        f"{_NOT_FOR}\n",
        "## Limits\n",
        f"{words.limits}\n",
        "## The files\n",
        _files(files),
        _network(spec),
        "## Training\n",
        _training(spec),
        "## Measured\n",
        _measured(name, spec, s),
        "No person has rated its output yet.\n",
        "## Licence\n",
        f"Weights and file: {spec.licence}. The training pictures are not part of them; each one's licence allows "
        "commercial use, as its source states.\n",
    ]
    return "\n".join(part for part in parts if part)


def _files(files: dict[str, Any]) -> str:
    rows = [
        (f"`{file}.onnx`", model.spec.precision, f"{model.size / 1e6:.2f} MB", f"`{model.spec.sha256[:16]}…`")
        for file, model in files.items()
    ]
    return wide_table(("file", "precision", "size", "SHA-256"), rows)


def _network(spec: ModelSpec) -> str:
    takes = {
        "luma": "luma, 8 bits, any range (as it is in the frame)",
        "rgb": "RGB, 8 bits, full range",
    }[spec.color]
    gives = "the same size" if spec.scale == 1 else f"{spec.scale} times as wide and high"
    facts = [
        ("takes", takes),
        ("gives", gives),
        ("parameters", f"{spec.parameters:,}"),
        (
            "sees around a pixel",
            "the whole picture" if spec.whole else f"{spec.radius} pixels to each side at most",
        ),
    ]
    if spec.route is not None:
        picks = "the frame's own spectrum" + (" and what enlarging left in it" if spec.periodicity else "")
        whole = f"the last {spec.full_size}" if spec.full_size > 1 else "the last"
        left = "; what none makes better stays as it is" if spec.leaves else ""
        facts.append(
            (
                "experts",
                f"{spec.experts} in one file, {whole} for frames of full size; {picks} picks one{left}",
            )
        )
    if spec.condition is not None:
        facts.append(("condition", "128 statistics of the frame's own 8x8 DCT"))
    if spec.steady:
        facts.append(("in streams", "still areas are drawn towards the last result, against flicker"))
    return wide_table(("", "this model"), facts)


def _training(spec: ModelSpec) -> str:
    recipes = _recipes(spec)
    made = [
        f"`{recipe['name']}`: {recipe.get('steps', '?'):,} steps of {recipe.get('batch', '?')} patches of "
        f"{recipe.get('patch', '?')} pixels, mix `{recipe.get('mix', '?')}`, losses "
        + ", ".join(f"{name} {weight:g}" for name, weight in recipe.get("losses", {}).items())
        for recipe in recipes
    ]
    lines = ["".join(f"- {line}\n" for line in made)] if made else []
    seen = f" {_LEAKS}" if spec.training_data.startswith(_LEAKY) else ""
    lines.append(f"Data: {spec.training_data or 'not stated in the file'}.{seen}\n")
    links = dict.fromkeys(recipe_folder(str(recipe["name"])) for recipe in recipes)
    if links:
        lines.append("Recipes: " + ", ".join(f"[{name}](../../recipes/{name})" for name in links) + ".\n")
    return "\n".join(lines)


def recipe_folder(run: str) -> str:
    """The folder in recipes/ that a run is of: a control's and a pruned run's name say more than the recipe's."""
    return re.sub(r"(-control)?(-p\d+)*$", "", run)


def _recipes(spec: ModelSpec) -> list[dict[str, Any]]:
    try:
        stored = json.loads(spec.recipe)
        recipes = stored.get("experts", [stored])
        return [recipe for recipe in recipes if isinstance(recipe.get("name"), str)]
    except (ValueError, AttributeError, TypeError):
        return []


def _measured(name: str, spec: ModelSpec, s: Sources) -> str:
    if name == "keen":
        return _of_keen(s)
    if name in ("keen-x2", "keen-x4"):
        return _of_enlarger(f"{name}-int8", s)
    found = [
        (run, preset, method)
        for run, summary in s.evaluations.items()
        for preset, by_category in summary["results"].items()
        for method in by_category["all"]
        if _twin(method, s) == name or method == f"{name}{_INT8}"
    ]
    rows = [
        [
            f"`{preset}`",
            f"{s.values(run, preset, method)['items']:.0f}",
            *(
                arrow(*(s.value(run, preset, one, name) for one in ("input", method)), name)
                for name in ("psnr_y", "ssim_y")
            ),
            *(figure(s.value(run, preset, method, name), name) for name in ("edge_ratio", "overshoot")),
        ]
        for run, preset, method in found
    ]
    if not rows:
        return f"Only by its training, on windows of validation pictures, in dB: {_windows(spec)}.\n"
    head = ["damage", "pictures", "PSNR-Y, dB", "SSIM-Y", "edge ratio", "overshoot"]
    return table(head, rows) + "\nMore: [results](../results.md).\n"


def _windows(spec: ModelSpec) -> str:
    """ "r1 2.22, r2 2.61", of several experts one after the other."""
    parts = []
    for measured in spec.measured.get("experts", [spec.measured]):
        found = next((value for value in measured.values() if isinstance(value, dict)), {})
        parts.append(", ".join(f"{kind} {value:.2f}" for kind, value in found.items()) or "nothing")
    return "; its next expert: ".join(parts)


def _on_pictures(s: Sources, presets: Sequence[str], base: str, method: str) -> str:
    """A table of one method against another; empty where nothing was measured."""
    rows = [
        [
            f"`{preset}`",
            arrow(before["psnr_y"], after["psnr_y"], "psnr_y"),
            arrow(before["ssim_y"], after["ssim_y"], "ssim_y"),
            *(figure(after[name], name) for name in ("worst_gain", "edge_ratio", "overshoot")),
        ]
        for preset in presets
        if (after := s.values("pictures", preset, method)) and (before := s.values("pictures", preset, base))
    ]
    head = ["damage", "PSNR-Y, dB", "SSIM-Y", "worst gain, dB", "edge ratio", "overshoot"]
    return table(head, rows) if rows else ""


def _of_keen(s: Sources) -> str:
    found = _on_pictures(s, PRESETS, "input", KEEN)
    if not found:
        return "Nothing yet.\n"
    clean = figure(s.value("pictures", "clean", KEEN, "to_input"), "to_input", unit=True)
    fps = [s.fps(KEEN, height) for height in (480, 720, 1080)]
    speed = (
        f" {', '.join(f'{value:.0f}' for value in fps if value)} frames/s at 480p, 720p and 1080p on two CPU cores."
        if all(fps)
        else ""
    )
    return (
        found
        + f"\nThe INT8 file. A pristine picture comes out at {clean} to itself.{speed} By category, on clips, on text "
        "and where it fails: [results](../results.md).\n"
    )


def _of_enlarger(method: str, s: Sources) -> str:
    found = _on_pictures(s, ("x2", "received-half", "x4", "received-quarter"), "bicubic", method)
    return (
        f"{found}\nAgainst bicubic enlarging; the INT8 file. More: [results](../results.md).\n"
        if found
        else "Nothing yet.\n"
    )
