from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keenframe.condition import band_statistics
from keenframe.metrics import luma
from keenframe_train.data.bank import Bank, build_bank, open_bank
from keenframe_train.data.batches import BankBatches, item_weights
from keenframe_train.data.degradations import Compose, GaussianBlur, Identity, resize
from keenframe_train.data.folders import (
    train_and_validation,
    training_only,
    validation_folder,
    validation_pictures,
)
from keenframe_train.data.images import (
    ImageFile,
    dihedral,
    find_images,
    random_crop,
    read_rgb,
    stratified_split,
)
from keenframe_train.data.presets import MIXES, Mix
from keenframe_train.data.validation import make_sample
from keenframe_train.errors import TrainError

from .conftest import picture


def test_split_is_stratified_disjoint_and_repeatable() -> None:
    files = [
        ImageFile(Path(f"{c}/{i}.png"), c) for c, n in (("a", 50), ("b", 10), ("c", 5)) for i in range(n)
    ]
    train, held_out = stratified_split(files, 0.2, seed=1)
    assert Counter(f.category for f in held_out) == {"a": 10, "b": 2, "c": 1}
    assert not set(train) & set(held_out) and len(train) + len(held_out) == len(files)
    assert stratified_split(files, 0.2, seed=1) == (train, held_out)
    assert stratified_split(files, 0.2, seed=2) != (train, held_out)


def test_folders_with_and_without_a_validation_part(data: Path, tmp_path: Path) -> None:
    train, held_out = train_and_validation(data)
    assert (len(train), len(held_out)) == (8, 4)
    assert find_images(validation_folder(data)) == held_out
    for index in range(10):
        Image.fromarray(picture(index, 40, 40)).save(tmp_path / f"{index}.png")
    train, held_out = train_and_validation(tmp_path)
    assert (len(train), len(held_out)) == (8, 2)
    assert validation_folder(tmp_path) is None and validation_pictures(tmp_path) == held_out


def test_pictures_of_a_validation_folder_are_never_trained_on(tmp_path: Path) -> None:
    for folder, name in (("val/faces", "a"), ("faces", "b"), ("text", "c")):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(picture(1, 40, 40)).save(tmp_path / folder / f"{name}.png")
    train, held_out = train_and_validation(tmp_path)
    assert [f.path.stem for f in train] == ["b", "c"] and [f.path.stem for f in held_out] == ["a"]
    assert training_only(tmp_path) == train and validation_folder(tmp_path) == tmp_path / "val"
    (tmp_path / "train-1").mkdir()
    (tmp_path / "text/c.png").rename(tmp_path / "train-1/c.png")
    assert [f.path.stem for f in train_and_validation(tmp_path)[0]] == ["c"]
    assert validation_pictures(tmp_path) == held_out
    with pytest.raises(TrainError, match="holds validation pictures alone"):
        (tmp_path / "alone").mkdir()
        (tmp_path / "val").rename(tmp_path / "alone/val")
        train_and_validation(tmp_path / "alone")


@pytest.mark.parametrize("place", ["sets/Set5", "Set14"])
def test_pictures_of_the_sets_are_never_trained_on(place: str, tmp_path: Path) -> None:
    for index, folder in enumerate((place, "faces", "faces", "val")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(index, 40, 40)).save(tmp_path / folder / f"{index}.png")
    assert [file.path.stem for file in training_only(tmp_path)] == ["1", "2"]
    (tmp_path / "val/3.png").rename(tmp_path / "faces/3.png")
    (tmp_path / "val").rmdir()
    parts = train_and_validation(tmp_path)
    assert sorted(file.path.stem for part in parts for file in part) == ["1", "2", "3"]


def test_one_picture_a_category_is_split_and_one_alone_is_refused() -> None:
    files = [ImageFile(Path(f"{c}/0.png"), c) for c in "abcde"]
    train, held_out = stratified_split(files, 0.2)
    assert len(held_out) == 1 and len(train) == 4 and {*train, *held_out} == {*files}
    with pytest.raises(TrainError, match="1 picture cannot be split"):
        stratified_split(files[:1])


