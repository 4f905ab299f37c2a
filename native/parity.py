"""Do two machines' native engines agree? Results of all models at several sizes, written on one, compared on the other.

python native/parity.py write FILE.npz
python native/parity.py compare FILE.npz    # exit code 1 when they are not
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from keenframe.engines import native
from keenframe.metrics import psnr
from keenframe.steady import ENLARGED, Past
from keenframe.zoo.store import find_model, list_models

SIZES = ((16, 16), (64, 96), (72, 200), (136, 392))
# A sum that lies between two codes may be rounded to either of them where conditions differ in their last bit.
LEAST_DB = 56


def results() -> Iterator[tuple[str, np.ndarray]]:
    for spec in filter(native.runs, list_models()):
        engine = native.NativeEngine(find_model(spec.name), spec, threads=2)
        for height, width in SIZES:
            random = np.random.default_rng(width)
            y, x = np.mgrid[:height, :width]
            plane = (
                128
                + 60 * np.sin(x / 7 + y / 11)
                + 40 * ((x // 9 + y // 5) % 2)
                + random.normal(0, 6, (height, width))
            )
            luma = plane.clip(0, 255).astype(np.uint8)
            condition = random.normal(2, 1.5, 128).astype(np.float32)
            blocks = (height // 4, width // 4)
            past = Past(random.integers(0, 256, (*blocks, 16), np.uint8), random.random(blocks, np.float32))
            for expert in range(spec.experts):
                name = f"{spec.name}, {width}x{height}, expert {expert}"
                yield f"{name}: pixels", engine.run(luma, condition, 0.7, expert).copy()
                yield f"{name}: pixels after others", engine.run(luma, condition, 1.0, expert, past).copy()
            before = np.ascontiguousarray(luma[::-1][::2])
            yield f"{spec.name}, {width}x{height}: kept", engine.kept_share(luma, before, ENLARGED).copy()


def main(what: str, file: str) -> int:
    found = dict(results())
    print(f"{len(found)} results of {native.libraries()[0].name}")
    if what == "write":
        np.savez_compressed(file, **found)
        return 0
    wanted = np.load(file)
    assert set(found) == set(wanted)
    worst = min(
        psnr(found[name], wanted[name], ceiling_db=99.0) for name in found if found[name].dtype == np.uint8
    )
    kept = max(
        float(np.abs(found[name] - wanted[name]).max()) for name in found if found[name].dtype != np.uint8
    )
    same = sum(np.array_equal(found[name], wanted[name]) for name in found)
    print(f"identical: {same}; the worst of the others: {worst:.1f} dB, {kept:.1e} of the kept share")
    return 0 if worst > LEAST_DB and kept < 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
