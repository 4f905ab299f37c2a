"""`/api/videos`: a video comes in, waits its turn, is sharpened into an MP4, and goes out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keenframe.serving.requests import Refused
from keenframe.web.naming import VIDEOS, display_name, download_name, picture_or_demuxer
from keenframe.web.reading import StoredFile, about, for_page, head_of, sentence, strength_of
from keenframe.web.settings import Limits
from keenframe.web.shelf import Kept, Shelf
from keenframe.web.uploads import Uploads
from keenframe.web.workers import Worker
from keenframe.web.workspace import Workspace

_log = logging.getLogger(__name__)
# The frame rate shown is that of the last few seconds.
_RATE_OVER_S = 4.0


@dataclass(kw_only=True)
class _Job(Kept):
    """A video on its way. state: cancelled jobs are forgotten, so there is no such state."""

    strength: float
    state: Literal["uploading", "waiting", "running", "done", "failed"] = "uploading"
    about: dict[str, Any] = field(default_factory=dict)
    demuxer: str = ""
    frames: int = 0
    expected: int | None = None
    seconds: float = 0.0
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    marks: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def result(self) -> Path:
        return self.folder / "result.mp4"

    @property
    def removable(self) -> bool:
        return self.state in ("done", "failed")

    def progress(self, frames: int, expected: int | None) -> None:
        now = time.monotonic()
        self.frames, self.expected = frames, expected
        self.marks.append((now, frames))
        while len(self.marks) > 2 and now - self.marks[1][0] > _RATE_OVER_S:
            self.marks.popleft()

    @property
    def fps(self) -> float | None:
        """Frames a second over the last few seconds; None before it can be told."""
        if len(self.marks) < 2:
            return None
        (first_s, first), (last_s, last) = self.marks[0], self.marks[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else None

    @property
    def eta_s(self) -> float | None:
        if not self.fps or self.expected is None:
            return None
        return max(0, self.expected - self.frames) / self.fps


class Videos:
    """The routes, the queue, and the task that works it off."""

    def __init__(
        self, limits: Limits, workspace: Workspace, uploads: Uploads, looker: Worker, worker: Worker
    ) -> None:
        self._limits = limits
        self._workspace = workspace
        self._uploads = uploads
        self._looker = looker
        self._worker = worker
        self._queue: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._running: tuple[_Job, asyncio.Task[None]] | None = None
        self._coming = 0
        gone = "This video is not kept any more. Open it again."
        self.shelf: Shelf[_Job] = Shelf(limits.videos + 1 + limits.waiting, gone)

    def routes(self) -> list[Route]:
        return [
            Route("/api/videos", self._take, methods=["POST"]),
            Route("/api/videos/{id}", self._state),
            Route("/api/videos/{id}", self._remove, methods=["DELETE"]),
            Route("/api/videos/{id}/result", self._result),
        ]

    async def work(self) -> None:
        """Work off the queue, one video after another, until cancelled."""
        while True:
            await self._arrived.wait()
            if not self._queue:
                self._arrived.clear()
                continue
            job = self._queue.popleft()
            task = asyncio.create_task(self._sharpen(job))
            self._running = job, task
            try:
                await asyncio.wait((task,))
                if not task.cancelled() and (error := task.exception()):
                    _log.error("a video could not be sharpened", exc_info=error)
            finally:
                task.cancel()
                self._running = None

    async def _sharpen(self, job: _Job) -> None:
        job.state = "running"
        started = time.monotonic()
        try:
            task = {"task": "video", "source": str(job.source), "target": str(job.result)}
            options = {"demuxer": job.demuxer, "strength": job.strength}
            report = await self._worker.run({**task, **options}, 60 * self._limits.job_minutes, job.progress)
        except Refused as refusal:
            job.state, job.message = "failed", sentence(about(str(refusal), job.source, job.name))
        except Exception as error:
            job.state, job.message = "failed", f"Unexpected {type(error).__name__}."
            raise
        else:
            job.state, job.frames = "done", report["frames"]
            job.warnings = [sentence(about(text, job.source, job.name)) for text in report["warnings"]]
        finally:
            job.seconds = time.monotonic() - started
            job.keep(self._limits.keep_minutes)
            with suppress(OSError):
                job.source.unlink()

    async def _take(self, request: Request) -> Response:
        """The body is the file; ?name= what it is called, ?strength= 0 to 2."""
        strength = strength_of(request)
        places = self._limits.waiting + 1
        if len(self._queue) + bool(self._running) + self._coming >= places:
            raise Refused(
                503,
                "busy",
                f"keenframe works on one video at a time, and {places - 1} more are waiting. "
                "Try again when one of them is done.",
            )
        self._coming += 1
        try:
            with self._uploads.place():
                job = await self._read(request, strength)
            self._queue.append(job)
            self.shelf.add(job)
        finally:
            self._coming -= 1
        job.state = "waiting"
        self._arrived.set()
        return JSONResponse(self._describe(job), 202)

    async def _read(self, request: Request, strength: float) -> _Job:
        """Store an upload and look at it."""
        name = display_name(request.query_params.get("name", ""))
        job = _Job(folder=self._workspace.new_folder(), name=name, strength=strength)
        try:
            await self._uploads.save(request, job.source, self._limits.video_bytes)
            demuxer = picture_or_demuxer(head_of(job.source))
            if demuxer is None:
                raise Refused(415, "unusable", f"This is a picture; expected a video: {VIDEOS}.")
            job.demuxer = demuxer
            try:
                task = {"task": "open_video", "source": str(job.source), "demuxer": demuxer}
                job.about = await self._looker.run(task, self._limits.picture_seconds)
            except Refused as refusal:
                raise for_page(refusal, job.source, name) from None
        except BaseException:
            self.shelf.remove(job)
            raise
        return job

    async def _state(self, request: Request) -> Response:
        return JSONResponse(self._describe(self.shelf.get(request.path_params["id"])))

    def _describe(self, job: _Job) -> dict[str, Any]:
        return {
            "id": job.id,
            "name": job.name,
            "state": job.state,
            "strength": job.strength,
            "position": self._queue.index(job) + 1 if job in self._queue else 0,
            "frames": job.frames,
            "expected": job.expected or job.about.get("frames"),
            "fps": job.fps,
            "eta_s": job.eta_s,
            "seconds": job.seconds,
            "message": job.message,
            "warnings": job.warnings,
            "expires": job.expires,
            "saved_as": download_name(job.name, ".mp4"),
            "bytes": job.result.stat().st_size if job.state == "done" else None,
            **{key: job.about.get(key) for key in ("width", "height", "duration_s")},
        }

    async def _result(self, request: Request) -> Response:
        """The sharpened video; ?save=1 to save it, else to play it."""
        job = self.shelf.get(request.path_params["id"])
        if job.state != "done":
            raise Refused(409, "not-ready", "This video is not done yet.")
        if request.query_params.get("save") != "1":
            return StoredFile(job.result, media_type="video/mp4")
        if request.method == "GET":
            job.keep(self._limits.keep_minutes_after_download, at_most=True)
        return StoredFile(job.result, filename=download_name(job.name, ".mp4"))

    async def _remove(self, request: Request) -> Response:
        """Forget a video; end the work on it if there is any."""
        job = self.shelf.get(request.path_params["id"])
        if job in self._queue:
            self._queue.remove(job)
        if self._running is not None and self._running[0] is job:
            task = self._running[1]
            task.cancel()
            await asyncio.wait((task,))
        self.shelf.remove(job)
        return Response(status_code=204)
