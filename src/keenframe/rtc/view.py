"""The size that a viewer looks at: a browser short of bitrate sends smaller pictures, which are enlarged again."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from keenframe.errors import InputError

if TYPE_CHECKING:
    import av

# Frames are not enlarged beyond this; larger ones are left as they come.
_PIXELS_MAX = 1920 * 1080
# A browser rounds the sides of smaller pictures; another shape than this differs from is another picture.
_SHAPE_TOLERANCE = 0.03
_FIXED = re.compile(r"(\d{2,4})x(\d{2,4})")


@dataclass(frozen=True, slots=True)
class View:
    """Which size frames are enlarged to before they are sharpened.

    kind: "largest", the largest of the stream's present shape so far; "same", none; "fixed", width x height.
    """

    kind: Literal["largest", "same", "fixed"] = "largest"
    width: int = 0
    height: int = 0

    @classmethod
    def parse(cls, text: str) -> View:
        """ "largest", "same" or "WIDTHxHEIGHT", of even sides. InputError for anything else."""
        if text in ("largest", "same"):
            return cls(cast(Literal["largest", "same"], text))
        match = _FIXED.fullmatch(text)
        width, height = (int(match[1]), int(match[2])) if match else (0, 0)
        if not match or width % 2 or height % 2 or width * height > _PIXELS_MAX or min(width, height) < 16:
            raise InputError(
                f"size is {text!r}; expected 'largest', 'same' or WIDTHxHEIGHT such as 1280x720, even, at least 16 "
                "and not more than 1920x1080 pixels"
            )
        return cls("fixed", width, height)


class Enlarger:
    """Enlarges one stream's frames to what `view` says; never makes them smaller.

    Bilinearly, as browsers do it for their viewers: that is what the models were trained on, and sharpened from there
    received frames come nearer to what was sent than from sharper filters (benchmarks/relay.py).
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._width, self._height = view.width, view.height

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame enlarged, with its time; itself where it is large enough."""
        from av.video.reformatter import Interpolation

        width, height = self._target(frame.width, frame.height)
        if (width, height) == (frame.width, frame.height):
            return frame
        large = frame.reformat(width, height, interpolation=Interpolation.BILINEAR)
        large.pts, large.time_base = frame.pts, frame.time_base
        return large

    def _target(self, width: int, height: int) -> tuple[int, int]:
        if self._view.kind == "same":
            return width, height
        if self._view.kind == "largest" and (
            width * height > self._width * self._height or not self._is_shaped(width, height)
        ):
            self._width, self._height = width, height
        if width >= self._width or height >= self._height:
            return width, height
        scale = min(self._width / width, self._height / height, math.sqrt(_PIXELS_MAX / (width * height)))
        if scale <= 1:
            return width, height
        if self._is_shaped(width, height) and self._width * self._height <= _PIXELS_MAX:
            return self._width, self._height
        return round(width * scale / 2) * 2, round(height * scale / 2) * 2

    def _is_shaped(self, width: int, height: int) -> bool:
        """Whether this size has the view's shape, but for what a browser rounds."""
        return abs(self._width * height - self._height * width) <= _SHAPE_TOLERANCE * self._height * width
