"""The process that touches uploaded media: one JSON line in is a task, JSON lines out are its progress and end.

    {"task": "view", …}  ->  {"progress": [12, 300]} …  {"done": {…}} or {"failed": "message"}

Decoders of foreign files crash and blow up where nowhere else does: here they take down only this process. It
ends when its standard input does, so it never outlives the server.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from keenframe.errors import KeenframeError
from keenframe.web.tasks import Tasks

_PROGRESS_EVERY_S = 0.2


def main() -> None:
    """Serve tasks until standard input ends."""
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    options = json.loads(sys.argv[1])
    _limit_files(options["file_bytes"])

    def answer(**content: object) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    tasks = Tasks(options, _Progress(answer))
    while True:
        request = json.loads(lines.get())
        _attend(tasks, request, answer)


def _read(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _attend(tasks: Tasks, request: dict[str, Any], answer: Callable[..., None]) -> None:
    try:
        done = tasks.run(request)
    except KeenframeError as error:
        answer(failed=str(error))
    except MemoryError:
        answer(failed="There is not enough memory for this file.")
    except Exception as error:
        traceback.print_exc()
        answer(failed=f"unexpected {type(error).__name__} — the terminal where keenframe runs shows more")
    else:
        answer(done=done)


class _Progress:
    """Reports a few times a second."""

    def __init__(self, answer: Callable[..., None]) -> None:
        self._answer = answer
        self._next_s = 0.0

    def __call__(self, done: int, expected: int | None) -> None:
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + _PROGRESS_EVERY_S
            self._answer(progress=[done, expected])


def _limit_files(size: int) -> None:
    """Let no file that this process writes grow beyond `size` bytes, and let it leave no core dump."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


if __name__ == "__main__":
    main()
