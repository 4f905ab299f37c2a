"""The relay with participants made of aiortc: what goes through, who is refused, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import statistics
import threading
import weakref
from collections.abc import Coroutine
from typing import Any

import psutil
import pytest

from keenframe.errors import EngineError, InputError
from keenframe.frame import Frame
from keenframe.rtc import hooks
from keenframe.rtc.options import PeerOptions
from keenframe.rtc.relay import Relay, RelayFull
from keenframe.rtc.sdp import Bitrates
from keenframe.rtc.view import View
from lossy import LossyNetwork
from rtc_client import Client, PassThrough, until


class Party:
    """Makes relays and participants for a test, and closes them all at its end, however it ends."""

    def __init__(self) -> None:
        self._made: list[Relay | Client] = []

    def relay(self, **options: Any) -> Relay:
        """One that sends back what it gets, unless told otherwise."""
        self._made.append(Relay(**{"make_sharpener": lambda stats: PassThrough()} | options))
        return self._made[-1]

    def client(self, *arguments: Any, **options: Any) -> Client:
        self._made.append(Client(*arguments, **options))
        return self._made[-1]

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a test's coroutine."""

        async def closing() -> None:
            try:
                await asyncio.wait_for(work, 300)
            finally:
                await asyncio.gather(*(one.close() for one in self._made))

        asyncio.run(closing())


@pytest.fixture
def party() -> Party:
    return Party()


def test_pictures_come_back_and_a_size_may_change_on_the_way(party: Party) -> None:
    async def work() -> None:
        relay = party.relay(options=PeerOptions(view=View("same")))
        client = party.client((320, 180))
        await client.call(relay.answer)
        await client.pictures_back(20)
        levels = [round(level) for _, _, level in client.got]
        assert levels == sorted(levels), "pictures come back in order"
        client.pictures.size = (160, 90)
        await until(lambda: client.got[-1][:2] == (160, 90), "smaller picture")
        client.pictures.size = (640, 360)
        await until(lambda: client.got[-1][:2] == (640, 360), "larger picture")
        (numbers,) = relay.stats()["participants"].values()
        assert numbers["state"] == "connected" and numbers["size_in"] == (640, 360)
        assert numbers["counters"]["errors"] == 0
        await client.close()
        await until(lambda: not relay.stats()["peers"], "end of the call")
        assert relay.stats()["ended"] == {"the participant left": 1}
        assert relay.stats()["counters"]["frames_out"] >= numbers["counters"]["frames_out"] > 0

    party.run(work())


def test_a_smaller_picture_is_enlarged_to_the_largest_of_the_stream(party: Party) -> None:
    async def work() -> None:
        relay = party.relay()
        client = party.client((320, 180), sound=False)
        await client.call(relay.answer)
        await client.pictures_back(5)
        client.pictures.size = (160, 90)
        sizes = relay.stats
        await until(
            lambda: next(iter(sizes()["participants"].values()))["size_in"] == (160, 90), "small picture"
        )
        seen = len(client.got)
        await client.pictures_back(seen + 10)
        assert {size[:2] for size in client.got} == {(320, 180)}

    party.run(work())


def test_sound_goes_through_untouched(party: Party) -> None:
    async def work() -> None:
        relay = party.relay()
        client = party.client()
        await client.call(relay.answer)
        await until(lambda: len(client.heard) >= 50, "sound back")
        payloads = [payload for payload, _ in client.heard]
        first = client.sounds.sent.index(payloads[0])
        assert payloads == client.sounds.sent[first : first + len(payloads)]
        steps = {
            (late - early) % 2**32
            for (_, early), (_, late) in zip(client.heard, client.heard[1:], strict=False)
        }
        assert steps == {960}

    party.run(work())


def test_sound_and_picture_keep_their_sender_s_clock(party: Party) -> None:
    """The reports of what comes back tell the time of what was sent, however long the relay took for a picture."""

    # Much longer than a busy machine holds up sound.
    slow_s = 1.0

    class Slow(PassThrough):
        def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
            threading.Event().wait(slow_s)
            return super().sharpen(frame, dropped)

    async def work() -> None:
        relay = party.relay(make_sharpener=lambda stats: Slow())
        client = party.client()
        await client.call(relay.answer)
        await until(lambda: all(len(client.reports[kind]) >= 4 for kind in client.reports), "reports back")
        age = {
            kind: statistics.median(report.age_s for report in client.reports[kind])
            for kind in client.reports
        }
        # A picture that was sent just now came in so long ago or longer; its report says so, and sound's does not.
        assert age["video"] > 0.95 * slow_s > age["audio"], age

    party.run(work())


