"""What distillation compares beside pixels: features tapped inside networks, and descriptors of edges."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keenframe_train.errors import TrainError

GRID = 16  # affinities compare at most GRID x GRID positions, so their memory is bounded: 256 x 256 a picture
ORIENTATIONS = 8
CELL = 4  # pixels
CELLS = 4  # cells along a descriptor's edge, as in SIFT


def default_taps(module: nn.Module) -> tuple[str, ...]:
    """Names of the submodules whose outputs are worth comparing, shallow to deep.

    A network's own `taps`. Raises TrainError for a network that names none.
    """
    names = tuple(getattr(module, "taps", ()))
    if not names:
        raise TrainError(f"{type(module).__name__} names no taps; name the layers to compare")
    return names


def paired_taps(student: nn.Module, teacher: nn.Module) -> tuple[tuple[str, str], ...]:
    """The default taps of both, (student's, teacher's): the longer list is thinned evenly, the deepest stay."""
    lists = default_taps(student), default_taps(teacher)
    count = min(map(len, lists))
    first, second = ([names[len(names) * (i + 1) // count - 1] for i in range(count)] for names in lists)
    return tuple(zip(first, second, strict=True))


@contextmanager
def recording(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within the block, the outputs of the named submodules by name, each as its last run gave it.

    Raises TrainError for a name that the network does not have.
    """
    known = dict(module.named_modules())
    seen: dict[str, Tensor] = {}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or [key for key in known if key][:8]
            raise TrainError(f"{type(module).__name__} has no layer '{name}' to tap; near: {', '.join(near)}")

    def keep(name: str, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise TrainError(
                f"tap '{name}' of {type(module).__name__} gives {getattr(output, 'shape', type(output))}; "
                "expected a tensor (N, C, H, W): tap a convolution or a block"
            )
        seen[name] = output

    handles = [
        known[name].register_forward_hook(lambda _layer, _inputs, output, name=name: keep(name, output))
        for name in dict.fromkeys(names)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def tapped(seen: dict[str, Tensor], name: str, module: nn.Module) -> Tensor:
    """The output of one tap. Raises TrainError when it never fired."""
    if name not in seen:
        raise TrainError(
            f"tap '{name}' of {type(module).__name__} never fired; those that did: {', '.join(seen) or 'none'}. "
            "Run the student within `distillation.watch()`, and tap a layer that `forward` calls as a module"
        )
    return seen[name]


def aligned(features: Tensor, size: Sequence[int]) -> Tensor:
    """Features brought to another resolution: averaged over areas where that is smaller, else bilinear."""
    if tuple(features.shape[2:]) == tuple(size):
        return features
    if features.shape[2] >= size[0] and features.shape[3] >= size[1]:
        return F.adaptive_avg_pool2d(features, tuple(size))
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)


def unit(features: Tensor) -> Tensor:
    """Each picture's features over their root mean square, which no gradient passes: any network's at one scale.

    By the picture and not by the batch, so that a batch that is split among processes gives the same gradient.
    """
    size = features.detach().float().square().mean((1, 2, 3), keepdim=True).sqrt()
    return features / size.clamp_min(1e-12)


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean square difference from the teacher's features (FitNets, Romero et al. 2015), both (N, C, ., .).

    Measured at the student's resolution and with the teacher's at unit strength: the share of the teacher's
    features that the student's do not explain, 0 when equal to them, 1 for a silent student.
    """
    return (student - unit(aligned(teacher, student.shape[2:]))).square().mean()


def affinity(features: Tensor, grid: Sequence[int]) -> Tensor:
    """(N, C, H, W) -> (N, P, P): cosine of every two positions' channels, P = grid[0] * grid[1] areas."""
    vectors = F.normalize(F.adaptive_avg_pool2d(features, tuple(grid)).flatten(2), dim=1)
    return vectors.transpose(1, 2) @ vectors


def affinity_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute difference of the spatial affinities (FAKD, He et al. 2020); channels may differ.

    Both are averaged to the coarser resolution of the two, at most GRID x GRID.
    """
    grid = [min(GRID, a, b) for a, b in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    return (affinity(student, grid) - affinity(teacher, grid)).abs().mean()


def descriptors(x: Tensor) -> Tensor:
    """SIFT-like descriptors of a picture (N, C, H, W) in 0-1 -> (N, 128, L), length 1 where there are edges.

    Each of CELLS x CELLS cells of CELL x CELL pixels holds ORIENTATIONS bins: the mean strength of the gradient
    along each direction where positive. That is the soft, smooth form of SIFT's histogram (Lowe 2004) that DAISY
    takes (Tola et al. 2010): no angle is computed, so flat areas have a gradient to learn from. Descriptors
    overlap by half. Channels are averaged first. TrainError below 18 x 18 pixels.
    """
    edge = CELL * CELLS + 2
    if min(x.shape[2:]) < edge:
        raise TrainError(
            f"descriptors need at least {edge}x{edge} pixels; got {x.shape[3]}x{x.shape[2]}: enlarge the patch"
        )
    grey = x.mean(1, keepdim=True)
    across = (grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]) / 2
    down = (grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]) / 2
    angles = [2 * math.pi * k / ORIENTATIONS for k in range(ORIENTATIONS)]
    maps = torch.cat([F.relu(math.cos(a) * across + math.sin(a) * down) for a in angles], dim=1)
    vectors = F.unfold(F.avg_pool2d(maps, CELL), CELLS, stride=CELLS // 2)
    # The floor, a slope of one code value, keeps the noise of flat areas from being blown up to length 1.
    return vectors * (vectors.square().sum(1, keepdim=True) + 1 / 255**2).rsqrt()


def descriptor_distance(output: Tensor, target: Tensor) -> Tensor:
    """Mean square distance of the descriptors of two pictures (R3's SIFT-KD), 0 to 2."""
    return (descriptors(output) - descriptors(target)).square().sum(1).mean()
