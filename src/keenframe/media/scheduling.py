"""The calling thread stays the ordinary one that it was, whatever an encoder makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Give the calling thread its scheduling class back at the end.

    SVT-AV1, where it may (as root, in a container), makes the thread that opens it a real-time one: it then starves
    every other process of that processor, for good. Systems without such classes have nothing to give back.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)
