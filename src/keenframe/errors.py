"""Everything keenframe raises on purpose.

    KeenframeError
    ├── InputError    bad media, array, file or argument; also a ValueError
    ├── ModelError    corrupt, truncated or foreign model file
    ├── EngineError   inference engine or provider absent or failing; the message lists what is there
    └── OutputError   a result could not be written

A message says what came, what was expected, and what to do.
"""

from __future__ import annotations


class KeenframeError(Exception):
    """Base of every error keenframe raises on purpose."""


class InputError(KeenframeError, ValueError):
    """The caller's media, array, file or argument cannot be used."""


class ModelError(KeenframeError):
    """The model file is not a usable keenframe model."""


class EngineError(KeenframeError):
    """The inference engine or its provider is not available, or it failed."""


class OutputError(KeenframeError):
    """A result could not be written."""
