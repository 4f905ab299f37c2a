"""onnxruntime-web behind the same interface: three engines give the same picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from keenframe import Sharpener

from .conftest import ORT
from .test_engine import NAMES, Plane, call, enlarged

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["call"]  # the fixture

pytestmark = pytest.mark.skipif(
    not (ORT / "ort.wasm.min.mjs").is_file(), reason="onnxruntime-web is not here: npm install in web/"
)

RUN = """async ([model, cases]) => {
  const { parseModel } = await import("/keenframe/model.js");
  const { WasmEngine, compileEngine } = await import("/keenframe/engine.js");
  const { OrtEngine } = await import("/keenframe/ort.js");
  const bytes = async (file) => new Uint8Array(await (await fetch(file)).arrayBuffer());
  const module = await compileEngine(location.origin + "/keenframe/");
  const parsed = parseModel((await bytes(`/keenframe/models/${model}.kfm`)).buffer);
  const [ort, onnx] = [`${location.origin}/isolated/ort/`, `${location.origin}/isolated/onnx/`];
  const engines = [new WasmEngine(parsed, module), await OrtEngine.create(parsed, module, ort, onnx)];
  const [planes, expected] = [await bytes("/files/case.in"), await bytes("/files/case.out")];
  const names = engines.map(({ name }) => name);
  const found = { engines: names, largest: [0, 0], differing: [0, 0], samples: expected.length };
  let at = 0;
  for (const { width, height, strength, still } of cases) {
    const size = width * height;
    for (const [which, engine] of engines.entries()) {
      const result = await engine.run(planes.subarray(at, at + size), width, height, strength, { still });
      const other = which ? found.last : expected.subarray(at, at + size);
      result.forEach((value, i) => {
        const difference = Math.abs(value - other[i]);
        found.largest[which] = Math.max(found.largest[which], difference);
        found.differing[which] += difference > 0;
      });
      found.last = result;
    }
    at += size;
  }
  return { ...found, last: null, isolated: crossOriginIsolated };
}"""


@pytest.mark.parametrize("path", ["pages", "isolated/pages"])
@pytest.mark.parametrize("model", NAMES)
def test_three_engines_agree(
    page: Page, site: str, files: Path, call: list[Plane], model: str, path: str
) -> None:
    """Ours against the Python runtime, and onnxruntime-web against ours; threads where the page is isolated."""
    page.goto(f"{site}/{path}/blank.html")
    planes = [*call[:5], *(enlarged(plane) for plane in call[:4]), call[9][:101, :77].copy(), call[9]]
    strengths = [1.0] * 7 + [0.6, 0.6, 1.0, 1.0]
    stills = [False] * 10 + [True]
    cases = list(zip(planes, strengths, stills, strict=True))
    with Sharpener(f"{model}-float", engine="onnxruntime", threads=1) as sharpener:
        results = [np.array(sharpener.sharpen(*case)) for case in cases]
    (files / "case.in").write_bytes(b"".join(plane.tobytes() for plane in planes))
    (files / "case.out").write_bytes(b"".join(result.tobytes() for result in results))
    described = [{"width": p.shape[1], "height": p.shape[0], "strength": s, "still": t} for p, s, t in cases]
    found: dict[str, Any] = page.evaluate(RUN, [model, described])
    assert found["engines"] == ["wasm", "onnxruntime"] and found["isolated"] == path.startswith("isolated")
    assert max(found["largest"]) <= 1
    assert max(found["differing"]) <= 1 + found["samples"] / 10_000


def test_a_stream_runs_on_it(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { Keenframe } = await import("/keenframe/keenframe.js");
      const { canvasTrack, until } = await import("/pages/frames.js");
      const keenframe = await Keenframe.load("keen", { engine: "onnxruntime", onnxruntime: "/ort", onnx: "/onnx" });
      const source = canvasTrack(160, 120);
      const handle = keenframe.attach(source.track, { level: 0 });
      const stats = await until(() => handle.stats()?.framesOut > 5 && handle.stats());
      keenframe.close();
      source.stop();
      return stats;
    }""")
    assert (found["errors"], found["passed"], found["levelName"]) == (0, 0, "keen")
