"""keenframe: real-time sharpening for video calls on an ordinary CPU.

    from keenframe import Frame, Sharpener

    with Sharpener("keen") as sharpener:
        sharp = sharpener.sharpen(Frame.from_av(frame))

Names are imported on first use, so that `import keenframe` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keenframe.engines.select import available_engines as available_engines
    from keenframe.errors import EngineError as EngineError
    from keenframe.errors import InputError as InputError
    from keenframe.errors import KeenframeError as KeenframeError
    from keenframe.errors import ModelError as ModelError
    from keenframe.errors import OutputError as OutputError
    from keenframe.frame import Frame as Frame
    from keenframe.sharpener import Sharpener as Sharpener
    from keenframe.zoo.spec import ModelSpec as ModelSpec
    from keenframe.zoo.store import find_model as find_model
    from keenframe.zoo.store import list_models as list_models

__version__ = "0.1.0"

_HOMES = {
    "EngineError": "errors",
    "Frame": "frame",
    "InputError": "errors",
    "KeenframeError": "errors",
    "ModelError": "errors",
    "ModelSpec": "zoo.spec",
    "OutputError": "errors",
    "Sharpener": "sharpener",
    "available_engines": "engines.select",
    "find_model": "zoo.store",
    "list_models": "zoo.store",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keenframe' has no attribute {name!r}")
    return getattr(import_module(f"keenframe.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
