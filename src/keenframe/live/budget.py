"""One share of the processor for several streams."""

from __future__ import annotations

import threading

from keenframe.live.governor import checked_share

# A stream that has asked for nothing for so long needs nothing.
IDLE_S = 2.0


class CpuBudget:
    """Divides `share` (0..1: of the time there is) among the streams that sharpen at once.

    Each may use an equal part; what one cannot use, because its frames are small or pass through, goes to the
    others. Parts depend on what streams could use, not on what they do use now, so they do not follow each other
    up and down. Any thread may call.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.share = checked_share(share)
        self._lock = threading.Lock()
        self._wishes: dict[object, tuple[float, float]] = {}

    def claim(self, member: object, now_s: float, wish: float) -> float:
        """The part of the time, 0..1, that `member` may use; `wish`: what it could use at most.

        now_s: a steadily rising clock, the same for all members. A member that claims nothing for two seconds is
        taken for idle.
        """
        with self._lock:
            self._wishes[member] = (now_s, max(wish, 0.0))
            busy = sorted(wish for at_s, wish in self._wishes.values() if now_s - at_s <= IDLE_S)
            left, part = self.share, self.share
            for index, other in enumerate(busy):
                part = left / (len(busy) - index)
                if other >= part:
                    break
                left -= other
            # Whoever wishes less than an equal part of what is left may still have that part.
            return part

    def leave(self, member: object) -> None:
        """Give the member's part to the others."""
        with self._lock:
            self._wishes.pop(member, None)
