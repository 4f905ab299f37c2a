"""Running the server: one process, one port, no log of who came."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from keenframe.errors import InputError
from keenframe.media.files import reason
from keenframe.study.database import Database
from keenframe.study.design import Study, read_study
from keenframe.study.server.app import Api, create_app
from keenframe.study.server.limits import CONNECTIONS_MAX, limited_protocol

_KEEP_ALIVE_S, _GRACE_S = 20, 10
_BACKLOG = 256


def serve(
    folder: Path, host: str, port: int, behind_proxy: bool, on_ready: Callable[[Study, str], None]
) -> None:
    """Serve the study in `folder` until the process is told to stop.

    host, port: where to listen; port 0 takes a free one. behind_proxy: believe a proxy on this machine about
    the client's address. on_ready gets the study and the address that raters' links start with. InputError
    when the study or the port cannot be used.
    """
    study = read_study(folder)
    listener = _listen(host, port)
    api = Api(folder, study, Database(folder, study))
    try:
        config = uvicorn.Config(
            create_app(api),
            http=limited_protocol(behind_proxy),
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=behind_proxy,
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            limit_concurrency=CONNECTIONS_MAX,
            h11_max_incomplete_event_size=16 * 1024,
        )
        on_ready(study, _url(host, listener.getsockname()[1]))
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        api.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port}: {reason(error)} — choose another --port or --host"
        ) from error


def _url(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"
