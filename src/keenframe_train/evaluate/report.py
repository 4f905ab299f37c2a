"""The README's results: the luma of validation pictures and clips, measured as `keenframe evaluate` does.

Two runs of it, so either goes on where it was interrupted: `pictures` and `clips` in the folder of results.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keenframe.evaluate.evaluation import Evaluation, Request, evaluate
from keenframe.media.files import check_output, reason
from keenframe_train.data.folders import validation_folder, validation_pictures
from keenframe_train.errors import TrainError
from keenframe_train.evaluate.damage import SENDINGS
from keenframe_train.evaluate.tables import clips_table, stills_table
from keenframe_train.files import write_text
from keenframe_train.progress import progress

KINDS = ("r1", "r1-opencv", "r2", "r3", "r4", "r5", "call-half", "call-full", "clean")
X2_KINDS = ("x2", "received-half")
BEGIN = "<!-- results:begin (written by keenframe-train evaluate; do not edit by hand) -->"
END = "<!-- results:end -->"


def write_report(
    data: Path,
    models: Sequence[str],
    kinds: Sequence[str] | None,
    clips: Path | None,
    frames: int,
    results: Path,
    engine: str,
    workers: int,
    limit: int | None,
    readme: Path | None,
) -> str:
    """Evaluate, write `results`/results.md beside the runs, and give the Markdown.

    readme: whose section between BEGIN and END is written anew; TrainError when it has none.
    """
    if readme is not None:
        check_section(readme)
    methods = ("unsharp", *models)
    # A x2 model has nothing to say about pictures of full size, and is measured in any case.
    default = (*KINDS, *X2_KINDS)
    material = validation_folder(data) or _linked(data, results / "held-out")
    request = Request(
        material, results / "pictures", tuple(kinds or default), methods=methods, engine=engine,
        limit=limit, gray=True, workers=workers,
    )  # fmt: skip
    pictures = _run(request, "pictures")
    about = pictures.summary["about"]
    versions = ", ".join(f"{name} {about['versions'][name]}" for name in ("openvino", "onnxruntime", "av"))
    parts = [
        f"Luma of {pictures.summary['pictures']} validation pictures, BT.601 limited range; PSNR with peak 255, SSIM "
        f"with the Gaussian window; means over pictures. {about['machine']}, {versions}. Rows: R1-R5 the five source "
        "systems' degradations (`r1-opencv`: R1 with kernels that alias), `call-half` a call sent at half size and "
        "enlarged by the viewer, `call-full` one sent at full size, `clean` the pristine picture itself.\n"
    ]
    found = pictures.summary["results"]
    for model, spec in pictures.specs.items():
        start = "input" if spec.scale == 1 else f"bicubic x{spec.scale}"
        parts.append(
            f"**`{model}` ({spec.precision}, version {spec.version})**: {start} → output and gain by category.\n\n"
            + stills_table(found, model, spec.scale)
        )
    if clips is not None:
        sent = _run(
            replace(
                request, material=clips, folder=results / "clips", presets=tuple(SENDINGS), limit=None,
                frames=frames, shrink=2,
            ),
            "clips",
        )  # fmt: skip
        parts.append(
            f"**Clips**: {sent.summary['clips']} webcam clips, halved, then sent; gain over the input.\n\n"
            + clips_table(sent.summary["results"])
        )
    text = "\n".join(parts)
    write_text(results / "results.md", text)
    if readme is not None:
        insert_section(readme, text)
    return text


def _linked(data: Path, folder: Path) -> Path:
    """The held-out part of a data folder without one of its own, as links in a folder: nothing that was trained on."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in validation_pictures(data):
        link = folder / file.path.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.path.resolve())
    return folder


def _run(request: Request, what: str) -> Evaluation:
    with progress() as bar:
        task = bar.add_task(what, total=None, note="")
        found = evaluate(request, lambda done, total: bar.update(task, completed=done, total=total))
    for problem in found.summary["problems"]:
        bar.console.print(f"not measured: {problem}", markup=False, highlight=False, soft_wrap=True)
    return found


def check_section(readme: Path, begin: str = BEGIN, end: str = END) -> None:
    """Raises what `insert_section` would: to be called before the hours that lead to it."""
    check_output(readme, overwrite=True)
    _around(readme, begin, end)


def insert_section(readme: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Write `text` between two markers of a README.

    Raises TrainError when it has no such section, OutputError when it cannot be written.
    """
    head, tail = _around(readme, begin, end)
    write_text(readme, f"{head}{begin}\n{text}\n{end}{tail}")


def _around(readme: Path, begin: str, end: str) -> tuple[str, str]:
    """What stands before and behind a section."""
    try:
        old = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError(f"'{readme}' cannot be read: {reason(error)}") from error
    head, begun, rest = old.partition(begin)
    _, ended, tail = rest.partition(end)
    if not begun or not ended:
        raise TrainError(f"'{readme}' has no section between '{begin}' and '{end}'")
    return head, tail
