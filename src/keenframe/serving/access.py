"""Who may come: by which names, from which pages, with which token."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from keenframe.serving.listener import is_private
from keenframe.serving.requests import Refused

# Methods that change nothing.
SAFE = ("GET", "HEAD")
_TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come.

    hosts: names, in lower case and without a port, that a request may call this server by, besides loopback
    addresses, or all addresses when `any_address` is set. token: demanded of everyone when it is not None.
    """

    hosts: frozenset[str] = frozenset({"localhost"})
    any_address: bool = False
    token: str | None = None

    @classmethod
    def to(cls, listener: socket.socket, host: str, token: str | None = None) -> Access:
        """What is right for `listener` on `host`: where others can get in there is a token, a new one by default."""
        if is_private(listener):
            return cls(token=token)
        hosts = cls().hosts | {host.lower(), socket.gethostname().lower()}
        return cls(hosts, any_address=True, token=token or secrets.token_urlsafe(_TOKEN_BYTES))

    def admits(self, token: str) -> bool:
        """Whether this is the token, or none is needed."""
        return self.token is None or secrets.compare_digest(token.encode(), self.token.encode())

    def check(self, scope: Scope, linkable: bool, schemes: tuple[str, ...] = ("http",)) -> str:
        """The Host of a request that calls this server by a name of its own and comes from one of its own pages.

        linkable: whether pages of others may lead to what it asks for. schemes: of its own pages. Refused.
        """
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        # A page elsewhere can point a name of its own at this address (DNS rebinding), but it cannot choose what
        # the browser sends as Host.
        if len(hosts) != 1 or not self._is_ours(_name(hosts[0])):
            raise Refused(
                421,
                "wrong-host",
                "This server does not go by that name. Open the address that keenframe printed.",
            )
        host = hosts[0].lower()
        changes = scope["method"] not in SAFE
        if changes or not linkable:
            own = [f"{scheme}://{host}" for scheme in schemes]
            # A browser says "none" when the user opens an address by hand.
            sites = ["same-origin"] if changes else ["same-origin", "none"]
            if (
                headers.get("origin", own[0]).lower() not in own
                or headers.get("sec-fetch-site", sites[0]) not in sites
            ):
                raise Refused(403, "cross-site", "Requests from other websites are refused.")
        return host

    def _is_ours(self, name: str) -> bool:
        if name in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.any_address


def _name(host: str) -> str:
    """The name in a Host header, in lower case, without port and brackets; "" when it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path else (parts.hostname or "")
