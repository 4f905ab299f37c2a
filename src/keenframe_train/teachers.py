"""Teachers: what they can teach and need as input, and their outputs kept on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from keenframe_train.data.bank import Bank
from keenframe_train.data.batches import BankBatches, Draw
from keenframe_train.data.images import dihedral
from keenframe_train.errors import TrainError
from keenframe_train.files import replacing
from keenframe_train.frozen import freeze
from keenframe_train.progress import progress

STEPS = 64  # stored steps to a code value


@dataclass(frozen=True, slots=True)
class Traits:
    """What a network takes and gives: output over input size, 1 or 3 channels, multiple of height and width."""

    scale: int
    channels: int
    multiple: int


def traits(module: nn.Module) -> Traits:
    """The traits that a network states as attributes; scale 1, RGB and any size where it does not."""
    return Traits(
        getattr(module, "scale", 1), getattr(module, "channels", 3), getattr(module, "size_multiple", 1)
    )


def check_pair(student: nn.Module, teacher: nn.Module) -> None:
    """Raises TrainError when this teacher cannot teach this student."""
    own, other = traits(student), traits(teacher)
    names = f"teacher {type(teacher).__name__}", f"student {type(student).__name__}"
    if teacher is student:
        raise TrainError("a student cannot be its own teacher: it would be frozen")
    if other.channels != own.channels:
        raise TrainError(
            f"{names[0]} takes {other.channels} channels, {names[1]} {own.channels}; train both on luma or on RGB"
        )
    _check_scale(names[0], other.scale, own.scale)


def _check_scale(name: str, scale: int, wanted: int) -> None:
    if scale not in (1, wanted):
        raise TrainError(f"{name} enlarges x{scale}; expected 1 or x{wanted}, what it is to teach")


class Turned(nn.Module):
    """A network that sees each batch in one of its eight turns and mirrorings and answers in the batch's own.

    Which one follows from the batch's own pixels, so that a resumed run repeats it: over many batches the answers
    average to the network's self-ensemble. x (N, C, H, W), condition (N, 128) -> (N, C, sH, sW).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.scale, self.channels, self.size_multiple = dataclasses.astuple(traits(network))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        turn = int((x[:, 0, 0, 0].float() * 255).sum().round()) % 8
        return unturned(self.network(turned(x, turn), condition), turn)


def turned(x: Tensor, turn: int) -> Tensor:
    """(N, C, H, W) after `turn` 0-7: transposed from 4 on, then turned by quarters."""
    return torch.rot90(x.transpose(2, 3) if turn & 4 else x, turn & 3, (2, 3))


def unturned(x: Tensor, turn: int) -> Tensor:
    """The inverse of `turned`."""
    x = torch.rot90(x, -(turn & 3), (2, 3))
    return x.transpose(2, 3) if turn & 4 else x


def teacher_input(x: Tensor, teacher: nn.Module, scale: int) -> Tensor:
    """x (N, C, H, W) in 0-1, the input of a student that enlarges by `scale`, as this teacher takes it.

    A teacher of scale 1 works at the output's size on the bicubic enlargement (R4), clipped as a picture is.
    Raises TrainError when the size is no multiple of what the teacher needs.
    """
    own = traits(teacher)
    if own.scale != scale:
        x = F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False).clamp(0, 1)
    if x.shape[2] % own.multiple or x.shape[3] % own.multiple:
        raise TrainError(
            f"teacher {type(teacher).__name__} needs sides in multiples of {own.multiple}; "
            f"got {x.shape[3]}x{x.shape[2]}: change the patch"
        )
    return x


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of a network: its structure as printed, its modules' plain settings, and every tensor, whole."""
    digest = hashlib.sha256(repr((module, traits(module))).encode())
    for name, part in module.named_modules():
        # What `repr` may leave out, such as the factor of a residual.
        settings = {
            k: v for k, v in vars(part).items() if isinstance(v, int | float | str) and k != "training"
        }
        digest.update(repr((name, sorted(settings.items()))).encode())
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(repr((name, str(array.dtype), tuple(array.shape))).encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def bank_digest(bank: Bank) -> str:
    """SHA-256 of a bank's shape, kinds and conditions.

    The conditions are statistics of every degraded item: as good as its pixels to tell items apart, and small.
    """
    digest = hashlib.sha256(repr((bank.degraded.shape, bank.pristine.shape, bank.names)).encode())
    for part in (bank.conditions, bank.kinds):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _planes(pictures: NDArray[Any]) -> Tensor:
    """(N, H, W) or (N, H, W, C), as a bank has them, as (N, C, H, W)."""
    tensor = torch.from_numpy(pictures)
    return tensor[:, None] if tensor.ndim == 3 else tensor.movedim(3, 1)


@dataclass(frozen=True, slots=True)
class TeacherCache:
    """A teacher's outputs for every whole item of a bank, memory-mapped.

    outputs: (N, S, S) or, in RGB, (N, S, S, 3) int16, as the bank has its pristine pictures, in 1/64 of a code
    value: at most 1/128 of one (3.1e-5 of the range) from what the teacher gave. What lies beyond -512..511 code
    values is clipped. Twice the bytes of the bank's pristine file.

    Crops of it are not what the teacher gives for the crop. Near a crop's edge it is better, the teacher saw what
    lies beyond; and turns turn the output, where a teacher shown the turned crop would give something else again.
    """

    outputs: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.outputs)

    def crops(self, draws: Sequence[Draw], patch: int) -> Tensor:
        """The output on the draws of a batch, cropped and turned like the pair: (B, C, patch, patch) float32 0-1."""
        planes = [
            dihedral(self.outputs[d.item, d.top : d.top + patch, d.left : d.left + patch], d.turn)
            for d in draws
        ]
        return _planes(np.stack(planes)).float() / (STEPS * 255)


