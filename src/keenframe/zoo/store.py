"""Where models are: the embedded ones by name, a user's own by path.

`keen` is stored as keen.onnx (float) and keen-int8.onnx. The plain name picks the INT8 file where it is there
and `prefer_int8` says that it runs faster; `keen-float` and `keen-int8` pin one of them. The same holds for
`keen-x2`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from keenframe.errors import ModelError
from keenframe.zoo.spec import ModelSpec, load_spec

MODELS = Path(__file__).parent / "models"
_FLOAT, _INT8 = "-float", "-int8"


def model_files() -> list[Path]:
    """Files of the embedded models, by name."""
    return sorted(MODELS.glob("*.onnx"), key=lambda path: path.stem)


def list_models() -> list[ModelSpec]:
    """Specs of the embedded models, in the order of `model_files`."""
    return [read_spec(path) for path in model_files()]


def find_model(name_or_path: str | Path, prefer_int8: bool = False) -> Path:
    """The file of a model given by name (`keen`, `keen-int8`, `keen-float` …) or by path to an .onnx file.

    ModelError, listing the names there are, when nothing matches.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".onnx") or _has_separator(name_or_path):
        path = Path(name_or_path)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise ModelError(f"model file {str(path)!r} {what}; embedded models: {_names()}")
        return path
    name = name_or_path
    candidates = [name]
    if name.endswith(_FLOAT):
        plain = name.removesuffix(_FLOAT)
        candidates = [] if plain.endswith(_INT8) else [plain]
    elif not name.endswith(_INT8):
        candidates = [name + _INT8, name] if prefer_int8 else [name, name + _INT8]
    for candidate in candidates:
        path = MODELS / f"{candidate}.onnx"
        if name and path.is_file():
            return path
    raise ModelError(f"there is no model {name!r}; expected one of {_names()}, or the path of an .onnx file")


def read_spec(path: str | Path) -> ModelSpec:
    """`load_spec`, remembered until the file changes."""
    path = Path(path)
    try:
        state = path.stat()
    except OSError:
        return load_spec(path)
    return _read_spec(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=32)
def _read_spec(path: Path, modified_ns: int, size: int) -> ModelSpec:
    return load_spec(path)


def _has_separator(name: str) -> bool:
    return "/" in name or "\\" in name


def _names() -> str:
    return ", ".join(path.stem for path in model_files()) or "none are installed"
