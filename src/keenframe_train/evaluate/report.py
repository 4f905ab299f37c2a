"""Tables of an evaluation, as Markdown beside every single score, and in a README between two markers."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from keenframe import Sharpener
from keenframe.engines.cpu import cpu_name
from keenframe_train.data.folders import validation_only
from keenframe_train.data.images import first_of_each
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.clips import clips_table, evaluate_clips
from keenframe_train.evaluate.stills import KINDS, evaluate_stills, save_scores, stills_table
from keenframe_train.files import write_text

X2_KINDS = ("x2", "received-half")
BEGIN = "<!-- results:begin (written by keenframe-train evaluate; do not edit by hand) -->"
END = "<!-- results:end -->"
_CLIP_SUFFIXES = {".mkv", ".mp4", ".webm", ".mov", ".avi"}


def write_report(
    data: Path,
    models: Sequence[str],
    kinds: Sequence[str] | None,
    clips: Path | None,
    frames: int,
    results: Path,
    engine: str,
    workers: int | None,
    limit: int | None,
    readme: Path | None,
) -> str:
    """Evaluate, write `results`/{stills,clips}.jsonl and results.md, and give the Markdown."""
    files = validation_only(data)
    if limit is not None:
        files = first_of_each(files, limit)
    scales = {}
    for model in models:
        with Sharpener(model, engine=engine) as sharpener:
            scales[model] = (sharpener.scale, sharpener.spec)
    default = [*(KINDS if 1 in _values(scales) else ()), *(X2_KINDS if 2 in _values(scales) else ())]
    results.mkdir(parents=True, exist_ok=True)
    scores = evaluate_stills(files, models, tuple(kinds or default), engine=engine, workers=workers)
    save_scores(results / "stills.jsonl", scores)
    parts = [
        f"Luma of {len(files)} validation pictures, BT.601 limited range; PSNR with peak 255, SSIM with the Gaussian "
        f"window; means over pictures. {cpu_name()}, {_versions()}. Rows: R1-R5 the five source systems' "
        "degradations, `call-half` a call sent at half size and enlarged by the viewer, `call-full` one sent at full "
        "size, `clean` the pristine picture itself.\n"
    ]
    for model in models:
        scale, spec = scales[model]
        title = f"`{model}` ({spec.precision}, version {spec.version})"
        what = (
            "input → output and gain by category"
            if scale == 1
            else "bicubic x2 → output and gain by category"
        )
        parts.append(f"**{title}**: {what}.\n\n{stills_table(scores, model)}")
    if clips is not None:
        found = sorted(path for path in clips.iterdir() if path.suffix.lower() in _CLIP_SUFFIXES)
        if not found:
            raise TrainError(f"no clip in '{clips}'; expected {', '.join(sorted(_CLIP_SUFFIXES))}")
        clip_scores = evaluate_clips(found, models, frames=frames, engine=engine)
        lines = "".join(json.dumps(asdict(score), sort_keys=True) + "\n" for score in clip_scores)
        write_text(results / "clips.jsonl", lines)
        parts.append(f"**Clips**: {len(found)} webcam clips, halved, then sent; gain over the input.\n\n")
        parts[-1] += clips_table(clip_scores)
    text = "\n".join(parts)
    write_text(results / "results.md", text)
    if readme is not None:
        insert_section(readme, text)
    return text


def _versions() -> str:
    names = ("openvino", "onnxruntime", "av")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _values(scales: dict[str, tuple[int, object]]) -> set[int]:
    return {scale for scale, _ in scales.values()}


def insert_section(readme: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Write `text` between two markers of a README. Raises TrainError when it has no such section."""
    old = readme.read_text()
    if begin not in old or end not in old:
        raise TrainError(f"'{readme}' has no section between '{begin}' and '{end}'")
    head, rest = old.split(begin, 1)
    _, tail = rest.split(end, 1)
    write_text(readme, f"{head}{begin}\n{text}\n{end}{tail}")
