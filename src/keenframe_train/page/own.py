"""Before, after and where it fails, on pictures that may be shown: the demo's samples, and pages drawn here.

Validation pictures belong to others; of them the page shows figures alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keenframe.demo import SAMPLES
from keenframe.evaluate.crops import HEIGHT, WIDTH, Crop, choose, choose_failures, make_crop
from keenframe.evaluate.evaluation import Evaluation, Request, evaluate
from keenframe.evaluate.stills import Runner
from keenframe.evaluate.summary import gain
from keenframe.frame import Frame
from keenframe_train.data.render.pages import draw_page
from keenframe_train.files import replacing, write_text
from keenframe_train.page.sources import CROPS

IMAGES = Path("docs/images/results")
METHOD, OTHER = "keen-int8", "unsharp"
PRESETS = ("r2", "call-half", "call-full", "r3")
_FRAMES = (10, 40, 70)
_PAGES = 6
_ZOOM, _GAP, _FOOT = 2, 8, 26
_TITLES = {"input": "as received", "unsharp": "unsharp mask", METHOD: "keen", "pristine": "pristine"}


def make_crops(root: Path) -> list[dict[str, Any]]:
    """Write the pictures below docs/images/results and their captions; gives the captions."""
    with tempfile.TemporaryDirectory(prefix="keenframe-own-") as folder:
        material = Path(folder) / "material"
        write_material(material)
        request = Request(material, Path(folder) / "run", PRESETS, methods=(METHOD, OTHER), engine="openvino")
        found = evaluate(request)
        shown = [_caption(crop, root, index) for index, crop in enumerate(_crops(found))]
    kept = {entry["file"] for entry in shown}
    for path in (root / IMAGES).glob("crop-*.webp"):
        if path.name not in kept:
            path.unlink()
    write_text(root / CROPS, json.dumps(shown, indent=1, ensure_ascii=False) + "\n")
    return shown


def write_material(folder: Path) -> None:
    """The samples' pristine pictures, and pages of text, as PNG files in categories."""
    for name in ("call", "picture", "text"):
        (folder / name).mkdir(parents=True)
    with Image.open(SAMPLES / "still-reference.webp") as still:
        still.convert("RGB").save(folder / "picture" / "still.png")
    with av.open(str(SAMPLES / "call-reference.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in _FRAMES:
                rgb = Frame.from_av(frame).to_rgb()
                Image.fromarray(rgb).save(folder / "call" / f"frame-{index}.png")
    for index in range(_PAGES):
        category, pixels, _ = draw_page(index)
        Image.fromarray(pixels).save(folder / "text" / f"{category}-{index}.png")


def _crops(found: Evaluation) -> list[Crop]:
    """Best, median and worst of each preset, then the failures that were not among these."""
    picks = []
    for preset in PRESETS:
        picks += choose([r for r in found.records if r["preset"] == preset], METHOD)
    shown = [pick.record for pick in picks if pick.why == "worst"]
    picks += [pick for pick in choose_failures(found.records, METHOD) if pick.record not in shown]
    runner = Runner(found.plan)
    try:
        crops = []
        for pick in picks:
            file = next(file for file in found.files if file.name == pick.record["name"])
            preset = next(preset for preset in found.presets if preset.name == pick.record["preset"])
            crops.append(make_crop(pick, file, preset, METHOD, ("input", OTHER, METHOD), runner))
    finally:
        runner.close()
    return [crop for crop in crops if crop is not None]


def _caption(crop: Crop, root: Path, index: int) -> dict[str, Any]:
    """Write one crop's picture; gives what the page says of it."""
    record = crop.pick.record
    file = f"crop-{index:02d}.webp"
    with replacing(root / IMAGES / file) as target:
        Image.fromarray(_sheet(crop.pictures)).save(target, "WEBP", quality=90, method=6)
    return {
        "file": file,
        "why": crop.pick.why,
        "preset": record["preset"],
        "name": record["name"],
        "gain": round(gain(record, METHOD), 2),
        "ssim_gain": round(gain(record, METHOD, "ssim_y"), 4),
        "window": {name: round(value, 2) for name, _, value in crop.pictures if value is not None},
    }


def _sheet(pictures: Sequence[tuple[str, Any, float | None]]) -> Any:
    """The windows side by side, pixels doubled, a line of words below each: (H, W, 3) uint8."""
    wide, high = WIDTH * _ZOOM, HEIGHT * _ZOOM
    sheet = Image.new("RGB", (len(pictures) * (wide + _GAP) - _GAP, high + _FOOT), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, pixels, value) in enumerate(pictures):
        left = index * (wide + _GAP)
        sheet.paste(Image.fromarray(pixels).resize((wide, high), Image.Resampling.NEAREST), (left, 0))
        draw.rectangle((left, 0, left + wide - 1, high - 1), outline="#c8c8c8")
        words = _TITLES[name] + ("" if value is None else f", {value:.2f} dB")
        draw.text((left + 2, high + 5), words, fill="#24292f", font=ImageFont.load_default(14))
    return np.asarray(sheet)
