"""Ctrl-C, termination and a closed terminal, noticed even where Python would swallow the exception.

A signal handler's exception is lost when it happens to strike inside a destructor or a weak reference's
callback. So the signal is remembered as well, and long work asks for it.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

_seen: int | None = None


def install() -> None:
    """Take over SIGINT, SIGTERM and SIGHUP."""
    global _seen
    _seen = None
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    # Windows has none, and under nohup it stays ignored.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _stop)


def check() -> None:
    """Raise what the signal should have raised, if there was one."""
    if _seen is not None:
        _stop(_seen, None)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    global _seen
    _seen = number
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
