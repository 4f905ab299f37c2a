"""keenframe.js as a page uses it: frames, tracks, elements, options and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMPORTS = """
  const { Keenframe } = await import("/keenframe/keenframe.js");
  const { softFrame, bytesOf, tagsOf, difference, canvasTrack, until } = await import("/pages/frames.js");
  const { planesOf } = await import("/keenframe/picture.js");
"""


def run(page: Page, code: str, argument: Any = None) -> Any:
    """What `code`, the body of an async function of `argument`, returns."""
    return page.evaluate(f"async (argument) => {{ {IMPORTS} {code} }}", argument)


def error_of(page: Page, code: str, argument: Any = None) -> str:
    """The message of what `code` throws."""
    found = run(
        page, f"try {{ {code} }} catch (error) {{ return error.message; }} return 'no error';", argument
    )
    return str(found)


FORMATS = ["I420", "I420A", "I422", "I444", "NV12", "RGBA", "RGBX", "BGRA", "BGRX"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_frame_keeps_all_but_its_luma(page: Page, format: str) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen");
        const color = { matrix: "bt709", primaries: "bt709", transfer: "iec61966-2-1", fullRange: true };
        const tags = { timestamp: 1234567, duration: 33333, colorSpace: color, rotation: 90 };
        const frame = softFrame(argument, 162, 118, tags);
        const sharp = await keenframe.process(frame);
        const [before, after] = [await bytesOf(frame), await bytesOf(sharp)];
        const planes = planesOf(argument, 162, 118);
        const rest = planes[1]?.offset ?? before.length;
        keenframe.close();
        const first = difference(before.subarray(0, rest), after.subarray(0, rest));
        const others = difference(before.subarray(rest), after.subarray(rest));
        return { before: tagsOf(frame), after: tagsOf(sharp), first, rest: others, open: frame.codedWidth };
        """,
        format,
    )
    assert found["before"] == found["after"] and found["before"]["rotation"] == 90
    assert found["rest"]["differing"] == 0 and found["open"] == 162
    assert found["first"]["differing"] > 1000 and found["first"]["largest"] > 3


def test_a_frames_luma_is_the_engines(page: Page) -> None:
    found = run(
        page,
        """
        const { parseModel } = await import("/keenframe/model.js");
        const { WasmEngine, compileEngine } = await import("/keenframe/engine.js");
        const keenframe = await Keenframe.load("keen");
        const model = parseModel(await (await fetch("/keenframe/models/keen.kfm")).arrayBuffer());
        const engine = new WasmEngine(model, await compileEngine(location.origin + "/keenframe/"));
        const results = [];
        for (let number = 0; number < 4; number++) {
          const frame = softFrame("NV12", 161, 119, { seed: number });
          const luma = (await bytesOf(frame)).subarray(0, 161 * 119);
          const sharp = (await bytesOf(await keenframe.process(frame))).subarray(0, 161 * 119);
          results.push(difference(engine.run(luma, 161, 119), sharp));
        }
        keenframe.close();
        return results;
        """,
    )
    assert found == [{"largest": 0, "differing": 0}] * 4


def test_rgb_gets_the_lumas_step_on_every_colour(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen");
        const frame = softFrame("RGBA", 96, 64);
        const [before, after] = [await bytesOf(frame), await bytesOf(await keenframe.process(frame))];
        keenframe.close();
        let uneven = 0;
        for (let i = 0; i < before.length; i += 4) {
          const steps = [0, 1, 2].map((c) => after[i + c] - before[i + c]);
          uneven += steps.some((step) => step !== steps[0]) || after[i + 3] !== before[i + 3];
        }
        return uneven;
        """,
    )
    assert found == 0


def test_small_frames_are_enlarged_to_the_size_asked_for(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen", { size: { width: 1280, height: 720 } });
        const sizes = [];
        const wide = { displayWidth: 640, displayHeight: 180 };
        const turned = { rotation: 90 };
        const sizesIn = [[320, 180], [480, 272], [1280, 720], [1920, 1080], [180, 320], [320, 180, wide]];
        sizesIn.push([320, 180, turned]);
        for (const [width, height, options] of sizesIn) {
          const sharp = await keenframe.process(softFrame("I420", width, height, options));
          sizes.push([sharp.codedWidth, sharp.codedHeight, sharp.displayWidth, sharp.displayHeight]);
          sharp.close();
        }
        keenframe.close();
        return sizes;
        """,
    )
    assert found == [
        [1280, 720, 1280, 720], [1270, 720, 1270, 720], [1280, 720, 1280, 720], [1920, 1080, 1920, 1080],
        [406, 720, 406, 720], [1280, 720, 2560, 720],
        [720, 406, 406, 720],
    ]  # fmt: skip


