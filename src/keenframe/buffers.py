"""Reused memory: output planes that come back when nobody looks at them any more, and scratch arrays."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keenframe.pixels import copy_padded

# Planes of one kind that a pool keeps track of; a caller who holds more gets ordinary new arrays.
_MOST_TRACKED = 16
# Kinds (shape and dtype) that a pool remembers: a call that adapts its resolution comes back to the same few.
_MOST_KINDS = 8


class BufferPool:
    """Hands out arrays, and hands one out again only when no reference to it or to a view of it is left.

    A numpy view keeps a reference to the array that owns the memory, as do memoryviews and DLPack capsules,
    so the owner's reference count says whether the last frame made from it is still in use.
    """

    def __init__(self) -> None:
        self._kinds: OrderedDict[tuple[tuple[int, ...], str], list[NDArray[Any]]] = OrderedDict()

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array with undefined content that nobody else references."""
        kind = (shape, np.dtype(dtype).str)
        buffers = self._kinds.setdefault(kind, [])
        self._kinds.move_to_end(kind)
        if len(self._kinds) > _MOST_KINDS:
            self._kinds.popitem(last=False)
        for index in range(len(buffers)):
            if _references(buffers, index) == _IDLE:
                return buffers[index]
        buffer = np.empty(shape, dtype)
        if len(buffers) < _MOST_TRACKED:
            buffers.append(buffer)
        return buffer

    def result(self, shape: tuple[int, ...], dtype: DTypeLike, still: bool) -> NDArray[Any]:
        """Memory for a result: as `take` for a stream; new for a still, whose size may never come again."""
        return np.empty(shape, dtype) if still else self.take(shape, dtype)

    def clear(self) -> None:
        """Forget all buffers; those in use live on with their users."""
        self._kinds.clear()


class Scratch:
    """Named work arrays, one of each name, replaced when another shape is asked for."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """The array called `name`, of this shape and dtype; undefined content."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._arrays[name] = np.empty(shape, dtype)
        return array

    def padded(self, name: str, view: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        """`view` (H, W[, C]) itself where it has this size and is contiguous; else a copy as the array `name`,
        its last column and row repeated over the rest."""
        if view.shape[:2] == (height, width) and view.flags.c_contiguous:
            return view
        buffer = self.get(name, (height, width, *view.shape[2:]), view.dtype)
        copy_padded(view, buffer)
        return buffer

    def clear(self) -> None:
        """Free all arrays."""
        self._arrays.clear()


def _references(buffers: list[NDArray[Any]], index: int) -> int:
    return sys.getrefcount(buffers[index])


# What `_references` says of an array that only its list refers to; it differs between Python versions.
_IDLE = _references([np.empty(1)], 0)
