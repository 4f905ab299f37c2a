"""Send through `keenframe camera --virtual`, read back as other programs do, compare: what virtual-camera-guest runs.

    sudo modprobe v4l2loopback devices=2 video_nr=9,10 exclusive_caps=1,0 card_label=keenframe,both
    python scripts/virtual_camera_check.py

1. /dev/video9, before anything is sent: it takes pictures and gives none, so programs do not list it yet.
2. `keenframe camera test --virtual-device /dev/video9 --level pass`: read through V4L2, every frame must be bit for bit
   the test picture with its number, as I420.
3. The same with the sharpener: colours bit for bit as they were, luma sharper.
4. /dev/video10 from this process: NV12 goes through as NV12, bit for bit; another format and size are converted.
5. `keenframe camera /dev/video9` keeps going while the sender stops and comes back.
6. Chromium, where it and playwright are installed: enumerateDevices lists keenframe and not the device without
   exclusive_caps, getUserMedia gives its pictures, and their numbers rise.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from keenframe.errors import KeenframeError
from keenframe.frame import Frame
from keenframe.media.camera import Camera, cameras
from keenframe.media.pattern import NUMBER_BITS, Pattern, read_number
from keenframe.media.v4l2 import ask
from keenframe.media.virtual_camera import VirtualCamera

DEVICE, BOTH = "/dev/video9", "/dev/video10"
SIZE, FPS = (320, 240), 10
# Software emulation takes minutes to start Python with an inference engine, or a browser.
PATIENCE_S = 600
COMMAND = [sys.executable, "-c", "from keenframe.cli import main; main()"]
PAGE = """<!doctype html><title>camera</title><video autoplay muted playsinline></video><script>
async function look(label, count) {
  (await navigator.mediaDevices.getUserMedia({video: true})).getTracks().forEach(t => t.stop());
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter(d => d.kind == "videoinput");
  const found = devices.find(d => d.label.startsWith(label));
  const result = {labels: devices.map(d => d.label), rows: []};
  if (!found) return result;
  const stream = await navigator.mediaDevices.getUserMedia({video: {deviceId: {exact: found.deviceId}}});
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  video.srcObject = stream;
  const paint = canvas.getContext("2d", {willReadFrequently: true});
  while (result.rows.length < count) {
    await new Promise(done => video.requestVideoFrameCallback(done));
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    paint.drawImage(video, 0, 0);
    const data = paint.getImageData(0, canvas.height - 3, canvas.width, 1).data;
    result.rows.push(Array.from({length: canvas.width}, (_, x) => data[4 * x + 1]));
  }
  result.size = [canvas.width, canvas.height];
  return result;
}
</script>"""


class Page(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Failed(Exception):
    """A check that did not hold."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--only", type=int, action="append", help="the number of a check; may be repeated")
    given = parser.parse_args()
    print(f"virtual camera check: {DEVICE}, {SIZE[0]}x{SIZE[1]} at {FPS} FPS", flush=True)
    checks: list[Callable[[], str]] = [
        idle,
        functools.partial(passed_through, given.engine),
        functools.partial(sharpened, given.engine),
        direct,
        functools.partial(comes_back, given.engine),
    ]
    browser = shutil.which("chromium")
    if browser and util.find_spec("playwright"):
        checks.append(functools.partial(in_chromium, given.engine, browser))
    failures = 0
    for number, check in enumerate(checks, 1):
        if given.only and number not in given.only:
            continue
        started_s = time.monotonic()
        try:
            text = "ok    " + check()
        except (Failed, KeenframeError, OSError) as error:
            text, failures = f"FAIL  {error}", failures + 1
        print(f"{number}. {text} ({time.monotonic() - started_s:.0f} s)", flush=True)
    return 1 if failures else 0


def require(condition: object, otherwise: str) -> None:
    if not condition:
        raise Failed(otherwise)


