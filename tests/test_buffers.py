from __future__ import annotations

import numpy as np

from keenframe.buffers import BufferPool, Scratch


def test_a_buffer_in_use_is_not_handed_out_again() -> None:
    pool = BufferPool()
    held = [pool.take((4, 8), np.uint8) for _ in range(40)]
    assert len({array.ctypes.data for array in held}) == 40


def test_a_view_or_an_export_keeps_a_buffer_in_use() -> None:
    pool = BufferPool()
    buffer = pool.take((4, 8), np.uint8)
    address = buffer.ctypes.data
    holders = [buffer[1:, ::2].T, memoryview(buffer), buffer.view(np.uint32).reshape(-1)]
    del buffer
    while holders:
        assert pool.take((4, 8), np.uint8).ctypes.data != address
        holders.pop()
    assert pool.take((4, 8), np.uint8).ctypes.data == address


def test_shape_and_type_are_those_asked_for() -> None:
    pool = BufferPool()
    for shape in ((2, 3), (3, 2), (6,)):
        for dtype in (np.uint8, np.uint16, np.float32):
            array = pool.take(shape, dtype)
            assert (array.shape, array.dtype) == (shape, dtype)


def test_many_sizes_do_not_pile_up() -> None:
    pool = BufferPool()
    for size in range(1, 100):
        pool.take((size,), np.uint8)
    assert len(pool._kinds) <= 8


def test_scratch_is_kept_until_its_shape_changes() -> None:
    scratch = Scratch()
    one = scratch.get("luma", (4, 4), np.uint8)
    assert scratch.get("luma", (4, 4), np.uint8) is one
    assert scratch.get("luma", (4, 4), np.float32) is not one
    assert scratch.get("other", (4, 4), np.float32) is not scratch.get("luma", (4, 4), np.float32)
