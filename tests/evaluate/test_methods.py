from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.filters import gaussian

from conftest import picture
from keenframe.errors import InputError
from keenframe.evaluate.methods import (
    enlarged,
    matched_amount,
    parse_filter,
    parse_method,
    parse_methods,
    unsharp_mask,
)
from keenframe.frame import Frame
from keenframe.metrics import Edges


def test_methods_are_read_and_put_in_order() -> None:
    names = [m.name for m in parse_methods(["unsharp@keen", "keen", "unsharp:0.5", "lanczos", "keen"])]
    assert names == ["input", "keen", "unsharp:0.5", "lanczos", "unsharp@keen"]
    assert parse_method("unsharp:0.5").amount == 0.5
    assert parse_method("unsharp").amount == 1
    assert parse_method("unsharp@keen").like == "keen"
    assert parse_method("models/x.onnx").kind == "model"
    assert parse_filter("lanczos") == "lanczos"


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["unsharp:much"], "expected unsharp:AMOUNT"),
        (["unsharp:0"], "expected unsharp:AMOUNT"),
        (["unsharp@keen"], "add --method keen"),
        (["keen", "unsharp@keen", "unsharp@unsharp@keen"], "matched to a matched mask"),
    ],
)
def test_wrong_methods_say_what_is_expected(methods: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_methods(methods)


def test_wrong_filter() -> None:
    with pytest.raises(InputError, match="bilinear, bicubic, lanczos; got 'nearest'"):
        parse_filter("nearest")


def test_the_unsharp_mask_is_its_formula() -> None:
    pixels = picture(60, 70)
    blurred = np.stack(
        [gaussian(pixels[..., c].astype(float), 1.0, mode="mirror", truncate=3) for c in range(3)], -1
    )
    expected = np.clip(np.rint(pixels + 0.7 * (pixels - blurred)), 0, 255)
    assert np.abs(unsharp_mask(pixels, 0.7) - expected).max() <= 1
    assert (unsharp_mask(pixels, 0.7) == expected).mean() > 0.999


def test_a_step_gets_halos_and_what_is_flat_stays() -> None:
    step = np.full((16, 16), 60, np.uint8)
    step[:, 8:] = 180
    sharp = unsharp_mask(step)
    assert sharp[8, 0] == 60 and sharp[8, 7] < 60 and sharp[8, 8] > 180


def test_a_matched_mask_reaches_the_strength() -> None:
    pristine = picture(80, 90)[..., 0]
    soft = np.asarray(Image.fromarray(pristine).resize((45, 40)).resize((90, 80)))
    edges = Edges(pristine)
    wanted = 1.4 * edges.strength(soft)
    amount = matched_amount(soft, edges, wanted)
    assert edges.strength(unsharp_mask(soft, amount)) == pytest.approx(wanted, rel=0.01)
    assert matched_amount(soft, edges, 0.5 * wanted) == 0
    assert matched_amount(soft, edges, float("nan")) == 0


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
def test_enlarging_keeps_flat_things_flat_and_sizes_whole(name: str) -> None:
    flat = np.full((20, 30, 3), 77, np.uint8)
    assert enlarged(flat, 3, parse_filter(name)).shape == (60, 90, 3)
    assert (enlarged(flat, 3, parse_filter(name)) == 77).all()
    assert enlarged(flat, 1, parse_filter(name)) is flat
    frame = Frame.from_rgb(picture(32, 48), pts=5)
    large = enlarged(frame, 2, parse_filter(name))
    assert (large.width, large.height, large.pts) == (96, 64, 5)
    assert [plane.shape for plane in large.planes] == [(64, 96), (32, 48), (32, 48)]
