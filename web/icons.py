"""Draws the extension's icons: a picture that is soft on the left and sharp on the right.

python web/icons.py
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE = 512
FOLDER = Path(__file__).parent / "extension" / "icons"


def draw() -> Image.Image:
    ground = Image.new("RGBA", (SIZE, SIZE))
    ImageDraw.Draw(ground).rounded_rectangle((0, 0, SIZE - 1, SIZE - 1), 112, fill="#0b66c3")
    figure = Image.new("RGBA", (SIZE, SIZE))
    pen = ImageDraw.Draw(figure)
    pen.ellipse((166, 96, 346, 276), fill="white")
    pen.rounded_rectangle((96, 306, 416, 560), 150, fill="white")
    soft = figure.filter(ImageFilter.GaussianBlur(34))
    soft.paste(figure.crop((SIZE // 2, 0, SIZE, SIZE)), (SIZE // 2, 0))
    icon = Image.alpha_composite(ground, soft)
    ImageDraw.Draw(icon).rectangle((SIZE // 2 - 9, 40, SIZE // 2 + 9, SIZE - 40), fill="#9fd0ff")
    icon.putalpha(ground.getchannel("A"))
    return icon


if __name__ == "__main__":
    picture = draw()
    for edge in (16, 32, 48, 128):
        picture.resize((edge, edge), Image.Resampling.LANCZOS).save(FOLDER / f"{edge}.png", optimize=True)
