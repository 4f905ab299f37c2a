"""`keenframe serve`."""

from __future__ import annotations

import threading
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from keenframe.cli.options import Engine, Host, Model, Port, Threads, announce, extra, open_sharpener, warn

if TYPE_CHECKING:
    from keenframe.web.settings import Relay as RelayLike

_PORT = 8765
_MODEL = "keen"


def serve(
    port: Port = _PORT,
    host: Host = "127.0.0.1",
    model: Model = _MODEL,
    engine: Engine = "auto",
    threads: Threads = None,
    max_mb: Annotated[int, typer.Option(min=1, help="The largest video taken, in MB.")] = 2000,
    max_minutes: Annotated[float, typer.Option(min=0.1, help="The longest video taken.")] = 30.0,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Sharpen pictures, videos and live video on a page in your browser.

    The page is for this computer only, unless --host says otherwise. What is uploaded is removed after an hour,
    and when the server ends.
    """
    with extra("web"):
        from keenframe.serving.access import Access
        from keenframe.serving.listener import addresses, listen
        from keenframe.serving.server import run
        from keenframe.web.app import create_app
        from keenframe.web.settings import Limits, Settings

    with listen(host, port) as listener:
        limits = Limits(video_bytes=max_mb * 1_000_000, video_minutes=max_minutes)
        access = Access.to(listener, host)
        # Says at once what is wrong with the model or the engine, not at the first picture.
        open_sharpener(model, engine, threads).close()
        settings = Settings(model, engine, threads, access, limits)
        relay, no_relay = _relay(model, engine, threads)
        app = create_app(settings, relay, no_relay)
        urls = addresses(listener, access.token)
        if access.token is not None:
            warn(
                "others on your network can reach this page, with the whole address below; what they send is not "
                "encrypted, and browsers open their camera only on the computer that keenframe runs on"
            )

        def ready() -> None:
            announce(urls)
            if browser:
                # It may take its time to find a browser, and must not hold up the server.
                threading.Thread(target=webbrowser.open, args=(urls[0],), daemon=True).start()

        run(app, listener, limits.connections, on_ready=ready)


def _relay(model: str, engine: str, threads: int | None) -> tuple[RelayLike | None, str]:
    """The WebRTC relay, or why there is none."""
    from keenframe.errors import KeenframeError
    from keenframe.rtc.relay import Relay

    try:
        # Left to itself it has smaller models at hand too.
        return Relay(None if model == _MODEL else model, engine, threads), ""
    except KeenframeError as error:
        return None, str(error)
