from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from clips import Clip, make
from conftest import picture
from keenframe.errors import InputError, OutputError
from keenframe.frame import Frame
from keenframe.metrics import psnr
from keenframe.study.design import INPUT, INSTRUCTION, REFERENCE, RUINED, TOP, Study, read_study
from keenframe.study.prepare import sheets
from keenframe.study.prepare.conditions import parse_conditions, unsharp
from keenframe.study.prepare.folder import Preparation, choose_pairs, prepare
from keenframe.study.prepare.sources import find_files, in_drawing_order

LEFT_OVER = ".*.part"


def pixels(folder: Path, study: Study, source: str, condition: str) -> Any:
    with Image.open(folder / "media" / study.find(source, condition).file) as image:
        return np.asarray(image)


def test_the_reference_is_the_middle_of_the_source_bit_for_bit(prepared: Path, pristine: Path) -> None:
    study = read_study(prepared)
    for source in study.rated:
        with Image.open(pristine / source.file) as image:
            whole = np.asarray(image)
        # 200x150 is cut to multiples of four first, 200x148.
        assert np.array_equal(pixels(prepared, study, source.id, REFERENCE), whole[14:134, 20:180])


def test_damage_shows_and_sharpening_does_something(prepared: Path) -> None:
    study = read_study(prepared)
    for source in study.rated:
        shown = {
            name: pixels(prepared, study, source.id, name).mean(axis=2)
            for name in (REFERENCE, INPUT, "unsharp:2", RUINED)
        }
        to_reference = {name: psnr(plane, shown[REFERENCE]) for name, plane in shown.items()}
        assert 18 < to_reference[INPUT] < 40
        assert to_reference[RUINED] < to_reference[INPUT] - 2
        detail = {name: float(np.abs(np.diff(plane)).mean()) for name, plane in shown.items()}
        assert detail["unsharp:2"] > 1.2 * detail[INPUT] > 1.2 * detail[RUINED]


def test_sources_are_balanced_over_categories(prepared: Path) -> None:
    study = read_study(prepared)
    assert Counter(source.category for source in study.rated) == {"faces": 2, "slides": 2, "views": 2}
    assert len(study.practice) == 3
    assert not set(study.practice) & set(study.rated)


