"""The app: pages, pictures, videos and the relay's door, behind the guard."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from string import Template

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from keenframe import __version__
from keenframe.errors import KeenframeError
from keenframe.serving.requests import Refused
from keenframe.sharpener import STRENGTH_MAX
from keenframe.web.guard import WebGuard, answer_refusal
from keenframe.web.naming import PICTURES, VIDEOS
from keenframe.web.pictures import Pictures
from keenframe.web.relaying import relay_routes
from keenframe.web.settings import Relay, Settings
from keenframe.web.uploads import Uploads
from keenframe.web.videos import Videos
from keenframe.web.workers import Worker
from keenframe.web.workspace import Workspace
from keenframe.zoo.store import find_model, read_spec

STATIC = Path(__file__).parent / "static"
_SAMPLES = Path(__file__).parent.parent / "samples"
# Requests that may stand in line for the process that reads pictures.
_IN_LINE = 8
_SWEEP_EVERY_S = 15.0


def create_app(
    settings: Settings | None = None, relay: Relay | None = None, no_relay: str = "", base: Path | None = None
) -> ASGIApp:
    """The ASGI app.

    relay: answers the live page's offers; None when there is none, and `no_relay` then says how to get one.
    base: where its folder is made, the system's temporary files by default. The folder is removed when the app's
    lifespan ends. ModelError for an unknown model, OutputError when no folder can be made.
    """
    settings = settings or Settings()
    limits = settings.limits
    about = _about(settings, relay is not None, no_relay)
    workspace = Workspace(base)
    uploads = Uploads(limits)
    quick = Worker(settings, workspace.folder, _IN_LINE)
    long = Worker(settings, workspace.folder, limits.waiting + 1)
    pictures = Pictures(limits, workspace, uploads, quick)
    videos = Videos(limits, workspace, uploads, quick, long)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # The model is loaded while the user looks for a picture.
        tasks = [asyncio.create_task(work) for work in (_warm(quick), videos.work(), sweep())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for worker in (quick, long):
                await worker.stop()
            if relay is not None:
                await relay.close()
            workspace.close()

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            pictures.shelf.sweep()
            videos.shelf.sweep()

    async def answer_about(request: Request) -> Response:
        return JSONResponse(about)

    # Windows lets installed programs change these, and browsers run no script of another type.
    mimetypes.add_type("text/javascript", ".js")
    mimetypes.add_type("application/wasm", ".wasm")
    app = Starlette(
        routes=[
            Route("/", _page("files", "pictures and videos")),
            Route("/live", _page("live", "live")),
            Route("/samples/picture", _file(_SAMPLES / "still.jpg")),
            Route("/samples/video", _file(_SAMPLES / "call.webm")),
            Mount("/static", StaticFiles(directory=STATIC, packages=[("keenframe.serving", "static")])),
            Route("/api/about", answer_about),
            *pictures.routes(),
            *videos.routes(),
            *relay_routes(relay, no_relay, limits),
        ],
        exception_handlers={
            KeenframeError: _refused,
            HTTPException: _http_error,
            Exception: _bug,
        },
        lifespan=lifespan,
    )
    return WebGuard(app, settings)


def _about(settings: Settings, relay: bool, no_relay: str) -> dict[str, object]:
    """What the page needs to know."""
    limits = settings.limits
    return {
        "version": __version__,
        "model": settings.model,
        "scale": read_spec(find_model(settings.model)).scale,
        "strength_max": STRENGTH_MAX,
        "pictures": PICTURES,
        "videos": VIDEOS,
        "picture_bytes": limits.picture_bytes,
        "video_bytes": limits.video_bytes,
        "video_minutes": limits.video_minutes,
        "browser": _browser_models(),
        "relay": relay,
        "no_relay": no_relay,
    }


def _browser_models() -> list[str]:
    """Names of the models for sharpening within the browser, the largest first."""
    files = (STATIC / "keenframe" / "models").glob("*.kfm")
    return [path.stem for path in sorted(files, key=lambda path: path.stat().st_size, reverse=True)]


async def _warm(worker: Worker) -> None:
    # What is wrong with the model or the engine is said again, to the user, at the first picture.
    with suppress(Refused):
        await worker.run({"task": "warm"}, 120.0)


def _page(name: str, title: str) -> Callable[[Request], Awaitable[Response]]:
    """The page that js/NAME.js runs: what it holds, in the frame that all pages have."""
    frame, content = (
        (STATIC / "pages" / f"{part}.html").read_text(encoding="utf-8") for part in ("frame", name)
    )
    page = Template(frame).substitute(name=name, title=title, content=content)

    async def serve(request: Request) -> Response:
        return HTMLResponse(page)

    return serve


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return FileResponse(path)

    return serve


async def _refused(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refused) else Refused(422, "failed", str(error))
    return answer_refusal(request.scope, refusal)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "There is nothing at this address.", 405: "This address does not take that."}
    refusal = Refused(error.status_code, "http", messages.get(error.status_code, error.detail))
    return answer_refusal(request.scope, refusal)


async def _bug(request: Request, error: Exception) -> Response:
    message = f"Unexpected {type(error).__name__}. The terminal where keenframe runs shows more."
    return answer_refusal(request.scope, Refused(500, "bug", message))
