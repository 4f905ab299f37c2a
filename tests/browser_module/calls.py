"""A real call within a page, measured: for the test and for `benchmarks/browser.py`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keenframe.metrics import psnr, ssim

if TYPE_CHECKING:
    from playwright.sync_api import Page

Plane = NDArray[np.uint8]
# Rows of the clip that hold the frame's number, and are not judged.
NUMBER_ROWS = 16

RUN = """async ([model, load, options]) => {
  const { Keenframe } = await import("/keenframe/keenframe.js");
  const { call } = await import("/pages/call.js");
  const keenframe = await Keenframe.load(model, load);
  try {
    return await call(keenframe, options);
  } finally {
    keenframe.close();
  }
}"""
PLANE = """async ([index, which]) => (await import("/pages/call.js")).planeOf(index, which)"""


@dataclass(frozen=True)
class CallScore:
    """Means over the received frames. stats: keenframe's own, with the sizes that arrived."""

    before_db: float
    after_db: float
    before_ssim: float
    after_ssim: float
    frames: int
    stats: dict[str, Any]

    @property
    def gain_db(self) -> float:
        """What sharpening brought, in dB of PSNR-Y."""
        return self.after_db - self.before_db

    @property
    def gain_ssim(self) -> float:
        """What sharpening brought, in SSIM of luma."""
        return self.after_ssim - self.before_ssim


def run_call(
    page: Page,
    files: Path,
    clip: Sequence[Plane],
    *,
    model: str | Sequence[str] = "keen",
    load: dict[str, Any] | None = None,
    kbps: int = 150,
    fps: int = 30,
    codec: str = "VP8",
    shrink: int = 1,
    settle_s: float = 8.0,
    wanted: int = 40,
    patience_s: float = 60.0,
) -> CallScore:
    """Send luma planes of one size from the page to itself and judge what arrives against them.

    shrink: how much smaller it is sent at most; the browser shrinks it itself as far as the bitrate asks for.
    files: the folder that the page sees as /files. model, load: as `Keenframe.load` takes them.
    """
    height, width = clip[0].shape
    (files / "clip.y").write_bytes(b"".join(plane.tobytes() for plane in clip))
    options = {
        "clip": "/files/clip.y", "width": width, "height": height, "frames": len(clip), "fps": fps, "codec": codec,
        "kbps": kbps, "shrink": shrink, "settleMs": 1000 * settle_s, "wanted": wanted, "patienceMs": 1000 * patience_s,
    }  # fmt: skip
    stats = page.evaluate(RUN, [model if isinstance(model, str) else list(model), load or {}, options])
    scores = []
    for index in range(wanted):
        number = page.evaluate("(index) => window.kept[index].number", index)
        planes = [
            _plane(page.evaluate(PLANE, [index, which]), clip[0].shape) for which in ("before", "after")
        ]
        source = clip[number][NUMBER_ROWS:]
        scores.append([judge(plane[NUMBER_ROWS:], source) for plane in planes for judge in (psnr, ssim)])
    before_db, before_ssim, after_db, after_ssim = np.mean(scores, axis=0).tolist()
    return CallScore(before_db, after_db, before_ssim, after_ssim, len(scores), stats)


def _plane(text: str, shape: tuple[int, ...]) -> Plane:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)
