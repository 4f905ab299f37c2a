"""THE MAIN PATH: a frame in, the same frame with sharper luma out; chroma, tags and time are carried over.

Models that work on RGB instead go through `keenframe.rgb`.
"""

from __future__ import annotations

import math
import os
import threading
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from keenframe import color
from keenframe.buffers import BufferPool, Scratch
from keenframe.condition import CONDITION_SIZE
from keenframe.conditioning import ConditionTracker, look_at
from keenframe.engines.base import Variant
from keenframe.engines.select import create_engine, model_for
from keenframe.errors import InputError
from keenframe.forks import renew_after_fork
from keenframe.frame import Frame
from keenframe.pixels import LAYOUTS, Matrix, Plane
from keenframe.rgb import RgbPath
from keenframe.routing import Router, inputs_of
from keenframe.steady import ENLARGED, FULL_SIZE, Memory, Steadier
from keenframe.tiles import Window, round_up, windows
from keenframe.zoo.spec import ModelSpec, OutputKind
from keenframe.zoo.store import read_spec

STRENGTH_MAX = 2.0
SIDE_MIN, SIDE_MAX = 16, 8192
# Stills of more input pixels than this go through tiles, which bounds the memory of the network's features.
TILED_PIXELS = 4 << 20
TILE = 1024

Picture = TypeVar("Picture", bound=Plane)


