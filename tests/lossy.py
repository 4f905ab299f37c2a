"""A bad network between a browser and the relay: a UDP relay that drops, delays and narrows, without privileges."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable

_CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host.*", re.IGNORECASE)


class LossyNetwork:
    """Stands between two sides of one call, in one event loop. All may be changed while it runs.

    loss: part of the datagrams that are dropped, 0..1, in each direction. delay_ms: one way. limit_kbps: of what the
    browser sends, with a queue of a second; None for no limit.
    """

    def __init__(self, loss: float = 0.0, delay_ms: float = 0.0, seed: int = 1) -> None:
        self.loss = loss
        self.delay_ms = delay_ms
        self.limit_kbps: float | None = None
        self.passed = 0
        self.dropped = 0
        self._free_s = 0.0
        self._random = random.Random(seed)
        self._ends: list[asyncio.DatagramTransport] = []

    def offer(self, sdp: str) -> str:
        """The browser's offer without its addresses: the relay learns ours from what comes from there."""
        return _without_candidates(sdp)

    async def answer(self, sdp: str) -> str:
        """The relay's answer with our address in the place of its own."""
        found = _CANDIDATE.search(sdp)
        if found is None:
            raise ValueError("the answer has no IPv4 candidate")
        host, port = found[1], int(found[2])
        loop = asyncio.get_running_loop()
        browser_side, relay_side = _End(), _End()
        to_browser, _ = await loop.create_datagram_endpoint(lambda: browser_side, local_addr=(host, 0))
        to_relay, _ = await loop.create_datagram_endpoint(lambda: relay_side, local_addr=(host, 0))
        self._ends += [to_browser, to_relay]
        browser: list[tuple[str, int]] = []

        def from_browser(data: bytes, address: tuple[str, int]) -> None:
            browser[:] = [address]
            self._pass(data, lambda: to_relay.sendto(data, (host, port)), self._queue_s(len(data)))

        def from_relay(data: bytes, address: tuple[str, int]) -> None:
            if browser:
                self._pass(data, lambda: to_browser.sendto(data, browser[0]), 0.0)

        browser_side.receive, relay_side.receive = from_browser, from_relay
        ours = to_browser.get_extra_info("sockname")[1]
        line = f"a=candidate:1 1 udp 2130706431 {host} {ours} typ host"
        return _without_candidates(sdp, line + "\r\na=end-of-candidates\r\n")

    def close(self) -> None:
        """Close the sockets: nothing passes any more."""
        for end in self._ends:
            end.close()

    def _pass(self, data: bytes, send: Callable[[], None], queue_s: float) -> None:
        if self._random.random() < self.loss or queue_s > 1.0:
            self.dropped += 1
            return
        self.passed += 1
        delay_s = self.delay_ms / 1000 + queue_s
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, send)
        else:
            send()

    def _queue_s(self, size: int) -> float:
        """How long a datagram waits for those before it on the narrow line."""
        if self.limit_kbps is None:
            return 0.0
        now_s = asyncio.get_running_loop().time()
        waits_s = max(0.0, self._free_s - now_s)
        if waits_s <= 1.0:
            self._free_s = now_s + waits_s + size * 8 / 1000 / self.limit_kbps
        return waits_s


class NoNetwork(LossyNetwork):
    """Nothing in between: the two sides of a call speak to each other over this machine's own network."""

    def offer(self, sdp: str) -> str:
        """The browser's offer as it is."""
        return sdp

    async def answer(self, sdp: str) -> str:
        """The relay's answer as it is."""
        return sdp


class _End(asyncio.DatagramProtocol):
    receive: Callable[[bytes, tuple[str, int]], None] = staticmethod(lambda data, address: None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.receive(data, addr)


def _without_candidates(sdp: str, instead: str = "") -> str:
    lines = [
        line for line in sdp.splitlines() if not line.startswith(("a=candidate:", "a=end-of-candidates"))
    ]
    if not instead:
        return "\r\n".join(lines) + "\r\n"
    # Bundled media go over the first section's transport.
    first = next(index for index, line in enumerate(lines) if line.startswith("a=ice-ufrag"))
    lines.insert(first, instead.rstrip())
    return "\r\n".join(lines) + "\r\n"
