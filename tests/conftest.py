"""Fixtures: small models, pictures with structure, and a cache folder of the tests' own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from keenframe.engines import native
from keenframe.engines.select import available_engines
from keenframe.sharpener import Sharpener
from keenframe.zoo.store import list_models
from models import build

EMBEDDED = [spec.name for spec in list_models() if spec.color == "luma"]
EMBEDDED_RGB = [spec.name for spec in list_models() if spec.color == "rgb"]
CPU_ENGINES = [name for name in available_engines() if name in ("openvino", "onnxruntime")]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Measurements of engines go here and not into the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEENFRAME_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def identity_model(model_folder: Path) -> Path:
    """Same size, no residual."""
    return build(model_folder / "identity.onnx", amount=0.0)


@pytest.fixture(scope="session")
def unsharp_model(model_folder: Path) -> Path:
    """Same size, an unsharp mask whose amount follows the condition; receptive field radius 8."""
    return build(model_folder / "unsharp.onnx", amount=0.2)


@pytest.fixture(scope="session")
def double_model(model_folder: Path) -> Path:
    """Twice the size, bilinear base, unsharp residual."""
    return build(model_folder / "double.onnx", amount=0.2, scale=2)


@pytest.fixture(scope="session")
def plain_double_model(model_folder: Path) -> Path:
    """Twice the size, bilinear base, no residual, no condition."""
    return build(model_folder / "plain-double.onnx", amount=0.0, scale=2, conditioned=False)


@pytest.fixture(params=CPU_ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each installed CPU engine."""
    name: str = request.param
    return name


_RUNS = [
    *((name, engine) for name in ("unsharp", "identity", *EMBEDDED) for engine in CPU_ENGINES),
    *((spec.name, "native") for spec in list_models() if native.supported() and native.runs(spec)),
]


@pytest.fixture(params=_RUNS, ids="-".join)
def same_size(request: pytest.FixtureRequest) -> Iterator[Sharpener]:
    """A same-size Sharpener for each small and each embedded model, on each engine that runs it."""
    name, engine = request.param
    model = request.getfixturevalue(f"{name}_model") if name in ("unsharp", "identity") else name
    if name.endswith("keen"):
        model = "keen-float"
    with Sharpener(model, engine, threads=1) as sharpener:
        if sharpener.scale != 1:
            pytest.skip("enlarges")
        yield sharpener


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: coloured blocks of several sizes over a gradient, with mild noise."""
    random = np.random.default_rng(seed)
    image = np.linspace(40, 160, width)[None, :, None] + np.zeros((height, 1, 3))
    for size in (48, 13, 5):
        rows, columns = -(-height // size), -(-width // size)
        blocks = random.normal(0, 25, (rows, columns, 3)).repeat(size, 0).repeat(size, 1)
        image = image + blocks[:height, :width]
    image = image + random.normal(0, 2, image.shape)
    return np.rint(image).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def same(identity_model: Path) -> Iterator[Sharpener]:
    with Sharpener(identity_model, "onnxruntime", threads=1) as sharpener:
        yield sharpener


@pytest.fixture(scope="module")
def sharp(unsharp_model: Path) -> Iterator[Sharpener]:
    with Sharpener(unsharp_model, "onnxruntime", threads=1) as sharpener:
        yield sharpener


@pytest.fixture(scope="module")
def double(plain_double_model: Path) -> Iterator[Sharpener]:
    with Sharpener(plain_double_model, "onnxruntime", threads=1) as sharpener:
        yield sharpener


def refuse(patch: pytest.MonkeyPatch, name: str) -> None:
    """Folders of that name may not be looked into; permissions alone would not keep root out."""
    look = os.scandir

    def scandir(path: str | os.PathLike[str] = ".") -> Iterator[os.DirEntry[str]]:
        if Path(path).name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return look(path)

    patch.setattr(os, "scandir", scandir)
