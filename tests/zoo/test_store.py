from __future__ import annotations

from pathlib import Path

import pytest

from keenframe.errors import ModelError
from keenframe.zoo import store
from models import build


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder with keen, keen-int8 and a float-only keen-x2."""
    for name in ("keen", "keen-int8", "keen-x2"):
        build(tmp_path / f"{name}.onnx")
    monkeypatch.setattr(store, "MODELS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "prefer_int8", "stem"),
    [
        ("keen", False, "keen"),
        ("keen", True, "keen-int8"),
        ("keen-float", True, "keen"),
        ("keen-int8", False, "keen-int8"),
        ("keen-x2", True, "keen-x2"),
        ("keen-x2-float", False, "keen-x2"),
    ],
)
def test_names_resolve(shelf: Path, name: str, prefer_int8: bool, stem: str) -> None:
    assert store.find_model(name, prefer_int8) == shelf / f"{stem}.onnx"


def test_an_int8_only_model_is_found_by_its_plain_name(shelf: Path) -> None:
    (shelf / "keen.onnx").unlink()
    assert store.find_model("keen").stem == "keen-int8"


@pytest.mark.parametrize("name", ["kean", "", "keen-x2-int8", "keen-float-int8", "keen-int8-float"])
def test_an_unknown_name_lists_the_known_ones(shelf: Path, name: str) -> None:
    with pytest.raises(ModelError, match="keen, keen-int8, keen-x2"):
        store.find_model(name)


def test_paths_are_taken_as_they_are(shelf: Path) -> None:
    own = shelf / "keen.onnx"
    assert store.find_model(own) == own
    assert store.find_model(str(own)) == own
    with pytest.raises(ModelError, match="does not exist"):
        store.find_model("./absent.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        store.find_model(shelf / "absent")


def test_models_are_listed_by_name(shelf: Path) -> None:
    assert [spec.name for spec in store.list_models()] == ["keen", "keen-int8", "keen-x2"]


def test_a_changed_file_is_read_again(shelf: Path) -> None:
    path = shelf / "keen.onnx"
    before = store.read_spec(path)
    build(path, amount=0.7, version="2.0.1")
    after = store.read_spec(path)
    assert (before.version, after.version) == ("0", "2.0.1")
    assert before.sha256 != after.sha256
