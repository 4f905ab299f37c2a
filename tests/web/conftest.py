"""Media for the web app, and the app with a small model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from clips import Clip, make
from keenframe.web.settings import Limits
from serving import client


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's app makes its folder."""
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def app(unsharp_model: Path, base: Path) -> Iterator[TestClient]:
    limits = Limits(free_disk=0, changes_per_minute=100_000, pictures=3, picture_pixels=1_000_000)
    with client(unsharp_model, base, limits) as caller:
        yield caller


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames of 64x48 with sound."""
    return make(tmp_path_factory.mktemp("clip") / "a.mp4", Clip(sound="aac"))


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute in 6,000 small frames, so that work on it can be broken off."""
    times = [10 * i for i in range(6000)]
    options = {"preset": "ultrafast"}
    return make(tmp_path_factory.mktemp("clip") / "long.mp4", Clip(128, 96, times=times, options=options))
