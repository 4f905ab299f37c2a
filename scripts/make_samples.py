"""Makes src/keenframe/samples/: a bad call and a bad still, each beside its pristine reference.

    .venv/bin/python scripts/make_samples.py

Needs the training environment (scikit-image's pictures, matplotlib's font). The pictures are in the public
domain or CC0, see the README.md that lies beside the samples. Run again only to change the scene: encoders
differ from build to build, so another machine writes other bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from skimage import data

SAMPLES = Path(__file__).resolve().parent.parent / "src" / "keenframe" / "samples"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"

WIDTH, HEIGHT = 640, 480
FPS, SECONDS = 20, 4
# 0.052 bits per pixel and frame at half size: what a browser sends when the line carries 100 kbps or less.
CALL_KBPS = 80
REFERENCE_CRF = 13

SLIDE_LINES = [
    ("Quarterly review", 21, True),
    ("Revenue by region, in k€", 13, False),
    ("North      1,284   +6 %", 14, False),
    ("South        967   -2 %", 14, False),
    ("East       1,530   +11 %", 14, False),
    ("West         742   +0 %", 14, False),
    ("Next: hire two engineers,", 13, False),
    ("ship 0.1, answer the survey.", 13, False),
]


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


def slide() -> Image.Image:
    """A shared screen, 240x300 RGB: title, small figures, a bar chart."""
    picture = Image.new("RGB", (240, 300), "#fbfbf8")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 239, 5), fill="#1f4e79")
    y = 16
    for text, size, bold in SLIDE_LINES:
        draw.text((14, y), text, fill="#1c1c1c" if size != 13 else "#4a4a4a", font=font(size, bold))
        y += size + 8
    for index, share in enumerate((0.72, 0.54, 0.86, 0.41)):
        top = 290 - round(70 * share)
        draw.rectangle((16 + 54 * index, top, 52 + 54 * index, 290), fill=("#1f4e79", "#d9822b")[index % 2])
    return picture


def webcam(
    source: Image.Image, time_s: float, size: tuple[int, int], centre: tuple[float, float], reach: float
) -> Image.Image:
    """A window of `source` that sways as a sitting person does: sub-pixel drift, a nod, a little zoom.

    size: of the result, in pixels. centre: of the window, in source pixels. reach: source pixels per pixel.
    """
    width, height = size
    zoom = reach + 0.012 * math.sin(2 * math.pi * time_s / 5.0)
    angle = math.radians(1.3 * math.sin(2 * math.pi * time_s / 3.1))
    x = centre[0] + 3.0 * math.sin(2 * math.pi * time_s / 2.7)
    y = centre[1] + 2.0 * math.sin(2 * math.pi * time_s / 1.9 + 0.7)
    cosine, sine = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = (
        cosine, -sine, x - cosine * width / 2 + sine * height / 2,
        sine, cosine, y - sine * width / 2 - cosine * height / 2,
    )  # fmt: skip
    return source.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def caption(draw: ImageDraw.ImageDraw, left: int, text: str) -> None:
    right = left + int(draw.textlength(text, font(14))) + 16
    draw.rectangle((left, HEIGHT - 30, right, HEIGHT - 8), fill="#202124")
    draw.text((left + 8, HEIGHT - 28), text, fill="white", font=font(14))


def scene() -> Iterator[Image.Image]:
    """The pristine call, 640x480 RGB: a speaker, a shared slide, a second participant, two captions."""
    astronaut, cat = Image.fromarray(data.astronaut()), Image.fromarray(data.chelsea())
    shared = slide()
    for index in range(FPS * SECONDS):
        time_s = index / FPS
        picture = Image.new("RGB", (WIDTH, HEIGHT), "#202124")
        picture.paste(webcam(astronaut, time_s, (396, HEIGHT), (232.0, 243.0), 0.95), (0, 0))
        picture.paste(shared, (400, 0))
        picture.paste(webcam(cat, time_s * 0.8 + 1.0, (240, 176), (225.0, 140.0), 1.45), (400, 304))
        draw = ImageDraw.Draw(picture)
        caption(draw, 8, "Eileen")
        caption(draw, 408, "Chelsea (muted)")
        yield picture


def encode(
    path: Path, codec: str, frames: Iterator[av.VideoFrame], kbps: int, options: dict[str, str]
) -> None:
    """frames: limited-range BT.601 yuv420p."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.pix_fmt = "yuv420p"
        if kbps:
            stream.bit_rate = kbps * 1000
        context = stream.codec_context
        context.color_range, context.colorspace = 1, 6
        context.color_primaries = context.color_trc = 6
        for index, frame in enumerate(frames):
            if index == 0:
                stream.width, stream.height = frame.width, frame.height
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def yuv(picture: Image.Image, width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_image(picture)
    return frame.reformat(
        width, height, "yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", interpolation="AREA"
    )


def make_call() -> None:
    pictures = list(scene())
    encode(
        SAMPLES / "call-reference.mp4",
        "libx264",
        (yuv(picture, WIDTH, HEIGHT) for picture in pictures),
        0,
        {"crf": str(REFERENCE_CRF), "preset": "veryslow", "tune": "animation"},
    )
    encode(
        SAMPLES / "call.webm",
        "libvpx",
        (yuv(picture, WIDTH // 2, HEIGHT // 2) for picture in pictures),
        CALL_KBPS,
        {
            "deadline": "realtime",
            "cpu-used": "-4",  # negative: a fixed speed; positive follows the machine's load
            "lag-in-frames": "0",
            "error-resilient": "1",
            "minrate": f"{CALL_KBPS}k",
            "maxrate": f"{CALL_KBPS}k",
            "bufsize": f"{CALL_KBPS}k",
            "qmin": "2",
            "qmax": "56",
            "g": "3000",
        },
    )


def make_still() -> None:
    """A cup held into the camera: out of focus, sent at half size as a poor JPEG, enlarged by the viewer."""
    reference = Image.fromarray(data.coffee())
    reference.save(SAMPLES / "still-reference.webp", quality=95, method=6)
    soft = reference.filter(ImageFilter.GaussianBlur(0.8))
    half = soft.resize((reference.width // 2, reference.height // 2), Image.Resampling.BOX)
    sent = io.BytesIO()
    half.save(sent, "JPEG", quality=55)
    shown = Image.open(sent).resize(reference.size, Image.Resampling.BILINEAR)
    shown.save(SAMPLES / "still.jpg", quality=93, subsampling=0)


if __name__ == "__main__":
    SAMPLES.mkdir(exist_ok=True)
    make_call()
    make_still()
    for path in sorted(SAMPLES.iterdir()):
        print(f"{path.stat().st_size:>9,} bytes  {path.name}")
