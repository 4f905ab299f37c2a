"""Degradations: typed, seeded, composable. Each takes and gives one uint8 picture, gray or RGB.

A degradation is a frozen dataclass called with `(image, rng)`: image (H, W) or (H, W, 3) uint8, RGB order,
0-255; the result has the same shape and dtype, whatever happened in between, so that any two compose and every
result has its pristine twin (`Shrink` alone gives a smaller picture). All randomness comes from `rng`: one
seed, one picture.

The presets R1-R5 are those of the five source systems' reports, as far as these state them; where a report is
silent the choice is written beside the preset. The call preset, with real codecs, is in `call.py`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Uint8 = NDArray[np.uint8]
Kernel = Literal["nearest", "bilinear", "bicubic", "lanczos", "area"]
_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
}
_OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


class Degradation(Protocol):
    """A callable `(image, rng) -> image` that keeps shape and dtype."""

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8: ...


def resize(image: Uint8, width: int, height: int, kernel: Kernel, antialias: bool = True) -> Uint8:
    """Resize to (height, width). `antialias` widens the kernel when shrinking, as Pillow and MATLAB's imresize do;
    without it the kernel keeps its size, as in OpenCV and PyTorch, and shrinking aliases. "area", the mean of the
    pixels that each new one covers, is for shrinking: what libyuv's box filter does in a browser's call."""
    if antialias:
        return np.asarray(Image.fromarray(image).resize((width, height), _PILLOW[kernel]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=_OPENCV[kernel]), np.uint8)


@dataclass(frozen=True, slots=True)
class Compose:
    """One after the other."""

    steps: Sequence[Degradation]

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        for step in self.steps:
            image = step(image, rng)
        return image


@dataclass(frozen=True, slots=True)
class Sometimes:
    """`step` with the given probability, else nothing."""

    step: Degradation
    probability: float

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        return self.step(image, rng) if rng.random() < self.probability else image


@dataclass(frozen=True, slots=True)
class Identity:
    """Nothing: good frames belong in the mix, so that the network learns to leave them alone."""

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        return image


@dataclass(frozen=True, slots=True)
class GaussianBlur:
    """Gaussian blur with a kernel size drawn from `sizes` (odd pixels) and sigma from [low, high] pixels."""

    sigma: tuple[float, float]
    sizes: tuple[int, ...] = ()

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        sigma = float(rng.uniform(*self.sigma))
        size = int(rng.choice(self.sizes)) if self.sizes else 2 * max(1, round(3 * sigma)) + 1
        return np.asarray(cv2.GaussianBlur(image, (size, size), sigma), np.uint8)


@dataclass(frozen=True, slots=True)
class MotionBlur:
    """Straight camera shake: a line of `length` pixels [low, high] at a random angle."""

    length: tuple[float, float] = (3.0, 9.0)

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        length = float(rng.uniform(*self.length))
        angle = float(rng.uniform(0.0, np.pi))
        size = 2 * int(np.ceil(length / 2)) + 1
        canvas = np.zeros((size, size), np.float32)
        half = size // 2
        for t in np.linspace(-length / 2, length / 2, 8 * size):
            x, y = half + t * np.cos(angle), half + t * np.sin(angle)
            column, row = int(np.floor(x)), int(np.floor(y))
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                if 0 <= row + dy < size and 0 <= column + dx < size:
                    canvas[row + dy, column + dx] += (1 - abs(y - row - dy)) * (1 - abs(x - column - dx))
        return np.asarray(
            cv2.filter2D(image, -1, canvas / canvas.sum(), borderType=cv2.BORDER_REFLECT_101), np.uint8
        )


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """White sensor noise of standard deviation [low, high] code values."""

    sigma: tuple[float, float]

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        sigma = np.float32(rng.uniform(*self.sigma))
        noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Jpeg:
    """JPEG at a quality from [low, high], Pillow's default 4:2:0."""

    quality: tuple[int, int]

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        buffer = io.BytesIO()
        Image.fromarray(image).save(
            buffer, "JPEG", quality=int(rng.integers(self.quality[0], self.quality[1] + 1))
        )
        with Image.open(buffer) as decoded:
            return np.asarray(decoded.convert("L" if image.ndim == 2 else "RGB"))


