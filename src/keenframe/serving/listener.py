"""Where a server listens, and by which addresses it is reached."""

from __future__ import annotations

import errno
import ipaddress
import socket
from urllib.parse import quote

import psutil

from keenframe.errors import InputError, OutputError
from keenframe.media.files import reason

BACKLOG = 256


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`; 0 takes a free one. InputError or OutputError when that fails."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise InputError(f"--host {host!r} is no address of a computer: {reason(error)}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Whoever comes from now on waits until the server is there.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = (
            "--host takes an address of this computer, or 0.0.0.0 for all of them"
            if error.errno == errno.EADDRNOTAVAIL
            else "choose another port with --port, or end the program that has it"
        )
        raise OutputError(f"cannot listen on {host} port {port}: {reason(error)} — {advice}") from error
    return listener


def is_private(listener: socket.socket) -> bool:
    """Whether only this computer can reach the socket."""
    return _bound(listener).is_loopback


def addresses(listener: socket.socket, token: str | None = None) -> list[str]:
    """URLs that lead to the page; one that listens everywhere has one for each address of this computer."""
    bound, port = _bound(listener), listener.getsockname()[1]
    names = (bound.is_unspecified and _own_addresses(listener.family)) or [str(bound)]
    query = "" if token is None else f"?token={quote(token, safe='')}"
    return [f"http://{f'[{name}]' if ':' in name else name}:{port}/{query}" for name in names]


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