def test_the_first_folder_is_the_category_and_none_is_called_as_the_whole(tmp_path: Path) -> None:
    for name in ("all/a.png", "faces/old/b.png", "c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(100, 100)).save(tmp_path / name)
    assert [(file.name, file.category) for file in find_files(tmp_path)] == [
        ("all/a.png", "all/"), ("c.png", TOP), ("faces/old/b.png", "faces"),
    ]  # fmt: skip


def test_files_tell_nothing(prepared: Path) -> None:
    study = read_study(prepared)
    media = prepared / "media"
    words = {*study.condition_names, RUINED, INSTRUCTION, "keen", "png:", "Exif", "tEXt", "iTXt", "zTXt"}
    kept = {item.file for item in study.stimuli} | {sheet.file for sheet in study.sheets}
    assert {path.name for path in media.iterdir()} == kept
    assert len({path.stat().st_mtime for path in media.iterdir()}) == 1
    for path in media.iterdir():
        assert len(path.stem) == 24 and int(path.stem, 16) >= 0
        data = path.read_bytes()
        assert not [word for word in words - {"png:"} if word.encode() in data]
        with Image.open(path) as image:
            assert not image.getexif() and not image.info
    for source in study.sources:
        items = [item for item in study.stimuli if item.source == source.id]
        assert len({(media / item.file).stat().st_size for item in items}) == 1
        assert len({(item.width, item.height) for item in items}) == 1
        headers = {(media / item.file).read_bytes()[:33] for item in items}
        assert len(headers) == 1


def test_names_cannot_be_derived_from_the_seed(pristine: Path, prepared: Path, tmp_path: Path) -> None:
    wanted = Preparation(pristine, ["input", "unsharp:2", "reference"], count=6, size=(160, 120))
    again, _ = prepare(tmp_path / "again", wanted)
    first = read_study(prepared)
    assert [source.file for source in again.sources] == [source.file for source in first.sources]
    assert not {item.file for item in again.stimuli} & {item.file for item in first.stimuli}
    assert not {item.id for item in again.stimuli} & {item.id for item in first.stimuli}


def test_traps_are_over_pictures_that_suggest_something_else(prepared: Path) -> None:
    study = read_study(prepared)
    traps = [item for item in study.stimuli if item.instructs]
    assert Counter(item.instructs[0] for item in traps if item.instructs) == {"acr": 2, "ccr": 2}
    for item in traps:
        assert item.instructs is not None
        method, grade = item.instructs
        with Image.open(prepared / "media" / item.file) as image:
            edge = np.asarray(image)[:12].astype(float)
        under = {name: pixels(prepared, study, item.source, name)[:12] for name in (REFERENCE, RUINED)}
        good = grade > (3 if method == "acr" else 0)
        assert np.array_equal(edge, under[RUINED if good else REFERENCE])


def test_clips_stay_near_lossless_and_play_from_zero(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    times = [400 + 40 * index for index in range(50)]
    for name in ("one", "two"):
        make(data / f"{name}.mkv", Clip(160, 120, times, codec="libx264", options={"crf": "10"}))
    wanted = Preparation(
        data, ["input", "reference"], count=2, size=(128, 96), seconds=1.0, damage="blur", traps=1, golds=1
    )
    study, _ = prepare(tmp_path / "study", wanted)
    media = tmp_path / "study" / "media"
    for source in study.rated:
        with av.open(str(data / source.file)) as container:
            original = [Frame.from_av(frame) for frame in container.decode(video=0)][:25]
        with av.open(str(media / study.find(source.id, REFERENCE).file)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert not container.metadata.get("creation_time")
            decoded = list(container.decode(video=0))
        assert len(decoded) == 25
        assert [float(frame.time or 0) for frame in decoded] == pytest.approx([0.04 * i for i in range(25)])
        worst = min(
            psnr(Frame.from_av(frame).luma, full.luma[12:108, 16:144])
            for frame, full in zip(decoded, original, strict=True)
        )
        assert worst > 45
        items = [item for item in study.stimuli if item.source == source.id]
        assert len({(media / item.file).stat().st_size for item in items}) == 1
        assert {item.seconds for item in items} == {0.96}


def test_models_and_ready_made_folders(
    tmp_path: Path, pristine: Path, plain_double_model: Path, identity_model: Path
) -> None:
    made = tmp_path / "made"
    for file in find_files(pristine):
        (made / file.category).mkdir(parents=True, exist_ok=True)
        white = np.full((150, 200, 3), 255, np.uint8)
        Image.fromarray(white).save(made / file.category / (file.path.stem + ".webp"), lossless=True)
    conditions = ["input", str(plain_double_model), f"{identity_model}:0.5", f"white={made}"]
    wanted = Preparation(pristine, conditions, count=3, damage="blur", size=(160, 120))
    study, _ = prepare(tmp_path / "study", wanted)
    assert study.condition_names == ["input", "plain-double", "identity:0.5", "white"]
    # Four conditions besides the reference: each against the input.
    assert study.pairs == (("plain-double", "input"), ("identity:0.5", "input"), ("white", "input"))
    for source in study.rated:
        shown = {n: pixels(tmp_path / "study", study, source.id, n) for n in study.condition_names}
        assert np.array_equal(shown["identity:0.5"], shown["input"])
        assert (shown["white"] == 255).all()
        # Both enlarge the same small picture bilinearly; swscale rounds differently.
        assert psnr(shown["plain-double"][..., 1], shown["input"][..., 1]) > 40


def test_unsharp_is_the_definition() -> None:
    from scipy.ndimage import gaussian_filter

    rgb = picture(64, 80)
    frame = Frame.from_rgb(rgb, format="rgb24")
    (made,) = unsharp([frame], 1.5)
    luma = frame.luma.astype(np.float64)
    added = np.rint(1.5 * (luma - gaussian_filter(luma, 1.0, mode="mirror", truncate=3.0)))
    expected = (rgb + added[:, :, None]).clip(0, 255)
    assert np.abs(made.planes[0] - expected).max() <= 1


def test_sources_without_spares_serve_for_practice_too(tmp_path: Path, pristine: Path) -> None:
    data = shutil.copytree(pristine / "faces", tmp_path / "data")
    (data / "broken.png").write_bytes(b"no picture")
    study, passed_over = prepare(
        tmp_path / "study", Preparation(data, ["input", "reference"], count=3, methods=("acr",))
    )
    assert study.practice == study.rated
    assert study.pairs == ()
    assert len(passed_over) <= 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 40}, "expected at least 40"),
        ({"damage": "rain"}, "expected one of call-half"),
        ({"conditions": ["input"]}, "at least 2"),
        ({"conditions": ["input", "input"]}, "twice"),
        ({"conditions": ["input", "reference:2"]}, "takes no amount"),
        ({"conditions": ["input", "unsharp:9"]}, "0 to 5"),
        ({"conditions": ["input", "ruined=."]}, "control questions"),
        ({"conditions": ["input", "mine=nowhere"]}, "not a folder"),
        ({"conditions": ["input", "my/own=."]}, "stands between pairs"),
        ({"conditions": ["input", "nosuchmodel"]}, "nosuchmodel"),
        ({"conditions": ["input", "reference"], "pairs": ["input/keen"]}, "expected two different"),
        ({"pairs": ["input/reference", "reference/input"]}, "twice"),
    ],
)
def test_wrong_wishes_are_named_and_leave_nothing(
    tmp_path: Path, pristine: Path, changes: dict[str, Any], words: str
) -> None:
    wanted: dict[str, Any] = {"data": pristine, "conditions": ["input", "reference"], "count": 3}
    with pytest.raises(Exception, match=words):
        prepare(tmp_path / "study", Preparation(**{**wanted, **changes}))
    assert not list(tmp_path.iterdir())


