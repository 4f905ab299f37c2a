"""Session descriptions: what an offer must hold, and the bitrates that an answer asks a browser to keep to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keenframe.errors import InputError

VIDEO_CODECS = ("VP8", "H264")
# A browser's offer of sound and picture with a dozen candidates has 8 kB.
OFFER_BYTES_MAX = 100_000

_RTPMAP = re.compile(r"a=rtpmap:(\d+) ([A-Za-z0-9-]+)/")


@dataclass(frozen=True, slots=True)
class Bitrates:
    """Bounds in kbit/s on the video in either direction: what it starts with and what it is kept between.

    Without them a browser starts at 300 kbit/s, sends smaller pictures from the first second on and takes half a
    minute to come up.
    """

    min_kbps: int = 200
    start_kbps: int = 1500
    max_kbps: int = 3000

    def __post_init__(self) -> None:
        if not 30 <= self.min_kbps <= self.start_kbps <= self.max_kbps <= 50_000:
            raise InputError(
                f"bitrates are {self.min_kbps}, {self.start_kbps} and {self.max_kbps} kbit/s; expected "
                "30 <= min <= start <= max <= 50000"
            )


def check_offer(sdp: str, type: str = "offer") -> None:
    """InputError unless `sdp` is an offer of one video that is sent and taken back, and at most one sound."""
    if type != "offer":
        raise InputError(f"got a session description of type {type!r}; expected 'offer'")
    if len(sdp) > OFFER_BYTES_MAX:
        raise InputError(f"the offer has {len(sdp)} characters; expected at most {OFFER_BYTES_MAX}")
    if not sdp.startswith("v=0"):
        raise InputError("this is not a session description: it does not start with 'v=0'")
    kinds = []
    for section in _sections(sdp)[1:]:
        kind = section[0][2:].split(" ")[0]
        kinds.append(kind)
        if kind not in ("audio", "video"):
            raise InputError(
                f"the offer holds {kind!r}; the relay takes sound and picture only: leave it out"
            )
        if kind == "video" and "a=sendrecv" not in section:
            raise InputError(
                "the offered video is not both sent and received; the relay sends it back: offer it as sendrecv"
            )
    if kinds.count("video") != 1 or kinds.count("audio") > 1:
        raise InputError(
            f"the offer holds {kinds.count('video')} videos and {kinds.count('audio')} sounds; expected one "
            "video and at most one sound: open one connection for each camera"
        )


def with_bitrates(sdp: str, bitrates: Bitrates) -> str:
    """The answer `sdp` with bounds for what the browser sends, on each codec of its video."""
    bounds = (
        f"x-google-start-bitrate={bitrates.start_kbps};x-google-min-bitrate={bitrates.min_kbps};"
        f"x-google-max-bitrate={bitrates.max_kbps}"
    )
    lines: list[str] = []
    for section in _sections(sdp):
        if section[0].startswith("m=video"):
            section = _bounded(section, bounds)
        lines += section
    return "\r\n".join(lines) + "\r\n"


def _sections(sdp: str) -> list[list[str]]:
    """The lines of the session part and of each media section."""
    sections: list[list[str]] = [[]]
    for line in sdp.splitlines():
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def _bounded(section: list[str], bounds: str) -> list[str]:
    described = {line.split(" ")[0] for line in section if line.startswith("a=fmtp:")}
    codecs = {match[1] for line in section if (match := _RTPMAP.match(line)) and match[2] in VIDEO_CODECS}
    lines = []
    for line in section:
        match = _RTPMAP.match(line)
        own = line.startswith("a=fmtp:") and line.split(" ")[0].removeprefix("a=fmtp:") in codecs
        lines.append(f"{line};{bounds}" if own else line)
        if match and match[1] in codecs and f"a=fmtp:{match[1]}" not in described:
            lines.append(f"a=fmtp:{match[1]} {bounds}")
    return lines
