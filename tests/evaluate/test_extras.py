"""Tesseract where it is installed; VMAF and LPIPS by programs that stand in for them, and what is said without."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from conftest import picture
from keenframe.errors import InputError
from keenframe.evaluate import extras
from keenframe.evaluate.evaluation import Request, evaluate
from keenframe.frame import Frame
from keenframe.metrics import character_error_rate

tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")


@tesseract
def test_tesseract_reads_what_is_written() -> None:
    assert extras.check_tesseract().startswith("tesseract")
    page = Image.new("L", (420, 60), 255)
    truth = "The quick brown fox jumps over 37 dogs"
    ImageDraw.Draw(page).text((12, 16), truth, fill=0, font=ImageFont.load_default(20))
    plane = np.asarray(page)
    assert character_error_rate(extras.read_text(plane), truth) < 0.1
    noise = np.random.default_rng(0).integers(0, 256, plane.shape, np.uint8)
    assert character_error_rate(extras.read_text(noise), truth) > 0.5


# What stands on scikit-image's photographed page, typed by hand.
PHOTOGRAPHED = """Region-based segmentation
Let us first determine markers of the coins and the background. These markers are pixels that we can label
unambiguously as either object or background. Here, the markers are found at the two extreme parts of the histogram of
grey values:
>>> markers = np.zeros_like(coins)
"""


@tesseract
def test_photographed_text_is_read_before_and_after(tmp_path: Path) -> None:
    """A page photographed in uneven light, sent at half size: Tesseract reads more of it after `keen`."""
    data = pytest.importorskip("skimage.data")
    page = Image.fromarray(data.page()).crop((0, 0, 384, 188)).convert("RGB")
    for folder in ("pages", "received"):
        (tmp_path / folder).mkdir()
    page.save(tmp_path / "pages" / "page.png")
    (tmp_path / "pages" / "page.txt").write_text(PHOTOGRAPHED, encoding="utf-8")
    page.resize((192, 94), Image.Resampling.BICUBIC).save(tmp_path / "received" / "page.png")
    request = Request(
        tmp_path / "pages",
        tmp_path / "run",
        degraded=tmp_path / "received",
        methods=("keen-float",),
        text=True,
    )
    found = evaluate(request).summary["results"]["given"]["all"]
    errors = {method: values["cer"] for method, values in found.items()}
    assert errors["pristine"] < errors["keen-float"] < errors["input"]
    assert 10 < errors["pristine"] < 40  # the light leaves some of it dark


def test_without_the_programs_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt-get install tesseract-ocr"):
        extras.check_tesseract()
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"ffmpeg built with libvmaf.* pip install imageio-ffmpeg"):
        extras.find_vmaf()
    monkeypatch.setattr(extras, "entry_points", lambda **_: [])
    with pytest.raises(InputError, match="needs torch and the package lpips"):
        extras.load_lpips()


FAKE = """#!{python}
import json, os, sys
words = sys.argv[1:]
if "-filters" in words:
    print(" .. {filters} VV->V ")
    sys.exit(0)
reference = words[words.index("--reference") + 1] if "--reference" in words else words[5]
output = words[words.index("--distorted") + 1] if "--distorted" in words else words[3]
log = words[words.index("--output") + 1] if "--output" in words else "log.json"
assert any("vmaf_v0.6.1neg" in word for word in words), words
one, two = (open(name, "rb").read() for name in (reference, output))
head = one.split(b"\\n", 1)[0].decode()
seen = {{"head": head, "sizes": [len(one), len(two)], "equal": one == two}}
json.dump(seen, open(os.environ["SEEN"], "w"))
if {works}:
    json.dump({{"pooled_metrics": {{"vmaf": {{"mean": 71.5}}}}}}, open(log, "w"))
else:
    print("no such model", file=sys.stderr)
"""


def stand_in(folder: Path, name: str, works: bool = True, filters: str = "libvmaf") -> None:
    path = folder / name
    path.write_text(FAKE.format(python=sys.executable, works=works, filters=filters))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("name", ["vmaf", "ffmpeg"])
def test_vmaf_gets_both_clips_whole(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(tmp_path, name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    frames = [Frame.from_rgb(picture(34, 48, seed)) for seed in range(3)]
    assert extras.vmaf(frames, frames) == 71.5
    seen = json.loads((tmp_path / "seen.json").read_text())
    size = len(seen["head"]) + 1 + 3 * (6 + 48 * 34 * 3 // 2)
    assert seen["head"].startswith("YUV4MPEG2 W48 H34") and "C420" in seen["head"]
    assert seen["sizes"] == [size, size] and seen["equal"]
    gray = [Frame((frame.luma,), "gray", 48, 34) for frame in frames]
    assert extras.vmaf(gray, gray) == 71.5
    assert json.loads((tmp_path / "seen.json").read_text())["sizes"] == [size, size]


def test_vmaf_by_the_ffmpeg_of_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packaged = tmp_path / "package"
    packaged.mkdir()
    stand_in(packaged, "ffmpeg-linux")
    package = SimpleNamespace(get_ffmpeg_exe=lambda: str(packaged / "ffmpeg-linux"))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", package)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    stand_in(tmp_path, "ffmpeg", filters="scale")  # the system's has no libvmaf
    frames = [Frame.from_rgb(picture(34, 48))]
    assert extras.vmaf(frames, frames) == 71.5

    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    package.get_ffmpeg_exe = missing
    with pytest.raises(InputError, match="neither is on the PATH"):
        extras.find_vmaf()


def test_a_vmaf_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    stand_in(tmp_path, "ffmpeg", filters="scale")
    with pytest.raises(InputError, match="neither is on the PATH"):
        extras.find_vmaf()
    stand_in(tmp_path, "vmaf", works=False)
    frame = Frame.from_rgb(picture(32, 48))
    with pytest.raises(InputError, match="gave no VMAF: no such model"):
        extras.vmaf([frame], [frame])
