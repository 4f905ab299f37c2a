"""A small study, prepared once, and copies of it to use up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from conftest import picture
from keenframe.study.design import Study, read_study
from keenframe.study.prepare.folder import Preparation, prepare


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures in three categories."""
    folder = tmp_path_factory.mktemp("pristine")
    for index, category in enumerate(["faces", "slides", "views"] * 3):
        (folder / category).mkdir(exist_ok=True)
        Image.fromarray(picture(150, 200, seed=index)).save(folder / category / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, pristine: Path) -> Path:
    """A study of six sources in three conditions; three more are for practice."""
    folder = tmp_path_factory.mktemp("study") / "study"
    wanted = Preparation(
        pristine, ["input", "unsharp:2", "reference"], count=6, size=(160, 120), title="Pictures"
    )
    prepare(folder, wanted)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """The study, without answers."""
    return shutil.copytree(prepared, tmp_path / "study")


@pytest.fixture
def study(folder: Path) -> Iterator[Study]:
    yield read_study(folder)