def test_enlarging_is_bilinear_and_keeps_chroma_in_its_place(page: Page) -> None:
    """A ramp stays a ramp, in luma from the centre of samples, in left-sited chroma from their left edge."""
    found = run(
        page,
        """
        const { compileEngine } = await import("/keenframe/engine.js");
        const { PictureTools } = await import("/keenframe/picture.js");
        const tools = new PictureTools(await compileEngine(location.origin + "/keenframe/"));
        const data = new Uint8Array(64 * 32 * 1.5);
        planesOf("I420", 64, 32).forEach(({ offset, width, height }) => {
          for (let i = 0; i < width * height; i++) data[offset + i] = 40 + 2 * (i % width);
        });
        const meta = { displayWidth: 64, displayHeight: 32 };
        const large = tools.enlarge({ format: "I420", width: 64, height: 32, data, meta }, 128, 64);
        const row = ({ offset, width }) => [...large.data.subarray(offset + width, offset + 2 * width)];
        return planesOf("I420", 128, 64).map(row);
        """,
    )
    luma, blue, _ = found
    expected = [40 + 2 * min(max((x + 0.5) / 2 - 0.5, 0), 63) for x in range(128)]
    assert max(abs(a - b) for a, b in zip(luma, expected, strict=True)) <= 0.5
    expected = [40 + 2 * min(max((x + 0.25) / 2 - 0.25, 0), 31) for x in range(64)]
    assert max(abs(a - b) for a, b in zip(blue, expected, strict=True)) <= 0.5


def test_comparing_leaves_the_left_as_it_was(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen", { compare: 0.25, level: 0 });
        const frame = softFrame("I420", 320, 192);
        const [before, after] = [await bytesOf(frame), await bytesOf(await keenframe.process(frame))];
        keenframe.close();
        const changed = Array(320).fill(0);
        for (let i = 0; i < 320 * 192; i++) changed[i % 320] += before[i] !== after[i];
        return { changed, line: after[80 + 320 * 5] };
        """,
    )
    assert sum(found["changed"][:80]) == 0 and min(found["changed"][82:]) > 20 and found["line"] == 235


def test_strength_zero_gives_the_frame_back(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen", { strength: 0 });
        const frame = softFrame("NV12", 320, 180, { timestamp: 5 });
        const same = await keenframe.process(frame);
        const found = [difference(await bytesOf(frame), await bytesOf(same)), same.timestamp];
        keenframe.close();
        return found;
        """,
    )
    assert found == [{"largest": 0, "differing": 0}, 5]


def test_frames_of_other_sizes_pass(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen", { worker: false });
        const frame = softFrame("I420", 12, 40);
        const found = difference(await bytesOf(frame), await bytesOf(await keenframe.process(frame)));
        keenframe.close();
        return found;
        """,
    )
    assert found == {"largest": 0, "differing": 0}


@pytest.mark.parametrize("transport", ["native", "canvas"])
@pytest.mark.parametrize("worker", [True, False])
def test_a_track_comes_back_sharpened_until_it_is_stopped(page: Page, transport: str, worker: bool) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen", { worker: argument.worker });
        const source = canvasTrack();
        const size = { width: 640, height: 480 };
        const handle = keenframe.attach(source.track, { transport: argument.transport, size });
        const video = document.createElement("video");
        Object.assign(video, { muted: true, srcObject: new MediaStream([handle.track]) });
        await video.play();
        await until(() => handle.stats()?.framesOut > 20 && video.videoWidth === 640);
        handle.setStrength(0.5);
        handle.setCompare(true);
        handle.set({ level: 1 });
        await until(() => handle.stats().level === 1 && handle.stats().passed > 2);
        const stats = handle.stats();
        handle.stop();
        await handle.done;
        const after = { handle: handle.track.readyState, source: source.track.readyState };
        // The source goes on, and can be attached to again.
        const again = keenframe.attach(source.track, { transport: argument.transport });
        await until(() => again.stats()?.framesOut > 2);
        source.stop();
        again.stop();
        await again.done;
        keenframe.close();
        return { stats, after };
        """,
        {"transport": transport, "worker": worker},
    )
    stats = found["stats"]
    assert found["after"] == {"handle": "ended", "source": "live"}
    assert (stats["arriving"], stats["errors"], stats["levelName"]) == ("320x240", 0, "pass")
    assert stats["framesIn"] == stats["framesOut"] + stats["dropped"] or not worker
    assert stats["msP50"] <= stats["msP95"] <= stats["msP99"]


