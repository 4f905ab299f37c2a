"""A real WebRTC call through keenframe.js: what is received comes closer to what was sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from keenframe.frame import Frame
from keenframe.zoo.store import MODELS

from .calls import Plane, run_call

if TYPE_CHECKING:
    from playwright.sync_api import Page

REFERENCE = MODELS.parent.parent / "samples" / "call-reference.mp4"


@pytest.fixture(scope="module")
def scene() -> list[Plane]:
    """The embedded call before it was sent, cut to 640x360."""
    with av.open(str(REFERENCE)) as container:
        planes = [np.array(Frame.from_av(frame).luma)[60:420] for frame in container.decode(video=0)]
    assert planes[0].shape == (360, 640)
    return planes


def test_a_received_call_gains(page: Page, files: Path, scene: list[Plane]) -> None:
    # Pinned: how many frames a busy machine passes is another matter. And shrunk, as 30 frames a second at this bitrate
    # are by the browser: a busy machine sends few frames, which then come clear and at full size.
    score = run_call(page, files, scene, load={"level": 0}, shrink=2)
    print(score)
    assert score.stats["errors"] == 0 and score.frames == 40
    # As measured: about +1 dB and +0.02.
    assert score.gain_db > 0.3 and score.gain_ssim > 0.005, score
