"""What a stream does under load: the governor's rules, the newest frame, frames that cannot be worked on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMPORTS = """
  const { Stream } = await import("/keenframe/stream.js");
  const { Pump } = await import("/keenframe/pump.js");
  const { Governor } = await import("/keenframe/governor.js");
  const { compileEngine } = await import("/keenframe/engine.js");
  const { softFrame, until } = await import("/pages/frames.js");
  const module = await compileEngine(location.origin + "/keenframe/");
  // An engine that takes its time, and adds its number to every sample.
  const engine = (name, added, took) => ({
    name: "fake", model: { name }, resets: 0,
    reset() { this.resets += 1; },
    run(luma, width, height, strength, { out = new Uint8Array(luma.length) } = {}) {
      for (const end = performance.now() + took(); performance.now() < end;);
      luma.forEach((value, i) => { out[i] = value + added; });
      return out;
    },
  });
  const picture = (width = 64, height = 48) => {
    const data = new Uint8Array(width * height * 1.5).fill(100);
    return { format: "I420", width, height, data, meta: { timestamp: 0, displayWidth: width, displayHeight: height } };
  };
"""


def run(page: Page, code: str, argument: Any = None) -> Any:
    """What `code`, the body of an async function of `argument`, returns."""
    return page.evaluate(f"async (argument) => {{ {IMPORTS} {code} }}", argument)


def test_the_governor_is_the_runtimes(page: Page) -> None:
    """The same frames, given to both, lead to the same levels at every step."""
    governor = pytest.importorskip("keenframe.live.governor", reason="the live side is not there yet")
    rng = random.Random(4)
    costs, now, levels, frames = [18.0, 6.0], 0.0, [], []
    python = governor.Governor([cost / 1000 for cost in costs], 30.0, 0.8)
    slowness = 1.0
    for index in range(4000):
        now += 1000 / 30 * rng.uniform(0.7, 1.3) + (3000 if rng.random() < 0.001 else 0)
        if index % 250 == 0:
            slowness = rng.choice([0.5, 1.0, 1.6, 4.0, 8.0])
        level = python.level
        took = (costs[level] if level < 2 else 0.1) * slowness * rng.uniform(0.8, 1.2)
        dropped = 1 if took > 40 and rng.random() < 0.5 else 0
        pin = rng.choice([0, 1, 2, None]) if rng.random() < 0.003 else "as it is"
        if pin != "as it is":
            python.pin(pin)
        frames.append([now, took, dropped, pin])
        python.observe(now / 1000, took / 1000, dropped)
        levels.append(python.level)
    found = run(
        page,
        """
        const governor = new Governor(argument.costs, 30, 0.8);
        return argument.frames.map(([now, took, dropped, pin]) => {
          if (pin !== "as it is") governor.pin(pin);
          governor.observe(now, took, dropped);
          return governor.level;
        });
        """,
        {"costs": costs, "frames": frames},
    )
    assert found == levels and set(levels) == {0, 1, 2}


def test_late_frames_step_down_and_room_steps_up_again(page: Page) -> None:
    found = run(
        page,
        """
        const governor = new Governor([10, 4], 30);
        const levels = [governor.level];
        let now = 0;
        const go = (seconds, slowness) => {
          for (let i = 0; i < 30 * seconds; i++) {
            governor.observe((now += 1000 / 30), [10, 4, 0][governor.level] * slowness);
          }
          levels.push(governor.level);
        };
        go(2, 1); go(2, 6); go(2, 20); go(60, 1);
        return levels;
        """,
    )
    assert found == [0, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("new Governor([])", "costs are []"),
        ("new Governor([1, -1])", "expected positive milliseconds"),
        ("new Governor([1], 0)", "targetFps is 0"),
        ("new Governor([1], 30, 0)", "cpuShare is 0"),
        ("new Governor([1]).pin(2)", "level is 2; expected 0 (largest model) to 1 (pass), or null"),
        ("new Governor([1]).pin(0.5)", "level is 0.5"),
    ],
)
def test_what_the_governor_refuses(page: Page, code: str, message: str) -> None:
    found = run(page, f"try {{ {code}; }} catch (error) {{ return error.message; }}")
    assert message in found


def test_a_slow_machine_gets_the_smaller_model_and_then_the_frames_as_they_are(page: Page) -> None:
    found = run(
        page,
        """
        // Time passes as it is asked for: what else this machine does is no part of it.
        let now = 0;
        performance.now = () => (now += 0.01);
        let slowness = 1;
        const engines = [engine("large", 10, () => 8 * slowness), engine("small", 5, () => 3 * slowness)];
        const stream = new Stream(engines, module, { targetFps: 30 });
        const seen = [];
        const go = async (frames) => {
          for (let i = 0; i < frames; i++) seen.push((await stream.process(picture())).data[0]);
          return stream.stats().levelName;
        };
        const names = [await go(5)];
        slowness = 6;
        names.push(await go(12));
        slowness = 20;
        names.push(await go(20));
        const resets = engines.map((engine) => engine.resets);
        return { names, values: [...new Set(seen)], counts: stream.stats(), resets };
        """,
    )
    assert found["names"] == ["large", "small", "pass"] and found["values"] == [110, 105, 100]
    assert found["counts"]["passed"] > 0 and found["counts"]["framesOut"] == 37
    # Each once after it was tried on the new size, and once when it was its turn.
    assert found["resets"] == [2, 2]


def test_a_size_is_tried_once(page: Page) -> None:
    found = run(
        page,
        """
        let runs = 0;
        const stream = new Stream([engine("one", 1, () => { runs += 1; return 0; })], module, { level: 0 });
        for (const width of [64, 64, 96, 64, 96]) await stream.process(picture(width));
        return runs;
        """,
    )
    assert found == 5 + 2 * 2


def test_the_newest_frame_wins_and_at_most_one_waits(page: Page) -> None:
    found = run(
        page,
        """
        const slow = engine("slow", 1, () => 0);
        const { run } = slow;
        slow.run = async (...all) => (await new Promise((resolve) => setTimeout(resolve, 60)), run(...all));
        const stream = new Stream([slow], module, { level: 0 });
        await stream.process(picture(64, 48));
        const out = [];
        let number = 0;
        const readable = new ReadableStream({
          async pull(controller) {
            await new Promise((resolve) => setTimeout(resolve, 10));
            if (number === 60) return controller.close();
            controller.enqueue(softFrame("I420", 64, 48, { timestamp: number++ }));
          },
        });
        const writable = new WritableStream({ write(frame) { out.push([frame.timestamp, number]); frame.close(); } });
        await new Pump(stream, readable, writable).run();
        return { out, stats: stream.stats() };
        """,
    )
    stamps = [stamp for stamp, _ in found["out"]]
    assert stamps == sorted(stamps) and len(stamps) < 40 and stamps[-1] == 59
    stats = found["stats"]
    assert (
        stats["dropped"] == 60 - len(stamps)
        and stats["framesIn"] == 61
        and stats["framesOut"] == len(stamps) + 1
    )
    # What leaves is at most as old as two frames' work: one under way, and one that waited.
    assert max(newest - stamp for stamp, newest in found["out"]) <= 20


def test_a_frame_that_fails_passes_and_is_counted(page: Page) -> None:
    found = run(
        page,
        """
        let calls = 0;
        const broken = engine("broken", 1, () => { if (++calls === 5) throw new Error("no more"); return 0; });
        const stream = new Stream([broken], module, { level: 0 });
        const readable = new ReadableStream({
          start(controller) {
            for (let i = 0; i < 1; i++) controller.enqueue(softFrame("I420", 64, 48, { timestamp: i }));
          },
          async pull(controller) {
            this.count = (this.count ?? 0) + 1;
            await new Promise((resolve) => setTimeout(resolve, 30));
            if (this.count > 6) controller.close();
            else controller.enqueue(softFrame("I420", 64, 48, { timestamp: this.count }));
          },
        });
        const out = [];
        const writable = new WritableStream({ write(frame) { out.push(frame.timestamp); frame.close(); } });
        await new Pump(stream, readable, writable).run();
        return { out: out.length, stats: stream.stats() };
        """,
    )
    assert found["out"] == 7
    assert (found["stats"]["errors"], found["stats"]["error"]) == (1, "no more")


def test_a_taker_that_goes_away_ends_the_stream(page: Page) -> None:
    found = run(
        page,
        """
        const stream = new Stream([engine("one", 1, () => 0)], module, {});
        let cancelled = false;
        const readable = new ReadableStream({
          async pull(controller) {
            await new Promise((resolve) => setTimeout(resolve, 5));
            controller.enqueue(softFrame("I420", 64, 48));
          },
          cancel() { cancelled = true; },
        });
        let written = 0;
        const writable = new WritableStream({
          write(frame) {
            frame.close();
            if (++written === 3) throw new Error("gone");
          },
        });
        await new Pump(stream, readable, writable).run();
        return { cancelled, written };
        """,
    )
    assert found == {"cancelled": True, "written": 3}


def test_counts_stay_small_however_long_it_runs(page: Page) -> None:
    found = run(
        page,
        """
        const stream = new Stream([engine("one", 1, () => 0)], module, { level: 0 });
        const small = picture();
        for (let i = 0; i < 2000; i++) await stream.process(small);
        const sizes = Object.values(stream.counts).filter(Array.isArray).map((list) => list.length);
        return { sizes, framesOut: stream.stats().framesOut };
        """,
    )
    assert found["framesOut"] == 2000 and max(found["sizes"]) <= 120
