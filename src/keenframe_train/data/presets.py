"""Degradations by name, and the mixes that networks train on: those of `keen`, and the five reports' own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from keenframe_train.data import degradations as d
from keenframe_train.data.call import CALL, CALL_FULL, CALL_HALF, CALL_QUARTER, Call
from keenframe_train.errors import TrainError


@dataclass(frozen=True, slots=True)
class Received:
    """A call's frame as it arrives, before the viewer enlarges it."""

    call: Call

    def __call__(self, image: d.Uint8, rng: np.random.Generator) -> d.Uint8:
        return self.call.received(image, rng)


@dataclass(frozen=True, slots=True)
class Small:
    """R4 as its student sees it: the small picture, before the teacher's enlargement."""

    whole: d.SmallThenUp

    def __call__(self, image: d.Uint8, rng: np.random.Generator) -> d.Uint8:
        return self.whole.small(image, rng)


PRESETS: MappingProxyType[str, d.Degradation] = MappingProxyType(
    {
        "clean": d.Identity(),
        "r1": d.R1,
        "r1-opencv": d.R1_OPENCV,
        "r2": d.R2,
        "r3": d.R3,
        "r4": d.R4,
        "r5": d.R5,
        "call": CALL,
        "call-full": CALL_FULL,
        "call-half": CALL_HALF,
        # For networks that enlarge by themselves: half or a quarter of the size comes back.
        "x2": d.Shrink(kernels=("bicubic",), opencv_share=0.0),
        "received-half": Received(CALL_HALF),
        "r4-small": Small(d.R4),
        "x4": d.Shrink(4, kernels=("bicubic",), opencv_share=0.0),
        "received-quarter": Received(CALL_QUARTER),
    }
)


def preset(name: str) -> d.Degradation:
    """A preset by name. Raises TrainError with the known names."""
    try:
        return PRESETS[name]
    except KeyError:
        raise TrainError(f"unknown degradation '{name}'; known: {', '.join(PRESETS)}") from None


@dataclass(frozen=True, slots=True)
class Mix:
    """Degradations with their shares; `scale` is how much larger the pristine picture is than the result.

    validation: the presets that a run on this mix is judged by. camera: what the pristine picture itself has been
    through; it is the target all the same. filmed: the degradations whose pictures have; none named: all.
    shrunk: share of the pictures that are shrunk to 0.45-0.75 first, which leaves nothing of their own compression.
    drawn: the degradations whose pictures are `scenes.scene`s. screens: those whose pictures are drawn screens of
    every kind in `render`, filmed only where `filmed` names them. subjects: those whose pictures are of these
    categories alone, where the data has any.
    """

    shares: MappingProxyType[str, tuple[float, d.Degradation]]
    validation: tuple[str, ...]
    scale: int = 1
    camera: d.Degradation | None = None
    filmed: tuple[str, ...] = ()
    shrunk: float = 0.0
    # Not among what names a bank's mix: the banks that were made before there were any say nothing of it.
    drawn: tuple[str, ...] = field(default=(), repr=False)
    screens: tuple[str, ...] = field(default=(), repr=False)
    subjects: MappingProxyType[str, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )


def _one(name: str, scale: int = 1) -> Mix:
    """A preset alone, on which a run is judged too."""
    return Mix(MappingProxyType({name: (1.0, preset(name))}), (name,), scale)