def wait_until(condition: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        require(time.monotonic() < end_s, f"{what} did not happen within {PATIENCE_S} s")
        time.sleep(0.1)


@contextmanager
def sender(engine: str, level: str) -> Iterator[subprocess.Popen[bytes]]:
    """`keenframe camera test` into the virtual camera, until the block ends; it must then end well."""
    options = [
        "camera",
        "test",
        "--size",
        f"{SIZE[0]}x{SIZE[1]}",
        "--fps",
        str(FPS),
        "--no-preview",
        "--threads",
        "1",
    ]
    options += ["--virtual-device", DEVICE, "--level", level, "--model", "keen", "--engine", engine]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([*COMMAND, *options], stdout=said, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: ask(DEVICE).capture or process.poll() is not None, "the first frame")
            if process.poll() is not None:
                said.seek(0)
                raise Failed(f"keenframe camera ended: {said.read().decode(errors='replace').strip()}")
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(PATIENCE_S)
        said.seek(0)
        text = said.read().decode(errors="replace").strip()
        require(code == 0, f"keenframe camera ended with {code}: {text}")
        print(f"      {text.splitlines()[-1]}", flush=True)


def read(device: str, count: int) -> list[Frame]:
    """Frames as another program gets them."""
    camera = Camera(device)
    frames = []
    for frame in camera:
        frames.append(frame)
        if len(frames) == count:
            camera.close()
    require(len(frames) == count, f"only {len(frames)} of {count} frames came")
    return frames


def idle() -> str:
    device = ask(DEVICE)
    require(device.loopback, f"{DEVICE} is no v4l2loopback device: {device}")
    require(
        device.output and not device.capture, f"with exclusive_caps=1 it should only take pictures: {device}"
    )
    require(DEVICE not in [camera.device for camera in cameras()], "it is listed although nobody sends")
    return f"{DEVICE} '{device.name}' takes pictures and is not listed as a camera"


def passed_through(engine: str) -> str:
    with sender(engine, "pass"):
        device = ask(DEVICE)
        require(
            device.capture and not device.output,
            f"while it is sent to it should only give pictures: {device}",
        )
        require(DEVICE in [camera.device for camera in cameras()], "it is not listed as a camera")
        frames = read(DEVICE, 40)
    pattern = Pattern(*SIZE, FPS)
    numbers = []
    for frame in frames:
        require(frame.format == "i420", f"got {frame.format}, expected i420")
        number = read_number(np.ascontiguousarray(frame.luma))
        require(number is not None, "a frame without its number came")
        same = zip(frame.planes, pattern.frame(number or 0).planes, strict=True)
        require(all(np.array_equal(got, sent) for got, sent in same), f"frame {number} is not what was sent")
        numbers.append(number)
    require(len(set(numbers)) > 20, f"the frames do not move: {numbers}")
    formats = ", ".join(device.formats or ())
    return f"{len(frames)} frames bit for bit as sent, numbers {numbers[0]} to {numbers[-1]}, offered as {formats}"


def sharpened(engine: str) -> str:
    with sender(engine, "keen"):
        frames: list[Frame] = []
        # The first frames pass while the model is made ready.
        end_s = time.monotonic() + PATIENCE_S
        pattern = Pattern(*SIZE, FPS)
        gains = []
        while len(gains) < 10:
            require(time.monotonic() < end_s, "no sharpened frame came")
            frames = read(DEVICE, 10)
            for frame in frames:
                number = read_number(np.ascontiguousarray(frame.luma))
                require(number is not None, "a frame without its number came")
                sent = pattern.frame(number or 0)
                chroma = zip(frame.chroma, sent.chroma, strict=True)
                require(all(np.array_equal(a, b) for a, b in chroma), "colours are not as they were")
                if not np.array_equal(frame.luma, sent.luma):
                    gains.append(detail(frame.luma) / detail(sent.luma))
    # So small and clear a picture leaves little to do: it must be more detail, and no other picture.
    require(all(1 < gain < 1.5 for gain in gains), f"the frames are not sharper: {gains}")
    return f"{len(gains)} sharpened frames, colours bit for bit, {100 * np.mean(gains) - 100:.1f} % more fine detail"


def detail(luma: np.ndarray[Any, Any]) -> float:
    """Mean of the second difference along rows, in code values, over the picture above the number."""
    rows = luma[: luma.shape[0] * 3 // 4].astype(np.int32)
    return float(np.abs(rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]).mean())


def direct() -> str:
    """NV12 without conversion, and the conversion of what has another format or size."""
    pattern = Pattern(*SIZE, FPS)
    y, u, v = pattern.frame(5).planes
    nv12 = Frame((y, np.stack([u, v], -1)), "nv12", *SIZE, pts=5)
    camera = VirtualCamera(BOTH, FPS)
    stopped = threading.Event()
    current = [nv12]

    def send() -> None:
        while not stopped.wait(1 / FPS):
            camera.send(current[0])

    thread = threading.Thread(target=send)
    thread.start()
    try:
        wait_until(lambda: ask(BOTH).formats, "the first frame")
        got = read(BOTH, 3)[-1]
        require(got.format == "nv12", f"got {got.format}, expected nv12")
        same = zip(got.planes, nv12.planes, strict=True)
        require(all(np.array_equal(a, b) for a, b in same), "NV12 is not what was sent")
        current[0] = Frame.from_rgb(np.full((480, 640, 3), (200, 60, 60), np.uint8), format="i444", pts=6)
        time.sleep(1)
        got = read(BOTH, 3)[-1]
        require(
            (got.width, got.height, got.format) == (*SIZE, "nv12"),
            f"got {got.width}x{got.height} {got.format}",
        )
        expected = [int(plane[0, 0]) for plane in current[0].planes]
        seen = [int(got.luma[100, 100]), *map(int, got.chroma[0][50, 50])]
        require(np.abs(np.subtract(seen, expected)).max() <= 1, f"colours {seen}, expected {expected}")
    finally:
        stopped.set()
        thread.join()
        camera.close()
    return "NV12 bit for bit; 640x480 4:4:4 became 320x240 NV12 in the same colours"


def comes_back(engine: str) -> str:
    """A keenframe that reads the device, while what sends to it goes and comes."""
    options = ["camera", DEVICE, "--null", "--level", "pass", "--json", "--threads", "1", "--model", "keen"]
    lines: list[dict[str, Any]] = []
    with sender(engine, "pass"):
        reader = subprocess.Popen([*COMMAND, *options, "--engine", engine], stdout=subprocess.PIPE, text=True)
        assert reader.stdout is not None
        collect = threading.Thread(target=lambda: lines.extend(map(json.loads, reader.stdout or ())))
        collect.start()
        wait_until(lambda: frames_of(lines) > 10 or reader.poll() is not None, "frames")
        require(reader.poll() is None, "the reader ended")
    before = frames_of(lines)
    with sender(engine, "pass"):
        wait_until(
            lambda: frames_of(lines) > before + 20 or reader.poll() is not None, "frames after the restart"
        )
        reader.send_signal(signal.SIGINT)
        code = reader.wait(PATIENCE_S)
        collect.join()
    require(code == 0, f"the reader ended with {code}")
    events = [line["event"] for line in lines if "event" in line]
    return f"{before} frames before the sender stopped, {frames_of(lines) - before} after; events: {events}"


def frames_of(lines: list[dict[str, Any]]) -> int:
    return next((line["counters"]["frames_out"] for line in reversed(lines) if "counters" in line), 0)


def in_chromium(engine: str, browser: str) -> str:
    from playwright.sync_api import Error, sync_playwright

    folder = Path(tempfile.mkdtemp())
    (folder / "index.html").write_text(PAGE)
    handler = functools.partial(Page, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    switches = (
        "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    )
    switches += " --disable-sync --use-fake-ui-for-media-stream --disable-dev-shm-usage"
    camera, stopped = VirtualCamera(BOTH, FPS), threading.Event()
    still = Pattern(*SIZE, FPS).frame(0)

    def send() -> None:
        while not stopped.wait(1 / FPS):
            camera.send(still)

    other = threading.Thread(target=send)
    other.start()
    try:
        with sender(engine, "pass"), sync_playwright() as playwright:
            launched = playwright.chromium.launch(
                executable_path=browser, args=switches.split(), timeout=1000 * PATIENCE_S
            )
            page = launched.new_page()
            page.set_default_timeout(1000 * PATIENCE_S)
            page.goto(f"http://localhost:{server.server_address[1]}/")
            found = page.evaluate("look('keenframe', 15)")
            launched.close()
    except Error as error:
        raise Failed(f"Chromium: {error}") from error
    finally:
        stopped.set()
        other.join()
        camera.close()
        server.shutdown()
    require(any(label.startswith("keenframe") for label in found["labels"]), f"listed: {found['labels']}")
    # The page's video is black until the first picture has come.
    numbers = [number for row in found["rows"] if (number := number_of(row)) is not None]
    require(len(set(numbers)) > 5 and numbers == sorted(numbers), f"numbers read in the page: {numbers}")
    return f"Chromium lists {found['labels']}, and its {found['size']} pictures carry {numbers[0]} to {numbers[-1]}"


def number_of(row: list[int]) -> int | None:
    """The number in one row of green values, which `read_number` takes as a lower edge."""
    side = len(row) // (2 * NUMBER_BITS) // 2 * 2
    return read_number(np.tile(np.array(row, np.uint8), (side, 1)))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
