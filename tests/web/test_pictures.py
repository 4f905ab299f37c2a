"""Pictures in, shown, and out again."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from starlette.testclient import TestClient

from conftest import picture
from keenframe.media.images import sharpen_image
from keenframe.sharpener import Sharpener
from keenframe.web.settings import Limits
from servers import until
from web_app import client

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(
    format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 60), **options: Any
) -> bytes:
    """A picture of (height, width) as a file."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture(*size)).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(app: TestClient, content: bytes, name: str = "photo.png") -> dict[str, Any]:
    answer = app.post("/api/pictures", params={"name": name}, content=content)
    assert answer.status_code == 201, answer.text
    about: dict[str, Any] = answer.json()
    return about


def shown(app: TestClient, id: str, strength: float) -> np.ndarray:
    answer = app.get(f"/api/pictures/{id}/view", params={"strength": strength})
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content))).astype(np.float64)


def result(app: TestClient, id: str, strength: float = 1.0) -> Image.Image:
    answer = app.get(f"/api/pictures/{id}/result", params={"strength": strength})
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def left_in(base: Path) -> list[str]:
    """What the app keeps in its folder."""
    (folder,) = (path for path in base.iterdir() if path.is_dir())
    return [path.name for path in folder.iterdir()]


def test_a_picture_from_upload_to_download(app: TestClient, tmp_path: Path, sharp: Sharpener) -> None:
    source = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    source.write_bytes(encoded("JPEG", exif=exif, icc_profile=PROFILE, dpi=(300, 300), quality=90))
    about = opened(app, source.read_bytes(), "Ferien é.jpg")
    assert (about["width"], about["height"], about["format"]) == (60, 40, "JPEG")
    assert about["saved_as"] == "Ferien é-keenframe.jpg"
    sharpen_image(source, tmp_path / "b.jpg", sharp, strength=1.5)
    answer = app.get(f"/api/pictures/{about['id']}/result", params={"strength": 1.5})
    assert answer.content == (tmp_path / "b.jpg").read_bytes()
    disposition = answer.headers["content-disposition"]
    assert disposition == "attachment; filename*=utf-8''Ferien%20%C3%A9-keenframe.jpg"


@pytest.mark.parametrize(
    ("format", "mode", "suffix"),
    [
        ("PNG", "RGBA", ".png"),
        ("PNG", "L", ".png"),
        ("PNG", "I;16", ".png"),
        ("PNG", "P", ".png"),
        ("JPEG", "L", ".jpg"),
        ("WEBP", "RGBA", ".webp"),
        ("TIFF", "RGB", ".tif"),
        ("BMP", "RGB", ".bmp"),
    ],
)
def test_formats_and_what_a_browser_gets_to_see(app: TestClient, format: str, mode: str, suffix: str) -> None:
    about = opened(app, encoded(format, mode), "whatever.exe")
    assert about["saved_as"] == f"whatever-keenframe{suffix}"
    view = app.get(f"/api/pictures/{about['id']}/view?strength=1")
    alpha = mode == "RGBA"
    assert view.headers["content-type"] == "image/png" and about["alpha"] == alpha
    image = Image.open(io.BytesIO(view.content))
    assert image.size == (60, 40) and image.mode in (("RGBA",) if alpha else ("RGB", "L"))
    saved = result(app, about["id"])
    assert saved.size == (60, 40) and (saved.mode == "RGBA") == alpha


def test_large_pictures_are_shown_as_jpeg(tmp_path: Path, unsharp_model: Path) -> None:
    with client(unsharp_model, tmp_path) as roomy:
        about = opened(roomy, encoded("JPEG", size=(2000, 2100)))
        view = roomy.get(f"/api/pictures/{about['id']}/view?strength=1")
        assert view.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(view.content)).size == (2100, 2000)