def test_more_participants_than_the_limit_are_refused_and_places_are_free_again(party: Party) -> None:
    async def work() -> None:
        relay = party.relay(peers=2)
        clients = [party.client(sound=False) for _ in range(3)]
        await asyncio.gather(*(client.call(relay.answer) for client in clients[:2]))
        with pytest.raises(
            RelayFull, match=r"this relay is full \(2 of 2 participants\); wait until one leaves"
        ):
            await clients[2].call(relay.answer)
        assert relay.stats()["counters"]["peers_refused"] == 1
        await clients[0].close()
        await until(lambda: relay.stats()["peers"] == 1, "free place")
        again = party.client(sound=False)
        await again.call(relay.answer)
        await again.pictures_back(3)
        await relay.close()
        await until(lambda: again.connection.connectionState == "closed", "end at the other side")
        with pytest.raises(RelayFull, match="closing"):
            await clients[2].call(relay.answer)

    party.run(work())


def test_a_sharpener_that_fails_lets_pictures_through(party: Party) -> None:
    class Broken(PassThrough):
        def sharpen(self, frame: Frame, dropped: int = 0) -> Frame:
            raise RuntimeError("out of order")

    async def work() -> None:
        relay = party.relay(make_sharpener=lambda stats: Broken())
        client = party.client(sound=False)
        await client.call(relay.answer)
        await client.pictures_back(5)
        (numbers,) = relay.stats()["participants"].values()
        assert numbers["counters"]["errors"] and "out of order" in numbers["last_error"]

    party.run(work())


def test_the_strength_of_a_call_may_change(party: Party) -> None:
    async def work() -> None:
        made: list[PassThrough] = []

        def make(stats: object) -> PassThrough:
            made.append(PassThrough())
            return made[-1]

        relay = party.relay(make_sharpener=make)
        await party.client(sound=False).call(relay.answer)
        (id,) = relay.stats()["participants"]
        assert relay.set_strength(id, 0.5) and made[0].strength == 0.5
        assert relay.stats()["participants"][id]["strength"] == 0.5
        with pytest.raises(InputError, match="strength is 3"):
            relay.set_strength(id, 3)
        assert not relay.set_strength("nobody", 1.0)
        assert await relay.disconnect(id) and not await relay.disconnect(id)
        assert not relay.set_strength(id, 1.0) and made[0].closed

    party.run(work())


def test_whoever_gives_up_while_a_model_loads_leaves_nothing(party: Party) -> None:
    async def work() -> None:
        loading, made = threading.Event(), PassThrough()

        def make(stats: object) -> PassThrough:
            loading.wait()
            return made

        relay = party.relay(make_sharpener=make, peers=1)
        client = party.client(sound=False)
        calling = asyncio.ensure_future(client.call(relay.answer))
        await asyncio.sleep(0)
        while not threading_waits(loading):
            await asyncio.sleep(0.01)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        loading.set()
        await until(lambda: made.closed, "end of the sharpener")
        await party.client(sound=False).call(relay.answer)

    party.run(work())


def threading_waits(event: threading.Event) -> bool:
    """Whether some thread waits for the event."""
    return bool(event._cond._waiters)  # type: ignore[attr-defined]


def test_a_sharpener_that_cannot_be_made_refuses_the_call(party: Party) -> None:
    def make(stats: object) -> PassThrough:
        raise EngineError("no engine here")

    async def work() -> None:
        relay = party.relay(make_sharpener=make)
        client = party.client(sound=False)
        with pytest.raises(EngineError, match="no engine here"):
            await client.call(relay.answer)
        assert relay.stats()["peers"] == 0

    party.run(work())


