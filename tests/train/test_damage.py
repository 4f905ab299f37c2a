"""The training side's presets as `keenframe evaluate` gets them, and LPIPS's place."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from keenframe.errors import InputError
from keenframe.evaluate import presets as runtime
from keenframe.evaluate.evaluation import Request, evaluate
from keenframe.frame import Frame
from keenframe.periodicity import FREQUENCIES, WINDOW, periodicity
from keenframe_train.data.presets import PRESETS
from keenframe_train.data.render.pages import GROUPS, draw_page, write_pages
from keenframe_train.data.validation import make_sample
from keenframe_train.errors import TrainError
from keenframe_train.evaluate import lpips
from keenframe_train.evaluate.damage import SENDINGS, SETTLE

from .conftest import picture


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pyproject.toml registers them, whatever version of it is installed."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'keenframe = "keenframe_train.evaluate.damage:presets"' in text
    assert 'lpips = "keenframe_train.evaluate.lpips:load"' in text
    entry = EntryPoint("keenframe", "keenframe_train.evaluate.damage:presets", runtime.GROUP)
    monkeypatch.setattr(runtime, "entry_points", lambda group: [entry])


def test_every_degradation_is_a_preset_with_a_description() -> None:
    found = runtime.known_presets()
    assert list(found) == [*PRESETS, *SENDINGS]
    assert all(preset.description for preset in found.values())
    assert found["r5"].window == 256 and found["r4-small"].draws_as == "r4"
    assert all(found[name].settle == SETTLE for name in SENDINGS)


@pytest.mark.parametrize("name", PRESETS)
def test_pictures_are_damaged_as_in_training(name: str) -> None:
    rgb = picture(3, 288, 320)
    preset = runtime.choose_presets([name])[0]
    assert preset.picture is not None
    one, two = (preset.picture(rgb, preset.generator(7, "x.png")) for _ in range(2))
    assert np.array_equal(one, two)
    assert 288 % one.shape[0] == 0 and one.shape[2] == 3 and one.dtype == np.uint8


def test_a_file_gets_the_damage_of_the_validation_samples(data: Path, tmp_path: Path) -> None:
    from keenframe.evaluate.material import find_files, read_pixels
    from keenframe.evaluate.stills import Plan, Runner, outputs_of
    from keenframe_train.data.images import ImageFile

    file = find_files(data / "val")[0][0]
    preset = runtime.choose_presets(["r2"])[0]
    found = outputs_of(file, preset, Runner(Plan((), gray=True)))
    sample = make_sample(ImageFile(file.path, file.category), "r2", 7)
    assert np.array_equal(found.pristine, sample.pristine)
    damaged = preset.picture(found.pristine, preset.generator(7, file.path.name))
    assert np.array_equal(damaged, sample.degraded)
    assert read_pixels(file.path).ndim == 3


@pytest.mark.parametrize("name", ["h264-half", "vp8-q50", "vp8-two-thirds"])
@pytest.mark.parametrize("format", ["i420", "gray"])
def test_clips_are_sent_and_received(name: str, format: str) -> None:
    frames = []
    for index in range(4):
        frame = Frame.from_rgb(np.roll(picture(1, 96, 128), index, axis=1), pts=index)
        frames.append(frame if format == "i420" else Frame(frame.planes[:1], "gray", 128, 96, pts=index))
    preset = runtime.choose_presets([name])[0]
    assert preset.clip is not None
    received = preset.clip(frames)
    factor = 2 if "half" in name else 1
    assert [frame.pts for frame in received] == [0, 1, 2, 3]
    assert (received[0].width, received[0].format) == (128 // factor, format)
    assert len(received[0].planes) == len(frames[0].planes)
    assert not np.array_equal(received[-1].luma, frames[-1].luma)
    assert [plane.shape for plane in received[-1].planes] == [
        tuple(side // factor for side in plane.shape) for plane in frames[-1].planes
    ]
    if "thirds" in name:  # what was enlarged by 1.5 shows it at a third
        third = np.abs(FREQUENCIES - WINDOW / 3) <= 1
        before, after = (periodicity(frame.luma)[third].max() for frame in (frames[-1], received[-1]))
        assert after > before + 0.3


def test_presets_reach_other_processes(data: Path, tmp_path: Path) -> None:
    """Needs the installed entry point: worker processes look it up themselves."""
    from importlib.metadata import entry_points

    if not list(entry_points(group=runtime.GROUP)):
        pytest.skip("the package was installed before it had presets: install it again")
    wanted = Request(data / "val", tmp_path / "run", presets=["r2"], methods=["unsharp"], workers=2)
    found = evaluate(wanted)
    assert found.summary["results"]["r2"]["all"]["input"]["items"] == 4


def test_pages_have_their_text(tmp_path: Path) -> None:
    counts = write_pages(tmp_path / "pages", 6)
    assert counts == {name: 2 for name, _ in GROUPS}
    category, page, text = draw_page(4)
    assert page.shape == (480, 640, 3) and len(text) > 100
    assert (tmp_path / "pages" / category / "0004.txt").read_text() == text
    assert np.array_equal(draw_page(4)[1], page) and not np.array_equal(draw_page(7)[1], page)
    (tmp_path / "pages" / "mine.doc").write_text("x")
    with pytest.raises(TrainError, match="holds something that is no page"):
        write_pages(tmp_path / "pages", 6)
    with pytest.raises(TrainError, match="at least 1"):
        write_pages(tmp_path / "none", 0)


def test_lpips_takes_pictures_as_its_package_wants_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    class Network(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            assert net == "alex"

        def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
            seen.append(one)
            return (one - two).abs().mean().reshape(1, 1, 1, 1)

    package = ModuleType("lpips")
    package.LPIPS = Network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=lpips.WEIGHTS):
        lpips.load()
    place = tmp_path / "hub" / "checkpoints" / lpips.WEIGHTS
    place.parent.mkdir(parents=True)
    place.write_bytes(b"")
    distance = lpips.load()
    white, black = np.full((40, 48, 3), 255, np.uint8), np.zeros((40, 48, 3), np.uint8)
    assert distance(white, black) == 2 and distance(white, white) == 0
    assert seen[0].shape == (1, 3, 40, 48) and seen[0].max() == 1 and seen[0].min() == 1
