"""`keenframe relay`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from keenframe.cli.options import (
    CpuShare,
    Engine,
    Host,
    LiveThreads,
    Models,
    Port,
    Strength,
    announce,
    extra,
    warn,
)

if TYPE_CHECKING:
    from keenframe.rtc.sdp import Bitrates

_PORT = 8770


def relay(
    host: Host = "127.0.0.1",
    port: Port = _PORT,
    token: Annotated[
        str | None,
        typer.Option(help="What everyone has to show.", show_default="a new one, where others can get in"),
    ] = None,
    peers: Annotated[int, typer.Option(min=1, max=64, help="Participants at once.")] = 4,
    cpu_share: CpuShare = 1.0,
    strength: Strength = 1.0,
    model: Models = None,
    engine: Engine = "auto",
    threads: LiveThreads = None,
    fps: Annotated[float, typer.Option(min=1, max=60, help="Frames per second to hold.")] = 30.0,
    size: Annotated[
        str,
        typer.Option(
            help="Enlarge smaller frames before sharpening: to the largest of the stream so far, to WIDTHxHEIGHT, or "
            "same for not at all."
        ),
    ] = "largest",
    bitrate: Annotated[
        str, typer.Option(metavar="MIN:START:MAX", help="Bounds on the video either way, in kbit/s.")
    ] = "200:1500:3000",
    silence: Annotated[
        float,
        typer.Option(min=1, max=600, help="Seconds without a packet after which a participant is gone."),
    ] = 10.0,
) -> None:
    """Sharpen what browsers send over WebRTC and send it back, with its sound untouched and in time.

    Open the address that it prints, or POST an SDP offer to /offer. Numbers are at /metrics and /stats.json. Ctrl-C
    ends all calls.
    """
    from keenframe.rtc.options import PeerOptions
    from keenframe.rtc.relay import Relay, check_installed
    from keenframe.rtc.view import View

    check_installed()
    with extra("relay"):
        from keenframe.rtc.server import CONNECTIONS, create_app
        from keenframe.serving.access import Access
        from keenframe.serving.listener import addresses, is_private, listen
        from keenframe.serving.server import run

    options = PeerOptions(_bitrates(bitrate), View.parse(size), silence_s=silence)
    with listen(host, port) as listener:
        service = Relay(
            model or None,
            engine,
            threads,
            strength=strength,
            target_fps=fps,
            cpu_share=cpu_share,
            peers=peers,
            options=options,
        )
        access = Access.to(listener, host, token)
        if not is_private(listener):
            warn(
                "others on your network can reach the relay, with the whole address below; offers are not encrypted "
                "on their way, and browsers open a camera only on this computer or over https"
            )
        urls = addresses(listener, access.token)
        # That is the usual way: nothing has failed.
        with contextlib.suppress(KeyboardInterrupt):
            run(create_app(service, access), listener, CONNECTIONS, on_ready=lambda: announce(urls))


def _bitrates(text: str) -> Bitrates:
    from keenframe.errors import InputError
    from keenframe.rtc.sdp import Bitrates

    try:
        low, start, high = (int(part) for part in text.split(":"))
    except ValueError:
        raise InputError(
            f"--bitrate is {text!r}; expected MIN:START:MAX in kbit/s, such as 200:1500:3000"
        ) from None
    return Bitrates(low, start, high)
