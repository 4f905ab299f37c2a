"""A bounded queue between two threads that also carries the end, an error, and a call to stop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

# How long a thread whose start was broken off is waited for: it may not have begun at all.
_BROKEN_OFF_S = 5.0


class Aborted(Exception):
    """The other side has given up: stop working, nobody wants the result."""


class Channel(Generic[T]):
    """At most `capacity` items from one producing thread to one consuming thread.

    The consumer iterates. A producer's error is raised there after the items that came before it; `abort`
    makes both sides stop at once, whatever they were waiting for.
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = False
        self._aborted = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Append `item`, waiting for room. Aborted when the consumer has gone."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._aborted:
                self._changed.wait()
            if self._aborted:
                raise Aborted
            self._items.append(item)
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """No more items; `error`, if any, is raised to the consumer."""
        with self._changed:
            self._closed = True
            self._error = error
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake and stop both sides, and forget what was queued."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._closed and not self._aborted:
                    self._changed.wait()
                if self._aborted:
                    raise Aborted
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


def feed(channel: Channel[T], items: Iterable[T], name: str) -> threading.Thread:
    """A started thread that puts all of `items` into `channel` and closes it, with their error if they
    raise one."""
    over = threading.Event()

    def work() -> None:
        try:
            for item in items:
                channel.put(item)
        except Aborted:
            channel.abort()
        except BaseException as error:
            channel.close(error)
        else:
            channel.close()
        finally:
            over.set()

    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except BaseException:
        # Ctrl-C, most likely in the wait for the thread's first step: it works on what the caller is about to close.
        channel.abort()
        over.wait(_BROKEN_OFF_S)
        raise
    return thread
