"""Pictures in files: pixels on one side, what describes them on the other, and both back into a file."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    ExifTags,
    Image,
    ImageFile,
    JpegImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from keenframe.errors import InputError
from keenframe.media import png
from keenframe.media.files import check_input
from keenframe.media.source import HDR_TRANSFER

_QUALITY = 95
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB")
_KEPT_TIFF_COMPRESSION = {"raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"}
_WHITE_IS_ZERO = 0
_MODES_8_BIT = {"L", "RGB", "RGBA", "LA", "P", "PA", "1", "YCbCr", "RGBX"}
_ADVICE = {
    "CMYK": "it is made for print; convert it to RGB with its colour profile first",
    "LAB": "convert it to RGB first",
    "HSV": "convert it to RGB first",
    "I": "32 bits per sample; convert it to 16 or 8 bits first",
    "F": "floating point; tone-map it to 16 or 8 bits first",
}

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """Decoded pixels apart from what describes them.

    colour: (H, W, 3) RGB or (H, W) gray; uint8 or uint16. alpha: (H, W) of the same dtype, or None. format:
    Pillow's name of the file format it came from. exif: None when there is none. exif_bytes: that block as
    stored; None when it does not hold any more. chunks: of a PNG file, all that describe the picture.
    saving: further options of Pillow's `save`. losses: what else the file holds, in words.
    """

    colour: Pixels
    alpha: Pixels | None
    format: str
    exif: Image.Exif | None = None
    exif_bytes: bytes | None = None
    chunks: list[png.Chunk] = field(default_factory=list)
    saving: dict[str, Any] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8; 1 is upright."""
        value = 1 if self.exif is None else self.exif.get(ExifTags.Base.Orientation, 1)
        return value if value in range(1, 9) else 1

    def turned_upright(self) -> Picture:
        """The same, but with an orientation of 1; the pixels are the caller's to turn."""
        if self.exif is None or self.orientation == 1:
            return self
        exif = _copied(self.exif)
        exif[ExifTags.Base.Orientation] = 1
        return replace(self, exif=exif, exif_bytes=None)


def read_picture(path: Path) -> Picture:
    """Decode `path`. InputError, with what to do, for what is not one still RGB or gray picture."""
    check_input(path)
    with clear_errors(path), Image.open(path, formats=_FORMATS) as image:
        _check_kind(path, image)
        chunks = png.read_chunks(path) if image.format == "PNG" else []
        if (hdr := HDR_TRANSFER.get(png.transfer(chunks))) is not None:
            raise InputError(
                f"'{path}' is HDR, {hdr}; expected standard dynamic range: tone-map it to sRGB first"
            )
        deep = image.format == "PNG" and png.is_deep(path)
        if deep:
            colour, alpha = png.read_deep(path)
        else:
            image.load()
            colour, alpha = _pixels(image)
        exif = image.getexif()
        return Picture(
            colour,
            alpha,
            image.format or "",
            exif if len(exif) else None,
            image.info.get("exif"),
            chunks,
            _saving(path, image),
            _losses(image),
        )