# Webcams are softer and noisier than photographs, and have been compressed once.
WEBCAM = d.Sometimes(
    d.Compose(
        (
            d.DownUp((1.0, 1.15, 1.3, 1.5), up=("bicubic",)),
            d.Sometimes(d.GaussianNoise((0.0, 4.0)), 0.5),
            d.Sometimes(d.Jpeg((60, 95)), 0.5),
        )
    ),
    0.7,
)
# For the rule between experts a camera is soft without having enlarged anything: what enlarging leaves in a picture is
# what the rule looks for, and a picture that shows it should be sharpened, whoever enlarged it.
SOFT_CAMERA = d.Sometimes(
    d.Compose(
        (
            d.GaussianBlur((0.3, 0.8), (5, 7)),
            d.Sometimes(d.GaussianNoise((0.0, 4.0)), 0.5),
            d.Sometimes(d.Jpeg((60, 95)), 0.5),
        )
    ),
    0.7,
)
_CALL_SMALL = Call(scales=tuple(item for item in CALL.scales if item[0] > 1))
# What is hardest to tell apart: frames of full size that a codec has smoothed, and frames that were enlarged a little.
_SMOOTHED = replace(CALL_FULL, codecs={"h264": 0.2, "vp8": 0.1, "vp9": 0.2, "hevc": 0.3, "av1": 0.2})
_NEARLY_FULL = replace(_CALL_SMALL, scales=((4 / 3, 0.3), (1.5, 0.4), (2, 0.3)))
_WIDE_BLUR = d.GaussianBlur((0.8, 2.6), (5, 7, 9))
# The wide variants meet Pillow's and OpenCV's kernels alike, bicubic ones more often than their share of the four
# combinations of shrinking and enlarging: they leave the least to see and are the first that anyone tries.
_WIDE_R1 = d.DownUp(
    down=("bicubic", "bicubic", "bilinear"), up=("bicubic", "bicubic", "bilinear"), opencv_share=0.5
)
_WIDE_R2 = d.Compose((_WIDE_BLUR, _WIDE_R1))
_WIDE_R3 = d.Compose(
    tuple(replace(step, opencv_share=0.5) if isinstance(step, d.DownUp) else step for step in d.R3.steps)
)
# What became of a still by any factor and any kernel before it was stored, or after.
_RESIZED = d.DownUp(
    (1.25, 4 / 3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0),
    down=("bicubic", "bicubic", "bilinear", "area", "lanczos"),
    up=("bicubic", "bicubic", "bilinear", "lanczos"),
    opencv_share=0.3,
)
_FILMED = ("games", "nature", "people", "photo")
_R1 = {"r1": (0.5, d.R1), "r1-bicubic": (0.5, d.DownUp(down=("bicubic",), up=("bicubic",)))}
MIXES: MappingProxyType[str, Mix] = MappingProxyType(
    {
        "keen": Mix(
            MappingProxyType(
                {
                    "clean": (0.03, d.Identity()),
                    "r1": (0.14, _WIDE_R1),
                    "r2": (0.16, _WIDE_R2),
                    "r3": (0.10, _WIDE_R3),
                    "r4": (0.04, d.R4),
                    "call-small": (0.16, _CALL_SMALL),
                    # Who learns from photographs alone sharpens a webcam's soft picture half as much again as is right.
                    "call-webcam": (0.16, _CALL_SMALL),
                    # The experts' for full size, here for what trains one network on everything.
                    "call-full": (0.03, CALL_FULL),
                    # Edges beside plain walls, of which photographs have few and webcams' pictures consist.
                    "call-small-scenes": (0.12, _CALL_SMALL),
                    "r1-scenes": (0.03, _WIDE_R1),
                    "r2-scenes": (0.03, _WIDE_R2),
                }
            ),
            ("r1", "r1-opencv", "r2", "r3", "call-half", "call-full", "clean"),
            camera=WEBCAM,
            filmed=("call-webcam",),
            drawn=("call-small-scenes", "r1-scenes", "r2-scenes"),
        ),
        # A bank of its own for the expert that has little to win and meets the most noise in what it learns from.
        "keen-full": Mix(
            MappingProxyType(
                {
                    "clean": (0.04, d.Identity()),
                    "call-full": (0.48, CALL_FULL),
                    # A codec leaves other errors in a webcam's soft and noisy picture than in a photograph.
                    "call-full-webcam": (0.20, CALL_FULL),
                    # What it leaves around edges can be told from detail only by who has seen edges beside nothing.
                    "call-full-scenes": (0.28, CALL_FULL),
                }
            ),
            ("call-full", "clean"),
            camera=WEBCAM,
            filmed=("call-full-webcam",),
            drawn=("call-full-scenes",),
            # Text and screens have an expert of their own.
            subjects=MappingProxyType({"call-full": _FILMED, "call-full-webcam": _FILMED}),
        ),
        # Text, screens and all that is drawn with sharp edges on even grounds. The other pictures are there so that a
        # mistake of the rule's, or a face in a shared window, costs little.
        "keen-screens": Mix(
            MappingProxyType(
                {
                    "clean": (0.03, d.Identity()),
                    "call-full-drawn": (0.40, CALL_FULL),
                    "call-full-screens": (0.32, CALL_FULL),
                    "call-full": (0.15, CALL_FULL),
                    "call-full-scenes": (0.10, CALL_FULL),
                }
            ),
            ("call-full", "clean"),
            drawn=("call-full-scenes",),
            screens=("call-full-drawn",),
            subjects=MappingProxyType({"call-full-screens": ("screen", "text")}),
        ),
        # The same for what was enlarged, blurred or noisy; a quarter is pictures and scenes.
        "keen-screens-enlarged": Mix(
            MappingProxyType(
                {
                    "clean": (0.02, d.Identity()),
                    "r1-drawn": (0.09, _WIDE_R1),
                    "r1-screens": (0.10, _WIDE_R1),
                    "r2-drawn": (0.07, _WIDE_R2),
                    "r2-screens": (0.07, _WIDE_R2),
                    "r3-drawn": (0.06, _WIDE_R3),
                    "r3-screens": (0.06, _WIDE_R3),
                    "call-small-drawn": (0.16, _CALL_SMALL),
                    "call-small-screens": (0.13, _CALL_SMALL),
                    "r1": (0.05, _WIDE_R1),
                    "r2": (0.04, _WIDE_R2),
                    "r3": (0.03, _WIDE_R3),
                    "call-small": (0.06, _CALL_SMALL),
                    "r1-scenes": (0.02, _WIDE_R1),
                    "call-small-scenes": (0.04, _CALL_SMALL),
                }
            ),
            ("r1", "r2", "r3", "call-half", "clean"),
            drawn=("r1-scenes", "call-small-scenes"),
            screens=("r1-drawn", "r2-drawn", "r3-drawn", "call-small-drawn"),
            subjects=MappingProxyType(
                {
                    name: ("screen", "text")
                    for name in ("r1-screens", "r2-screens", "r3-screens", "call-small-screens")
                }
            ),
        ),
        # What the rule between keen's experts is fitted on: a soft picture is not an enlarged one.
        "keen-route": Mix(
            MappingProxyType(
                {
                    "clean": (0.05, d.Identity()),
                    "r1": (0.06, _WIDE_R1),
                    "r2": (0.12, _WIDE_R2),
                    # The hardest to tell from compressed frames of full size: soft, noisy, blocky, and not enlarged.
                    "r3": (0.16, _WIDE_R3),
                    "r4": (0.05, d.R4),
                    "call-small": (0.20, _CALL_SMALL),
                    "call-full": (0.20, CALL_FULL),
                    # Where there is little but edges, the numbers of a frame are not those of a photograph.
                    "call-small-scenes": (0.08, _CALL_SMALL),
                    "call-full-scenes": (0.08, CALL_FULL),
                    "call-small-drawn": (0.06, _CALL_SMALL),
                    "call-full-drawn": (0.10, CALL_FULL),
                }
            ),
            ("call-half", "call-full"),
            camera=SOFT_CAMERA,
            drawn=("call-small-scenes", "call-full-scenes"),
            screens=("call-small-drawn", "call-full-drawn"),
        ),
        # The rule's second bank, without a camera and with more frames of full size than `keen` has: fitted on `keen`
        # itself it took soft HEVC frames of full size for enlarged ones (docs/log.md).
        "keen-rule": Mix(
            MappingProxyType(
                {
                    "clean": (0.04, d.Identity()),
                    "r1": (0.07, _WIDE_R1),
                    "r2": (0.17, _WIDE_R2),
                    "r3": (0.08, _WIDE_R3),
                    "r4": (0.02, d.R4),
                    "call-small": (0.27, _CALL_SMALL),
                    "call-full": (0.35, CALL_FULL),
                }
            ),
            ("r1", "r2", "r3", "call-half", "call-full", "clean"),
        ),
        # Of soft pictures most are sharpened by mistake where a strong codec took what little detail they had, or where
        # nothing happened to them at all.
        "keen-soft": Mix(
            MappingProxyType(
                {
                    "clean": (0.16, d.Identity()),
                    "call-full": (0.40, _SMOOTHED),
                    "call-small": (0.24, _NEARLY_FULL),
                    "r1": (0.08, _WIDE_R1),
                    "r2": (0.04, _WIDE_R2),
                    "r3": (0.08, _WIDE_R3),
                }
            ),
            ("call-full", "clean"),
            camera=SOFT_CAMERA,
        ),
        # And what is to be sharpened all the same.
        "keen-enlarged": Mix(
            MappingProxyType(
                {
                    "call-full": (0.08, _SMOOTHED),
                    "call-small": (0.22, _CALL_SMALL),
                    "r1": (0.15, _WIDE_R1),
                    "r2": (0.20, _WIDE_R2),
                    "r3": (0.35, _WIDE_R3),
                }
            ),
            ("r1", "r2", "r3", "call-half"),
            camera=SOFT_CAMERA,
            filmed=("call-full",),
        ),
        # Pictures rather than calls: enlarged by whatever factor without a codec between, stored as JPEG before or
        # after, or JPEG and nothing else, which is to be left alone.
        "keen-stills": Mix(
            MappingProxyType(
                {
                    "clean": (0.06, d.Identity()),
                    "resized": (0.30, _RESIZED),
                    "resized-webcam": (0.20, _RESIZED),
                    "resized-jpeg": (0.12, d.Compose((_RESIZED, d.Jpeg((40, 95))))),
                    "jpeg": (0.22, d.Jpeg((15, 95))),
                    "jpeg-webcam": (0.06, d.Jpeg((15, 95))),
                    "pixels": (0.04, d.DownUp((2.0, 3.0), up=("nearest",))),
                }
            ),
            ("r1", "r1-opencv", "clean"),
            camera=SOFT_CAMERA,
            filmed=("resized-webcam", "jpeg-webcam"),
        ),
        "keen-x2": Mix(
            MappingProxyType(
                {
                    "x2": (0.28, d.Shrink(kernels=("bicubic", "bicubic", "bilinear"))),
                    "blur-x2": (0.14, d.Compose((_WIDE_BLUR, d.Shrink()))),
                    "call-half": (0.58, Received(CALL_HALF)),
                }
            ),
            ("x2", "received-half"),
            scale=2,
        ),
        "keen-x4": Mix(
            MappingProxyType(
                {
                    "x4": (0.25, d.Shrink(4)),
                    "blur-x4": (0.1, d.Compose((_WIDE_BLUR, d.Shrink(4)))),
                    "call-quarter": (0.65, Received(CALL_QUARTER)),
                }
            ),
            ("x4", "received-quarter"),
            scale=4,
        ),
        # Bicubic ones leave the least to see and what is left is the hardest to undo, so three of four are.
        "r1": Mix(MappingProxyType(_R1), ("r1",)),
        # For the last steps of a network that is to do well on pictures without any traces of a codec.
        "r1-shrunk": Mix(MappingProxyType(_R1), ("r1",), shrunk=0.6),
        "r2": _one("r2"),
        "r3": _one("r3"),
        # R4's student takes the small picture, its teacher that picture enlarged.
        "r4": _one("r4-small", scale=4),
        "r5": _one("r5"),
        "call": _one("call"),
    }
)

# How often the experts for enlarged frames are shown each kind of `keen`; `call-full` is the other experts'.
ENLARGED_SHARES = {
    "clean": 0.02, "r1": 0.24, "r2": 0.19, "r3": 0.11, "r4": 0.05, "call-small": 0.12, "call-webcam": 0.14,
    "call-small-scenes": 0.09, "r1-scenes": 0.02, "r2-scenes": 0.02,
}  # fmt: skip


def mix(name: str) -> Mix:
    """A mix by name. Raises TrainError with the known names."""
    try:
        return MIXES[name]
    except KeyError:
        raise TrainError(f"unknown mix '{name}'; known: {', '.join(MIXES)}") from None
