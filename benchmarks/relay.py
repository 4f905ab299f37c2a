"""Calls of a headless Chromium to the relay and back: speed, and quality, over networks that lose packets.

    python benchmarks/relay.py --clip meeting.mkv --json benchmarks/results/relay/calls.json
    python benchmarks/relay.py --only calls --size 720p --direct
    python benchmarks/relay.py --only poor --clip a.mkv --clip b.mkv --json benchmarks/results/relay/poor.json

Two parts, `--only` chooses one:

calls   360p and 720p, each with 0, 5 and 15 % of the packets lost either way and 10 ms of delay: frames per second
        that came back, the round trip of a frame (written in the page, read in the page), the relay's own part of it,
        and how long after the losses' end a second of at least 27 frames had come. Quality of what the relay
        decoded, of what it made of it, and of what the browser got back, each against what was sent. One call
        more has sound, to which a browser fits the picture's time: how far the two are apart, too.
poor    VP8 at 150 kbit/s, 640x360 sent: the browser sends smaller pictures, as in a poor call. Quality of what the
        relay decoded, enlarged as a viewer's browser does it (bilinearly), and of what the relay made of that.

Clips are halved first, since they are compressed themselves (--whole leaves them as they are); what is missing to
the size that is sent is filled with mirrored copies. Frames are matched by a barcode, which is left out of every
figure. Needs Chromium and Playwright. Speed means something only on a machine that does nothing else: the browser's
own encoders and decoders run on the same processor.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

# Before this folder, which has a browser.py of its own.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import browser
from keenframe.engines.cpu import machine
from keenframe.engines.select import versions
from keenframe.live.governed import GovernedSharpener
from keenframe.live.stats import Stats
from keenframe.media.files import check_output, write_text
from keenframe.metrics import psnr, ssim
from keenframe.rtc.options import PeerOptions
from keenframe.rtc.relay import Relay
from keenframe.rtc.sdp import Bitrates
from keenframe.rtc.stream import LiveSharpener
from loopback import SAMPLE, Loopback, Luma, Recorder, Source, below_barcode, source_from
from lossy import LossyNetwork, NoNetwork

SIZES = {"360p": (640, 360), "720p": (1280, 720)}
SETTLE_S, DELAY_MS = 10.0, 10.0
RECOVERED_FPS, RECOVERY_S = 27, 20.0
POOR_KBPS = 150
Planes = dict[int, Luma]


class Recording:
    """Makes relays whose sharpener is recorded; pinned ones sharpen every frame with the largest model."""

    def __init__(self, every: int, pinned: bool, options: PeerOptions | None = None) -> None:
        self.recorders: list[Recorder] = []
        self._every, self._pinned, self._options = every, pinned, options

    def __call__(self) -> Relay:
        return Relay(make_sharpener=self._make, options=self._options)

    def _make(self, stats: Stats) -> LiveSharpener:
        inner = GovernedSharpener(stats=stats)
        if self._pinned:
            inner.pin(0)
        self.recorders.append(Recorder(inner, self._every, most=120))
        return self.recorders[-1]


def quality(planes: Planes, source: Source) -> dict[str, float]:
    """Mean PSNR-Y in dB and SSIM-Y against what was sent, and over how many frames."""
    pairs = [
        (below_barcode(luma), below_barcode(source.luma(number)))
        for number, luma in planes.items()
        if luma.shape == (source.height, source.width)
    ]
    if not pairs:
        return {"frames": 0, "psnr_db": math.nan, "ssim": math.nan}
    return {
        "frames": len(pairs),
        "psnr_db": round(float(np.mean([min(psnr(a, b), 100.0) for a, b in pairs])), 3),
        "ssim": round(float(np.mean([ssim(a, b) for a, b in pairs])), 5),
    }


def call(
    page: Any, source: Source, network: LossyNetwork, loss: float, codec: str, seconds: float, sound: bool
) -> dict[str, Any]:
    """One call: settle, measure under loss, then see it recover."""
    recording = Recording(every=15, pinned=False)
    with Loopback(recording, source, network) as loop:
        loop.start(page, codec=codec, sampleEvery=30, sound=sound, play=sound)
        loop.wait(page, 30)
        page.wait_for_timeout(1000 * SETTLE_S / 2)
        loop.network.loss = loss
        page.wait_for_timeout(1000 * SETTLE_S / 2)
        recorder = recording.recorders[0]
        recorder.clear()
        loop.forget()
        since, before, started_s = len(loop.received(page)), loop.relay.stats(), time.perf_counter()
        page.wait_for_timeout(1000 * seconds)
        frames, elapsed_s = loop.received(page, since), time.perf_counter() - started_s
        after = loop.relay.stats()
        (came, made), back = recorder.kept(), loop.returned()
        recovery_s = recovers(page, loop) if loss else None
        browser_side = page.evaluate("loopback.statistics()")
        page.evaluate("loopback.stop()")
    trips_ms = [frame.latency_ms for frame in frames if math.isfinite(frame.latency_ms)]
    (peer,) = after["participants"].values()
    gained = Counter(after["counters"])
    gained.subtract(before["counters"])
    return {
        "size": f"{source.width}x{source.height}",
        "codec": codec,
        "loss": loss,
        "sound": sound,
        "picture_after_sound_ms": apart_ms(browser_side) if sound else None,
        "delay_ms": network.delay_ms,
        "seconds": round(elapsed_s, 2),
        "fps_back": round(len(frames) / elapsed_s, 2),
        "round_trip_ms": {
            f"p{rank}": round(float(np.percentile(trips_ms, rank)), 1) for rank in (50, 95) if trips_ms
        },
        "relay_ms": peer["latency_ms"],
        "processing_ms": peer["processing_ms"],
        "recovery_s": recovery_s,
        "unreadable": sum(frame.number < 0 for frame in frames),
        "sizes_back": sorted({f"{frame.width}x{frame.height}" for frame in frames}),
        "uplink_kbps": peer["uplink_kbps"],
        "downlink_kbps": peer["downlink_kbps"],
        "counters": {name: number for name, number in gained.items() if number},
        "freezes": browser_side["inbound"].get("freezeCount"),
        "decoded": quality(came, source),
        "sharpened": quality(made, source),
        "back": quality(back, source),
    }


def apart_ms(browser_side: dict[str, Any]) -> float | None:
    """How much later than its sound the picture is played: the sender's times of what is played at one moment."""
    times = [browser_side[kind].get("estimatedPlayoutTimestamp") for kind in ("sound", "inbound")]
    return None if None in times else round(times[0] - times[1], 1)


