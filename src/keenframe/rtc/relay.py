"""The relay: answers offers, serves several participants within one share of the processor, and ends them all."""

from __future__ import annotations

import asyncio
import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keenframe.errors import EngineError, InputError, KeenframeError
from keenframe.live.budget import CpuBudget
from keenframe.live.governed import GovernedSharpener
from keenframe.live.stats import Stats
from keenframe.rtc.options import PeerOptions
from keenframe.rtc.sdp import check_offer
from keenframe.rtc.stream import LiveSharpener

if TYPE_CHECKING:
    from keenframe.rtc.peer import Peer

# Makes what sharpens a new participant's stream, given its numbers.
SharpenerMaker = Callable[[Stats], LiveSharpener]

PEERS = 4


class RelayFull(KeenframeError):
    """As many participants as the relay takes are connected."""


class Relay:
    """Sharpens what participants send and sends it back to them.

    model: one same-size luma model or several, largest first; None takes the installed ones, as `GovernedSharpener`
        does. engine, threads, strength, target_fps: as it takes them.
    cpu_share: part of the time, 0..1, that sharpening may take, over all participants. peers: how many of them at
        once. options: `PeerOptions`, None for the defaults.
    make_sharpener: what a new participant's stream goes through instead of a `GovernedSharpener` of these.

    For one event loop, whose thread it never holds up. EngineError when aiortc is not installed.
    """

    def __init__(
        self,
        model: str | Path | Sequence[str | Path] | None = None,
        engine: str = "auto",
        threads: int | None = None,
        *,
        strength: float = 1.0,
        target_fps: float = 30.0,
        cpu_share: float = 1.0,
        peers: int = PEERS,
        options: PeerOptions | None = None,
        make_sharpener: SharpenerMaker | None = None,
    ) -> None:
        check_installed()
        if peers < 1:
            raise InputError(f"peers is {peers}; expected 1 or more")
        models = [model] if isinstance(model, str | Path) else model
        budget = CpuBudget(cpu_share)

        def governed(stats: Stats) -> LiveSharpener:
            return GovernedSharpener(
                models, target_fps, cpu_share, strength, engine, threads, budget=budget, stats=stats
            )

        if make_sharpener is None:
            # Says at once what is wrong with the model, the engine or the numbers.
            governed(Stats()).close()
        self._make_sharpener = make_sharpener or governed
        self._limit = peers
        self._options = options or PeerOptions()
        self._peers: dict[str, Peer] = {}
        # Offers that are being answered count too.
        self._arriving = 0
        self._closed = False
        self._ended: Counter[str] = Counter()
        self._counters: Counter[str] = Counter({"peers_answered": 0, "peers_refused": 0, "offers_bad": 0})

    async def answer(self, sdp: str, type: str = "offer") -> str:
        """The SDP answer to a browser's SDP offer, whose candidates are all gathered.

        InputError for an offer that cannot be used, RelayFull when nobody else can be served.
        """
        return (await self.connect(sdp, type))[1]

    async def connect(self, sdp: str, type: str = "offer") -> tuple[str, str]:
        """As `answer`; with the participant's id, which `disconnect` takes, before the answer."""
        from keenframe.rtc.peer import Peer

        try:
            check_offer(sdp, type)
            self._admit()
        except InputError:
            self._counters["offers_bad"] += 1
            raise
        self._arriving += 1
        try:
            stats = Stats()
            sharpener = await self._sharpener(stats)
            peer = Peer(sharpener, stats, self._options, self._gone)
            self._peers[peer.id] = peer
        finally:
            self._arriving -= 1
        try:
            answer = await peer.answer(sdp)
        except InputError:
            self._counters["offers_bad"] += 1
            raise
        if self._closed:
            await peer.close("the relay was closed")
            raise RelayFull("the relay is closing; start it again")
        self._counters["peers_answered"] += 1
        return peer.id, answer

    def set_strength(self, id: str, strength: float) -> bool:
        """Sharpen one participant's stream as strongly, 0..2; False when there is none of that id. InputError."""
        peer = self._peers.get(id)
        if peer is not None:
            peer.set_strength(strength)
        return peer is not None

    async def disconnect(self, id: str) -> bool:
        """End one participant's call; False when there is none of that id."""
        peer = self._peers.get(id)
        if peer is None:
            return False
        await peer.close("the participant left")
        return True

    async def close(self) -> None:
        """End all calls and take no more."""
        self._closed = True
        await asyncio.gather(*(peer.close("the relay was closed") for peer in list(self._peers.values())))

    def stats(self) -> dict[str, Any]:
        """peers, limit, counters, why peers ended, and `Peer.stats` by participant; ready for JSON."""
        # A copy: another thread may ask, while participants come and go.
        peers = {id: peer.stats() for id, peer in list(self._peers.items())}
        total = Counter(self._counters)
        for numbers in peers.values():
            total.update(numbers["counters"])
        return {
            "peers": len(peers),
            "peers_limit": self._limit,
            "fps_out": round(sum(numbers["fps_out"] for numbers in peers.values()), 2),
            "counters": dict(total),
            "ended": dict(self._ended),
            "participants": peers,
        }

    async def _sharpener(self, stats: Stats) -> LiveSharpener:
        """A new participant's sharpener, made in a thread, since loading models takes its time."""
        making = asyncio.ensure_future(asyncio.to_thread(self._make_sharpener, stats))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            # Whoever called has gone; what is being made is freed once it is there.
            making.add_done_callback(_close_made)
            raise

    def _admit(self) -> None:
        if self._closed:
            raise RelayFull("the relay is closing; start it again")
        present = len(self._peers) + self._arriving
        if present >= self._limit:
            self._counters["peers_refused"] += 1
            raise RelayFull(
                f"this relay is full ({present} of {self._limit} participants); wait until one leaves, or start "
                "`keenframe relay` with more --peers"
            )

    def _gone(self, peer: Peer) -> None:
        self._peers.pop(peer.id, None)
        # What is counted never becomes less.
        self._counters.update(peer.stats()["counters"])
        self._ended[peer.end or "closed"] += 1


def _close_made(making: asyncio.Future[LiveSharpener]) -> None:
    if not making.cancelled() and making.exception() is None:
        # It may wait for a model that is being compiled.
        asyncio.get_running_loop().run_in_executor(None, making.result().close)


def check_installed() -> None:
    """EngineError unless aiortc is there."""
    if importlib.util.find_spec("aiortc") is None:
        raise EngineError("the relay needs aiortc, which is not installed: pip install 'keenframe[relay]'")
