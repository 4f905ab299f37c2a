"""How participants are served."""

from __future__ import annotations

from dataclasses import dataclass, field

from keenframe.errors import InputError
from keenframe.rtc.sdp import Bitrates
from keenframe.rtc.view import View


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """How participants are served.

    connect_s: how long a connection may take to come up. silence_s: how long nothing may come, not even a report,
    before a participant is taken for gone.
    """

    bitrates: Bitrates = field(default_factory=Bitrates)
    view: View = field(default_factory=View)
    connect_s: float = 20.0
    silence_s: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("connect_s", self.connect_s), ("silence_s", self.silence_s)):
            if not 0.5 <= value <= 3600:
                raise InputError(f"{name} is {value}; expected 0.5 to 3600 seconds")
