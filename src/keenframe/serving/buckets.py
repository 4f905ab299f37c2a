"""How often somebody may come."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_KEYS_MAX = 10_000


class Buckets:
    """Token buckets by key, in memory only: `rate` per second, up to `burst` at once.

    At most `_KEYS_MAX` keys are remembered; the one unused for longest is forgotten first.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """Count a request. 0 when it may pass, else the seconds to wait."""
        now = self._clock()
        level, since = self._levels.get(key, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        if level < 1:
            return (1 - level) / self._rate
        self._levels[key] = (level - 1, now)
        self._levels.move_to_end(key)
        if len(self._levels) > _KEYS_MAX:
            self._levels.popitem(last=False)
        return 0.0
