"""`/api/pictures`: a picture comes in, is shown at three strengths, and goes out sharpened in its own format.

The page blends the views of strength 0, 1 and 2 as the slider moves: what the model adds is added in proportion to
the strength, so that every value between is shown without asking again. The download is computed afresh.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keenframe.serving.requests import Refused
from keenframe.web.naming import PICTURES, display_name, download_name, picture_or_demuxer
from keenframe.web.reading import StoredFile, for_page, head_of, strength_of
from keenframe.web.settings import Limits
from keenframe.web.shelf import Kept, Shelf
from keenframe.web.uploads import Uploads
from keenframe.web.workers import Worker
from keenframe.web.workspace import Workspace

_VIEWS = (0.0, 1.0, 2.0)
_GONE = "This picture is not kept any more. Open it again."


@dataclass(kw_only=True)
class _Picture(Kept):
    suffix: str = ""
    type: str = ""
    views: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    def view(self, strength: float) -> Path:
        return self.folder / f"view-{strength:g}"


class Pictures:
    """The routes, and the pictures that are there."""

    def __init__(self, limits: Limits, workspace: Workspace, uploads: Uploads, worker: Worker) -> None:
        self._limits = limits
        self._workspace = workspace
        self._uploads = uploads
        self._worker = worker
        self.shelf: Shelf[_Picture] = Shelf(limits.pictures, _GONE)

    def routes(self) -> list[Route]:
        return [
            Route("/api/pictures", self._take, methods=["POST"]),
            Route("/api/pictures/{id}/view", self._view),
            Route("/api/pictures/{id}/result", self._result),
            Route("/api/pictures/{id}", self._remove, methods=["DELETE"]),
        ]

    async def _take(self, request: Request) -> Response:
        """The body is the file; ?name= what it is called."""
        with self._uploads.place():
            picture = _Picture(
                folder=self._workspace.new_folder(), name=display_name(request.query_params.get("name", ""))
            )
            try:
                await self._uploads.save(request, picture.source, self._limits.picture_bytes)
                if picture_or_demuxer(head_of(picture.source)) is not None:
                    raise Refused(415, "unusable", f"This is a video; expected a picture: {PICTURES}.")
                about = await self._do("open_picture", picture, view=str(picture.view(0)))
            except BaseException:
                self.shelf.remove(picture)
                raise
        picture.suffix, picture.type = about["suffix"], about.pop("type")
        picture.keep(self._limits.keep_minutes)
        self.shelf.add(picture)
        saved_as = download_name(picture.name, picture.suffix)
        return JSONResponse({"id": picture.id, "name": picture.name, "saved_as": saved_as, **about}, 201)

    async def _view(self, request: Request) -> Response:
        """The picture as a browser shows it, at ?strength= 0, 1 or 2."""
        picture = self.shelf.get(request.path_params["id"])
        strength = strength_of(request)
        if strength not in _VIEWS:
            raise Refused(422, "strength", "There are views at the strengths 0, 1 and 2.")
        path = picture.view(strength)
        async with picture.views:
            if not path.exists():
                part = path.with_suffix(".part")
                await self._do("view", picture, view=str(part), strength=strength)
                part.rename(path)
        picture.keep(self._limits.keep_minutes)
        return StoredFile(path, media_type=picture.type)

    async def _result(self, request: Request) -> Response:
        """The sharpened file, at ?strength= 0 to 2."""
        picture = self.shelf.get(request.path_params["id"])
        strength = strength_of(request)
        target = picture.folder / f"{secrets.token_hex(4)}{picture.suffix}"
        await self._do("picture", picture, target=str(target), strength=strength)
        picture.keep(self._limits.keep_minutes)
        saved_as = download_name(picture.name, picture.suffix)
        return StoredFile(target, filename=saved_as, background=BackgroundTask(target.unlink, True))

    async def _remove(self, request: Request) -> Response:
        self.shelf.remove(self.shelf.get(request.path_params["id"]))
        return Response(status_code=204)

    async def _do(self, task: str, picture: _Picture, **arguments: object) -> dict[str, Any]:
        named = {"task": task, "source": str(picture.source), **arguments}
        try:
            done = await self._worker.run(named, self._limits.picture_seconds)
        except Refused as refusal:
            if picture.folder.exists():
                raise for_page(refusal, picture.source, picture.name) from None
        if not picture.folder.exists():  # removed meanwhile
            raise Refused(404, "gone", _GONE)
        return done
