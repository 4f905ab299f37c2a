"""The few places where the relay reaches into aiortc, all of them here.

aiortc decodes and encodes in its own way and queues without bounds in between. Its connection, encryption, packets,
reports and retransmissions are used as they are; what assembles frames, encodes them and tells the sender's time is
put in the place of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import aiortc
from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpSrPacket,
    RtpPacket,
    unpack_remb_fci,
)

from keenframe.errors import EngineError
from keenframe.rtc.assembly import FrameAssembler, Retransmissions
from keenframe.rtc.clock import SenderClock, SentReports
from keenframe.rtc.encoding import ForwardedSound, VideoEncoder
from keenframe.rtc.rate import DownlinkEstimate, LossReports, UplinkEstimate


class SoundPackets:
    """In the place of an audio jitter buffer: each payload goes on at once, with its RTP timestamp."""

    def __init__(self, payload_type: int, deliver: Callable[[bytes, int], None]) -> None:
        self._payload_type = payload_type
        self._deliver = deliver

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; there is neither a key frame to ask for nor a frame to decode."""
        if packet.payload and packet.payload_type == self._payload_type:
            self._deliver(packet.payload, packet.timestamp)
        return False, None


def receive_video(
    receiver: RTCRtpReceiver, assembler: FrameAssembler, asked: Retransmissions, uplink: UplinkEstimate
) -> None:
    """Let `assembler` have what `receiver` gets, `asked` choose what to ask for again, `uplink` say how much."""
    _replace(receiver, "jitter_buffer", assembler)
    _replace(receiver, "nack_generator", asked)
    _replace(receiver, "remote_bitrate_estimator", uplink)


def receive_sound(receiver: RTCRtpReceiver, packets: SoundPackets) -> None:
    """Let `packets` have what `receiver` gets."""
    _replace(receiver, "jitter_buffer", packets)


def send_with(sender: RTCRtpSender, encoder: VideoEncoder | ForwardedSound) -> None:
    """Let `sender` encode with `encoder`."""
    _replace(sender, "encoder", encoder)


def follow_reports(sender: RTCRtpSender, downlink: DownlinkEstimate, clock: SentReports) -> None:
    """Let `downlink` hear what the other side reports about the stream of `sender`."""
    handle = sender._handle_rtcp_packet

    async def handle_reports(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                round_trip_ms = clock.round_trip_ms(report.lsr, report.dlsr)
                if report.ssrc == sender._ssrc and round_trip_ms is not None:
                    downlink.report(round_trip_ms, report.highest_sequence, report.packets_lost)
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            with contextlib.suppress(ValueError):
                downlink.ask(unpack_remb_fci(packet.fci)[0])
        await handle(packet)

    sender._handle_rtcp_packet = handle_reports  # type: ignore[method-assign]


def report_losses(receiver: RTCRtpReceiver, uplink: UplinkEstimate) -> None:
    """Let the sender of what `receiver` gets hear of losses what `uplink` shows of them.

    A browser adds the losses of all its streams up: it takes this for each of them.
    """
    send = receiver._send_rtcp
    losses: dict[int, LossReports] = {}

    async def send_report(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRrPacket):
            for report in packet.reports:
                seen = losses.setdefault(report.ssrc, LossReports(uplink.shown_loss))
                lost = seen.report(report.highest_sequence, report.packets_lost)
                report.fraction_lost, report.packets_lost = min(255, round(256 * lost)), seen.total
                report.highest_sequence = seen.highest
        await send(packet)

    receiver._send_rtcp = send_report  # type: ignore[method-assign]


def keep_time(receiver: RTCRtpReceiver, sender: RTCRtpSender, clock: SenderClock) -> SentReports:
    """Let the reports of `sender` tell the time that the reports to `receiver` told; returns when they were sent.

    Until the first of those has come the outgoing stream has no reports: a wrong time would be worse than none.
    """
    handle, encoded, send = receiver._handle_rtcp_packet, sender._next_encoded_frame, sender._send_rtcp
    reports = SentReports()
    sent: list[int] = []

    async def handle_report(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            clock.report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
        await handle(packet)

    async def next_frame(codec: Any) -> Any:
        frame = await encoded(codec)
        if frame is not None:
            sent[:] = [frame.timestamp]
        return frame

    async def send_reports(packets: list[AnyRtcpPacket]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                ntp = clock.ntp(sent[0]) if sent else None
                if ntp is None:
                    return
                packet.sender_info.ntp_timestamp = ntp
                reports.sent(ntp)
        await send(packets)

    receiver._handle_rtcp_packet = handle_report  # type: ignore[method-assign]
    sender._next_encoded_frame = next_frame  # type: ignore[method-assign]
    sender._send_rtcp = send_reports  # type: ignore[method-assign]
    return reports


def _replace(owner: object, name: str, value: object) -> None:
    attribute = f"_{type(owner).__name__}__{name}"
    if not hasattr(owner, attribute):
        raise EngineError(
            f"aiortc {aiortc.__version__} is built differently from what the relay knows ({attribute} is missing); "
            "install the version in constraints.txt"
        )
    setattr(owner, attribute, value)
