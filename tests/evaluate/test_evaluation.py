"""Whole evaluations on small material, with models made for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from clips import Clip, make
from evaluate_tools import SIZES, Plugin, blurred, install
from keenframe.errors import InputError
from keenframe.evaluate import clips, extras, work
from keenframe.evaluate.evaluation import Evaluation, Request, evaluate
from keenframe.evaluate.material import File
from keenframe.evaluate.presets import Preset
from keenframe.evaluate.run import JOURNAL
from keenframe.metrics import luma, psnr, ssim

SOURCES = Path(__file__).parents[2] / "src"


def request(material: Path, folder: Path, **more: object) -> Request:
    return Request(material, folder, **({"engine": "onnxruntime"} | more))  # type: ignore[arg-type]


def results(found: Evaluation, preset: str, category: str = "all") -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = found.summary["results"][preset][category]
    return values


def test_a_degraded_folder_is_measured(
    pristine: Path, degraded: Path, unsharp_model: Path, tmp_path: Path
) -> None:
    (pristine / "text" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (degraded / "text" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    model = str(unsharp_model)
    seen: list[tuple[int, int]] = []
    found = evaluate(
        request(
            pristine, tmp_path / "run", degraded=degraded, methods=[model, "unsharp", f"unsharp@{model}"]
        ),
        lambda done, total: seen.append((done, total)),
    )
    assert seen[0] == (0, 4) and seen[-1] == (4, 4)
    values = results(found, "given")
    assert list(values) == ["input", model, "unsharp", f"unsharp@{model}", "pristine"]
    name = "faces/a.png"
    before, after = (
        np.asarray(Image.open(path)) for path in (pristine / name, (degraded / name).with_suffix(".webp"))
    )
    record = next(r for r in found.records if r["name"] == name)
    assert record["scores"]["input"]["psnr_y"] == pytest.approx(psnr(luma(after), luma(before)), abs=1e-5)
    assert record["scores"]["input"]["ssim_rgb"] == pytest.approx(ssim(after, before), abs=1e-5)
    assert values["unsharp"]["edge_ratio"] > 1.05 and values["input"]["edge_ratio"] == 1
    assert values[f"unsharp@{model}"]["edge_ratio"] == pytest.approx(values[model]["edge_ratio"], rel=0.01)
    assert values["input"]["overshoot"] < values["unsharp"]["overshoot"]
    assert found.summary["pictures"] == 3
    assert found.summary["problems"] == [
        p for p in found.summary["problems"] if p.startswith("text/torn.png: ") and "torn.png" in p
    ]
    assert len(found.summary["problems"]) == 1
    assert (tmp_path / "run" / "items.csv").read_text().count("\n") == 1 + 3 * 5
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == json.loads(
        json.dumps(found.summary)
    )


@pytest.mark.usefixtures("plugin")
def test_presets_scales_and_categories(
    pristine: Path, plain_double_model: Path, unsharp_model: Path, tmp_path: Path
) -> None:
    methods = [str(plain_double_model), str(unsharp_model), "bilinear", "lanczos"]
    found = evaluate(request(pristine, tmp_path / "run", presets=["half", "soft", "clean"], methods=methods))
    half, soft, clean = (results(found, preset) for preset in ("half", "soft", "clean"))
    assert set(half) == {"input", *methods, "pristine"}
    assert set(soft) == {"input", str(unsharp_model), "pristine"}
    # The model's base is the bilinear enlargement, and it adds nothing to it.
    assert half[str(plain_double_model)]["psnr_y"] == pytest.approx(half["bilinear"]["psnr_y"], abs=0.2)
    assert half["lanczos"]["psnr_gain"] > half["bilinear"]["psnr_gain"]
    assert clean["input"]["psnr_y"] == 60 and clean["input"]["ssim_y"] == 1
    assert results(found, "soft", "faces")["input"]["items"] == 2
    assert set(found.summary["results"]["soft"]) == {"all", "faces", "text"}


@pytest.mark.usefixtures("plugin")
def test_luma_alone(pristine: Path, tmp_path: Path) -> None:
    found = evaluate(
        request(pristine, tmp_path / "run", presets=["soft"], methods=["unsharp"], gray=True, limit=1)
    )
    values = results(found, "soft")["unsharp"]
    assert "psnr_rgb" not in values and "colour_drift" not in values and values["items"] == 2


@pytest.mark.usefixtures("plugin")
def test_clips_are_streams(clip_folder: Path, unsharp_model: Path, tmp_path: Path) -> None:
    model = str(unsharp_model)
    methods = [model, "unsharp", f"unsharp@{model}"]
    found = evaluate(
        request(clip_folder, tmp_path / "run", presets=["dim", "soft"], methods=methods, frames=10)
    )
    assert not found.summary["problems"] and found.summary["clips"] == 1
    dim, record = results(found, "dim")["input"], found.records[0]
    # Luma alternates by 4, within its range: so does the error.
    assert dim["flicker"] == pytest.approx(4, abs=0.05)
    assert dim["psnr_y"] == pytest.approx((60 + 20 * np.log10(255 / 4)) / 2, abs=0.01)
    assert len(record["frames"]["input"]["psnr_y"]) == 8  # two of ten settle
    soft = results(found, "soft")
    assert soft["input"]["flicker"] < 1.5 and soft[f"unsharp@{model}"]["edge_ratio"] == pytest.approx(
        soft[model]["edge_ratio"], rel=0.05
    )
    assert {"psnr_rgb", "flicker_moving", "blockiness"} <= set(soft[model])


def test_degraded_clips_need_as_many_frames(clip_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    make(tmp_path / "sent" / "a.mp4", Clip(96, 64, times=[33 * i for i in range(9)]))
    with pytest.raises(InputError, match=r"has 9 frames and .* 12"):
        evaluate(request(clip_folder, tmp_path / "run", degraded=tmp_path / "sent", methods=["unsharp"]))
    found = evaluate(
        request(clip_folder, tmp_path / "run8", degraded=tmp_path / "sent", methods=["unsharp"], frames=8)
    )
    assert results(found, "given")["input"]["psnr_y"] > 25


@pytest.mark.usefixtures("plugin")
def test_the_same_request_goes_on_and_measures_nothing_twice(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(pristine, tmp_path / "run", presets=["soft"], methods=["unsharp"])

    def stop_after(count: int) -> list[int]:
        calls: list[int] = []

        def check() -> None:
            calls.append(1)
            if len(calls) > count:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            evaluate(wanted, check=check)
        return calls

    stop_after(1)
    assert len((tmp_path / "run" / JOURNAL).read_text().splitlines()) == 1
    measured: list[str] = []
    original = work.measure
    monkeypatch.setattr(
        work, "measure", lambda task, *rest: measured.append(task.file.name) or original(task, *rest)
    )
    whole = evaluate(wanted)
    assert measured == ["faces/b.png", "text/c.png"]
    measured.clear()
    assert evaluate(wanted).summary == whole.summary and not measured
    changed = pristine / "faces" / "a.png"
    Image.fromarray(255 - np.asarray(Image.open(changed))).save(changed)
    evaluate(wanted)
    assert measured == ["faces/a.png"]
    with pytest.raises(InputError, match="other arguments — presets"):
        evaluate(request(pristine, tmp_path / "run", presets=["half"], methods=["unsharp"]))


def test_another_order_and_more_workers_give_the_same_figures(
    pristine: Path, degraded: Path, unsharp_model: Path, tmp_path: Path
) -> None:
    methods = [str(unsharp_model), "unsharp"]
    one, two = (
        evaluate(
            request(pristine, tmp_path / f"run{workers}", degraded=degraded, methods=methods, workers=workers)
        )
        for workers in (1, 2)
    )
    assert one.summary["results"] == two.summary["results"]
    assert [record["name"] for record in two.records] == sorted(SIZES)


# The command, which takes its time: it is killed in the middle, however long a busy machine holds up whoever does so.
UNHURRIED = """
import time
from keenframe.cli import main
from keenframe.evaluate.run import Run
add = Run.add
Run.add = lambda *arguments: (add(*arguments), time.sleep(0.05))
main()
"""


@pytest.mark.parametrize("all_of_them", [False, True], ids=["the parent", "all of them"])
def test_a_killed_run_goes_on(pristine: Path, degraded: Path, tmp_path: Path, all_of_them: bool) -> None:
    for index in range(40):
        for folder, source in ((pristine, "faces/a.png"), (degraded, "faces/a.webp")):
            path = folder / source
            (path.parent / f"copy{index}{path.suffix}").write_bytes(path.read_bytes())
    words = ["evaluate", pristine, "-o", tmp_path / "run", "--degraded", degraded, "--method", "unsharp"]
    command = [sys.executable, "-c", UNHURRIED, *map(str, words), "--workers", "2"]
    running = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(SOURCES)}, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    journal = tmp_path / "run" / JOURNAL
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    workers = psutil.Process(running.pid).children(recursive=True)
    assert workers
    if all_of_them:  # as a service manager stops a group
        for process in (*workers, running):
            process.send_signal(signal.SIGTERM)
    else:
        running.send_signal(signal.SIGKILL)
    running.wait(timeout=60)
    gone, left = psutil.wait_procs(workers, timeout=60)
    assert gone and not left  # workers end with their parent
    done = journal.read_bytes().count(b"\n")
    found = evaluate(
        request(pristine, tmp_path / "run", degraded=degraded, methods=["unsharp"], engine="auto")
    )
    assert results(found, "given")["input"]["items"] == 43
    assert journal.read_bytes().count(b"\n") == 43 and done <= 43


def test_what_goes_wrong_with_one_item_ends_nothing(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if pixels.shape[0] == 80:
            raise RuntimeError("not of 80 rows")
        return blurred(pixels, rng)[: 5 if pixels.shape[1] == 96 else None]

    install(monkeypatch, [Plugin(lambda: lambda: [Preset("picky", "refuses", picture=picky)])])
    found = evaluate(request(pristine, tmp_path / "run", presets=["picky"], methods=["unsharp"]))
    assert found.summary["pictures"] == 1
    one, two = found.summary["problems"]
    assert one == "faces/b.png: RuntimeError: not of 80 rows"
    assert two.startswith("text/c.png: the degraded one is 96x5, the pristine one 96x112")


@pytest.mark.usefixtures("plugin")
def test_a_failed_vmaf_loses_nothing_else_and_is_tried_anew(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(
        clip_folder, tmp_path / "run", presets=["dim"], methods=["unsharp", "unsharp@unsharp"], vmaf=True
    )
    monkeypatch.setattr(extras, "find_vmaf", lambda: ["vmaf"])

    def fails(outputs: object, references: object) -> float:
        raise InputError("'vmaf' gave no VMAF: no such model")

    monkeypatch.setattr(clips, "vmaf", fails)
    for _ in range(2):
        found = evaluate(wanted)
        values = results(found, "dim")["unsharp"]
        assert "vmaf" not in values and values["flicker"] > 0 and values["worst_psnr"] > 20
        assert found.summary["problems"] == [
            f"a.mkv: {method}, VMAF: 'vmaf' gave no VMAF: no such model"
            for method in ("input", "unsharp", "unsharp@unsharp")
        ]
    monkeypatch.setattr(clips, "vmaf", lambda outputs, references: 71.5)
    found = evaluate(wanted)
    assert results(found, "dim")["unsharp"]["vmaf"] == 71.5 and not found.summary["problems"]
    # As a version before this left it: scores without frames.
    journal = tmp_path / "run" / JOURNAL
    record = json.loads(journal.read_text().splitlines()[-1])
    del record["frames"]["unsharp"]
    journal.write_text(json.dumps(record | {"failed": {"unsharp": "no VMAF"}}) + "\n")
    assert evaluate(wanted).summary == found.summary


def test_what_cannot_be_read_any_more_is_not_counted(
    pristine: Path, degraded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(pristine, tmp_path / "run", degraded=degraded, methods=["unsharp"])
    assert evaluate(wanted).summary["pictures"] == 3
    original = File.digest

    def digest(file: File) -> str:
        if file.name == "text/c.png":
            raise InputError("'c.png' cannot be read: permission denied")
        return original(file)

    monkeypatch.setattr(File, "digest", digest)
    found = evaluate(wanted)
    assert found.summary["pictures"] == 2 and results(found, "given")["input"]["items"] == 2
    assert found.summary["problems"] == ["text/c.png: 'c.png' cannot be read: permission denied"]
    assert "text/c.png" not in (tmp_path / "run" / "items.csv").read_text()


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "give one of them"),
        ({"presets": ["soft"], "degraded": Path()}, "give one of them"),
        ({"presets": ["dim"]}, "preset 'dim' damages clips"),
        ({"presets": ["soft"], "methods": ["nonesuch"]}, "no model 'nonesuch'"),
        ({"presets": ["soft"], "text": True}, "Tesseract|no such text"),
    ],
)
def test_requests_that_cannot_be_carried_out_write_nothing(
    pristine: Path, tmp_path: Path, more: dict[str, object], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        evaluate(request(pristine, tmp_path / "run", **({"methods": ["unsharp"]} | more)))
    assert not (tmp_path / "run").exists()


def test_nothing_measured_is_an_error(pristine: Path, degraded: Path, tmp_path: Path) -> None:
    for path in degraded.rglob("*.webp"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"nothing in .* could be measured"):
        evaluate(request(pristine, tmp_path / "run", degraded=degraded, methods=["unsharp"]))
