"""A place for one item between two threads: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Never more than one item waits; a newer one takes its place, and that is counted. `put` never waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._full = False
        self._closed = False
        self._given_up = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that were replaced before anybody took them, ever."""
        return self._dropped

    @property
    def closed(self) -> bool:
        """Whether nothing more comes in."""
        return self._closed

    def put(self, item: T) -> bool:
        """Leave `item`, in the place of what waits; False, and no more than that, once closed."""
        with self._changed:
            if self._closed:
                return False
            if self._full:
                self._given_up += 1
                self._dropped += 1
            self._item, self._full = item, True
            self._changed.notify()
            return True

    def get(self, timeout_s: float | None = None) -> tuple[T, int] | None:
        """Wait for an item; with it comes how many were given up for it since the last one.

        None when nothing came in time, or nothing will come any more (`closed`).
        """
        with self._changed:
            self._changed.wait_for(lambda: self._full or self._closed, timeout_s)
            if not self._full:
                return None
            item, given_up = self._item, self._given_up
            self._item, self._full, self._given_up = None, False, 0
            return item, given_up  # type: ignore[return-value]

    def close(self) -> None:
        """Nothing more comes in; what waits may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