@dataclass(frozen=True, slots=True)
class DownUp:
    """Shrink by a factor and enlarge back; each kernel drawn from its list, the factor from `factors`.

    `opencv_share`: how often OpenCV resizes, whose kernels do not anti-alias, since both kinds of pair are met in the
    field: to undo the one is not to undo the other.
    """

    factors: tuple[float, ...] = (2.0,)
    down: tuple[Kernel, ...] = ("bicubic", "bilinear")
    up: tuple[Kernel, ...] = ("bicubic", "bilinear")
    same_kernel: bool = False
    opencv_share: float = 0.0

    def small(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        """The picture as it is between shrinking and enlarging, for the same random numbers."""
        return self._shrunk(image, rng)[0]

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        small, up, antialias = self._shrunk(image, rng)
        return resize(small, image.shape[1], image.shape[0], up, antialias)

    def _shrunk(self, image: Uint8, rng: np.random.Generator) -> tuple[Uint8, Kernel, bool]:
        height, width = image.shape[:2]
        factor = float(rng.choice(self.factors))
        down: Kernel = self.down[int(rng.integers(len(self.down)))]
        up: Kernel = down if self.same_kernel else self.up[int(rng.integers(len(self.up)))]
        antialias = bool(rng.random() >= self.opencv_share)
        small = resize(image, max(1, round(width / factor)), max(1, round(height / factor)), down, antialias)
        return small, up, antialias


@dataclass(frozen=True, slots=True)
class SliceLoss:
    """Simulated loss in transmission: runs of macroblocks in a row, filled with the line of pixels above them.

    That is what a decoder's simple spatial concealment shows. `losses`: how many runs [low, high].
    """

    losses: tuple[int, int] = (1, 2)
    macroblock: int = 16

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        result = image.copy()
        rows = image.shape[0] // self.macroblock
        columns = image.shape[1] // self.macroblock
        if rows < 2 or columns < 1:
            return result
        for _ in range(int(rng.integers(self.losses[0], self.losses[1] + 1))):
            row = int(rng.integers(1, rows)) * self.macroblock
            start = int(rng.integers(0, columns)) * self.macroblock
            end = min(image.shape[1], start + int(rng.integers(1, columns + 1)) * self.macroblock)
            result[row : row + self.macroblock, start:end] = result[row - 1 : row, start:end]
        return result


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Brightness, contrast and saturation, each drawn from 1 ± its amount (R4: degraded inputs only)."""

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        x = image.astype(np.float32) * rng.uniform(1 - self.brightness, 1 + self.brightness)
        x = (x - x.mean()) * rng.uniform(1 - self.contrast, 1 + self.contrast) + x.mean()
        if image.ndim == 3:
            gray = x @ np.array([0.299, 0.587, 0.114], np.float32)
            x = gray[..., None] + (x - gray[..., None]) * rng.uniform(
                1 - self.saturation, 1 + self.saturation
            )
        return np.clip(np.rint(x), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Shrink:
    """Shrink by a whole factor and leave it small: the input of a network that enlarges by itself."""

    factor: int = 2
    kernels: tuple[Kernel, ...] = ("bicubic", "bilinear")
    opencv_share: float = 0.5

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        kernel: Kernel = self.kernels[int(rng.integers(len(self.kernels)))]
        height, width = image.shape[0] // self.factor, image.shape[1] // self.factor
        return resize(image, width, height, kernel, bool(rng.random() >= self.opencv_share))


# R1: x2 down and up, bicubic or bilinear; the report names no library. Pillow's kernels, which are the literature's;
# `R1_OPENCV` is the same with those of OpenCV and PyTorch.
R1 = DownUp(same_kernel=True)
R1_OPENCV = DownUp(same_kernel=True, opencv_share=1.0)
# R2: blur 5/7/9, sigma 1.0-2.5, then 640x480 -> 320x240 -> 640x480.
R2 = Compose((GaussianBlur((1.0, 2.5), (5, 7, 9)), DownUp()))
# R3 names the kinds, not their strengths: moderate ones, as a call has them.
R3 = Compose(
    (
        Sometimes(MotionBlur((2.0, 7.0)), 0.5),
        DownUp(factors=(1.5, 2.0, 3.0)),
        GaussianNoise((0.0, 8.0)),
        Jpeg((30, 90)),
        Sometimes(SliceLoss(), 0.1),
    )
)
# R4 as a teacher sees it: x4 down (bicubic or nearest), JPEG 5-35, noise half of the time, x4 bicubic up.
# The noise strength is not stated: up to 15 code values.


@dataclass(frozen=True, slots=True)
class SmallThenUp:
    """Shrink by `factor`, apply `inside` at the small size, enlarge back."""

    factor: int
    inside: Degradation
    down: tuple[Kernel, ...] = ("bicubic", "nearest")
    up: Kernel = "bicubic"

    def small(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        """The small degraded picture, (H / factor, W / factor)."""
        height, width = image.shape[:2]
        kernel: Kernel = self.down[int(rng.integers(len(self.down)))]
        return self.inside(
            resize(image, max(1, width // self.factor), max(1, height // self.factor), kernel), rng
        )

    def __call__(self, image: Uint8, rng: np.random.Generator) -> Uint8:
        return resize(self.small(image, rng), image.shape[1], image.shape[0], self.up)


R4 = SmallThenUp(4, Compose((Jpeg((5, 35)), Sometimes(GaussianNoise((0.0, 15.0)), 0.5))))
# R5: bicubic or bilinear down and up, 256x256 windows; the factor is not stated: 2.
R5 = DownUp()