def test_two_streams_do_not_share_what_they_have_seen(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen");
        const sources = [canvasTrack(320, 240), canvasTrack(200, 160)];
        const handles = sources.map(({ track }) => keenframe.attach(track));
        await until(() => handles.every((handle) => handle.stats()?.framesOut > 10));
        const sizes = handles.map((handle) => handle.stats().arriving);
        handles.forEach((handle) => handle.stop());
        await Promise.all(handles.map(({ done }) => done));
        sources.forEach((source) => source.stop());
        keenframe.close();
        return sizes;
        """,
    )
    assert found == ["320x240", "200x160"]


@pytest.mark.parametrize("transport", ["native", "canvas"])
@pytest.mark.parametrize("worker", [True, False])
def test_a_frame_that_cannot_be_sharpened_passes_and_is_counted(
    page: Page, transport: str, worker: bool
) -> None:
    """Ten bits, as a camera or a decoder may give them, in the middle of a stream."""
    found = run(
        page,
        """
        const generator = new MediaStreamTrackGenerator({ kind: "video" });
        const writer = generator.writable.getWriter();
        let [format, count] = ["I420", 0];
        const timer = setInterval(() => {
          const data = new Uint16Array(320 * 240 * 1.5).fill(400);
          const bytes = format === "I420" ? new Uint8Array(320 * 240 * 1.5).fill(100) : data;
          const timestamp = 33333 * count++;
          writer.write(new VideoFrame(bytes, { format, codedWidth: 320, codedHeight: 240, timestamp }));
        }, 33);
        const keenframe = await Keenframe.load("keen", { worker: argument.worker });
        const handle = keenframe.attach(generator, { transport: argument.transport });
        const video = document.createElement("video");
        Object.assign(video, { muted: true, srcObject: new MediaStream([handle.track]) });
        await video.play();
        await until(() => handle.stats()?.framesOut > 3);
        format = "I420P10";
        const { error } = await until(() => handle.stats().errors > 2 && handle.stats());
        format = "I420";
        const { framesOut } = handle.stats();
        await until(() => handle.stats().framesOut > framesOut + 3);
        handle.stop();
        await handle.done;
        clearInterval(timer);
        generator.stop();
        keenframe.close();
        return error;
        """,
        {"transport": transport, "worker": worker},
    )
    assert found.startswith("got a frame in I420P10; expected one of")


@pytest.mark.parametrize("worker", [True, False])
@pytest.mark.parametrize("transport", ["native", "canvas"])
def test_closing_ends_what_is_attached_and_is_no_failure(page: Page, transport: str, worker: bool) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen", { worker: argument.worker });
        const source = canvasTrack();
        const handle = keenframe.attach(source.track, { transport: argument.transport });
        await until(() => handle.stats()?.framesOut > 3);
        keenframe.close();
        await handle.done;
        source.stop();
        return handle.track.readyState;
        """,
        {"transport": transport, "worker": worker},
    )
    assert found == "ended"


def test_a_video_element_is_attached_to(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen");
        const source = canvasTrack();
        const video = document.createElement("video");
        Object.assign(video, { muted: true, srcObject: new MediaStream([source.track]) });
        await video.play();
        const handle = keenframe.attach(video);
        await until(() => handle.stats()?.framesOut > 5);
        // Closed on purpose is no failure.
        keenframe.close();
        await handle.done;
        source.stop();
        return handle.track.readyState;
        """,
    )
    assert found == "ended"


@pytest.mark.parametrize("transport", ["native", "canvas"])
def test_the_end_of_the_source_is_the_end(page: Page, transport: str) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen");
        const source = canvasTrack();
        const handle = keenframe.attach(source.track, { transport: argument });
        await until(() => handle.stats()?.framesOut > 3);
        source.stop();
        await handle.done;
        keenframe.close();
        return handle.track.readyState;
        """,
        transport,
    )
    assert found == "ended"


