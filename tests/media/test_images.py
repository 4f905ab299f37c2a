"""Pictures: every format and what describes them; what must be refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin

from conftest import picture
from keenframe.errors import InputError, OutputError
from keenframe.media import png
from keenframe.media.images import sharpen_image
from keenframe.sharpener import Sharpener

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int = 6, width: int = 60) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = "Maker"
    details = block.get_ifd(0x8769)
    details[0xA002], details[0xA003] = width, 40
    details[0x9003] = "2024:05:06 07:08:09"
    stored = Image.Exif()
    stored.load(block.tobytes())
    return stored


def save(path: Path, mode: str = "RGB", **options: Any) -> Path:
    Image.fromarray(picture(40, 60)).convert(mode).save(path, **options)
    return path


def run(source: Path, target: str, sharpener: Sharpener, **options: Any) -> Image.Image:
    path = source.parent / target
    sharpen_image(source, path, sharpener, **options)
    image = Image.open(path)
    image.load()
    return image


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff", "a.bmp", "a.jpg"])
def test_metadata_survives_in_its_own_format(tmp_path: Path, sharp: Sharpener, name: str) -> None:
    options: dict[str, Any] = {"exif": exif(), "icc_profile": PROFILE}
    options |= {} if name == "a.webp" else {"dpi": (300, 300)}
    options |= {"lossless": True} if name == "a.webp" else {}
    options = {"dpi": (300, 300)} if name == "a.bmp" else options
    source = save(tmp_path / name, **options)
    before, after = Image.open(source), run(source, "out-" + name, sharp)
    assert after.format == before.format and after.size == before.size and after.mode == before.mode
    assert not np.array_equal(np.asarray(after), np.asarray(before))
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    if name != "a.webp":
        assert after.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    if name != "a.bmp":
        # Pillow turns TIFFs upright as it reads them, and then drops the tag.
        assert name == "a.tiff" or after.getexif()[0x0112] == 6
        assert after.getexif()[0x010F] == "Maker"
        assert after.getexif().get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
def test_exif_is_kept_byte_for_byte(tmp_path: Path, sharp: Sharpener, name: str) -> None:
    source = save(tmp_path / name, exif=exif())
    assert run(source, "out-" + name, sharp).info["exif"] == Image.open(source).info["exif"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_stays_a_tag_and_the_picture_stays_upright(
    tmp_path: Path, same: Sharpener, orientation: int
) -> None:
    source = save(tmp_path / "a.png", exif=exif(orientation))
    after = run(source, "b.png", same)
    upright = ImageOps.exif_transpose(Image.open(source))
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(after)), np.asarray(upright))


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_comparison_is_turned_upright(tmp_path: Path, sharp: Sharpener, orientation: int) -> None:
    source = save(tmp_path / "a.png", exif=exif(orientation))
    after = run(source, "b.png", sharp)
    both = run(source, "c.png", sharp, compare=True)
    assert both.getexif().get(0x0112, 1) == 1
    before = np.asarray(ImageOps.exif_transpose(Image.open(source)))
    width = before.shape[1]
    pixels = np.asarray(both)
    assert np.array_equal(pixels[:, :width], before)
    assert (pixels[:, width : width + 4] == 255).all()
    assert np.array_equal(pixels[:, width + 4 :], np.asarray(ImageOps.exif_transpose(after)))


def test_alpha_survives_and_is_not_sharpened(tmp_path: Path, sharp: Sharpener) -> None:
    pixels = np.dstack([picture(40, 60), np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))])
    for name in ("a.png", "a.webp", "a.tiff"):
        source = tmp_path / name
        Image.fromarray(pixels).save(source, **({"lossless": True, "exact": True} if "webp" in name else {}))
        after = np.asarray(run(source, "out-" + name, sharp))
        assert np.array_equal(after[..., 3], pixels[..., 3])
        assert not np.array_equal(after[..., :3], pixels[..., :3])


def test_gray_alpha_palette_and_bilevel(tmp_path: Path, sharp: Sharpener) -> None:
    assert run(save(tmp_path / "la.png", "LA"), "1.png", sharp).mode == "LA"
    assert run(save(tmp_path / "l.jpg", "L"), "2.jpg", sharp).mode == "L"
    assert run(save(tmp_path / "p.png", "P"), "3.png", sharp).mode == "RGB"
    assert run(save(tmp_path / "p.bmp", "P"), "4.bmp", sharp).mode == "RGB"
    assert run(save(tmp_path / "b.png", "1"), "5.png", sharp).mode == "L"
    see_through = save(tmp_path / "t.png", "P", transparency=3)
    assert run(see_through, "6.png", sharp).mode == "RGBA"


def test_jpeg_keeps_its_sampling_and_high_quality(tmp_path: Path, same: Sharpener) -> None:
    for sampling in (0, 1, 2):
        source = save(
            tmp_path / f"{sampling}.jpg", subsampling=sampling, quality=90, progressive=True, comment=b"c"
        )
        after = run(source, f"out{sampling}.jpg", same)
        assert JpegImagePlugin.get_sampling(after) == sampling
        assert after.info["comment"] == b"c" and after.info["progressive"]
        difference = np.asarray(after).astype(int) - np.asarray(Image.open(source)).astype(int)
        assert np.abs(difference).mean() < 3


def test_png_keeps_texts_gamma_and_time(tmp_path: Path, sharp: Sharpener) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "someone")
    texts.add_itxt("Title", "Bild", "de", "Titel")
    source = save(tmp_path / "a.png", pnginfo=texts)
    chunks = [*png.read_chunks(source), (b"gAMA", struct.pack(">I", 45455)), (b"tIME", bytes(7))]
    source.write_bytes(png.with_chunks(source.read_bytes(), chunks))
    assert run(source, "b.png", sharp).info["gamma"] == pytest.approx(0.45455)
    assert png.read_chunks(tmp_path / "b.png") == chunks


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_deep_png_stays_deep(tmp_path: Path, same: Sharpener, sharp: Sharpener, channels: int) -> None:
    colour = np.random.default_rng(1).integers(0, 65536, (40, 60, 3), np.uint16)
    colour = colour[..., 0] if channels <= 2 else colour
    alpha = np.random.default_rng(2).integers(0, 65536, (40, 60), np.uint16) if channels in (2, 4) else None
    source = tmp_path / "a.png"
    pixels_per_metre = (b"pHYs", struct.pack(">IIB", 11811, 11811, 1))
    source.write_bytes(png.with_chunks(png.encode_deep(colour, alpha), [pixels_per_metre]))
    for sharpener, changed in ((same, False), (sharp, True)):
        sharpen_image(source, tmp_path / "b.png", sharpener, overwrite=True)
        assert png.is_deep(tmp_path / "b.png") and pixels_per_metre in png.read_chunks(tmp_path / "b.png")
        after, after_alpha = png.read_deep(tmp_path / "b.png")
        assert np.array_equal(after, colour) is not changed
        assert alpha is None or np.array_equal(after_alpha, alpha)


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_deep_gray(tmp_path: Path, same: Sharpener, name: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (40, 60), np.uint16)
    Image.fromarray(pixels).save(tmp_path / name)
    after = run(tmp_path / name, "out-" + name, same)
    assert after.mode.startswith("I;16") and np.array_equal(np.asarray(after), pixels)


def gray_tiff(rows: list[bytes], width: int, bits: int, photometric: int) -> bytes:
    """A TIFF of one strip of uncompressed gray samples."""
    pixels = b"".join(rows)
    tags = {256: width, 257: len(rows), 258: bits, 259: 1, 262: photometric, 277: 1, 278: len(rows)}
    tags |= {273: 8 + 2 + 12 * 9 + 4, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels


@pytest.mark.parametrize(("bits", "photometric"), [(12, 1), (16, 0)])
def test_deep_gray_tiff_keeps_black_and_white(
    tmp_path: Path, same: Sharpener, bits: int, photometric: int
) -> None:
    peak = (1 << bits) - 1
    stored = np.random.default_rng(1).integers(0, peak + 1, (40, 60))
    stored[0, :2] = 0, peak
    if bits == 16:
        rows = [row.astype("<u2").tobytes() for row in stored]
    else:
        packed = ["".join(f"{sample:0{bits}b}" for sample in row) for row in stored]
        rows = [int(row, 2).to_bytes(len(row) // 8, "big") for row in packed]
    (tmp_path / "a.tiff").write_bytes(gray_tiff(rows, 60, bits, photometric))
    after = np.asarray(run(tmp_path / "a.tiff", "b.tiff", same)).astype(float)
    shown = stored / peak if photometric else 1 - stored / peak
    assert np.abs(after - shown * 65535).max() <= 0.5


def test_enlarging_model(tmp_path: Path, double: Sharpener) -> None:
    source = save(tmp_path / "a.jpg", exif=exif(6), dpi=(72, 72), icc_profile=PROFILE)
    after = run(source, "b.jpg", double)
    assert after.size == (120, 80) and after.info["dpi"] == (72, 72) and after.info["icc_profile"] == PROFILE
    details = after.getexif().get_ifd(0x8769)
    assert (details[0xA002], details[0xA003]) == (120, 80)
    assert details[0x9003] == "2024:05:06 07:08:09" and after.getexif()[0x0112] == 6
    see_through = save(tmp_path / "c.png", "RGBA")
    assert run(see_through, "d.png", double).size == (120, 80)
    assert run(see_through, "e.png", double, compare=True).size == (244, 80)


def test_lossless_webp_stays_lossless_behind_a_profile(tmp_path: Path, same: Sharpener) -> None:
    source = save(tmp_path / "a.webp", lossless=True, icc_profile=PROFILE)
    assert np.array_equal(np.asarray(run(source, "b.webp", same)), np.asarray(Image.open(source)))
    lossy = save(tmp_path / "c.webp", icc_profile=PROFILE)
    run(lossy, "d.webp", same)
    assert b"VP8L" not in (tmp_path / "d.webp").read_bytes()


def test_tiff_without_a_resolution_gets_none(tmp_path: Path, same: Sharpener) -> None:
    source = save(tmp_path / "a.tiff")
    assert "dpi" not in run(source, "b.png", same).info
    assert 282 not in run(source, "b.tiff", same).tag_v2  # type: ignore[attr-defined]


def test_other_format_by_suffix(tmp_path: Path, sharp: Sharpener) -> None:
    source = save(tmp_path / "a.jpg", exif=exif(), icc_profile=PROFILE, dpi=(200, 200))
    for name, kind in (("b.png", "PNG"), ("b.webp", "WEBP"), ("b.tif", "TIFF"), ("b.bmp", "BMP")):
        after = run(source, name, sharp)
        assert after.format == kind
        upright = ImageOps.exif_transpose(Image.open(source))
        assert ImageOps.exif_transpose(after).size == upright.size or kind == "BMP"
        if kind != "BMP":
            assert after.getexif()[0x010F] == "Maker" and after.info["icc_profile"] == PROFILE


def bomb() -> bytes:
    """A PNG that claims 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


def encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(40, 60)).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def animated(format: str) -> bytes:
    frames = [Image.fromarray(picture(40, 60, seed)) for seed in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def deep_tiff() -> bytes:
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((40, 60, 3), np.uint16), photometric="rgb")
    return buffer.getvalue()


def hdr(transfer: int) -> bytes:
    return png.with_chunks(encoded("PNG"), [(b"cICP", bytes([9, transfer, 0, 1]))])


BAD: dict[str, tuple[str, Any, str]] = {
    "empty": ("a.png", lambda: b"", "empty"),
    "text": ("a.jpg", lambda: b"this is no picture" * 20, "not an image"),
    "cut png": ("a.png", lambda: encoded("PNG")[:-900], "cut short"),
    "cut jpeg": ("a.jpg", lambda: encoded("JPEG")[:-600], "cut short"),
    "cut webp": ("a.webp", lambda: encoded("WEBP", lossless=True)[:-600], "cut short|not an image"),
    "cut tiff": ("a.tiff", lambda: encoded("TIFF")[:3000], "cut short|not an image"),
    "cut deep png": ("a.png", lambda: png.encode_deep(np.ones((40, 60), np.uint16), None)[:-30], "cut short"),
    "bomb": ("a.png", bomb, "megapixels"),
    "cmyk": ("a.jpg", lambda: encoded("JPEG", "CMYK"), "CMYK.*RGB"),
    "animated webp": ("a.webp", lambda: animated("WEBP"), "3 frames"),
    "animated png": ("a.png", lambda: animated("PNG"), "3 frames"),
    "pages": ("a.tiff", lambda: animated("TIFF"), "3 pages"),
    "deep colour tiff": ("a.tiff", deep_tiff, "16-bit"),
    "float": ("a.tiff", lambda: encoded("TIFF", "F"), "floating point"),
    "gif in disguise": ("a.png", lambda: encoded("GIF", "P"), "not an image"),
    "pq": ("a.png", lambda: hdr(16), "HDR, PQ"),
    "hlg": ("a.png", lambda: hdr(18), "HDR, HLG"),
    "tiny": ("a.png", lambda: save_tiny(), "16 to"),
}


