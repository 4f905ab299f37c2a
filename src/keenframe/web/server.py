"""The app on a socket: where it listens, by which addresses it is reached, and uvicorn set up with bounds."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import threading
import webbrowser
from typing import Any

import h11
import psutil
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from keenframe.errors import InputError, OutputError
from keenframe.web.settings import Limits, Settings

_TOKEN_BYTES = 24
_HEAD_BYTES_MAX = 32 << 10
_HEAD_S = 15.0
_GRACE_S = 3
_BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`; 0 takes a free one. InputError or OutputError when that fails."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise InputError(f"--host {host!r} is no address of a computer: {error.strerror}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Whoever comes from now on waits until the server is there.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OutputError(
            f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()} — "
            "choose another with --port, or end the program that has it"
        ) from error
    return listener


def settings_for(
    listener: socket.socket, host: str, model: str, engine: str, threads: int | None, limits: Limits
) -> Settings:
    """Settings for what listens where: only the loopback address goes without a token."""
    if _bound(listener).is_loopback:
        return Settings(model, engine, threads, limits=limits)
    hosts = Settings().hosts | {host.lower(), socket.gethostname().lower()}
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    return Settings(model, engine, threads, hosts, True, token, limits)


def addresses(listener: socket.socket, token: str | None) -> list[str]:
    """URLs that lead to the page; one that listens everywhere has one for each address of this computer."""
    bound, port = _bound(listener), listener.getsockname()[1]
    names = [str(bound)]
    if bound.is_unspecified:
        names = _own_addresses(listener.family)
    query = "" if token is None else f"?token={token}"
    return [f"http://{f'[{name}]' if ':' in name else name}:{port}/{query}" for name in names]


def config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """uvicorn's settings, with bounds on connections, heads and times."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
        timeout_graceful_shutdown=_GRACE_S,
        backlog=_BACKLOG,
    )


def run(app: ASGIApp, listener: socket.socket, limits: Limits, open_url: str | None = None) -> None:
    """Serve `app` until a signal ends it; what the signal does otherwise happens after the end."""
    if open_url is not None:
        # It may take its time to find a browser, and must not hold up the server.
        threading.Thread(target=webbrowser.open, args=(open_url,), daemon=True).start()
    uvicorn.Server(config(app, limits)).run(sockets=[listener])


class _Protocol(H11Protocol):
    """Closes connections whose request does not begin, or whose head does not end, in time."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _await_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(_HEAD_S, self._close_late)

    def _close_late(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
        self._late = None

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _bound(listener: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])


def _own_addresses(family: int) -> list[str]:
    """This computer's addresses of a family, those for others first."""
    found = [
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == family
    ]
    usable = [name for name in found if not ipaddress.ip_address(name).is_link_local]
    return sorted(usable, key=lambda name: ipaddress.ip_address(name).is_loopback)