def test_offers_that_cannot_be_used_are_refused_and_leave_nothing(party: Party) -> None:
    async def work() -> None:
        relay = party.relay()
        client = party.client()
        await client.connection.setLocalDescription(await client.connection.createOffer())
        good = client.connection.localDescription.sdp
        for bad in (
            good.replace("VP8", "XYZ").replace("H264", "UVW"),
            good.replace("a=ice-pwd", "a=x"),
            "v=0\r\nm=",
        ):
            with pytest.raises(InputError):
                await relay.answer(bad)
        with pytest.raises(InputError, match="type 'answer'"):
            await relay.answer(good, "answer")
        assert relay.stats()["peers"] == 0 and relay.stats()["counters"]["offers_bad"] == 4
        assert not threads()

    party.run(work())


def test_a_connection_that_cannot_come_up_is_ended(party: Party) -> None:
    async def work() -> None:
        # One has the time that a busy machine may take to find out that it fails.
        relay, hasty = party.relay(), party.relay(options=PeerOptions(connect_s=1.0))
        wrong, lost = party.client(sound=False), party.client(sound=False)
        network = LossyNetwork(loss=1.0)

        async def forged(sdp: str) -> str:
            lines = sdp.splitlines()
            keys = [
                f"{line[:-2]}{'00' if line[-2:] != '00' else '11'}"
                if line.startswith("a=fingerprint")
                else line
                for line in lines
            ]
            return await relay.answer("\r\n".join(keys) + "\r\n")

        async def nowhere(sdp: str) -> str:
            return await network.answer(await hasty.answer(network.offer(sdp)))

        calls = [asyncio.ensure_future(wrong.call(forged)), asyncio.ensure_future(lost.call(nowhere))]
        await until(lambda: relay.stats()["ended"] and hasty.stats()["ended"], "end of both")
        assert relay.stats()["ended"] == {"the connection failed": 1}
        assert hasty.stats()["ended"] == {"not connected within 1 s": 1}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        network.close()

    party.run(work())


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("keenframe-")]


def test_twenty_participants_who_vanish_leave_nothing_behind(party: Party) -> None:
    async def work() -> None:
        made: list[PassThrough] = []

        def make(stats: object) -> PassThrough:
            made.append(PassThrough())
            return made[-1]

        relay = party.relay(make_sharpener=make, peers=5, options=PeerOptions(silence_s=1.0))
        await vanish(party, relay, 1)
        tasks, sockets = len(asyncio.all_tasks()), len(psutil.Process().net_connections("udp"))
        peers: list[weakref.ref[Any]] = []
        for _ in range(4):
            peers += await vanish(party, relay, 5)
        assert len(peers) == 20
        assert relay.stats()["ended"] == {"nothing came for 1 s": 21}
        assert all(sharpener.closed and sharpener.frames for sharpener in made)
        assert not threads()
        await until(lambda: len(asyncio.all_tasks()) <= tasks, "end of all tasks")
        await until(lambda: len(psutil.Process().net_connections("udp")) <= sockets - 2, "end of all sockets")

        def freed() -> bool:
            gc.collect()
            return not any(peer() for peer in peers)

        await until(freed, "memory back")

    party.run(work())


async def vanish(party: Party, relay: Relay, count: int) -> list[weakref.ref[Any]]:
    """Connect participants, let all their packets be lost, and wait until the relay has noticed."""
    network = LossyNetwork()
    clients = [party.client() for _ in range(count)]

    async def answer(sdp: str) -> str:
        return await network.answer(await relay.answer(network.offer(sdp)))

    await asyncio.gather(*(client.call(answer) for client in clients))
    await asyncio.gather(*(client.pictures_back(2) for client in clients))
    peers = [weakref.ref(peer) for peer in relay._peers.values()]
    network.loss = 1.0
    await until(lambda: not relay.stats()["peers"], "end of all calls")
    await asyncio.gather(*(client.close() for client in clients))
    network.close()
    return peers


def test_an_aiortc_that_is_built_differently_is_named() -> None:
    class RTCRtpSender:
        pass

    with pytest.raises(EngineError, match=r"aiortc .* built differently .*_RTCRtpSender__encoder is missing"):
        hooks.send_with(RTCRtpSender(), None)  # type: ignore[arg-type]


def test_numbers_out_of_range_are_refused(party: Party) -> None:
    for bad in ({"peers": 0}, {"cpu_share": 2.0}):
        with pytest.raises(InputError):
            party.relay(**bad)
    with pytest.raises(InputError, match="silence_s is 0"):
        PeerOptions(silence_s=0)
    with pytest.raises(InputError, match="min <= start <= max"):
        Bitrates(500, 300, 1000)