def save_tiny() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_refused_and_leave_nothing(tmp_path: Path, same: Sharpener, kind: str) -> None:
    name, data, message = BAD[kind]
    source = tmp_path / name
    source.write_bytes(data())
    with pytest.raises(InputError, match=message):
        sharpen_image(source, tmp_path / "out.png", same)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_missing_file_and_folder(tmp_path: Path, same: Sharpener) -> None:
    with pytest.raises(InputError, match="does not exist"):
        sharpen_image(tmp_path / "no.png", tmp_path / "out.png", same)
    with pytest.raises(InputError, match="is a folder"):
        sharpen_image(tmp_path, tmp_path / "out.png", same)


def test_outputs_are_never_replaced_silently(tmp_path: Path, sharp: Sharpener) -> None:
    source, target = save(tmp_path / "a.png"), save(tmp_path / "b.png", "L")
    old = target.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        sharpen_image(source, target, sharp)
    with pytest.raises(OutputError, match="input itself"):
        sharpen_image(source, source, sharp)
    assert target.read_bytes() == old
    sharpen_image(source, source, sharp, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_what_the_target_format_cannot_hold_is_refused(tmp_path: Path, sharp: Sharpener) -> None:
    clear = save(tmp_path / "a.png", "RGBA")
    with pytest.raises(OutputError, match="alpha"):
        sharpen_image(clear, tmp_path / "a.jpg", sharp)
    deep = tmp_path / "d.png"
    deep.write_bytes(png.encode_deep(np.zeros((40, 60, 3), np.uint16), None))
    for name in ("d.jpg", "d.tiff", "d.webp"):
        with pytest.raises(OutputError, match="16-bit"):
            sharpen_image(deep, tmp_path / name, sharp)
    with pytest.raises(OutputError, match=r"\.gif suffix"):
        sharpen_image(clear, tmp_path / "a.gif", sharp)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "d.png"]
