"""The server's side of a worker process: one task at a time, watched, and ended when it takes too much."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from keenframe.serving.requests import Refused
from keenframe.web.settings import Limits, Settings
from keenframe.web.uploads import megabytes

# A task's memory and disk are looked at so often.
_WATCH_EVERY_S = 0.5
_LINE_BYTES_MAX = 1 << 20
# A killed process is waited for so long.
_END_S = 5.0

Progress = Callable[[int, int | None], None]


class Worker:
    """A process that is started when it is needed and again when it was ended.

    folder: where its tasks write, whose disk is watched. waiting: how many may stand in line for it.
    """

    def __init__(self, settings: Settings, folder: Path, waiting: int) -> None:
        self._limits = settings.limits
        self._options = _options(settings)
        self._folder = folder
        self._waiting_max = waiting
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def run(
        self, task: Mapping[str, object], limit_s: float, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """Have a task of `tasks.Tasks` done: its name as "task", and its arguments.

        Refused with its message when it fails, when it takes longer than `limit_s`, more memory or disk than
        allowed, or when too many wait. Cancelling ends the process.
        """
        if self._waiting > self._waiting_max:
            raise Refused(503, "busy", "keenframe is busy with other pictures. Try again in a moment.")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._attend(task, limit_s, on_progress)
        finally:
            self._waiting -= 1

    async def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            if sys.platform == "win32":
                process.kill()
            else:
                # And whatever it has started itself.
                os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await process.wait()

    async def _attend(
        self, task: Mapping[str, object], limit_s: float, on_progress: Progress | None
    ) -> dict[str, Any]:
        process = await self._started()
        answer = asyncio.create_task(_exchange(process, task, on_progress))
        watch = asyncio.create_task(self._watch(process.pid))
        try:
            done, _ = await asyncio.wait(
                (answer, watch), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if answer in done:
                return answer.result()
            if watch in done:
                raise Refused(422, "too-much", watch.result())
            raise Refused(422, "too-long", f"It took longer than {_duration(limit_s)} and was stopped.")
        except Refused as refusal:
            if refusal.code != "failed":
                await self.stop()
            raise
        except BaseException:
            await self.stop()
            raise
        finally:
            for part in (answer, watch):
                part.cancel()
            await asyncio.gather(answer, watch, return_exceptions=True)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            # -P: no module is taken from the folder that the user happens to be in.
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "keenframe.web.worker", json.dumps(self._options)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES_MAX,
                # A group of its own: Ctrl-C in the terminal is for the server, which then ends this.
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self._process

    async def _watch(self, pid: int) -> str:
        """Returns, with a sentence, when the process has taken too much."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                memory = psutil.Process(pid).memory_info().rss
            except psutil.Error:
                continue  # its end is noticed where its answers are read
            if memory > self._limits.memory:
                return f"It took more than {megabytes(self._limits.memory)} of memory and was stopped."
            if shutil.disk_usage(self._folder).free < self._limits.free_disk // 2:
                return "The disk of the computer that runs keenframe is nearly full; it was stopped."


async def _exchange(
    process: asyncio.subprocess.Process, task: Mapping[str, object], on_progress: Progress | None
) -> dict[str, Any]:
    """Send the task and read until its end."""
    assert process.stdin is not None and process.stdout is not None
    crashed = Refused(
        500, "crashed", "The process that reads the file broke down over it; the file may be damaged."
    )
    try:
        process.stdin.write(json.dumps(task).encode() + b"\n")
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        raise crashed from None
    while line := await process.stdout.readline():
        answer = json.loads(line)
        if "done" in answer:
            done: dict[str, Any] = answer["done"]
            return done
        if "failed" in answer:
            raise Refused(422, "failed", answer["failed"])
        if on_progress is not None:
            on_progress(*answer["progress"])
    raise crashed


def _options(settings: Settings) -> dict[str, object]:
    """What `worker.main` reads from its command line."""
    limits = asdict(settings.limits)
    kept = ("picture_pixels", "video_pixels", "video_minutes")
    return {
        "model": settings.model,
        "engine": settings.engine,
        "threads": settings.threads,
        "video_frames": settings.limits.video_frames,
        "file_bytes": _file_bytes(settings.limits),
        **{key: limits[key] for key in kept},
    }


def _file_bytes(limits: Limits) -> int:
    """The largest file that a worker may write."""
    return 4 * max(limits.video_bytes, limits.picture_bytes)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds > 120 else f"{seconds:g} seconds"
