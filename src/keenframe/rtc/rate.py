"""How much either side may send: more while packets come without queueing, less when a queue has built up.

The estimators of aiortc and of browsers take each late reading of a busy machine for a full line: on two busy cores
aiortc lets a browser have 150 to 300 kbit/s of a free line, and Chromium asks for 400 of 2000 kbit/s. Here the least
delay of a while speaks, which other work on the machine hardly touches and a queue in the network does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from keenframe.rtc.numbering import Unwrapper
from keenframe.rtc.sdp import Bitrates

# What counts as a queue, over the least delay seen in the last `_BASE_WINDOWS` windows or reports.
_QUEUE_MS = 60.0
_WINDOW_MS = 500
_BASE_WINDOWS = 60
_UP_PER_WINDOW, _DOWN = 1.08, 0.85
# Not further ahead of what comes than this: a browser that sends little has not tried the line.
_AHEAD = 2.0
# Browsers lower their bitrate when more than a tenth is lost. Radio loses as much on a free line, and it is asked for
# again: up to a quarter lost, with no queue, the bitrate stays as it is.
_HOLD_LOST, _HEAVY_LOST = 0.09, 0.25
# Packets from which it can be told which part is lost.
_FEW, _WINDOW_PACKETS = 50, 100


class UplinkEstimate:
    """Watches the packets of one participant. `add` has the signature of aiortc's RemoteBitrateEstimator."""

    def __init__(self, bitrates: Bitrates) -> None:
        self._low_bps, self._high_bps = 1000.0 * bitrates.min_kbps, 1000.0 * bitrates.max_kbps
        self._target_bps = 1000.0 * bitrates.start_kbps
        self._times = Unwrapper(24)
        self._least: deque[float] = deque(maxlen=_BASE_WINDOWS)
        self._began_ms: int | None = None
        self._window_ms: float = 0.0
        self._bytes = 0
        self._ssrcs: set[int] = set()
        self._queued = False

    @property
    def target_kbps(self) -> float:
        """What the participant was told last."""
        return self._target_bps / 1000

    def add(
        self, arrival_time_ms: int, abs_send_time: int, payload_size: int, ssrc: int
    ) -> tuple[int, list[int]] | None:
        """Note a packet; now and then bits per second to tell the sender, with the streams that they are for.

        abs_send_time: the sender's seconds in 6.18 bits.
        """
        delay_ms = arrival_time_ms - self._times.unwrap(abs_send_time) * 1000 / (1 << 18)
        self._ssrcs.add(ssrc)
        if self._began_ms is None:
            self._began_ms, self._window_ms = arrival_time_ms, delay_ms
        self._window_ms = min(self._window_ms, delay_ms)
        self._bytes += payload_size
        elapsed_ms = arrival_time_ms - self._began_ms
        if elapsed_ms < _WINDOW_MS:
            return None
        received_bps = 8000 * self._bytes / elapsed_ms
        self._least.append(self._window_ms)
        self._steer(self._window_ms - min(self._least), received_bps)
        self._began_ms, self._bytes = None, 0
        return round(self._target_bps), sorted(self._ssrcs)

    def shown_loss(self, lost: float) -> float:
        """The part of the packets, 0..1, to report as lost: all of it only where the line is full."""
        return lost if self._queued or lost > _HEAVY_LOST else min(lost, _HOLD_LOST)

    def _steer(self, queue_ms: float, received_bps: float) -> None:
        self._queued = queue_ms > _QUEUE_MS
        if self._queued:
            target = min(self._target_bps, _DOWN * received_bps)
        elif received_bps * _AHEAD > self._target_bps:
            target = self._target_bps * _UP_PER_WINDOW
        else:
            target = self._target_bps
        self._target_bps = max(self._low_bps, min(target, self._high_bps))


class LossReports:
    """One stream's losses as its sender is to see them. Browsers look at the total, so that is kept in step.

    shown: what is reported of a part of the packets, 0..1, that was lost.
    """

    def __init__(self, shown: Callable[[float], float]) -> None:
        self._shown = shown
        self._numbers = Unwrapper(16)
        self._highest: int | None = None
        self._lost = 0
        self.total = 0

    def report(self, highest: int, lost: int) -> float:
        """Note the highest sequence number so far and the packets lost so far; the part to report as lost since.

        `total` and `highest` are what to report of them.
        """
        before, self._highest = self._highest, self._numbers.unwrap(highest)
        expected = self._highest - before if before is not None else 0
        missing, self._lost = lost - self._lost, lost
        if expected <= 0 or missing <= 0:
            # Nothing new, or packets that had been counted as lost and came late.
            self.total = max(0, self.total + min(missing, 0))
            return 0.0
        shown = self._shown(missing / expected)
        if expected < _FEW:
            # By chance it may be any part.
            shown = min(shown, _HOLD_LOST)
        self.total += min(missing, round(shown * expected))
        return shown

    @property
    def highest(self) -> int:
        """The highest sequence number with its turns counted, in 32 bits."""
        return (self._highest or 0) & 0xFFFFFFFF


class DownlinkEstimate:
    """What to send a participant, from what its reports tell."""

    def __init__(self, bitrates: Bitrates) -> None:
        self._low_bps, self._high_bps = 1000 * bitrates.min_kbps, 1000 * bitrates.max_kbps
        self.target_bps = 1000 * bitrates.start_kbps
        self._useful_bps = self._high_bps
        self._round_trips_ms: deque[float] = deque(maxlen=_BASE_WINDOWS)
        self._asked_bps = self._high_bps
        self._numbers = Unwrapper(16)
        self._since: tuple[int, int] | None = None
        self._window_ms = math.inf

    def take(self, useful_bps: int) -> int:
        """Bits per second to send at, not more than `useful_bps`. Any thread may ask."""
        self._useful_bps = useful_bps
        return min(self.target_bps, useful_bps)

    def ask(self, bitrate_bps: int) -> None:
        """The receiver's own estimate (REMB): followed as far as a queue bears it out."""
        self._asked_bps = bitrate_bps

    def report(self, round_trip_ms: float, highest: int, lost: int) -> None:
        """A receiver report: round trip, highest sequence number that came, packets lost so far.

        Steers each time that it speaks of a hundred more packets: of fewer, any part may be lost by chance.
        """
        highest = self._numbers.unwrap(highest & 0xFFFF)
        if self._since is None:
            self._since = highest, lost
        self._window_ms = min(self._window_ms, round_trip_ms)
        expected, missing = highest - self._since[0], lost - self._since[1]
        if expected < _WINDOW_PACKETS:
            return
        self._round_trips_ms.append(self._window_ms)
        self._steer(self._window_ms - min(self._round_trips_ms), missing / expected)
        self._since, self._window_ms = (highest, lost), math.inf

    def _steer(self, queue_ms: float, lost: float) -> None:
        if queue_ms > _QUEUE_MS:
            target = min(_DOWN * self.target_bps, self._asked_bps)
        elif lost > _HEAVY_LOST:
            target = self.target_bps * (1 - lost / 2)
        elif lost > _HOLD_LOST:
            target = self.target_bps
        else:
            # No further than what has been tried.
            tried = min(self.target_bps * _UP_PER_WINDOW, _AHEAD * self._useful_bps)
            target = max(self.target_bps, tried)
        self.target_bps = round(max(self._low_bps, min(target, self._high_bps)))
