"""keenframe.js in a real Chromium: how fast its engines are, what a stream holds, and what a real call gains.

python benchmarks/browser.py speed                      # engine x model x size, milliseconds a frame
python benchmarks/browser.py stream --seconds 60        # 30 frames a second through `attach`, sustained
python benchmarks/browser.py call CLIP...               # a WebRTC call to itself, VP8 at 150 kbps, 640x360

`--json FILE` keeps the numbers. Chromium and the `test` extra are needed; onnxruntime-web is measured where
`npm install` ran in web/; it runs all experts of keen for every frame, keenframe's own engine the one that is needed.
A clip is itself compressed: `call` therefore halves clips and shows each with its mirror images ("halved"), as
`benchmarks/relay.py` does, or four at once ("gallery") as one 640x360 picture; or it takes a 640x360 window of each as
it is ("window"), whose own damage then counts as pristine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browser import browser
from browser_module.calls import Plane, run_call
from browser_module.conftest import FOLDERS, ORT, Handler
from keenframe.engines.cpu import cpu_name
from keenframe.frame import Frame
from keenframe.media.files import check_output, write_text

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZES = ((640, 360), (1280, 720))
MODELS = ("keen", "keen-nano")
WIDTH, HEIGHT = 640, 360


@contextmanager
def site() -> Iterator[tuple[str, Path]]:
    """Address of a local server, and the folder that it shows as /files."""
    with tempfile.TemporaryDirectory() as folder:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.folders = {**FOLDERS, "files": Path(folder)}  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", Path(folder)
        finally:
            server.shutdown()
            server.server_close()


def speed(page: Page, address: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds a frame of the engine alone; onnxruntime-web also with threads, on an isolated page."""
    kinds = [("wasm", "keenframe.wasm", "pages"), ("wasm", "keenframe-fma.wasm", "pages")]
    if (ORT / "ort.wasm.min.mjs").is_file():
        kinds += [("onnxruntime", "", "pages"), ("onnxruntime", "", "isolated/pages")]
    rows = []
    for engine, build, path in kinds:
        for model in MODELS:
            for width, height in SIZES:
                page.goto(f"{address}/{path}/blank.html")
                asked = {"engine": engine, "build": build, "model": model, "width": width, "height": height}
                times = page.evaluate(
                    "async (asked) => (await import('./speed.js')).engineTimes(asked)",
                    {**asked, "runs": options.runs},
                )
                threads = " threads" if path.startswith("isolated") else ""
                name = build or f"{engine}-web{threads}"
                rows.append({"engine": name, "model": model, "size": f"{width}x{height}", **spread(times)})
                print(
                    "{engine:22} {model:10} {size:9} {ms_p50:7.1f} ms, p95 {ms_p95:.1f}".format(**rows[-1]),
                    flush=True,
                )
    return rows


def spread(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"ms_p50": round(statistics.median(times), 2), "ms_p95": round(float(np.percentile(times, 95)), 2)}


