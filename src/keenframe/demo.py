"""Sharpens the embedded sample of a bad call and measures the result against what the camera saw.

Run it by `sh scripts/demo`, or `python -m keenframe.demo`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keenframe import color
from keenframe.errors import InputError, KeenframeError, ModelError
from keenframe.frame import Frame
from keenframe.metrics import psnr, ssim
from keenframe.zoo.store import find_model

if TYPE_CHECKING:
    from keenframe.sharpener import Sharpener

SAMPLES = Path(__file__).parent / "samples"
# SSIM costs more than the sharpening: it is taken of every fourth frame, and PSNR of the same ones.
MEASURED_EVERY = 4
SHOWN_FRAME = 60
# Where the before/after picture looks closer: left, top of a square in the 640x480 call.
CLOSE_UPS = ((112, 10), (408, 10))
CLOSE_UP_SIDE = 160


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the demo's table. psnr_db and ssim of luma, means over frames; time_ms is the median of a
    frame, None where nothing was sharpened."""

    what: str
    psnr_db: float
    ssim: float
    time_ms: float | None = None

    def __str__(self) -> str:
        timing = f"{self.time_ms:9.2f} {1000 / self.time_ms:9.0f}" if self.time_ms else ""
        return f"{self.what:34} {self.psnr_db:8.2f} {self.ssim:8.4f} {timing}".rstrip()


HEADER = f"{'':34} {'PSNR dB':>8} {'SSIM':>8} {'ms/frame':>9} {'frames/s':>9}"


@dataclass(frozen=True, slots=True)
class Call:
    """The sample clip. received: as decoded, 320x240; shown: enlarged as a viewer does, 640x480; reference:
    the camera's luma planes, 640x480; fps: frames per second."""

    received: list[Frame]
    shown: list[Frame]
    reference: list[NDArray[np.uint8]]
    fps: Fraction

    @classmethod
    def load(cls) -> Call:
        import av

        with av.open(str(SAMPLES / "call-reference.mp4")) as container:
            fps = container.streams.video[0].average_rate or Fraction(20)
            reference = [Frame.from_av(frame).luma for frame in container.decode(video=0)]
        height, width = reference[0].shape
        with av.open(str(SAMPLES / "call.webm")) as container:
            decoded = list(container.decode(video=0))
        enlarged = [frame.reformat(width, height, interpolation="BILINEAR") for frame in decoded]
        return cls(
            [Frame.from_av(frame) for frame in decoded],
            [Frame.from_av(frame) for frame in enlarged],
            reference,
            fps,
        )

    def measure(self, what: str, frames: Sequence[Frame], time_ms: float | None = None) -> Row:
        pairs = [(frame.luma, plane) for frame, plane in zip(frames, self.reference, strict=True)]
        measured = pairs[::MEASURED_EVERY]
        return Row(
            what,
            float(np.mean([psnr(luma, plane) for luma, plane in measured])),
            float(np.mean([ssim(luma, plane) for luma, plane in measured])),
            time_ms,
        )


