"""Numbers that run around in 16 or 32 bits, as RTP's sequence numbers and timestamps do, made to run on."""

from __future__ import annotations


class Unwrapper:
    """Maps numbers modulo 2**bits to the nearest ones on the line, beginning with the first as it is."""

    def __init__(self, bits: int) -> None:
        self._period = 1 << bits
        self._last: int | None = None

    def unwrap(self, number: int) -> int:
        """The number on the line nearest to the last one that was given."""
        if self._last is None:
            self._last = number
        half = self._period // 2
        self._last += (number - self._last + half) % self._period - half
        return self._last
