"""Which image files to read and where their results go."""

from __future__ import annotations

from pathlib import Path

from keenframe.errors import InputError
from keenframe.media.files import files_below
from keenframe.media.images import FORMAT_OF_SUFFIX

Job = tuple[Path, Path]


def plan(inputs: list[Path], output: Path) -> tuple[list[Job], list[str]]:
    """(source, target) for every image among `inputs`, and messages for those that cannot be done.

    inputs: files and folders; a folder is searched through, and its structure repeated under `output`.
    output: the target file when there is one input file and `output` has a suffix and is no folder;
    otherwise a folder. A file in a folder that is no image by its suffix is passed over; so is what lies
    under `output` when that is itself in the folder. A second file for one target is a failure: the first
    keeps the name, and so is a folder that cannot be read. InputError when `output` names a file for several inputs.
    """
    single = len(inputs) == 1 and not inputs[0].is_dir()
    names_file = bool(output.suffix) and not output.is_dir()
    if single and names_file:
        return [(inputs[0], output)], []
    if output.exists() and not output.is_dir():
        raise InputError(f"'{output}' is a file; several inputs, or a folder, need a folder to write to")
    if not single and output.suffix.lower() in FORMAT_OF_SUFFIX and not output.is_dir():
        raise InputError(
            f"'{output}' looks like one file; several inputs, or a folder, need a folder to write to"
        )
    jobs: list[Job] = []
    failed: list[str] = []
    taken: dict[Path, Path] = {}
    for source, target in _pairs(inputs, output, failed):
        if taken.get(target) == source:
            continue
        if target in taken:
            failed.append(
                f"'{source}' would be written to '{target}', as '{taken[target]}' is; rename one of them"
            )
            continue
        taken[target] = source
        jobs.append((source, target))
    return jobs, failed


def _pairs(inputs: list[Path], output: Path, failed: list[str]) -> list[Job]:
    pairs: list[Job] = []
    for path in inputs:
        if not path.is_dir():
            pairs.append((path, output / path.name))
            continue
        inside = output.resolve().is_relative_to(path.resolve()) and output.resolve() != path.resolve()
        below, problems = files_below(path)
        failed += problems
        found = [
            file
            for file in below
            if file.suffix.lower() in FORMAT_OF_SUFFIX
            and not file.name.startswith(".")
            and not (inside and file.resolve().is_relative_to(output.resolve()))
        ]
        if not found and not problems:
            known = " ".join(FORMAT_OF_SUFFIX)
            failed.append(f"'{path}' holds no images; expected files with {known}")
        pairs += [(file, output / file.relative_to(path)) for file in found]
    return pairs
