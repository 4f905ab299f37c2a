"""Measures that need what keenframe does not bring: Tesseract, VMAF, LPIPS. Each says what to install."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keenframe.errors import InputError
from keenframe.frame import Frame

MEASURES_GROUP = "keenframe.measures"
Pixels = NDArray[np.uint8]
Distance = Callable[[Pixels, Pixels], float]

_PAGE_TIMEOUT_S = 120
_CLIP_TIMEOUT_S = 3600
# Tesseract was trained on scans of 300 dpi, where letters stand three times as high as on a screen.
_ENLARGE_TEXT = 3
_VMAF_MODEL = "vmaf_v0.6.1neg"


def check_tesseract() -> str:
    """Tesseract's version. InputError when the program or its English data is not installed."""
    path = shutil.which("tesseract")
    if path is None:
        raise InputError(
            "--text needs the program Tesseract, which is not installed; on Debian and Ubuntu run: "
            "sudo apt-get install tesseract-ocr"
        )
    languages = _run([path, "--list-langs"], 30).stdout.decode(errors="replace").split()
    if "eng" not in languages:
        raise InputError(
            "--text needs Tesseract's English data; on Debian and Ubuntu run: "
            "sudo apt-get install tesseract-ocr-eng"
        )
    return _run([path, "--version"], 30).stdout.decode(errors="replace").splitlines()[0]


def read_text(plane: Pixels) -> str:
    """What Tesseract reads on a page of text: (H, W) uint8 luma, enlarged three times first, as one block."""
    size = (_ENLARGE_TEXT * plane.shape[1], _ENLARGE_TEXT * plane.shape[0])
    large = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
    picture = b"P5 %d %d 255\n" % size + large.tobytes()
    command = ["tesseract", "stdin", "stdout", "-l", "eng", "--psm", "6", "--dpi", "300"]
    done = _run(command, _PAGE_TIMEOUT_S, picture)
    if done.returncode:
        raise InputError(f"Tesseract could not read a page: {_last_line(done)}")
    return done.stdout.decode("utf-8", errors="replace")


def load_lpips() -> Distance:
    """LPIPS of two (H, W, 3) uint8 RGB pictures. InputError when nothing that computes it is installed."""
    advice = "--lpips needs torch and the package lpips; run: pip install 'keenframe[train]' lpips"
    for entry in entry_points(group=MEASURES_GROUP, name="lpips"):
        try:
            load: Callable[[], Distance] = entry.load()
            return load()
        except ImportError as error:
            raise InputError(f"{advice} ({error})") from error
    raise InputError(advice)


def find_vmaf() -> list[str]:
    """The program that computes VMAF: "vmaf" itself, or an ffmpeg that was built with it. InputError without."""
    if path := shutil.which("vmaf"):
        return [path]
    for find in (partial(shutil.which, "ffmpeg"), _packaged_ffmpeg):
        if path := find():
            filters = _run([path, "-hide_banner", "-filters"], 30).stdout.decode(errors="replace").split()
            if "libvmaf" in filters:
                return [path]
    raise InputError(
        "--vmaf needs the program vmaf, or an ffmpeg built with libvmaf; neither is on the PATH. Debian's ffmpeg has "
        "no libvmaf: pip install imageio-ffmpeg brings one that has, or take Netflix's vmaf"
    )


def _packaged_ffmpeg() -> str | None:
    """The static ffmpeg inside the package imageio-ffmpeg, where that is installed."""
    try:
        found: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # RuntimeError: the package has no program for this machine
        return None
    return found


def vmaf(outputs: Iterable[Frame], references: Sequence[Frame]) -> float:
    """VMAF of a clip, 0-100, mean over frames, by the model that does not reward sharpening (NEG).

    Frames are 8-bit I420 or gray of one size, as many outputs as references. InputError when the program fails.
    """
    program = find_vmaf()[0]
    with tempfile.TemporaryDirectory(prefix="keenframe-vmaf-") as folder:
        reference, output, log = (Path(folder) / name for name in ("reference.y4m", "output.y4m", "log.json"))
        write_y4m(reference, references)
        write_y4m(output, outputs)
        if Path(program).name.startswith("vmaf"):
            command = [program, "--reference", str(reference), "--distorted", str(output), "--json"]
            command += ["--model", f"version={_VMAF_MODEL}", "--output", str(log)]
        else:
            options = f"libvmaf=model=version={_VMAF_MODEL}:log_fmt=json:log_path=log.json"
            command = [program, "-hide_banner", "-nostdin", "-i", str(output), "-i", str(reference)]
            command += ["-lavfi", options, "-f", "null", "-"]
        done = _run(command, _CLIP_TIMEOUT_S, folder=folder)
        try:
            return float(json.loads(log.read_text(encoding="utf-8"))["pooled_metrics"]["vmaf"]["mean"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"'{program}' gave no VMAF: {_last_line(done)}") from error


def write_y4m(path: Path, frames: Iterable[Frame]) -> None:
    """Frames as a YUV4MPEG2 file, 4:2:0; gray ones get neutral chroma."""
    with path.open("wb") as file:
        for index, frame in enumerate(frames):
            if index == 0:
                file.write(b"YUV4MPEG2 W%d H%d F30:1 Ip A1:1 C420jpeg\n" % (frame.width, frame.height))
            _write_frame(file, frame)


def _write_frame(file: BinaryIO, frame: Frame) -> None:
    file.write(b"FRAME\n")
    for plane in frame.planes:
        file.write(np.ascontiguousarray(plane).tobytes())
    if not frame.chroma:
        file.write(bytes([128]) * (2 * -(-frame.width // 2) * -(-frame.height // 2)))


def _run(
    command: list[str], timeout_s: float, stdin: bytes = b"", folder: str | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program with one thread; InputError when it hangs or cannot be started."""
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            cwd=folder,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"'{command[0]}' did not end within {timeout_s:.0f} s") from error
    except OSError as error:
        raise InputError(f"'{command[0]}' could not be started: {error.strerror or error}") from error


def _last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