class Sharpener:
    """Sharpens frames and pictures with one model on one engine.

    model: a name ("keen", "keen-x2", "keen-int8", "keen-float" …) or the path of an .onnx file. The plain
        name takes the INT8 file where the processor runs INT8 fast, the float file otherwise.
    engine: "auto" (the faster one here, measured once and remembered) or a name from `available_engines()`.
    threads: processor threads of the engine, at most four for each processor; None leaves it to the engine, which
        takes the physical cores.

    One Sharpener serves one stream: its condition follows that stream and its buffers are reused. Calls from
    several threads are safe and run one after another. Use it as a context manager or call `close()` to free
    it.
    """

    def __init__(self, model: str | Path = "keen", engine: str = "auto", threads: int | None = None) -> None:
        _check_types(model, engine, threads)
        threads = None if threads is None else int(threads)  # numpy's numbers are whole, too
        most = 4 * (os.cpu_count() or 1)  # more than one for each is slower; hundreds take the computer down
        if threads is not None and not 1 <= threads <= most:
            raise InputError(
                f"threads is {threads}; expected 1 to {most}, four for each processor of this computer; left out, the "
                "engine chooses"
            )
        path = model_for(model, engine)
        self.spec: ModelSpec = read_spec(path)
        self._engine = create_engine(engine, path, self.spec, threads)
        self._seen = ConditionTracker(self.spec.periodicity)
        spec = self.spec
        self._router = Router(
            spec.route, spec.experts, inputs_of(spec.periodicity), spec.leaves, spec.full_size
        )
        self._steadier = Steadier(spec.scale, self._engine.kept_share) if spec.steady else None
        self._pool = BufferPool()
        self._scratch = Scratch()
        self._rgb = RgbPath(self._engine, self._pool, self._scratch) if self.spec.color == "rgb" else None
        self._after_fork()
        renew_after_fork(self)
        # What is known of the frame at hand.
        self._enlarged: bool | None = None

    def _after_fork(self) -> None:
        """As `forks.Forked`: a lock may have been held by a thread that is not in this process."""
        self._lock = threading.Lock()
        # Held by `prepare`, which must not be at work on the engine when `close` frees it.
        self._preparing = threading.Lock()

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self.spec.scale

    @property
    def engine_name(self) -> str:
        """The engine in use, such as "openvino"."""
        return self._engine.name

    @overload
    def sharpen(self, x: Frame, strength: float = ..., still: bool | None = ...) -> Frame: ...
    @overload
    def sharpen(self, x: Picture, strength: float = ..., still: bool | None = ...) -> Picture: ...
    def sharpen(self, x: Frame | Plane, strength: float = 1.0, still: bool | None = None) -> Frame | Plane:
        """Sharpen a frame or a picture.

        x: a Frame; or RGB (H, W, 3) or gray (H, W), uint8 or uint16 (0..65535), full range. 16..8192 a side.
        strength: 0 returns the input bit for bit (at scale 1), 1 is the model, up to 2 goes further along the
            model's residual.
        still: True treats x on its own (its own condition, tiles when it is large); False as the next frame
            of a stream. By default arrays, and frames without pts, are stills.
        Returns the same kind with sides times `scale`; a Frame keeps format, matrix, range, pts and
            time_base. Its memory is used again only after the last reference to it is gone; treat it as
            read-only.
        InputError for any other size, type or strength; and, for a model that reads the picture as a whole
        (`spec.whole`), for more than `rgb.WHOLE_PIXELS`.
        """
        strength = check_strength(strength)
        planes = x.planes if isinstance(x, Frame) else (_check_array(x),)
        _check_size(planes[0])
        if strength == 0 and self.scale == 1:
            return x if isinstance(x, Frame) else x.copy()
        if still is None:
            still = not isinstance(x, Frame) or x.pts is None
        with self._lock:
            if self._rgb is not None:
                return self._rgb.sharpen(x, strength, still)
            self._enlarged = x.enlarged if isinstance(x, Frame) else None
            if not isinstance(x, Frame):
                return self._sharpen_plane(x, 8 * x.itemsize, "bt601", strength, still)
            first = self._sharpen_plane(x.planes[0], x.bit_depth, x.matrix, strength, still)
            return x.with_planes((first, *self._chroma(x, still)))

    def prepare(self, like: Frame, strength: float = 1.0) -> float:
        """Get ready for a stream of frames like this one, so that the first is no slower than the others.

        like: a frame of their size and format; its pixels are not read. May run in another thread beside `sharpen`,
        which does not wait for it. Returns the seconds that the network, its slowest expert where it has several,
        takes for such a frame; 0 where it has nothing to do. InputError as `sharpen`.
        """
        strength = check_strength(strength)
        if not isinstance(like, Frame):
            raise InputError(
                f"got {type(like).__name__}; expected a keenframe Frame like those of the stream"
            )
        plane = like.planes[0]
        _check_size(plane)
        if strength == 0 and self.scale == 1:
            return 0.0
        if self._rgb is not None:
            raise InputError(
                f"model {self.spec.name!r} works on RGB; only luma models can be prepared for a stream"
            )
        fine = plane.ndim == 3 or like.bit_depth != 8
        height, width = self._padded(plane)
        time_s = 0.0
        with self._preparing:
            for expert in range(self.spec.experts):
                kind: OutputKind = "residual" if fine else "steady" if self.spec.steady else "pixels"
                variant = Variant(kind, fine or strength == 1, expert)
                prepared, own_s = self._engine.prepare(height, width, variant)
                time_s = max(time_s, own_s)
                with self._lock:
                    self._engine.adopt(height, width, variant, prepared)
        return time_s

    def reset(self) -> None:
        """Forget the stream seen so far, as at a seek or a change of camera."""
        with self._lock:
            self._seen.reset()
            self._router.reset()
            if self._steadier is not None:
                self._steadier.reset()

    def close(self) -> None:
        """Free the engine and all buffers, once what `prepare` has begun elsewhere is ready; frames already handed out
        stay valid."""
        with self._preparing, self._lock:
            self._engine.close()
            self._pool.clear()
            self._scratch.clear()

    def __enter__(self) -> Sharpener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sharpen_plane(
        self, plane: Plane, bit_depth: int, matrix: Matrix, strength: float, still: bool
    ) -> Plane:
        """Sharpen a luma or RGB plane.

        8-bit luma is the network's own output. To anything finer or coloured is added what the network adds
        to its 8-bit luma, so that no precision and no colour is lost.
        """
        if plane.ndim == 2 and bit_depth == 8:
            height, width = self._padded(plane)
            out = self._pool.result((height * self.scale, width * self.scale), np.uint8, still)
            return self._run(plane, still, strength, out)
        luma = self._scratch.get("luma", plane.shape[:2], np.uint8)
        if plane.ndim == 3:
            color.luma_of_rgb(plane, matrix, luma)
        else:
            color.to_8_bits(plane, bit_depth, luma)
        height, width = self._padded(plane)
        residual = self._scratch.get("residual", (height * self.scale, width * self.scale), np.float32)
        residual = self._run(luma, still, None, residual)
        out = self._pool.result((*residual.shape, *plane.shape[2:]), plane.dtype, still)
        color.enlarge(plane, self.scale, out, self.spec.enlarging)
        color.add_scaled(out, residual, strength * color.code_value(bit_depth), (1 << bit_depth) - 1)
        return out

    def _run(self, luma: NDArray[np.uint8], still: bool, strength: float | None, out: Plane) -> Plane:
        """Run the network over (H, W) luma, whole or in tiles, into padded `out`; returns its valid part.

        `out` gets pixels at `strength`, or, for None, the residual.
        """
        condition, expert = None, 0
        if self.spec.condition is not None:
            seen = look_at(luma, self.spec.periodicity) if still else self._seen.update(luma)
            condition = seen[:CONDITION_SIZE]
            expert = self._router.expert(seen, still, self._enlarged)
            if expert == self.spec.experts:
                return self._leave(luma, still, strength, out)
        height, width = self._padded(luma)
        tile = max(height, width)
        if still and height * width > TILED_PIXELS:
            tile = round_up(max(TILE, 4 * self.spec.radius), self.spec.size_multiple)
        for window in windows(height, width, tile, self.spec.radius):
            source = self._source(luma, window)
            if strength is None:
                blocks: Plane = self._engine.run_residual(source, condition, expert)
            else:
                steadier = None if still else self._steadier
                past = None if steadier is None else steadier.look(source, strength, self._memory(expert))
                blocks = self._engine.run(source, condition, strength, expert, past)
                if steadier is not None:
                    steadier.remember(blocks)
            unfold_blocks(blocks, out, window, self.scale)
        return out[: luma.shape[0] * self.scale, : luma.shape[1] * self.scale]

    def _leave(self, luma: NDArray[np.uint8], still: bool, strength: float | None, out: Plane) -> Plane:
        """The result of `_run` for a frame that stays as it is; what follows in the stream is not drawn to it."""
        if self._steadier is not None and not still:
            self._steadier.reset()
        valid = out[: luma.shape[0], : luma.shape[1]]
        np.copyto(valid, 0 if strength is None else luma)
        return valid

    def _memory(self, expert: int) -> Memory:
        """How a stream is steadied: what comes small, or goes to an expert for what was enlarged, more than else."""
        enlarged = self.scale > 1 or expert < self.spec.experts - self.spec.full_size
        return ENLARGED if enlarged else FULL_SIZE

    def _source(self, luma: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        """The window's pixels, contiguous: in place where they are so already, else copied and padded."""
        view = luma[window.top : window.top + window.height, window.left : window.left + window.width]
        return self._scratch.padded("source", view, window.height, window.width)

    def _padded(self, plane: Plane) -> tuple[int, int]:
        multiple = self.spec.size_multiple
        return round_up(plane.shape[0], multiple), round_up(plane.shape[1], multiple)

    def _chroma(self, frame: Frame, still: bool) -> tuple[Plane, ...]:
        """The frame's chroma as it is, or enlarged with the luma."""
        if self.scale == 1:
            return frame.chroma
        layout = LAYOUTS[frame.format]
        shapes = layout.shapes(frame.width * self.scale, frame.height * self.scale)[1:]
        enlarged = tuple(self._pool.result(shape, layout.dtype, still) for shape in shapes)
        for plane, out in zip(frame.chroma, enlarged, strict=True):
            color.enlarge(plane, self.scale, out, "bilinear", frame.left_sited, (1 << frame.bit_depth) - 1)
        return enlarged


def unfold_blocks(blocks: Plane, out: Plane, window: Window, scale: int) -> None:
    """Write a window's 4x4 blocks (rows, columns, 16), uint8 or float32, into the plane `out`: depth to
    space.

    Four neighbouring pixels are moved as one element, ten times faster than in the engines.
    """
    block = 4
    rows = slice(window.first_row * scale // block, window.last_row * scale // block)
    columns = slice(window.first_column * scale // block, window.last_column * scale // block)
    quad = np.uint32 if blocks.dtype == np.uint8 else np.complex128
    kept = blocks.view(quad)[rows, columns]
    top = (window.top + window.first_row) * scale
    left = (window.left + window.first_column) * scale // block
    target = out[top : top + kept.shape[0] * block].view(quad).reshape(kept.shape[0], block, -1)
    np.copyto(target[:, :, left : left + kept.shape[1]], kept.transpose(0, 2, 1))


def _check_types(model: object, engine: object, threads: object) -> None:
    """InputError for arguments of a Sharpener that are of another type."""
    for name, value, kinds, expected in (
        ("model", model, (str, Path), "a name or a Path"),
        ("engine", engine, (str,), "a name"),
        ("threads", threads, (Integral, type(None)), "a whole number or None"),
    ):
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; expected {expected}")


def check_strength(strength: float) -> float:
    try:
        value = float(strength)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= STRENGTH_MAX:
        raise InputError(f"strength is {strength!r}; expected a number from 0 (off) over 1 (the model) to 2")
    return value


def _check_array(array: object) -> Plane:
    if not isinstance(array, np.ndarray):
        raise InputError(f"got {type(array).__name__}; expected a keenframe Frame or a numpy array")
    colour = array.ndim == 3 and array.shape[2] == 3
    if not (colour or array.ndim == 2) or array.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"got an array of shape {array.shape} and dtype {array.dtype}; expected RGB "
            f"(height, width, 3) or gray (height, width), uint8 or uint16: drop alpha, convert CMYK or float"
        )
    return array


def _check_size(plane: Plane) -> None:
    height, width = plane.shape[:2]
    if not (SIDE_MIN <= height <= SIDE_MAX and SIDE_MIN <= width <= SIDE_MAX):
        raise InputError(
            f"got {width}x{height}; expected {SIDE_MIN} to {SIDE_MAX} pixels a side: pad or resize it"
        )