def bmp_with_alpha() -> bytes:
    """Two rows of 32-bit pixels under a BITMAPV4HEADER that names a mask for alpha; Pillow writes no such file."""
    size, pixels = 32, bytes(range(0, 256)) * 16
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    info = struct.pack("<IiiHHIIiiII", 108, size, size, 1, 32, 3, len(pixels), 2835, 2835, 0, 0) + masks
    return b"BM" + struct.pack("<IHHI", 14 + 108 + len(pixels), 0, 0, 14 + 108) + info + pixels


def test_alpha_of_a_bmp_goes_into_a_png(app: TestClient) -> None:
    about = opened(app, bmp_with_alpha(), "a.bmp")
    assert about["alpha"] and about["saved_as"] == "a-keenframe.png"
    assert result(app, about["id"]).mode == "RGBA"


@pytest.mark.parametrize("orientation", [3, 6])
def test_views_are_upright_and_downloads_keep_their_tag(app: TestClient, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    about = opened(app, encoded("JPEG", exif=exif, icc_profile=PROFILE))
    upright = (40, 60) if orientation == 6 else (60, 40)
    assert (about["width"], about["height"]) == upright
    view = app.get(f"/api/pictures/{about['id']}/view?strength=0")
    image = Image.open(io.BytesIO(view.content))
    assert image.size == upright and image.info["icc_profile"] == PROFILE
    assert result(app, about["id"]).getexif()[0x0112] == orientation


def test_views_blend_into_every_strength(app: TestClient) -> None:
    """What the page shows for a strength is a blend of views: the result of that strength, but for rounding and
    where a value is cut off at black or white."""
    about = opened(app, encoded(size=(160, 240)))
    low, middle, high = (shown(app, about["id"], strength) for strength in (0, 1, 2))
    assert np.abs(middle - low).mean() > 0.5
    for strength, blend in ((0.4, 0.6 * low + 0.4 * middle), (1.5, 0.5 * middle + 0.5 * high)):
        exact = np.asarray(result(app, about["id"], strength)).astype(np.float64)
        uncut = (high > 0) & (high < 255)
        assert np.abs(blend - exact)[uncut].max() <= 1.5 and uncut.mean() > 0.8


def test_a_model_that_enlarges(double_model: Path, tmp_path: Path) -> None:
    with client(double_model, tmp_path) as app:
        assert app.get("/api/about").json()["scale"] == 2
        about = opened(app, encoded())
        assert shown(app, about["id"], 0).shape == shown(app, about["id"], 1).shape == (80, 120, 3)
        assert result(app, about["id"]).size == (120, 80)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 422, "empty"),
        (b"hello", 415, "not a file that keenframe can read. Pictures: PNG"),
        (b"\0\0\0\x18ftypheic", 415, "HEIC .* JPEG"),
        (b"\0\0\0\x18ftypisom" + bytes(50), 415, "This is a video"),
        (png_header(60_000, 60_000), 422, "“my photo.png” has more than 1 megapixels"),
        (png_header(1001, 1001), 422, "has more than 1 megapixels, the most that is taken"),
        (png_header(8, 8), 422, "expected 16 to 8192 pixels"),
        (encoded("JPEG")[:400], 422, "“my photo.png” is damaged or cut short"),
        (encoded("JPEG", "CMYK"), 422, "CMYK image; expected RGB"),
        (b"\xff\xd8\xff" + b"not a picture" * 10, 422, "not an image that can be read"),
        (b"BM" + bytes(60), 422, "“my photo.png”"),
    ],
    ids=["empty", "text", "heic", "video", "bomb", "large", "tiny", "cut", "cmyk", "noise", "bmp"],
)
def test_what_is_refused_and_leaves_nothing(
    app: TestClient, base: Path, content: bytes, status: int, message: str
) -> None:
    before = left_in(base)
    answer = app.post("/api/pictures", params={"name": "../my photo.png"}, content=content)
    error = answer.json()["error"]
    assert answer.status_code == status
    assert re.search(message, error["message"]), error["message"]
    assert str(base) not in error["message"] and "--" not in error["message"]
    assert error["message"].endswith((".", "”"))
    assert left_in(base) == before


