"""The Python of docs/export.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from keenframe import Sharpener
from keenframe.zoo.store import MODELS
from keenframe_train.data.degradations import resize
from keenframe_train.export import parity
from keenframe_train.export.convert import convert

from .conftest import picture

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def test_the_pages_python_sharpens_as_the_runtime_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'keenframe[export]'")
    monkeypatch.setattr(parity, "_TIMED", 1)
    convert(MODELS / "keen.onnx", "litert", tmp_path / "models", size=(640, 360))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    exec(code, space)
    clear = picture(9, 360, 640)[..., 1]
    blurred = resize(resize(clear, 320, 180, "bicubic"), 640, 360, "bilinear")
    with Sharpener("keen-float", "onnxruntime", threads=1) as sharpener:
        for luma in (blurred, clear):  # one for each expert
            found = space["sharpen"](luma)  # type: ignore[operator]
            expected = sharpener.sharpen(luma)
            assert found.shape == luma.shape and found.dtype == np.uint8
            apart = np.abs(found.astype(int) - expected).mean()
            assert apart < 0.25
            # What INT8 rounds is little against what the network does to a blurred picture.
            assert luma is clear or np.abs(expected.astype(int) - luma).mean() > 2 * apart
