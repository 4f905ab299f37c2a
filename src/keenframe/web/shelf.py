"""Things kept for a while, each under a random name that only whoever put it there knows."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from keenframe.serving.requests import Refused


@dataclass(kw_only=True)
class Kept:
    """One thing and its folder, whose random name is also its own. expires: `time.time()` of its end."""

    folder: Path
    name: str
    expires: float = field(default_factory=time.time)

    @property
    def id(self) -> str:
        return self.folder.name

    def keep(self, minutes: float, at_most: bool = False) -> None:
        """Keep it for `minutes` from now; at_most: never longer than it would be kept anyway."""
        expires = time.time() + 60 * minutes
        self.expires = min(expires, self.expires) if at_most else expires

    @property
    def removable(self) -> bool:
        """Whether it may be removed to make room."""
        return True


K = TypeVar("K", bound=Kept)


class Shelf(Generic[K]):
    """At most `size` things; the one that would expire first gives way to a new one."""

    def __init__(self, size: int, gone: str) -> None:
        self._size = size
        self._gone = gone
        self._things: dict[str, K] = {}

    def add(self, thing: K) -> None:
        """Put it there. It stays until it expires, gives way or is removed."""
        removable = sorted((t for t in self._things.values() if t.removable), key=lambda t: t.expires)
        for old in removable[: max(0, len(self._things) - self._size + 1)]:
            self.remove(old)
        self._things[thing.id] = thing

    def get(self, id: str) -> K:
        """Refused when there is none of that name."""
        try:
            return self._things[id]
        except KeyError:
            raise Refused(404, "gone", self._gone) from None

    def remove(self, thing: K) -> None:
        """Forget it and remove its files."""
        self._things.pop(thing.id, None)
        shutil.rmtree(thing.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what has expired."""
        now = time.time()
        for thing in [t for t in self._things.values() if t.removable and t.expires < now]:
            self.remove(thing)
