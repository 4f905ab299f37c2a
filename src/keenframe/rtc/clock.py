"""The sender's own clock, carried through the relay so that sound and picture stay together."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from keenframe.rtc.numbering import Unwrapper

_REPORTS = 16


class SenderClock:
    """Which wall-clock time the sender gives to a timestamp of one of its streams.

    A sender's reports say which time on its clock belongs to which RTP timestamp; a receiver plays sound and picture
    of one time together. The relay sends both on with its sender's times and not with its own: so the receiver
    makes good what the picture was held up by sharpening, and the sound needs no delay here.

    rate_hz: the stream's timestamps per second.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._timestamps = Unwrapper(32)
        self._report: tuple[int, int] | None = None

    def unwrap(self, timestamp: int) -> int:
        """A packet's 32-bit RTP timestamp on the line that `ntp` counts on."""
        return self._timestamps.unwrap(timestamp)

    def report(self, ntp: int, timestamp: int) -> None:
        """Take over a sender report: 64-bit NTP time (32.32 bits of seconds) and 32-bit RTP timestamp."""
        if ntp:
            self._report = ntp, self.unwrap(timestamp)

    def ntp(self, timestamp: int) -> int | None:
        """The sender's NTP time of an unwrapped timestamp; None before its first report."""
        if self._report is None:
            return None
        ntp, reported = self._report
        return (ntp + ((timestamp - reported) << 32) // self._rate_hz) % (1 << 64)


class SentReports:
    """When the last sender reports went out, by their time: what a receiver's report refers to."""

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        self._now_s = now_s
        self._sent_s: OrderedDict[int, float] = OrderedDict()

    def sent(self, ntp: int) -> None:
        """A report with this 64-bit NTP time goes out now."""
        self._sent_s[ntp >> 16 & 0xFFFFFFFF] = self._now_s()
        while len(self._sent_s) > _REPORTS:
            self._sent_s.popitem(last=False)

    def round_trip_ms(self, lsr: int, dlsr: int) -> float | None:
        """Time there and back, from a receiver report: the middle 32 bits of the last NTP time that came, and how
        long ago that was, in 1/65536 s. None when it speaks of no report that is known.
        """
        sent_s = self._sent_s.get(lsr)
        return None if sent_s is None else max(0.0, 1000 * (self._now_s() - sent_s - dlsr / 65536))