def recovers(page: Any, loop: Loopback) -> float | None:
    """End the losses; seconds until the last second brought frames enough, None when it never did."""
    since, started_s = len(loop.received(page)), time.perf_counter()
    loop.network.loss = 0.0
    start_ms: float = page.evaluate("performance.now()")
    while time.perf_counter() - started_s < RECOVERY_S:
        page.wait_for_timeout(250)
        times_ms = np.array([frame.at_ms for frame in loop.received(page, since)])
        for at_ms in times_ms[times_ms > start_ms + 1000]:
            if np.sum((times_ms > at_ms - 1000) & (times_ms <= at_ms)) >= RECOVERED_FPS:
                return round(float(at_ms - 1000 - start_ms) / 1000, 2)
    return None


def poor_call(page: Any, clip: Path, source: Source, codec: str, seconds: float) -> dict[str, Any]:
    """One clip sent with 150 kbit/s."""
    options = PeerOptions(Bitrates(min_kbps=POOR_KBPS // 2))
    recording = Recording(every=5, pinned=True, options=options)
    sizes: Counter[str] = Counter()
    with Loopback(recording, source) as loop:
        loop.start(page, codec=codec, maxKbps=POOR_KBPS, sound=False)
        loop.wait(page, 30)
        page.wait_for_timeout(1000 * SETTLE_S)
        recorder = recording.recorders[0]
        recorder.clear()
        for _ in range(round(seconds)):
            page.wait_for_timeout(1000)
            (peer,) = loop.relay.stats()["participants"].values()
            sizes["{}x{}".format(*peer["size_in"])] += 1
        came, made = recorder.kept()
        browser_side = page.evaluate("loopback.statistics()")
        page.evaluate("loopback.stop()")
    return {
        "clip": clip.name,
        "codec": codec,
        "kbps": POOR_KBPS,
        "seconds_by_size": dict(sizes),
        "fps_in": peer["fps_in"],
        "passed": peer["counters"]["passed"],
        "sent_kbps": round(browser_side["outbound"].get("targetBitrate", 0) / 1000),
        "decoded": quality(came, source),
        "sharpened": quality(made, source),
    }


def show_call(row: dict[str, Any]) -> None:
    trip, relay = row["round_trip_ms"], row["relay_ms"]
    recovery = "–" if row["recovery_s"] is None else f"{row['recovery_s']:.1f}"
    sent = f"{row['size']} | {row['codec']} | {row['loss']:.0%}{', with sound' if row['sound'] else ''}"
    speed = f"{row['fps_back']:.1f} | {trip.get('p50', 0):.0f} | {trip.get('p95', 0):.0f} | {relay.get('p50', 0):.1f}"
    figures = " | ".join(_figures(row[name]) for name in ("decoded", "sharpened", "back"))
    print(f"| {sent} | {speed} | {recovery} | {figures} |", flush=True)


def show_poor(row: dict[str, Any]) -> None:
    gain = [row["sharpened"][name] - row["decoded"][name] for name in ("psnr_db", "ssim")]
    sizes = ", ".join(f"{size} ({count} s)" for size, count in row["seconds_by_size"].items())
    figures = f"{_figures(row['decoded'])} | {_figures(row['sharpened'])} | {gain[0]:+.2f} {gain[1]:+.4f}"
    print(f"| {row['clip']} | {sizes} | {figures} |", flush=True)


def _figures(found: dict[str, float]) -> str:
    return f"{found['psnr_db']:.2f} {found['ssim']:.4f}"


def measure(given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Both parts, or the one that was asked for, printed as they come."""
    rows: dict[str, list[dict[str, Any]]] = {"calls": [], "poor": []}
    with browser("--autoplay-policy=no-user-gesture-required") as chromium:
        if given.only in (None, "calls"):
            print("| size | codec | loss | FPS back | round trip ms | p95 | relay ms | recovery s ", end="")
            print("| decoded dB, SSIM | sharpened | back |\n|" + " --- |" * 11)
            for size in given.size or SIZES:
                source = source_from(given.clip[0], *SIZES[size], halve=not given.whole)
                losses = (0,) if given.direct else given.loss or (0, 5, 15)
                for loss, sound in [*((loss, False) for loss in losses), (0, True)]:
                    network = NoNetwork() if given.direct else LossyNetwork(delay_ms=DELAY_MS)
                    page = chromium.new_page()
                    of = call(page, source, network, loss / 100, given.codec, given.seconds, sound)
                    rows["calls"].append(of)
                    page.close()
                    show_call(rows["calls"][-1])
        if given.only in (None, "poor"):
            print("\n| clip | received | decoded, enlarged: dB, SSIM | sharpened | gain |\n|" + " --- |" * 5)
            for clip in given.clip:
                source = source_from(clip, *SIZES["360p"], halve=not given.whole)
                page = chromium.new_page()
                rows["poor"].append(poor_call(page, clip, source, given.codec, given.seconds))
                page.close()
                show_poor(rows["poor"][-1])
            show_means(rows["poor"])
    return rows


def show_means(rows: list[dict[str, Any]]) -> None:
    gains = [
        [row["sharpened"][name] - row["decoded"][name] for name in ("psnr_db", "ssim")]
        for row in rows
        if row["sharpened"]["frames"]
    ]
    if gains:
        mean, worst = np.mean(gains, axis=0), np.min(gains, axis=0)
        print(f"mean gain {mean[0]:+.2f} dB, {mean[1]:+.4f}; worst {worst[0]:+.2f} dB, {worst[1]:+.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", type=Path, action="append", help="a video file; several for the poor call")
    parser.add_argument("--whole", action="store_true", help="do not halve the clips first")
    parser.add_argument("--only", choices=("calls", "poor"))
    parser.add_argument("--size", choices=tuple(SIZES), action="append")
    parser.add_argument(
        "--loss", type=float, action="append", help="per cent of the packets; may be repeated"
    )
    parser.add_argument(
        "--direct", action="store_true", help="calls straight to the relay, with nothing that loses or delays"
    )
    parser.add_argument("--codec", choices=("VP8", "H264"), default="VP8")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured in each call")
    parser.add_argument("--json", type=Path, dest="json_file")
    given = parser.parse_args()
    if given.direct and given.loss:
        parser.error("--direct goes without --loss: nothing stands in between that could lose packets")
    if not given.clip:
        given.clip, given.whole = [SAMPLE], True
    if given.json_file is not None:
        given.json_file.parent.mkdir(parents=True, exist_ok=True)
        check_output(given.json_file, overwrite=True)  # rather than after minutes of measuring
    rows = measure(given)
    used = versions(("aiortc", "av", "openvino", "onnxruntime"))
    if given.json_file is not None:
        report = {"machine": machine(), "versions": used, "halved": not given.whole, **rows}
        write_text(given.json_file, json.dumps(report, indent=1) + "\n")
        print(f"written: {given.json_file}")


if __name__ == "__main__":
    main()