@pytest.mark.parametrize("worker", [True, False])
def test_what_is_stopped_at_once_ends_at_once(page: Page, worker: bool) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen", { worker: argument });
        const source = canvasTrack();
        // The second one has an engine of its own, which is still being made.
        const handles = [keenframe.attach(source.track), keenframe.attach(source.track)];
        for (const handle of handles) handle.stop();
        await Promise.all(handles.map((handle) => handle.done));
        source.stop();
        keenframe.close();
        return handles.map((handle) => handle.track.readyState);
        """,
        worker,
    )
    assert found == ["ended", "ended"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("await Keenframe.load('nothing')", "models/nothing.kfm cannot be loaded: the server says 404"),
        ("await Keenframe.load('/pages/frames.js.kfm')", "cannot be loaded: the server says 404"),
        ("await Keenframe.load([])", "model is an empty list"),
        (
            "const keenframe = await Keenframe.load('keen'); const frame = softFrame('I420', 64, 64);"
            "await keenframe.process(frame); keenframe.close(); await keenframe.process(frame)",
            "keenframe was closed",
        ),
        ("await Keenframe.load('keen', { strength: 3 })", "strength is 3; expected a number from 0"),
        ("await Keenframe.load('keen', { compare: 'yes' })", "compare is yes; expected true, false"),
        (
            "await Keenframe.load('keen', { size: { width: 8, height: 8 } })",
            "expected {width, height} of 16 to 4096",
        ),
        ("await Keenframe.load('keen', { targetFps: 0 })", "targetFps is 0; expected 1 to 240"),
        ("await Keenframe.load('keen', { cpuShare: 2 })", "cpuShare is 2"),
        ("await Keenframe.load('keen', { level: 5 })", "level is 5; expected 0 (largest model) to 1 (pass)"),
        (
            "await Keenframe.load('keen', { engine: 'gpu' })",
            "engine is 'gpu'; expected 'wasm' or 'onnxruntime'",
        ),
        ("await Keenframe.load('keen', { engine: 'onnxruntime' })", "needs the options `onnxruntime`"),
        (
            "await Keenframe.load('keen', { engine: 'onnxruntime', onnxruntime: '/nowhere', onnx: '/onnx' })",
            "onnxruntime-web is not at",
        ),
        ("await Keenframe.load('keen', { base: '/elsewhere/' })", "cannot be loaded: the server says 404"),
        (
            "(await Keenframe.load('keen')).attach(document.body)",
            "got HTMLBodyElement; expected a video element",
        ),
        (
            "await (await Keenframe.load('keen')).process(document.body)",
            "got HTMLBodyElement; expected a VideoFrame",
        ),
        ("(await Keenframe.load('keen')).attach(null)", "got null; expected a video element"),
        ("(await Keenframe.load('keen')).attach(document.createElement('video'))", "shows no video yet"),
        (
            "const source = canvasTrack(); source.stop(); (await Keenframe.load('keen')).attach(source.track)",
            "got a track that has ended",
        ),
        (
            "const sound = new AudioContext().createMediaStreamDestination().stream.getTracks()[0]; "
            "(await Keenframe.load('keen')).attach(sound)",
            "got a track of kind 'audio'",
        ),
        (
            "const k = await Keenframe.load('keen'); k.attach(canvasTrack().track).setStrength('a lot')",
            "strength is a lot",
        ),
    ],
)
def test_what_is_refused(page: Page, code: str, message: str) -> None:
    assert message in error_of(page, code)


def test_too_many_frames_at_once_are_refused(page: Page) -> None:
    message = error_of(
        page,
        """
        const keenframe = await Keenframe.load("keen");
        const frame = softFrame("I420", 640, 360);
        await Promise.all(Array.from({ length: 6 }, () => keenframe.process(frame)));
        """,
    )
    assert message == "4 frames are being worked on; wait for `process` before the next"


def test_a_browser_that_lacks_something_is_told_what(page: Page) -> None:
    found = run(
        page,
        """
        const keenframe = await Keenframe.load("keen");
        const source = canvasTrack();
        delete window.MediaStreamTrackGenerator;
        delete HTMLVideoElement.prototype.requestVideoFrameCallback;
        const support = Keenframe.support();
        try { keenframe.attach(source.track); } catch (error) { return { support, message: error.message }; }
        """,
    )
    assert found["support"] == {
        "wasm": True, "native": ["MediaStreamTrackGenerator"], "canvas": ["requestVideoFrameCallback"],
    }  # fmt: skip
    assert (
        found["message"]
        == "this browser cannot put a track through keenframe: it has no requestVideoFrameCallback"
    )