def test_ready_made_files_must_be_there_and_fit(tmp_path: Path, pristine: Path) -> None:
    made = shutil.copytree(pristine, tmp_path / "made")
    wanted = Preparation(pristine, ["input", f"mine={made}"], count=6)
    shutil.rmtree(made / "views")
    with pytest.raises(InputError, match="lacks 'views"):
        prepare(tmp_path / "study", wanted)
    shutil.copytree(pristine / "views", made / "views")
    for file in (made / "faces").iterdir():
        Image.fromarray(picture(100, 200)).save(file)
    with pytest.raises(InputError, match="200x100; expected 200x148"):
        prepare(tmp_path / "study", wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_study_is_never_overwritten(folder: Path, pristine: Path) -> None:
    before = (folder / "study.json").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        prepare(folder, Preparation(pristine, ["input", "reference"], count=3))
    assert (folder / "study.json").read_bytes() == before


def test_damaged_study_files_are_named(folder: Path) -> None:
    path = folder / "study.json"
    whole = path.read_text()
    for text, words in (
        (whole[:900], "damaged"),
        ("[]", "format"),
        (whole.replace('"format": 1', '"format": 9'), "format 9"),
        (whole.replace('"seed"', '"sead"'), "damaged"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_study(folder)


def test_usual_pairs() -> None:
    def pairs(*names: str) -> tuple[tuple[str, str], ...]:
        return choose_pairs(parse_conditions(list(names)), [])

    assert pairs("input", "unsharp", "reference") == (("unsharp", "input"),)
    assert pairs("input", "keen", "unsharp") == (("keen", "unsharp"), ("keen", "input"), ("unsharp", "input"))
    assert pairs("input", "reference") == (("input", "reference"),)
    assert choose_pairs(parse_conditions(["input", "keen"]), ["input/keen"]) == (("input", "keen"),)


def test_drawing_is_by_seed_and_takes_categories_in_turn(pristine: Path) -> None:
    files = find_files(pristine)
    drawn = in_drawing_order(files, 7)
    assert drawn == in_drawing_order(files, 7) != in_drawing_order(files, 8)
    assert [file.category for file in drawn] == ["faces", "slides", "views"] * 3


def linear(rgb: Any) -> Any:
    scaled = np.asarray(rgb) / 255
    return np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("missing", ["red", "green"])
def test_colour_plates_hide_the_digit_from_who_lacks_a_receptor(missing: str) -> None:
    """By Viénot's model of dichromats: digit and ground differ by less than the dots among themselves."""
    to_lms = np.array([[17.8824, 43.5161, 4.1194], [3.4557, 27.1554, 3.8671], [0.03, 0.1843, 1.4671]])
    # What stays of a dichromat's three signals: the other two.
    kept = [1, 2] if missing == "red" else [0, 2]

    def signals(colours: Any) -> Any:
        return (linear(colours) @ to_lms.T)[:, kept]

    for palette in (sheets.RED_GREEN, sheets.GREEN_RED):
        figure, ground = signals(palette.figure), signals(palette.ground)
        apart = np.abs(figure.mean(axis=0) - ground.mean(axis=0))
        spread = np.ptp(np.concatenate([figure, ground]), axis=0)
        assert (apart < 0.45 * spread).all()
    # With all three receptors the two groups are far apart.
    ratio = [
        (c := linear(p)).mean(axis=0)[0] / c.mean(axis=0)[1]
        for p in (sheets.RED_GREEN.figure, sheets.RED_GREEN.ground)
    ]
    assert ratio[0] > 2 * ratio[1]


def test_ramp_digits_are_as_faint_as_said() -> None:
    image = sheets.ramp("234567")
    assert set(np.unique(image[:140])) <= set(range(33))
    for column, code in enumerate(sheets.DARK_LEVELS):
        assert image[:140, column * 200 : column * 200 + 200].max() == code
    for column, code in enumerate(sheets.LIGHT_LEVELS):
        assert image[141:, column * 200 : column * 200 + 200].min() == code