def test_missing_empty_and_broken_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="does not exist"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(TrainError, match="no image found"):
        find_images(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(TrainError, match=r"bad\.png' is not an image"):
        read_rgb(tmp_path / "bad.png")


def test_deep_pictures_keep_their_range_and_what_is_transparent_is_black(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64 * 48).round().reshape(48, 64)
    for name, array in (("deep.png", deep.astype(np.uint16)), ("deep.tif", deep.astype(np.uint16))):
        Image.fromarray(array).save(tmp_path / name)
        found = read_rgb(tmp_path / name)
        assert found.shape == (48, 64, 3) and np.abs(found - deep[..., None] / 257).max() <= 0.5
    for name, array in (("whole.tif", deep.astype(np.int32)), ("float.tif", deep.astype(np.float32))):
        Image.fromarray(array).save(tmp_path / name)
        with pytest.raises(TrainError, match=r"\.tif' has 32 bits a sample; convert it"):
            read_rgb(tmp_path / name)
    seen = np.full((40, 40, 4), 200, np.uint8)
    seen[:, :20, 3], seen[:, 20:, 3] = 0, 255
    Image.fromarray(seen).save(tmp_path / "seen.png")
    found = read_rgb(tmp_path / "seen.png")
    assert (found[:, :20] == 0).all() and (found[:, 20:] == 200).all()


def test_luma_ranges() -> None:
    white, black = np.full((2, 2, 3), 255, np.uint8), np.zeros((2, 2, 3), np.uint8)
    assert luma(white)[0, 0] == 235 and luma(black)[0, 0] == 16
    assert luma(white, True)[0, 0] == 255 and luma(black, True)[0, 0] == 0


def test_crops_and_the_eight_turns() -> None:
    image = picture(20, 40, 50)
    crop = random_crop(image, 64, np.random.default_rng(0))
    assert crop.shape == (64, 64, 3)
    turns = {dihedral(image[:16, :16, 0], k).tobytes() for k in range(8)}
    assert len(turns) == 8


def test_bank_items_depend_on_seed_and_index_alone(data: Path, bank: Bank, tmp_path: Path) -> None:
    again = build_bank(tmp_path, find_images(data / "train-0"), MIXES["keen"], 48, size=160, workers=1)
    assert np.array_equal(again.degraded, bank.degraded) and np.array_equal(again.kinds, bank.kinds)
    for item in (0, 17):
        assert np.array_equal(bank.conditions[item], band_statistics(bank.degraded[item]))
    clean = bank.kinds == list(bank.names).index("clean")
    assert np.array_equal(bank.degraded[clean], bank.pristine[clean])


def test_bank_resumes_and_refuses_another_description(data: Path, tmp_path: Path) -> None:
    files = find_images(data / "train-0")
    whole = build_bank(tmp_path, files, MIXES["keen"], 12, size=160, workers=1)
    kept = whole.degraded[5].copy()
    done = np.memmap(tmp_path / "done.u8", np.uint8, "r+")
    done[5:] = 0
    np.memmap(tmp_path / "degraded.u8", np.uint8, "r+", shape=(12, 160, 160))[5:] = 0
    done.flush()
    with pytest.raises(TrainError, match="has 5 of 12 pairs"):
        open_bank(tmp_path)
    resumed = build_bank(tmp_path, files, MIXES["keen"], 12, size=160, workers=1)
    assert np.array_equal(resumed.degraded[5], kept)
    with pytest.raises(TrainError, match="holds another bank"):
        build_bank(tmp_path, files, MIXES["keen"], 13, size=160, workers=1)
    with pytest.raises(TrainError, match="no bank in"):
        open_bank(tmp_path / "nowhere")
    assert json.loads((tmp_path / "bank.json").read_text())["kinds"] == list(MIXES["keen"].shares)


def test_a_damaged_bank_is_named(data: Path, tmp_path: Path) -> None:
    files = find_images(data / "train-0")
    bank = build_bank(tmp_path, files, MIXES["r2"], 3, size=64, workers=1)
    assert bank.picked(2) == bank.picked(2) and bank.picked(9) == [0, 1, 2]
    (tmp_path / "pristine.u8").write_bytes(b"short")
    with pytest.raises(TrainError, match="is damaged"):
        open_bank(tmp_path)
    (tmp_path / "bank.json").write_text("{")
    for use in (open_bank, lambda folder: build_bank(folder, files, MIXES["r2"], 3, size=64)):
        with pytest.raises(TrainError, match=r"bank.json' is damaged"):
            use(tmp_path)


def test_batches_are_a_function_of_the_step_and_split_among_ranks(bank: Bank) -> None:
    batches = BankBatches(bank, 6, 64, 100, seed=3)
    x, y, condition = batches[7]
    assert x.shape == y.shape == (6, 1, 64, 64) and condition.shape == (6, 128)
    assert all(bool((a == b).all()) for a, b in zip(batches[7], (x, y, condition), strict=True))
    assert not bool((batches[8][0] == x).all())
    halves = [BankBatches(bank, 6, 64, 100, seed=3, rank=r, world=2)[7][0] for r in range(2)]
    assert bool((halves[0] == x[0::2]).all()) and bool((halves[1] == x[1::2]).all())


def test_noise_on_the_conditions_leaves_the_crops(bank: Bank) -> None:
    plain, noisy = (
        BankBatches(bank, 64, 64, 100, seed=3),
        BankBatches(bank, 64, 64, 100, seed=3, condition_noise=0.5),
    )
    (x, y, condition), (x2, y2, other) = plain[7], noisy[7]
    assert bool((x == x2).all()) and bool((y == y2).all()) and other.dtype == condition.dtype
    added = (other - condition) / np.maximum(bank.conditions.std(0), 1e-6)
    assert abs(float(added.mean())) < 0.02 and abs(float(added.std()) - 0.5) < 0.02
    assert bool((noisy[7][2] == other).all()) and not bool(
        (noisy[8][2] - plain[8][2] == other - condition).any()
    )
    halves = [
        BankBatches(bank, 64, 64, 100, seed=3, rank=r, world=2, condition_noise=0.5)[7][2] for r in range(2)
    ]
    assert bool((halves[0] == other[0::2]).all()) and bool((halves[1] == other[1::2]).all())


def test_x2_batches_show_the_same_place_at_two_sizes(data: Path, tmp_path: Path) -> None:
    bank = build_bank(tmp_path, find_images(data / "train-0"), MIXES["keen-x2"], 12, size=160, workers=1)
    x, y, _ = BankBatches(bank, 8, 64, 10, seed=0, scale=2)[0]
    assert x.shape == (8, 1, 32, 32) and y.shape == (8, 1, 64, 64)
    small = y.float().reshape(8, 1, 32, 2, 32, 2).mean((3, 5))
    assert float((small - x.float()).abs().mean()) < 12


def test_rgb_banks_hold_the_colours_and_the_condition_of_their_luma(data: Path, tmp_path: Path) -> None:
    files = find_images(data / "train-0")
    bank = build_bank(tmp_path, files, MIXES["r2"], 6, size=96, color="rgb", workers=1)
    assert bank.degraded.shape == bank.pristine.shape == (6, 96, 96, 3) and (bank.color, bank.scale) == (
        "rgb",
        1,
    )
    assert np.array_equal(bank.conditions[2], band_statistics(luma(bank.degraded[2])))
    x, y, _ = BankBatches(bank, 4, 64, 10, seed=0)[0]
    assert x.shape == y.shape == (4, 3, 64, 64)
    with pytest.raises(TrainError, match="holds another bank"):
        build_bank(tmp_path, files, MIXES["r2"], 6, size=96, workers=1)
    with pytest.raises(TrainError, match="windows of a multiple"):
        build_bank(tmp_path / "x4", files, MIXES["r4"], 6, size=90, color="rgb", workers=1)


def test_jitter_changes_the_colours_of_some_degraded_crops_alone(data: Path, tmp_path: Path) -> None:
    bank = build_bank(
        tmp_path, find_images(data / "train-0"), MIXES["r4"], 6, size=96, color="rgb", workers=1
    )
    batches = BankBatches(bank, 16, 48, 4, seed=0, scale=4, jitter=0.5)
    x, y, _ = batches[2]
    assert x.shape == (16, 3, 12, 12) and y.shape == (16, 3, 48, 48)
    jittered = 0
    for row, draw in enumerate(batches.draws(2)):
        top, left = draw.top, draw.left
        crop = bank.pristine[draw.item, top : top + 48, left : left + 48]
        assert np.array_equal(dihedral(crop, draw.turn), y[row].permute(1, 2, 0).numpy())
        small = bank.degraded[draw.item, top // 4 : top // 4 + 12, left // 4 : left // 4 + 12]
        changed = not np.array_equal(dihedral(small, draw.turn), x[row].permute(1, 2, 0).numpy())
        assert changed <= (draw.jitter is not None)
        jittered += changed
    assert 2 < jittered < 14
    assert bool((batches[2][0] == x).all())


def test_a_small_sample_is_the_large_one_before_it_was_enlarged(data: Path) -> None:
    file = find_images(data / "val")[0]
    small, large = (make_sample(file, kind, 7, 128, "rgb") for kind in ("r4-small", "r4"))
    assert small.degraded.shape == (32, 32, 3) and large.degraded.shape == (128, 128, 3)
    assert np.array_equal(resize(small.degraded, 128, 128, "bicubic"), large.degraded)
    assert np.array_equal(small.pristine, large.pristine)


def test_samples_repeat(data: Path) -> None:
    file = find_images(data / "val")[0]
    one, two = make_sample(file, "call-half", 7), make_sample(file, "call-half", 7)
    assert np.array_equal(one.degraded, two.degraded) and one.degraded.shape == (192, 240)
    assert make_sample(file, "r2", 7, 128).degraded.shape == (128, 128)


def test_weights_draw_kinds_in_their_shares_and_light_items_less(bank: Bank) -> None:
    shares = {"r2": 0.5, "call-full": 0.4, "clean": 0.1}
    weights = item_weights(bank, shares, light=0.25)
    names = np.array(bank.names)[bank.kinds]
    assert weights.sum() == pytest.approx(sum(shares[name] for name in set(names) & set(shares)))
    assert not weights[~np.isin(names, list(shares))].any()
    full = np.flatnonzero(names == "call-full")
    error = [np.square(bank.degraded[i].astype(float) - bank.pristine[i]).mean() for i in full]
    light = np.array(error) < 255**2 / 1e4
    if light.any() and not light.all():
        assert weights[full][light].max() == pytest.approx(0.25 * weights[full][~light].max())
    drawn = BankBatches(bank, 64, 64, 3, seed=1, weights=np.eye(len(bank))[5])[0][2]
    assert bool((drawn == drawn[0]).all()) and np.array_equal(drawn[0].numpy(), bank.conditions[5])


def test_shares_that_nothing_can_be_drawn_by_are_refused(bank: Bank) -> None:
    with pytest.raises(TrainError, match="shares name r9; the bank's kinds are clean, r1"):
        item_weights(bank, {"r9": 1.0}, light=1)
    with pytest.raises(TrainError, match="none of the bank's 48 items"):
        item_weights(bank, {"r2": 0.0}, light=1)


def test_a_picture_too_small_to_validate_on_is_named(tmp_path: Path) -> None:
    Image.fromarray(picture(1, 40, 40)[:20]).save(tmp_path / "low.png")
    with pytest.raises(TrainError, match=r"low\.png' is 40x20; pictures to validate on have 32"):
        make_sample(find_images(tmp_path)[0], "r2", 7)


def test_a_camera_films_the_pictures_of_the_kinds_that_are_named(data: Path, tmp_path: Path) -> None:
    """Of all kinds where none is named; of the others the pristine picture stays as it was."""
    soft = Compose((GaussianBlur((2.0, 2.0), (9,)),))
    shares = MappingProxyType({"still": (0.5, Identity()), "webcam": (0.5, Identity())})
    mixes = [Mix(shares, ("clean",), camera=camera, filmed=filmed) for camera, filmed in (
        (None, ()), (soft, ("webcam",)), (soft, ()),
    )]  # fmt: skip
    files = find_images(data / "train-0")
    plain, some, every = (
        build_bank(tmp_path / str(index), files, made, 12, size=96, workers=1)
        for index, made in enumerate(mixes)
    )
    webcam = some.kinds == 1
    assert 0 < webcam.sum() < 12 and (plain.kinds == some.kinds).all()
    changed = (plain.pristine != some.pristine).any((1, 2))
    assert (changed == webcam).all() and (some.degraded == some.pristine).all()
    assert (plain.pristine != every.pristine).any((1, 2)).all()
    assert "call-webcam" in MIXES["keen"].filmed and "call-full-webcam" in MIXES["keen-full"].filmed
    assert all(set(made.filmed) <= set(made.shares) for made in MIXES.values())


def test_shrunk_pictures_are_another_draw(data: Path, tmp_path: Path) -> None:
    files = find_images(data / "train-0")
    kept = {}
    for name in ("r1", "r1-shrunk"):
        assert MIXES[name].validation == ("r1",)
        bank = build_bank(tmp_path / name, files, MIXES[name], 10, size=64, color="rgb", workers=1)
        assert bank.pristine.shape == (10, 64, 64, 3) and bank.names == ("r1", "r1-bicubic")
        kept[name] = np.array(bank.pristine)
    again = build_bank(tmp_path / "again", files, MIXES["r1-shrunk"], 10, size=64, color="rgb", workers=1)
    assert np.array_equal(again.pristine, kept["r1-shrunk"])
    assert not np.array_equal(kept["r1"], kept["r1-shrunk"])


def test_a_bank_of_another_mix_or_of_other_pictures_is_refused(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "train-0", tmp_path / "train-0")
    files, folder = find_images(tmp_path / "train-0"), tmp_path / "bank"
    make = partial(build_bank, folder, count=2, size=64, workers=1)
    made = make(files=files, mix=MIXES["r1"])
    with pytest.raises(TrainError, match=r"holds another bank: its mix is another one; .* --bank"):
        make(files=files, mix=MIXES["r1-shrunk"])
    # How a mix is judged makes no other pairs, and neither does another place of the same pictures.
    make(files=files, mix=dataclasses.replace(MIXES["r1"], validation=("r2",)))
    (tmp_path / "train-0").rename(tmp_path / "moved")
    files = find_images(tmp_path / "moved")
    assert np.array_equal(make(files=files, mix=MIXES["r1"]).degraded, made.degraded)
    Image.fromarray(picture(7, 50, 50)).save(files[0].path)
    with pytest.raises(TrainError, match="holds another bank: its pictures are others"):
        make(files=files, mix=MIXES["r1"])
    with pytest.raises(TrainError, match="seed is 0, expected 1; its pictures are others"):
        make(files=files, mix=MIXES["r1"], seed=1)
    # The first banks do not say what they are of.
    card = json.loads((folder / "bank.json").read_text())
    (folder / "bank.json").write_text(
        json.dumps({k: v for k, v in card.items() if k not in ("mix", "pictures")})
    )
    make(files=files, mix=MIXES["r1-shrunk"])


def test_a_full_disk_is_noticed_before_a_bank_is_made(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = find_images(data / "train-0")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000))
    build_bank(tmp_path / "small", files, MIXES["r1"], 2, size=64, workers=1)
    with pytest.raises(TrainError, match="GB are free; make room"):
        build_bank(tmp_path / "large", files, MIXES["r1"], 3, size=64, workers=1)
    assert not list((tmp_path / "large").iterdir())
