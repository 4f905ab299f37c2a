"""Running the server: one process, one port, no log of who came."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from keenframe.serving.server import run
from keenframe.study.database import Database
from keenframe.study.design import Study
from keenframe.study.server.app import Api, create_app
from keenframe.study.server.limits import CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS


def serve(
    folder: Path, study: Study, listener: socket.socket, behind_proxy: bool, on_ready: Callable[[], None]
) -> None:
    """Serve the study in `folder` until the process is told to stop.

    behind_proxy: believe a proxy on this machine about the client's address. on_ready is called when nothing can go
    wrong any more. InputError when the answers cannot be used.
    """
    api = Api(folder, study, Database(folder, study))
    try:
        run(create_app(api), listener, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS, behind_proxy, on_ready)
    finally:
        api.close()
