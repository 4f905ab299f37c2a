"""Our own engine for INT8 luma networks of scale 1, on Linux and Windows.

The libraries behind it (native/kernel.c, built by native/build.sh for several instruction sets) compute every layer a
row at a time, as soon as the rows below it are there, so that rows are read while they are still in the cache. Each
thread does its own part of the frame's rows, in rows of its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keenframe.engines.base import Engine, Variant
from keenframe.engines.chain import EDGE, Chain, Kind, read_chain
from keenframe.engines.cpu import KERNELS, instruction_sets, physical_cores
from keenframe.errors import EngineError
from keenframe.forks import renew_after_fork
from keenframe.steady import Memory, Past
from keenframe.zoo.graph import read_graph
from keenframe.zoo.spec import ModelSpec

_ENDINGS = {"linux": ".so", "win32": ".dll"}
_MACHINES = {"AMD64": "x86_64"}  # as Windows spells it
# What each library needs of the processor; of several that a machine can run, the first is the fastest.
_NEEDS = {
    "x86_64-avx512vnni": {"avx512_vnni", "avx512bw"},
    "x86_64-avxvnni": {"avx_vnni", "avx2", "fma"},
    "x86_64-avx2": {"avx2", "fma"},
    "aarch64-dotprod": {"asimddp"},
}
# As in native/kernel.c: bytes before a group's first position. What a library computes at a time divides _STEP.
_MARGIN, _STEP = 64, 48
_VECTOR = 16  # numbers in the widest vector
_LINE = 64  # bytes of a cache line
# A part of fewer rows of blocks spends too much on those that it shares with its neighbours, some nine in all.
_ROWS_OF_A_PART = 24


def libraries() -> list[Path]:
    """The libraries that this machine can run, the fastest first; none where the engine is not for it."""
    machine, ending = platform.machine(), _ENDINGS.get(sys.platform)
    here = [
        KERNELS / f"{name}{ending}"
        for name, needed in _NEEDS.items()
        if name.startswith(f"{_MACHINES.get(machine, machine)}-") and needed <= instruction_sets()
    ]
    return [path for path in here if path.is_file()]


def instructions(library: Path) -> str:
    """What a library is built for, such as "avx512vnni"."""
    return library.stem.rpartition("-")[2]


def supported() -> bool:
    """Whether this machine runs it."""
    return bool(libraries())


def runs(spec: ModelSpec) -> bool:
    """Whether such a model is one for it. A graph that it does not know shows when it is created."""
    return spec.color == "luma" and spec.precision == "int8" and spec.scale == 1


@cache
def version() -> str:
    """What tells one build of this machine's library from another."""
    try:
        return hashlib.sha256(libraries()[0].read_bytes()).hexdigest()[:12]
    except OSError:
        return "unreadable"  # it will not be loaded either


class _Plane(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("groups", "width", "height", "ring", "zero")),
        ("pitch", ctypes.c_int64),
    ]


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("kind", "source", "target", "residual", "inputs", "outputs")),
        *((name, ctypes.c_int32) for name in ("leaky", "first", "done")),
        ("gain", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("weights", "start", "scale", "shift")),
    ]


class _Picture(ctypes.Structure):
    _fields_ = [
        ("luma", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("pixels", "correction", "basis")),
        ("strength", ctypes.c_float),
        ("previous", ctypes.c_void_p),
        ("keep", ctypes.c_void_p),
    ]


@cache
def _library(path: Path) -> tuple[Any, int, int]:
    """A library, how much less than it is a code counts in its sums, and the bits of its weights; EngineError for a
    file that is none for this machine."""
    pointer, number, size, real = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_float
    try:
        library = ctypes.CDLL(str(path))
        library.keenframe_run.argtypes = [pointer, number, pointer, pointer, number]
        library.keenframe_keep.argtypes = [
            pointer, size, pointer, number, number, real, real, pointer, pointer, number, number,
        ]  # fmt: skip
        library.keenframe_run.restype = library.keenframe_keep.restype = None
        offset, bits = (
            number.in_dll(library, f"keenframe_{n}").value for n in ("code_offset", "bits_of_a_weight")
        )
    except (
        OSError,
        AttributeError,
        ValueError,
    ) as error:  # no library, or one without such a function or number
        raise EngineError(
            f"engine 'native' cannot load {path.name!r}: {error}; install keenframe again, or use 'openvino' or 'auto'"
        ) from error
    return library, offset, bits


Factors = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(slots=True)
class _Part:
    """A thread's share: output rows (of blocks) up to `until`, and its own rows of features."""

    until: int
    layers: Any
    planes: Any
    memory: list[NDArray[np.uint8]]


@dataclass(slots=True)
class _Prepared:
    """One expert at one size. factors: scale and shift of each layer for `condition`, in arrays of which the library
    knows the addresses: its own, as `prepare` may try it out while another runs."""

    chain: Chain
    factors: Factors
    parts: list[_Part]
    picture: _Picture
    output: NDArray[Any]
    condition: NDArray[np.float32] | None = None

    def bind(self, condition: NDArray[np.float32]) -> None:
        """Take a condition (1, 128) into account."""
        if self.condition is not None and np.array_equal(self.condition, condition):
            return
        condition = condition.copy()  # the engine's, which another thread may fill anew meanwhile
        for (scale, shift), found in zip(self.factors, self.chain.bound(condition), strict=True):
            scale[:], shift[:] = found
        self.condition = condition