def test_an_animation_is_refused(app: TestClient) -> None:
    frames = [Image.fromarray(picture(40, 60, seed)) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    answer = app.post("/api/pictures?name=a.webp", content=buffer.getvalue())
    assert answer.status_code == 422 and "animated" in answer.json()["error"]["message"]


@pytest.mark.parametrize("strength", ["-1", "2.1", "nan", "inf", "x", ""])
def test_strengths_out_of_range(app: TestClient, strength: str) -> None:
    about = opened(app, encoded())
    for place in ("view", "result"):
        answer = app.get(f"/api/pictures/{about['id']}/{place}", params={"strength": strength})
        assert answer.status_code == 422 and "from 0 to 2" in answer.json()["error"]["message"]
    assert app.get(f"/api/pictures/{about['id']}/view?strength=0.5").status_code == 422


@pytest.mark.parametrize("id", ["x", "..", "%2e%2e", "..%2f..", "%00", "a" * 5000])
def test_names_of_the_users_own_lead_nowhere(app: TestClient, id: str) -> None:
    for place in (f"/api/pictures/{id}/view", f"/api/pictures/{id}/result", f"/api/videos/{id}"):
        assert app.get(place).status_code == 404


def test_the_oldest_gives_way_and_removed_is_removed(app: TestClient, base: Path) -> None:
    ids = [opened(app, encoded())["id"] for _ in range(4)]
    answers = [app.get(f"/api/pictures/{id}/view?strength=0").status_code for id in ids]
    assert answers == [404, 200, 200, 200] and sorted(left_in(base)) == sorted(ids[1:])
    assert app.delete(f"/api/pictures/{ids[1]}").status_code == 204
    assert app.delete(f"/api/pictures/{ids[1]}").status_code == 404
    assert ids[1] not in left_in(base)
    assert "Open it again" in app.get(f"/api/pictures/{ids[1]}/result").json()["error"]["message"]


def test_results_are_not_kept(app: TestClient, base: Path) -> None:
    about = opened(app, encoded())
    for strength in (0.5, 1.5):
        result(app, about["id"], strength)
    (folder,) = base.glob(f"*/{about['id']}")
    assert sorted(path.name for path in folder.iterdir()) == ["source", "view-0"]


def test_what_is_too_old_is_swept_away(
    unsharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keenframe.web.app._SWEEP_EVERY_S", 0.05)
    with client(unsharp_model, tmp_path, Limits(free_disk=0, keep_minutes=0.01)) as app:
        about = opened(app, encoded())
        until(lambda: about["id"] not in left_in(tmp_path))
        assert app.get(f"/api/pictures/{about['id']}/view").status_code == 404


def test_a_picture_that_takes_too_long_or_too_much(
    unsharp_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keenframe.web.workers._WATCH_EVERY_S", 0.01)
    with client(unsharp_model, tmp_path, Limits(free_disk=0, picture_seconds=0.01)) as app:
        answer = app.post("/api/pictures", content=encoded())
        assert answer.json()["error"]["code"] == "too-long"
    with client(unsharp_model, tmp_path, Limits(free_disk=0, memory=1 << 20)) as app:
        answer = app.post("/api/pictures", content=encoded(size=(900, 1100)))
        assert answer.json()["error"]["code"] == "too-much"
        assert left_in(tmp_path) == []


def test_a_file_removed_before_it_is_sent(app: TestClient, base: Path) -> None:
    """As when the page has gone on to the next picture."""
    about = opened(app, encoded())
    (view,) = base.glob(f"*/{about['id']}/view-0")
    real, view_path = Path.exists, view

    def exists(path: Path) -> bool:
        found = real(path)
        if path == view_path:
            view_path.unlink(missing_ok=True)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", exists)
        answer = app.get(f"/api/pictures/{about['id']}/view?strength=0")
    assert answer.status_code == 404 and "not kept any more" in answer.json()["error"]["message"]