def run_demo(
    folder: Path,
    models: Sequence[str] = (),
    engine: str = "auto",
    threads: int | None = None,
    strength: float = 1.0,
) -> list[Row]:
    """Sharpen the samples with each of `models`; write clips and pictures into `folder`, print the table.

    models: names or paths; by default keen, and keen-x2 where it is embedded. folder: made if missing; files
        in it are replaced. The others are `Sharpener`'s. Returns the rows of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    call = Call.load()
    rows = [call.measure("call as shown: enlarged, bilinear", call.shown), _still_as_shown()]
    print(HEADER)
    for row in rows:
        print(row)
    for index, model in enumerate(models or _default_models()):
        rows += _sharpen_samples(call, folder, model, engine, threads, strength, picture=index == 0)
    print(
        f"Luma, against what the camera saw; the call: every {MEASURED_EVERY}th frame of {len(call.shown)}."
    )
    print(f"Look at {folder / 'before-after.png'}, and beside it the clips and the still.")
    return rows


def _sharpen_samples(
    call: Call, folder: Path, model: str, engine: str, threads: int | None, strength: float, picture: bool
) -> list[Row]:
    from keenframe.media.compare import split_view
    from keenframe.sharpener import Sharpener

    name = Path(model).stem
    rows = []
    with Sharpener(model, engine, threads) as sharpener:
        if sharpener.scale not in (1, 2):
            raise InputError(
                f"model {model!r} enlarges x{sharpener.scale}; the demo's call needs a model of scale 1 or 2"
            )
        source = call.shown if sharpener.scale == 1 else call.received
        sharpener.sharpen(source[0], strength)  # the first run prepares buffers
        sharpener.reset()
        sharpened, times_ms = [], []
        for frame in source:
            start = time.perf_counter()
            sharpened.append(sharpener.sharpen(frame, strength))
            times_ms.append(1000 * (time.perf_counter() - start))
        label = f"call, {name} on {sharpener.engine_name}"
        rows.append(call.measure(label, sharpened, float(np.median(times_ms))))
        print(rows[-1])
        _write_clip(folder / f"call-{name}.mp4", sharpened, call.fps)
        views = (split_view(before, after) for before, after in zip(call.shown, sharpened, strict=True))
        _write_clip(folder / f"call-{name}-before-after.mp4", views, call.fps)
        if sharpener.scale == 1:
            rows.append(_sharpen_still(sharpener, folder / f"still-{name}.png", strength))
            print(rows[-1])
    if picture:
        before, after = call.shown[SHOWN_FRAME].to_rgb(), sharpened[SHOWN_FRAME].to_rgb()
        _write_picture(folder / "before-after.png", _before_after(before, after))
    return rows


def _default_models() -> list[str]:
    find_model("keen")
    try:
        find_model("keen-x2")
    except ModelError:
        return ["keen"]
    return ["keen", "keen-x2"]


def _still_as_shown() -> Row:
    return _measure_still("still as shown", _read_rgb(SAMPLES / "still.jpg"))


def _sharpen_still(sharpener: Sharpener, path: Path, strength: float) -> Row:
    shown = _read_rgb(SAMPLES / "still.jpg")
    sharpener.sharpen(shown, strength)
    start = time.perf_counter()
    result = sharpener.sharpen(shown, strength)
    time_ms = 1000 * (time.perf_counter() - start)
    _write_picture(path, result)
    return _measure_still(f"{path.stem.replace('-', ', ', 1)} on {sharpener.engine_name}", result, time_ms)


def _measure_still(what: str, rgb: NDArray[np.uint8], time_ms: float | None = None) -> Row:
    luma, reference = _luma(rgb), _luma(_read_rgb(SAMPLES / "still-reference.webp"))
    return Row(what, psnr(luma, reference), ssim(luma, reference), time_ms)


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    luma = np.empty(rgb.shape[:2], np.uint8)
    color.luma_of_rgb(rgb, "bt601", luma)
    return luma


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    from PIL import Image

    from keenframe.media.files import whole_file

    with whole_file(path, overwrite=True) as part:
        Image.fromarray(rgb).save(part, optimize=True)


def _write_clip(path: Path, frames: Iterable[Frame], fps: Fraction) -> None:
    import av

    from keenframe.media.files import whole_file

    with whole_file(path, overwrite=True) as part, av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "veryfast"})
        for index, frame in enumerate(frames):
            picture = frame.to_av()
            if index == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.codec_context.colorspace = picture.colorspace
                stream.codec_context.color_range = picture.color_range
            picture.pts, picture.time_base = index, 1 / fps
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _before_after(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB each -> one picture: before | after, and below each two close-ups, enlarged twice."""
    from PIL import Image, ImageDraw, ImageFont

    gap, side = 4, 2 * CLOSE_UP_SIDE
    height, width = before.shape[:2]
    sheet = Image.new("RGB", (2 * width + gap, height + gap + side), "white")
    draw = ImageDraw.Draw(sheet)
    for left, title, rgb in ((0, "received", before), (width + gap, "keenframe", after)):
        image = Image.fromarray(rgb)
        sheet.paste(image, (left, 0))
        for index, (x, y) in enumerate(CLOSE_UPS):
            crop = image.crop((x, y, x + CLOSE_UP_SIDE, y + CLOSE_UP_SIDE))
            crop = crop.resize((side, side), Image.Resampling.BICUBIC)
            sheet.paste(crop, (left + index * (width - side), height + gap))
        draw.rectangle((left + 8, 8, left + 106, 34), fill="black")
        draw.text((left + 14, 12), title, fill="white", font=ImageFont.load_default(17))
    return np.asarray(sheet)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m keenframe.demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("demo-output"), help="folder for the results"
    )
    parser.add_argument("--model", action="append", default=[], help="name or .onnx file; may be repeated")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--strength", type=float, default=1.0, help="0 (off) to 2; 1 is the model")
    given = parser.parse_args(arguments)
    try:
        run_demo(given.output, given.model, given.engine, given.threads, given.strength)
    except (KeenframeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
