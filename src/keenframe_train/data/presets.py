"""Degradations by name, and the mix that `keen` trains on."""

from __future__ import annotations

from types import MappingProxyType

from keenframe_train.data import degradations as d
from keenframe_train.data.call import CALL, CALL_FULL, CALL_HALF
from keenframe_train.errors import TrainError

PRESETS: MappingProxyType[str, d.Degradation] = MappingProxyType(
    {
        "clean": d.Identity(),
        "r1": d.R1,
        "r2": d.R2,
        "r3": d.R3,
        "r4": d.R4,
        "r5": d.R5,
        "call": CALL,
        "call-full": CALL_FULL,
        "call-half": CALL_HALF,
    }
)


def preset(name: str) -> d.Degradation:
    """A preset by name. Raises TrainError with the known names."""
    try:
        return PRESETS[name]
    except KeyError:
        raise TrainError(f"unknown degradation '{name}'; known: {', '.join(PRESETS)}") from None


# Shares of the training mix. The wide R1/R2/R5 variants meet both Pillow's and OpenCV's way of shrinking.
KEEN_MIX: MappingProxyType[str, tuple[float, d.Degradation]] = MappingProxyType(
    {
        "clean": (0.05, d.Identity()),
        "r1": (0.10, d.DownUp(opencv_share=0.25)),
        "r2": (0.20, d.Compose((d.GaussianBlur((0.8, 2.6), (5, 7, 9)), d.DownUp(opencv_share=0.25)))),
        "r3": (0.10, d.R3),
        "r4": (0.03, d.R4),
        "call": (0.52, CALL),
    }
)