def _pixels(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Colour and alpha of a picture that Pillow decodes whole."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode.startswith("I;16"):
        return _deep_gray(image), None
    gray = image.mode in ("1", "L", "LA")
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        pixels = np.asarray(image.convert("LA" if gray else "RGBA"))
        return pixels[..., 0] if gray else pixels[..., :3], pixels[..., -1]
    return np.asarray(image.convert("L" if gray else "RGB")), None


def _deep_gray(image: TiffImagePlugin.TiffImageFile) -> Pixels:
    """Gray of more than 8 bits, which Pillow gives as stored: with black at 0 and white at 65535."""
    samples = np.asarray(image).astype(np.uint32)
    (bits,) = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))
    peak = (1 << bits) - 1
    if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        samples = peak - samples
    spread: Pixels = ((samples * 65535 + peak // 2) // peak).astype(np.uint16)
    return spread


def _check_kind(path: Path, image: ImageFile.ImageFile) -> None:
    """InputError unless `image` is one still picture in a mode that can be sharpened without loss."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        kind = "pages" if image.format == "TIFF" else "frames (it is animated)"
        raise InputError(f"'{path}' has {frames} {kind}; expected one still picture: split it first")
    deep_gray = image.mode.startswith("I;16")
    if image.mode not in _MODES_8_BIT and not deep_gray:
        advice = _ADVICE.get(image.mode, "convert it to RGB first")
        raise InputError(f"'{path}' is a {image.mode} image; expected RGB or gray: {advice}")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and not deep_gray:
        bits = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
        if bits > 8:
            raise InputError(
                f"'{path}' is a {bits}-bit colour TIFF, which would be cut to 8 bits; "
                "convert it to a 16-bit PNG first, which is kept at 16 bits"
            )


def _losses(image: ImageFile.ImageFile) -> list[str]:
    """Of the pictures in an MPO, a JPEG with a second view or a gain map behind it, one is read."""
    more = getattr(image, "n_frames", 1) - 1
    return [f"the first of {more + 1} pictures is sharpened, the others are left out"] if more else []


def _saving(path: Path, image: ImageFile.ImageFile) -> dict[str, Any]:
    """What Pillow's `save` is to be told, whatever the format."""
    kept = {key: image.info[key] for key in ("icc_profile", "dpi", "comment", "xmp") if image.info.get(key)}
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        kept["subsampling"] = max(0, JpegImagePlugin.get_sampling(image))
        kept["progressive"] = bool(image.info.get("progressive"))
    if image.format == "TIFF" and image.info.get("compression") in _KEPT_TIFF_COMPRESSION:
        kept["compression"] = image.info["compression"]
    if isinstance(image, TiffImagePlugin.TiffImageFile) and TiffImagePlugin.X_RESOLUTION not in image.tag_v2:
        kept.pop("dpi", None)  # Pillow says 1 dot per inch where the file says nothing
    if image.format == "WEBP":
        kept["lossless"] = _is_lossless_webp(path)
    return kept


def _is_lossless_webp(path: Path) -> bool:
    """Whether the pixels are in a VP8L chunk; a profile, as long as it likes, may come before it."""
    with path.open("rb") as file:
        file.seek(len("RIFF....WEBP"))
        while len(head := file.read(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            if kind in (b"VP8L", b"VP8 "):
                return bool(kind == b"VP8L")
            file.seek(size + size % 2, io.SEEK_CUR)
    return False


def write_picture(path: Path, picture: Picture, format: str) -> None:
    """Write `picture` as `format`, one of Pillow's names: PNG, JPEG, WEBP, TIFF or BMP."""
    if format == "PNG":
        path.write_bytes(_png(picture))
        return
    image = _image(picture)
    saving = picture.saving
    names = {
        "BMP": ("dpi",),
        "WEBP": ("icc_profile", "xmp"),
        "TIFF": ("icc_profile", "dpi", "xmp", "compression"),
    }
    jpeg = ("icc_profile", "dpi", "xmp", "comment", "subsampling", "progressive")
    options = {key: saving[key] for key in names.get(format, jpeg) if key in saving}
    if picture.exif is not None and format != "BMP":
        options["exif"] = _exif(picture, image, format)
    if format == "JPEG":
        options = {"subsampling": 0, "quality": _QUALITY} | options
    elif format == "WEBP":
        lossless = saving.get("lossless", picture.format in ("PNG", "BMP", "TIFF"))
        options |= {"lossless": lossless, "quality": _QUALITY, "exact": picture.alpha is not None}
    elif format == "TIFF":
        options = {"compression": "tiff_adobe_deflate"} | options
        if picture.exif is not None and {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo} & set(picture.exif):
            options["compression"] = "raw"  # Pillow's compressing writer cannot write nested EXIF tables
    image.save(path, format, **options)


def _image(picture: Picture) -> Image.Image:
    if picture.alpha is None:
        return Image.fromarray(picture.colour)
    return Image.fromarray(np.dstack([picture.colour, picture.alpha]))


def _png(picture: Picture) -> bytes:
    """The PNG file of a picture: the source's own chunks where it was one, else Pillow's."""
    exif = b""
    if picture.exif is not None:
        exif = _block(_exif(picture, picture.colour, "PNG"))
    if picture.colour.dtype == np.uint16:
        encoded = png.encode_deep(picture.colour, picture.alpha)
    else:
        options = {key: picture.saving[key] for key in ("icc_profile", "dpi") if key in picture.saving}
        buffer = io.BytesIO()
        _image(picture).save(buffer, "PNG", exif=exif, **options)
        encoded = buffer.getvalue()
    if picture.format != "PNG":
        return encoded
    kept = [
        (kind, exif.removeprefix(b"Exif\0\0") if kind == b"eXIf" and exif else body)
        for kind, body in picture.chunks
    ]
    return png.with_chunks(encoded, kept)


def _exif(picture: Picture, sized: Image.Image | Pixels, format: str) -> Image.Exif | bytes:
    """The EXIF block: byte for byte where it still holds, else with the new size in it."""
    exif = picture.exif
    assert exif is not None
    if "TIFF" in (format, picture.format):
        return _tiff_exif(exif)
    height, width = sized.shape[:2] if isinstance(sized, np.ndarray) else (sized.height, sized.width)
    sizes = {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
    details = exif.get_ifd(ExifTags.IFD.Exif)
    stale = {int(tag): size for tag, size in sizes.items() if tag in details and details[tag] != size}
    if picture.exif_bytes and not stale:
        return picture.exif_bytes
    exif = _copied(exif)
    exif.get_ifd(ExifTags.IFD.Exif).update(stale)
    return exif


def _block(exif: Image.Exif | bytes) -> bytes:
    return exif if isinstance(exif, bytes) else exif.tobytes()


def _tiff_exif(exif: Image.Exif) -> Image.Exif:
    """EXIF without the tags that describe how a TIFF's own pixels are stored."""
    storage = {
        *(TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH, TiffImagePlugin.BITSPERSAMPLE),
        *(
            TiffImagePlugin.COMPRESSION,
            TiffImagePlugin.PHOTOMETRIC_INTERPRETATION,
            TiffImagePlugin.STRIPOFFSETS,
        ),
        *(TiffImagePlugin.STRIPBYTECOUNTS, TiffImagePlugin.ROWSPERSTRIP, TiffImagePlugin.SAMPLESPERPIXEL),
        *(TiffImagePlugin.PLANAR_CONFIGURATION, TiffImagePlugin.SAMPLEFORMAT, TiffImagePlugin.EXTRASAMPLES),
        *(TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH, TiffImagePlugin.TILEOFFSETS),
        *(TiffImagePlugin.TILEBYTECOUNTS, TiffImagePlugin.PREDICTOR, TiffImagePlugin.COLORMAP),
        *(TiffImagePlugin.JPEGTABLES, TiffImagePlugin.YCBCRSUBSAMPLING, TiffImagePlugin.REFERENCEBLACKWHITE),
        *(TiffImagePlugin.FILLORDER, TiffImagePlugin.ICCPROFILE, TiffImagePlugin.X_RESOLUTION),
        *(TiffImagePlugin.Y_RESOLUTION, TiffImagePlugin.RESOLUTION_UNIT, TiffImagePlugin.XMP),
        *(ExifTags.Base.MinSampleValue, ExifTags.Base.MaxSampleValue),
    }
    copy = _copied(exif)
    for tag in storage & set(copy):
        del copy[tag]
    return copy


def _copied(exif: Image.Exif) -> Image.Exif:
    copy = Image.Exif()
    copy.load(exif.tobytes())
    return copy


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Pillow's many exceptions, raised by what the block does with the file at `path`, as one InputError."""
    try:
        with warnings.catch_warnings():
            # Pillow warns at half of its limit; only the limit itself stops us.
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise InputError(
            f"'{path}' has more than {limit} megapixels, the most that is taken here — make it smaller, or cut "
            "it into pieces"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"'{path}' is not an image that can be read; expected PNG, JPEG, WebP, TIFF or BMP"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError) as error:
        raise InputError(f"'{path}' is damaged or cut short: {error}") from error