def cache_teacher(
    folder: Path, bank: Bank, teacher: nn.Module, *, batch: int = 8, name: str = "teacher"
) -> TeacherCache:
    """Run a frozen teacher on every item that is missing in its cache below `folder`, and open that.

    The cache lies in a folder of its own, named by the digests of teacher and bank and by the arithmetic: another
    teacher, bank or precision never meets it. Interrupt and call again: it goes on where it stopped. The teacher runs
    where it lies and under the caller's autocast, and sees each item's own condition. One process at a time: in a
    distributed run, call it within `fabric.rank_zero_first()`; the others then only open what is there.
    Raises TrainError when channels, scale or size do not fit, for an output that is not finite, and for a full disk.
    """
    freeze(teacher)
    shape, count = bank.pristine.shape, len(bank)
    scale = shape[1] // bank.degraded.shape[1]
    channels = 1 if len(shape) == 3 else shape[3]
    if traits(teacher).channels != channels:
        raise TrainError(
            f"teacher {type(teacher).__name__} takes {traits(teacher).channels} channels, the bank's pictures "
            f"have {channels}; train the teacher on what the bank holds"
        )
    _check_scale(f"teacher {type(teacher).__name__}", traits(teacher).scale, scale)
    device = next(teacher.parameters()).device
    arithmetic = (
        torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
    )
    key = {
        "teacher": weights_digest(teacher), "bank": bank_digest(bank), "steps": STEPS, "arithmetic": str(arithmetic),
    }  # fmt: skip
    own = folder / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    outputs, done = _open(own, key, shape)
    missing = np.flatnonzero(done == 0)
    with progress() as bar, torch.no_grad():
        task = bar.add_task(f"{name}'s outputs", note="", total=count, completed=count - len(missing))
        for items in np.array_split(missing, math.ceil(len(missing) / batch)) if len(missing) else []:
            x = _planes(bank.degraded[items]).to(device).float() / 255
            condition = torch.from_numpy(np.asarray(bank.conditions[items])).to(device)
            values = teacher(teacher_input(x, teacher, scale), condition).float().cpu()
            if not bool(values.isfinite().all()):
                raise TrainError(
                    f"teacher {type(teacher).__name__} gives NaN or infinity among items {items}"
                )
            values = values[:, 0] if len(shape) == 3 else values.movedim(1, 3)
            outputs[items] = np.rint((values.numpy() * (255 * STEPS)).clip(-(2**15), 2**15 - 1))
            # In this order on the disk too: an item that is marked is there, whatever interrupts us.
            outputs.flush()
            done[items] = 1
            bar.advance(task, len(items))
        done.flush()
    return TeacherCache(np.memmap(own / "outputs.i16", np.int16, "r", shape=shape))


def _open(folder: Path, key: dict[str, Any], shape: tuple[int, ...]) -> tuple[np.memmap, np.memmap]:
    """The writable arrays of a cache, made if they are not there yet."""
    card, size = folder / "cache.json", 2 * math.prod(shape)
    if not card.exists():
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        # The files are sparse at first: a full disk would come later, as a crash of the memory map.
        if free < size:
            raise TrainError(
                f"the teacher's outputs take {size / 1e9:.1f} GB in '{folder}', {free / 1e9:.1f} GB are free; "
                "choose another folder or a smaller bank, or let the teacher run in training"
            )
        np.memmap(folder / "outputs.i16", np.int16, "w+", shape=shape)
        np.memmap(folder / "done.u8", np.uint8, "w+", shape=shape[:1])
        with replacing(card) as file:
            file.write(json.dumps(key).encode())
    return (
        np.memmap(folder / "outputs.i16", np.int16, "r+", shape=shape),
        np.memmap(folder / "done.u8", np.uint8, "r+", shape=shape[:1]),
    )


def check_cacheable(batches: BankBatches) -> None:
    """Raises TrainError for batches with colour jitter: no cached teacher has seen those colours."""
    if batches.jitter:
        raise TrainError(
            "colour jitter changes the pictures after their outputs were cached; let the teacher run in training"
        )


class CachedBatches(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """`BankBatches` with the teachers' outputs: item k is (degraded, pristine, condition, outputs) of step k.

    The first three are exactly those of `batches`, so a run with a cache and its control see the same pairs; the
    teacher's condition was that of the whole item, turned crop or not, and without `condition_noise`, which is the
    student's alone then. outputs: (T, B, C, patch,
    patch) float32 0-1, one for each cache. Raises TrainError for a cache of another bank's shape, and for batches
    with colour jitter: the teacher has not seen those colours.
    """

    def __init__(self, batches: BankBatches, caches: Sequence[TeacherCache]) -> None:
        for cache in caches:
            if cache.outputs.shape != batches.bank.pristine.shape:
                raise TrainError(
                    f"the cache holds {cache.outputs.shape}, the bank {batches.bank.pristine.shape}; "
                    "make it anew from this bank"
                )
        check_cacheable(batches)
        self.batches, self.caches = batches, tuple(caches)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        draws = self.batches.draws(step)
        outputs = [cache.crops(draws, self.batches.patch) for cache in self.caches]
        return (*self.batches[step], torch.stack(outputs))
