"""Checks that a built wheel carries what the repository does: kernels, models, samples, pages, type marker, licence."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "keenframe"


def missing_from(wheel: Path) -> list[str]:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = [
        path.relative_to(PACKAGE.parent).as_posix()
        for pattern in ("engines/kernels/*", "zoo/models/*", "samples/*", "*/static/**/*")
        for path in sorted(PACKAGE.glob(pattern))
        if path.is_file() and not path.name.startswith(".")
    ]
    missing = [name for name in [*wanted, "keenframe/py.typed"] if name not in names]
    if not any(name.endswith("licenses/LICENSE") for name in names):
        missing.append("LICENSE")
    return missing


if __name__ == "__main__":
    absent = missing_from(Path(sys.argv[1]))
    if absent:
        sys.exit(f"{sys.argv[1]} lacks: {', '.join(absent)} — see [tool.setuptools.package-data]")
