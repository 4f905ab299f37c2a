"""How the doctor prints."""

from __future__ import annotations

from importlib import metadata, util

# As long as the longest name of a model that comes with keenframe.
_NAME_WIDTH = 23


def heading(text: str) -> None:
    """A section's title, after an empty line."""
    print(f"\n{text}")


def line(name: str, value: str) -> None:
    """A name and what is to be said of it; ✓ and ✗ begin verdicts."""
    print(f"  {name:<{_NAME_WIDTH}} {value}")


def version(name: str) -> str:
    """The version of an installed distribution, or that it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "installed, version unknown" if util.find_spec(name) else "✗ not installed"
