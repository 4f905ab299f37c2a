"""What a process made by fork() cannot take over: threads are not there, and a lock that one of them held is held."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something with threads or locks of its own."""

    def _after_fork(self) -> None:
        """Replace them: this is a new process, in which only the calling thread lives."""


_known: WeakSet[Forked] = WeakSet()


def renew_after_fork(owner: Forked) -> None:
    """Have `owner` renewed in every process that is forked from this one, as long as it lives."""
    _known.add(owner)


def _renew() -> None:
    for owner in list(_known):
        owner._after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork()
    os.register_at_fork(after_in_child=_renew)
