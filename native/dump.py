"""Writes what the native engine computes a frame from, and the result, for `native/check_dll.c` to compute again.

python native/dump.py FILE LIBRARY...    LIBRARY: avx512vnni, avxvnni or avx2, of which each gets FILE.LIBRARY
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from keenframe.engines import native
from keenframe.steady import Past
from keenframe.zoo.store import find_model, read_spec

HEIGHT, WIDTH = 136, 392


def frames(library: Path) -> list[bytes]:
    """One for every model and expert."""
    random = np.random.default_rng(0)
    luma = random.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    blocks = (HEIGHT // 4, WIDTH // 4)
    past = Past(random.integers(0, 256, (*blocks, 16), np.uint8), random.random(blocks, np.float32))
    found = []
    for name in ("keen-int8", "keen-base-int8", "keen-nano-int8"):
        spec = read_spec(find_model(name))
        engine = native.NativeEngine(find_model(name), spec, 1, library)
        for expert in range(spec.experts):
            condition = random.normal(2, 1.5, 128).astype(np.float32)
            result = engine.run(luma, condition, 0.7, expert, past)
            prepared = list(engine._prepared.values())[-1]
            (part,) = prepared.parts
            head = np.int32([len(part.layers), len(part.planes), part.until, *blocks]).tobytes()
            parts = [head, np.float32([0.7]).tobytes(), luma.tobytes(), prepared.chain.basis.tobytes()]
            parts += [past.previous.tobytes(), past.keep.tobytes()]
            for plane, memory, features in zip(
                part.planes, part.memory, prepared.chain.features, strict=True
            ):
                size = (plane.ring + 1) * plane.groups * plane.pitch + 64 + 8 * 64
                assert size <= len(memory)
                numbers = [plane.groups, plane.width, plane.height, plane.ring, features.zero]
                parts += [np.int32(numbers).tobytes(), np.int64([plane.pitch, size]).tobytes()]
            nothing = np.zeros(0, np.float32)
            arrays = [(np.zeros(0, np.int8), np.zeros(0, np.int32), nothing, nothing)]
            arrays += [
                (layer.weights, layer.start, scale, shift)
                for layer, (scale, shift) in zip(prepared.chain.layers, prepared.factors, strict=True)
            ]
            for layer, data in zip(part.layers, arrays, strict=True):
                names = (
                    "kind",
                    "source",
                    "target",
                    "residual",
                    "inputs",
                    "outputs",
                    "leaky",
                    "first",
                    "done",
                )
                parts.append(np.int32([getattr(layer, name) for name in names]).tobytes())
                parts.append(np.float32([layer.gain]).tobytes())
                parts += [np.int32([array.nbytes]).tobytes() + array.tobytes() for array in data]
            found.append(b"".join([*parts, result.tobytes()]))
    return found


if __name__ == "__main__":
    target, *wanted = sys.argv[1:]
    for library in native.libraries():
        if native.instructions(library) in wanted:
            written = frames(library)
            Path(f"{target}.{native.instructions(library)}").write_bytes(
                np.int32([len(written)]).tobytes() + b"".join(written)
            )
