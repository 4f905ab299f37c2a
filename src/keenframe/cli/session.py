"""A live stream with somebody in front of it: window, keys, status line, JSON lines, and the summary."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keenframe.cli import stop

if TYPE_CHECKING:
    from rich.console import Console

    from keenframe.live.governed import GovernedSharpener
    from keenframe.live.pipeline import Pipeline
    from keenframe.live.preview import Action, Preview
    from keenframe.live.sinks import RecordingSink

STATUS_S, JSON_S = 0.5, 1.0
# How long to wait for a frame before looking at keys and the clock again.
_PATIENCE_S = 0.05
_STEP, _STRONGEST = 0.1, 2.0


class Session:
    """Runs a pipeline until it ends or the user ends it. screen: a console on stderr; JSON lines go to stdout."""

    def __init__(self, screen: Console, sharpener: GovernedSharpener, as_json: bool) -> None:
        self._screen, self._sharpener, self._as_json = screen, sharpener, as_json
        self._recording: RecordingSink | None = None
        self._compare = False

    def event(self, line: str) -> None:
        """Say one line; any thread may."""
        self._screen.print(f"keenframe: {line}", markup=False, soft_wrap=True)
        if self._as_json:
            _print_json({"event": line})

    def run(
        self,
        pipeline: Pipeline,
        preview: bool,
        compare: bool,
        duration_s: float | None,
        metrics_port: int | None,
    ) -> None:
        """Start, serve window and lines until the end, stop. KeenframeError says what went wrong in between."""
        from rich.live import Live
        from rich.text import Text

        from keenframe.live.metrics import MetricsServer
        from keenframe.live.preview import Preview

        self._compare = compare
        with ExitStack() as stack:
            window = None
            if preview:
                window = Preview("keenframe")
                stack.callback(window.close)
            if metrics_port is not None:
                server = stack.enter_context(MetricsServer(pipeline.snapshot, metrics_port))
                self.event(f"numbers at http://127.0.0.1:{server.port}/metrics")
            started_s = time.perf_counter()
            try:
                with pipeline:
                    shown = not self._as_json and self._screen.is_terminal
                    live = Live(Text(""), console=self._screen, auto_refresh=False, transient=True)
                    with live if shown else ExitStack():
                        self._serve(pipeline, window, duration_s, live if shown else None)
            except KeyboardInterrupt:
                # The usual way to end it: the recording is whole, or the pipeline's error says that it is not.
                pass
            seconds = time.perf_counter() - started_s
            last = pipeline.snapshot()
        if self._as_json:
            _print_json(last | {"seconds": round(seconds, 3)})
        elif pipeline.error is None or any(sink["written"] for sink in last["sinks"].values()):
            print(summary(last, seconds))
        if pipeline.error is not None:
            raise pipeline.error

    def _serve(self, pipeline: Pipeline, window: Preview | None, duration_s: float | None, live: Any) -> None:
        from rich.text import Text

        tap = pipeline.tap() if window is not None else None
        started_s = now_s = time.perf_counter()
        status_due_s, json_due_s = started_s, started_s + JSON_S
        lines: list[str] = []
        while not pipeline.wait(0 if window is not None else _PATIENCE_S):
            stop.check()
            now_s = time.perf_counter()
            if duration_s is not None and now_s - started_s >= duration_s:
                return
            if now_s >= status_due_s and (window is not None or live is not None):
                status_due_s = now_s + STATUS_S
                snapshot = pipeline.snapshot()
                lines = overlay(snapshot)
                if live is not None:
                    text = status(snapshot, self._screen.width)
                    live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
            if self._as_json and now_s >= json_due_s:
                json_due_s += JSON_S
                _print_json(pipeline.snapshot())
            if window is not None and tap is not None:
                got = tap.get(_PATIENCE_S)
                if got is not None:
                    note = ["left half as it came"] if self._compare else []
                    window.show(got[0], lines + note, self._compare, self._records(pipeline))
                for action in window.actions():
                    if action == "quit":
                        return
                    self._act(action, pipeline)
                    status_due_s = 0.0

    def _act(self, action: Action, pipeline: Pipeline) -> None:
        sharpener = self._sharpener
        if action in ("stronger", "weaker"):
            step = _STEP if action == "stronger" else -_STEP
            sharpener.set(strength=round(min(max(sharpener.strength + step, 0.0), _STRONGEST), 1))
        elif action == "level":
            pinned = sharpener.pinned
            last = len(sharpener.levels) - 1
            sharpener.pin(0 if pinned is None else None if pinned == last else pinned + 1)
        elif action == "auto":
            sharpener.pin(None)
        elif action == "compare":
            self._compare = not self._compare
        elif action == "record":
            self._toggle_recording(pipeline)

    def _records(self, pipeline: Pipeline) -> bool:
        """Whether a recording is under way: one that has died is none."""
        return self._recording is not None and pipeline.takes(self._recording)

    def _toggle_recording(self, pipeline: Pipeline) -> None:
        from keenframe.errors import KeenframeError
        from keenframe.live.sinks import RecordingSink

        recording = self._records(pipeline)
        if self._recording is not None:
            sink, self._recording = self._recording, None
            if pipeline.remove_sink(sink) is None:
                self.event(f"recorded {sink.name}")
        if recording:
            return
        try:
            self._recording = RecordingSink(
                Path(f"keenframe-{datetime.now():%Y%m%d-%H%M%S}.mp4"), compare=self._compare
            )
        except KeenframeError as error:
            self.event(str(error))
            return
        pipeline.add_sink(self._recording)


def status(snapshot: dict[str, Any], width: int) -> str:
    """The numbers in as few lines of at most `width` characters as hold them."""
    latency = snapshot["latency_ms"]
    parts = [
        f"{snapshot['input'] or 'waiting for the first frame'}",
        f"{snapshot['fps_in']:.1f} → {snapshot['fps_out']:.1f} FPS",
        _level(snapshot),
        f"strength {snapshot['strength']:g}",
        f"latency {latency['p50']:.0f} / {latency['p95']:.0f} / {latency['p99']:.0f} ms" if latency else "",
        f"{snapshot['counters']['dropped']} dropped",
        f"CPU {snapshot['cpu_percent']:.0f} %",
    ]
    parts += [
        f"{name}: {sink['state']}" for name, sink in snapshot["sinks"].items() if sink["state"] == "lost"
    ]
    lines = [""]
    for part in filter(None, parts):
        joined = f"{lines[-1]}  {part}" if lines[-1] else part
        if lines[-1] and len(joined) > width:
            lines.append(part)
        else:
            lines[-1] = joined
    return "\n".join(lines)


def _level(snapshot: dict[str, Any]) -> str:
    """The model in use, and what is to be known about it."""
    if not snapshot["ready"] and snapshot["input"]:
        return f"{snapshot['level_name']} (passes until it is ready)"
    return f"{snapshot['level_name']}{'' if snapshot['pinned'] is None else ' (pinned)'}"


def overlay(snapshot: dict[str, Any]) -> list[str]:
    """The numbers in a few short lines, for the window's corner."""
    latency = snapshot["latency_ms"]
    lines = [
        f"{snapshot['fps_out']:.1f} FPS   {snapshot['input']}",
        f"{_level(snapshot)}   strength {snapshot['strength']:g}",
    ]
    if latency:
        lines.append(f"latency {latency['p50']:.0f} ms, 95 %: {latency['p95']:.0f} ms")
    lines.append(f"{snapshot['counters']['dropped']} dropped   CPU {snapshot['cpu_percent']:.0f} %   h: help")
    return lines


def summary(snapshot: dict[str, Any], seconds: float) -> str:
    """What came of it, in one line."""
    counters = snapshot["counters"]
    latency = snapshot["latency_ms"]
    out, warming = counters["frames_out"], counters.get("warming")
    early = f" ({warming} of them before the model was ready)" if warming else ""
    parts = [
        f"{out} frames in {seconds:.1f} s ({out / seconds:.1f} FPS)",
        f"{counters['sharpened']} sharpened, {counters['passed']} passed{early}, {counters['dropped']} dropped",
    ]
    if counters.get("skipped"):
        parts.append(f"{counters['skipped']} left out above the target rate")
    if latency:
        parts.append(
            f"latency p50 {latency['p50']:.1f}, p95 {latency['p95']:.1f}, p99 {latency['p99']:.1f} ms"
        )
    parts += [
        # Every sink that has finished is done or dead.
        f"{name}: not finished"
        if sink["state"] == "running"
        else f"{name}: {sink['written']} written, {sink['dropped']} dropped"
        for name, sink in snapshot["sinks"].items()
        if name != "null"
    ]
    return "; ".join(parts)


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **content}), flush=True)
