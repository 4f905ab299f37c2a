from __future__ import annotations

import subprocess
import sys

import pytest

import keenframe
from keenframe import errors

HEAVY = ("numpy", "av", "openvino", "onnxruntime", "torch", "onnx")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    loaded = run(f"import sys, keenframe; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded == "[]"


def test_sharpening_needs_neither_torch_nor_onnx() -> None:
    code = "import sys; from keenframe import Sharpener; print('torch' in sys.modules, 'onnx' in sys.modules)"
    assert run(code) == "False False"


@pytest.mark.parametrize("name", sorted(set(keenframe.__all__)))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(keenframe, name)
    assert name in dir(keenframe)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Sharpner"):
        _ = keenframe.Sharpner


def test_every_error_is_a_keenframe_error_and_drawn_in_the_tree() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, errors.KeenframeError)
            assert name in (errors.__doc__ or "")
    assert issubclass(errors.InputError, ValueError)
