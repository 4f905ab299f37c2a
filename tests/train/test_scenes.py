from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from keenframe_train.data.bank import Bank, build_bank
from keenframe_train.data.degradations import Identity
from keenframe_train.data.images import find_images
from keenframe_train.data.presets import MIXES, Mix
from keenframe_train.data.scenes import scene
from keenframe_train.errors import TrainError

from .conftest import picture


def drawn(seed: int, size: int = 128) -> NDArray[np.uint8]:
    return scene(np.zeros((size, size), np.uint8), np.random.default_rng(seed))


@pytest.mark.parametrize("shape", [(128, 128), (96, 200), (16, 16), (64, 96, 3)])
def test_a_scene_has_the_shape_of_the_picture_and_one_seed_gives_one_scene(shape: tuple[int, ...]) -> None:
    still = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    first, again, other = (scene(still, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.shape == shape and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_scenes_are_hard_edges_beside_next_to_nothing() -> None:
    """Unlike a photograph: half of the steps between neighbours are within a code value, some are of half the range."""
    steps = np.concatenate([np.abs(np.diff(drawn(seed).astype(int), axis=1)).ravel() for seed in range(40)])
    assert (steps <= 1).mean() > 0.5
    assert (steps > 60).mean() > 0.002
    assert len({int(drawn(seed).mean()) for seed in range(40)}) > 20


def test_the_picture_is_inside_of_some_shapes_and_only_there() -> None:
    black, noise = np.zeros((96, 96), np.uint8), np.random.default_rng(1).integers(0, 256, (96, 96), np.uint8)
    changed = [
        (scene(black, np.random.default_rng(seed)) != scene(noise, np.random.default_rng(seed))).mean()
        for seed in range(30)
    ]
    assert sum(share > 0 for share in changed) > 10 and max(changed) < 1 and np.mean(changed) < 0.4


def test_colours_of_a_drawn_scene_differ() -> None:
    scenes = np.stack(
        [scene(np.zeros((64, 64, 3), np.uint8), np.random.default_rng(seed)) for seed in range(8)]
    )
    assert np.abs(scenes[..., 0].astype(int) - scenes[..., 2]).mean() > 10


def test_a_mix_draws_the_pictures_of_the_kinds_that_it_names(data: Path, tmp_path: Path) -> None:
    shares = MappingProxyType({"still": (0.5, Identity()), "scenes": (0.5, Identity())})
    files = find_images(data / "train-0")
    plain = build_bank(tmp_path / "plain", files, Mix(shares, ("clean",)), 12, size=96, workers=1)
    mixed = Mix(shares, ("clean",), drawn=("scenes",))
    some = build_bank(tmp_path / "some", files, mixed, 12, size=96, workers=1)
    changed = (plain.pristine != some.pristine).any((1, 2))
    assert (
        (plain.kinds == some.kinds).all() and (changed == (some.kinds == 1)).all() and 0 < changed.sum() < 12
    )
    assert (some.degraded == some.pristine).all()
    with pytest.raises(TrainError, match=r"drawn is .*scenes.*, expected None"):
        build_bank(tmp_path / "some", files, Mix(shares, ("clean",)), 12, size=96, workers=1)
    assert all(set(made.drawn) <= set(made.shares) for made in MIXES.values())
    assert "call-full-scenes" in MIXES["keen-full"].drawn


def test_a_mix_takes_screens_and_subjects_for_the_kinds_that_it_names(tmp_path: Path) -> None:
    for category, tone in (("faces", 40), ("text", 210)):
        (tmp_path / "data" / category).mkdir(parents=True)
        Image.fromarray(np.full((128, 128, 3), tone, np.uint8)).save(tmp_path / "data" / category / "x.png")
    files = find_images(tmp_path / "data")
    shares = MappingProxyType({kind: (1.0, Identity()) for kind in ("still", "drawn", "texts", "plants")})
    subjects = MappingProxyType({"texts": ("text", "screen"), "plants": ("plant",)})
    mixed = Mix(shares, ("clean",), screens=("drawn",), subjects=subjects)

    def built(name: str, made: Mix) -> Bank:
        return build_bank(tmp_path / name, files, made, 48, size=96, workers=1)

    plain, some, again = built("plain", Mix(shares, ("clean",))), built("some", mixed), built("again", mixed)
    assert (plain.kinds == some.kinds).all() and (again.pristine == some.pristine).all()
    dark = some.pristine.reshape(48, -1).max(1) < 100
    kind = some.kinds
    assert dark[kind == 0].any() and not dark[kind == 2].any() and (~dark[kind == 2]).any()
    # Of a category that the data does not have, any picture will do.
    assert dark[kind == 3].any() and not dark[kind == 3].all()
    assert (np.ptp(some.pristine[kind == 1], axis=(1, 2)) > 40).mean() > 0.8
    assert (np.ptp(some.pristine[kind != 1], axis=(1, 2)) == 0).all()
    with pytest.raises(TrainError, match=r"subjects is None, expected .*screens is None"):
        built("plain", mixed)
    assert all(set(made.screens) | set(made.subjects) <= set(made.shares) for made in MIXES.values())


def test_a_picture_with_texture_is_not_needed() -> None:
    assert scene(picture(1, 64, 64)[..., 0].copy(), np.random.default_rng(2)).shape == (64, 64)