def stream(page: Page, address: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Frames of 30 a second through `attach`, with the governor; arriving as shown, and half as large."""
    rows = []
    for models in (["keen"], list(MODELS)):
        for width, height in SIZES:
            for factor in (1, 2):
                page.goto(f"{address}/pages/blank.html")
                found = page.evaluate(
                    """async ([models, asked]) => {
                      const { Keenframe } = await import("/keenframe/keenframe.js");
                      const keenframe = await Keenframe.load(models);
                      const found = await (await import("./speed.js")).sustained(keenframe, asked);
                      keenframe.close();
                      return found;
                    }""",
                    [
                        models,
                        {
                            "width": width // factor, "height": height // factor, "fps": 30,
                            "seconds": options.seconds, "size": {"width": width, "height": height},
                        },
                    ],
                )  # fmt: skip
                rows.append({"models": models, **found})
                print(
                    "{name:16} {arriving:9} -> {shown:9} {fps:5.1f} fps, {msP50:.1f} ms, p95 {msP95:.1f}; "
                    "in {framesIn}, out {framesOut}, dropped {dropped}, passed {passed}; last: {levelName}".format(
                        name="+".join(models), **found
                    ),
                    flush=True,
                )
    return rows


def read_clip(path: Path) -> list[Plane]:
    """A video's luma planes."""
    with av.open(str(path)) as container:
        return [np.array(Frame.from_av(frame).luma) for frame in container.decode(video=0)]


def window(planes: list[Plane]) -> list[Plane]:
    """The middle 640x360 of each frame."""
    top, left = (planes[0].shape[0] - HEIGHT) // 2, (planes[0].shape[1] - WIDTH) // 2
    if min(top, left) < 0:
        sys.exit(
            f"a clip has {planes[0].shape[1]}x{planes[0].shape[0]} pixels; expected at least {WIDTH}x{HEIGHT}"
        )
    return [np.ascontiguousarray(plane[top : top + HEIGHT, left : left + WIDTH]) for plane in planes]


def half(planes: list[Plane]) -> list[Plane]:
    """The windows at half their size."""
    return [np.asarray(Image.fromarray(plane).reduce(2)) for plane in window(planes)]


def mirrored(planes: list[Plane]) -> list[Plane]:
    """A halved clip and its mirror images as one picture."""
    return [np.pad(plane, ((0, HEIGHT // 2), (0, WIDTH // 2)), "symmetric") for plane in half(planes)]


def gallery(clips: list[list[Plane]]) -> list[Plane]:
    """Four clips, each halved, as one picture."""
    halves = [half(planes) for planes in clips]
    rows = min(map(len, halves))
    return [
        np.vstack([np.hstack([halves[2 * row + column][index] for column in range(2)]) for row in range(2)])
        for index in range(rows)
    ]


def call(page: Page, address: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A real call, measured on what it receives."""
    read = {path.stem: read_clip(path) for path in options.clip}
    names = list(read)
    scenes = {f"window {name}": window(planes) for name, planes in read.items()}
    scenes |= {f"halved {name}": mirrored(planes) for name, planes in read.items()}
    for first in range(0, len(names) - 3, 4):
        four = names[first : first + 4]
        scenes[f"gallery {'+'.join(four)}"] = gallery([read[name] for name in four])
    rows = []
    for name, planes in scenes.items():
        page.goto(f"{address}/pages/blank.html")
        load = {"level": 0} if options.pinned else {}
        score = run_call(
            page, options.files, planes, model=options.model, load=load, kbps=options.kbps, codec=options.codec,
            settle_s=options.settle, wanted=options.frames, patience_s=120,
        )  # fmt: skip
        row = {
            "scene": name, "arrived": score.stats["sizes"], "before_db": round(score.before_db, 3),
            "gain_db": round(score.gain_db, 3), "before_ssim": round(score.before_ssim, 5),
            "gain_ssim": round(score.gain_ssim, 5), "fps": score.stats["fps"], "ms_p50": score.stats["msP50"],
            "passed": score.stats["passed"], "dropped": score.stats["dropped"],
        }  # fmt: skip
        rows.append(row)
        print(
            "{scene:36} {arrived} {before_db:.2f} dB {gain_db:+.2f}, {before_ssim:.4f} {gain_ssim:+.4f}, "
            "{fps:.1f} fps, {ms_p50:.1f} ms, passed {passed}, dropped {dropped}".format(**row),
            flush=True,
        )
    return rows


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="keep the numbers here")
    what = parser.add_subparsers(required=True)
    for run in (speed, stream, call):
        command = what.add_parser(run.__name__, help=run.__doc__)
        command.set_defaults(run=run)
        if run is speed:
            command.add_argument("--runs", type=int, default=120, help="frames for each figure")
        elif run is stream:
            command.add_argument("--seconds", type=float, default=30)
        else:
            command.add_argument("clip", type=Path, nargs="+", help="videos, at least 640x360")
            command.add_argument("--kbps", type=int, default=150)
            command.add_argument("--codec", default="VP8", help="VP8, VP9, H264 or AV1")
            command.add_argument("--model", default="keen")
            command.add_argument("--settle", type=float, default=8.0, help="seconds for the rate control")
            command.add_argument("--frames", type=int, default=60, help="frames that are judged")
            command.add_argument("--pinned", action="store_true", help="keep the model however slow it is")
    options = parser.parse_args()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        check_output(options.json, overwrite=True)  # rather than after minutes of measuring
    with site() as (address, files), browser("--autoplay-policy=no-user-gesture-required") as running:
        options.files = files
        page = running.new_page()
        page.set_default_timeout(600_000)
        rows = options.run(page, address, options)
        chromium = running.version
    if options.json:
        found = {
            "machine": cpu_name(),
            "chromium": chromium,
            "arguments": [Path(each).name for each in sys.argv[1:]],
            "rows": rows,
        }
        write_text(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