class NativeEngine(Engine[_Prepared]):
    """One model, by the library in `kernels`.

    library: one of `libraries()`; None: the fastest. EngineError on other machines, and for float, RGB and enlarging
    models.
    """

    name = "native"

    def __init__(
        self, model: Path, spec: ModelSpec, threads: int | None = None, library: Path | None = None
    ) -> None:
        super().__init__(model, spec, threads)
        if not supported():
            raise EngineError(
                "engine 'native' needs Linux or Windows on an x86-64 processor with AVX2, or Linux on 64-bit Arm with "
                "dot products"
            )
        if not runs(spec):
            raise EngineError(
                f"engine 'native' runs INT8 luma models of scale 1; {model.name!r} is a {spec.precision} {spec.color} "
                f"model of scale {spec.scale}: use 'openvino' or 'auto'"
            )
        fastest, *others = libraries()
        self._library, offset, bits = _library(library or fastest)
        if library in others:
            self.name = f"native:{instructions(library)}"
        graph = read_graph(model)
        try:
            self._chains = [
                read_chain(graph, spec.output("residual", expert), offset) for expert in range(spec.experts)
            ]
            most = EDGE * max(features.every for chain in self._chains for features in chain.features)
            if spec.size_multiple % most:
                raise EngineError(f"its sizes are multiples of {spec.size_multiple} and not of {most}")
        except EngineError as error:
            raise EngineError(
                f"engine 'native' cannot run model {model.name!r}: {error}; use 'openvino' or 'auto'"
            ) from error
        if bits == 16:
            for layer in (layer for chain in self._chains for layer in chain.layers):
                layer.weights = _pairs(layer.weights)
        self._count = threads or physical_cores()
        self._pool = self._threads_of_its_own()
        renew_after_fork(self)

    def _after_fork(self) -> None:
        """As `forks.Forked`. What another thread was about to bind is bound again."""
        self._pool = self._threads_of_its_own()
        for prepared in self._prepared.values():
            prepared.condition = None

    def close(self) -> None:
        """Free everything and end the threads; a later run starts them again."""
        self._pool.shutdown()  # first: a thread whose frame was interrupted still writes into what is freed next
        super().close()
        self._pool = self._threads_of_its_own()

    def _threads_of_its_own(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._count, thread_name_prefix="keenframe-native")

    def _prepare(self, height: int, width: int, variant: Variant) -> _Prepared:
        chain = self._chains[variant.expert]
        factors = [(np.empty_like(layer.scale), np.empty_like(layer.shift)) for layer in chain.layers]
        rows, columns = height // EDGE, width // EDGE
        parts = [_part(chain, factors, rows, columns, *span) for span in pairwise(self._ends(rows))]
        output = self._output(height, width, variant)
        address = output.ctypes.data
        picture = _Picture(
            rows=rows, columns=columns, basis=chain.basis.ctypes.data, strength=1.0,
            pixels=None if variant.kind == "residual" else address,
            correction=address if variant.kind == "residual" else None,
        )  # fmt: skip
        return _Prepared(chain, factors, parts, picture, output[0])

    def _infer(self, prepared: _Prepared, picture: NDArray[np.uint8], past: Past | None) -> NDArray[Any]:
        prepared.bind(self._condition)
        job = prepared.picture
        job.luma, job.stride, job.strength = picture.ctypes.data, picture.strides[0], float(self._strength[0])
        job.previous = None if past is None else past.previous.ctypes.data
        job.keep = None if past is None else past.keep.ctypes.data
        run = self._library.keenframe_run
        self._share(
            [
                partial(run, part.layers, len(part.layers), part.planes, ctypes.byref(job), part.until)
                for part in prepared.parts
            ]
        )
        return prepared.output

    def kept_share(
        self, luma: NDArray[np.uint8], before: NDArray[np.uint8], memory: Memory
    ) -> NDArray[np.float32]:
        """As `Engine.kept_share`."""
        height, width = luma.shape
        if luma.strides[1] != 1 or not before.flags.c_contiguous:
            return super().kept_share(luma, before, memory)
        keep = np.empty((height // EDGE, width // EDGE), np.float32)
        about = (
            luma.ctypes.data,
            luma.strides[0],
            before.ctypes.data,
            height,
            width,
            *memory,
            keep.ctypes.data,
        )
        spans = list(pairwise(self._ends(height // EDGE)))
        line = -(-(width // EDGE) // _VECTOR) * _VECTOR + 2 * _VECTOR
        sums = [np.empty((3, line), np.int32) for _ in spans]
        work = self._library.keenframe_keep
        self._share(
            [partial(work, *about, part.ctypes.data, *span) for part, span in zip(sums, spans, strict=True)]
        )
        return keep

    def _ends(self, rows: int) -> list[int]:
        """Where the threads' parts of so many rows of blocks begin and end."""
        count = max(1, min(self._count, rows // _ROWS_OF_A_PART))
        # Even ends: a trunk at half the size has a row for two.
        return [*(round(rows * part / count / 2) * 2 for part in range(count)), rows]

    def _share(self, jobs: list[Callable[[], None]]) -> None:
        """Do the jobs beside each other, the last one in this thread."""
        *others, last = jobs
        waiting = [self._pool.submit(job) for job in others]
        try:
            last()
        finally:
            wait(waiting)  # whatever ends `last`: the others work on the same frame
        for future in waiting:
            future.result()


def _pairs(weights: NDArray[Any]) -> NDArray[np.int16]:
    """Weights (..., 4) as 16 bits: the first and third of every four, then the second and fourth."""
    return np.ascontiguousarray(np.stack([weights[..., ::2], weights[..., 1::2]], axis=-2), np.int16)


def _part(chain: Chain, factors: Factors, rows: int, columns: int, start: int, end: int) -> _Part:
    """Memory and description of what one thread does: output rows from `start` up to, but not with, `end`."""
    kinds = [Kind.LOAD, *(layer.kind for layer in chain.layers)]
    residuals = [-1, *(layer.residual for layer in chain.layers)]
    heights = [rows // features.every for features in chain.features]
    firsts = first_rows(kinds, start)
    rings = ring_sizes(kinds, residuals, heights, firsts, end)
    # What is computed at half the size, a whole step at a time, is twice as wide at the full size.
    most = max(features.every for features in chain.features)
    span = most * -(-columns // most // _STEP) * _STEP
    planes = (_Plane * len(chain.features))()
    memory = []
    for index, features in enumerate(chain.features):
        groups, lines = features.channels // 4, -(-(_MARGIN + 4 * span + 4) // _LINE)
        # An odd number of lines: with an even one the groups of a position would share few sets of the cache.
        pitch = _LINE * (lines | 1)
        block, data = _aligned((rings[index] + 1) * groups * pitch + _MARGIN + 8 * _LINE)
        block[:] = features.zero
        memory.append(block)
        planes[index] = _Plane(
            data, groups, columns // features.every, heights[index], rings[index], features.zero, pitch
        )
    layers = (_Layer * len(kinds))()
    layers[0] = _Layer(kind=Kind.LOAD, source=-1, target=0, residual=-1, first=firsts[0])
    for index, (layer, (scale, shift)) in enumerate(zip(chain.layers, factors, strict=True)):
        layers[index + 1] = _Layer(
            layer.kind, index, index + 1, layer.residual, layer.inputs, layer.outputs, layer.leaky,
            firsts[index + 1], 0, chain.gain(index) if layer.kind is not Kind.TAIL else 0.0,
            layer.weights.ctypes.data, layer.start.ctypes.data, scale.ctypes.data, shift.ctypes.data,
        )  # fmt: skip
    return _Part(end, layers, planes, memory)


def _aligned(size: int) -> tuple[NDArray[np.uint8], int]:
    """So many bytes, and the address of the first on a cache line; there is a line more than asked for."""
    block = np.empty(size + _LINE, np.uint8)
    return block, -(-block.ctypes.data // _LINE) * _LINE


def rows_read(kind: Kind, row: int) -> tuple[int, int]:
    """First and last row of its source that a layer of that kind reads for its `row` (UP: of its source)."""
    if kind is Kind.DOWN:
        return 2 * row, 2 * row + 1
    return (row - 1, row + 1) if kind in (Kind.CONV3, Kind.TAIL) else (row, row)


def first_rows(kinds: Sequence[Kind], start: int) -> list[int]:
    """The first row that each layer has to compute when the last one begins at `start`."""
    firsts = [start]
    for kind, below in zip(reversed(kinds[1:]), reversed(kinds[:-1]), strict=True):
        row = max(0, rows_read(kind, firsts[-1])[0])
        firsts.append(row // 2 if below is Kind.UP else row)
    return firsts[::-1]


def ring_sizes(
    kinds: Sequence[Kind], residuals: Sequence[int], heights: Sequence[int], firsts: Sequence[int], end: int
) -> list[int]:
    """How many rows of each plane of features have to be kept, in the order in which the library computes them."""
    done = [first - 1 for first in firsts]
    written = [-1] * len(heights)
    sizes = [1] * len(heights)

    def read(plane: int, first: int) -> None:
        sizes[plane] = max(sizes[plane], written[plane] - max(first, 0) + 1)

    def advance(index: int, until: int) -> None:
        for row in range(done[index] + 1, until + 1):
            kind = kinds[index]
            if kind is not Kind.LOAD:
                first, last = rows_read(kind, row)
                last = min(last, heights[index - 1] - 1)
                advance(index - 1, last // 2 if kinds[index - 1] is Kind.UP else last)
                read(index - 1, first)
                if kind is Kind.TAIL:
                    read(0, row)
            if index < len(heights):
                written[index] = 2 * row + 1 if kind is Kind.UP else row
            if residuals[index] >= 0:
                read(residuals[index], 2 * row if kind is Kind.UP else row)
            done[index] = row

    advance(len(kinds) - 1, end - 1)
    return sizes
