from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from keenframe.errors import InputError
from keenframe.evaluate.gates import broken, parse_gate
from keenframe.evaluate.summary import gain, items_csv, problems, summarise, summary


def record(name: str, before: float, after: float, preset: str = "soft", **more: Any) -> dict[str, Any]:
    scores = {
        "pristine": {"blockiness": 0.5},
        "input": {"psnr_y": before, "ssim_y": 0.8, "to_input": 60.0},
        "keen": {"psnr_y": after, "ssim_y": 0.95 if after > before else 0.85, "overshoot": 1.0},
    }
    return {"preset": preset, "name": name, "category": name.split("/")[0], "scores": scores, **more}


RECORDS = [
    record("faces/a", 30.0, 33.0, kind="picture"),
    record("faces/b", 20.0, 19.0, kind="picture"),
    record("text/c", 25.0, 29.0, kind="picture"),
    {"preset": "soft", "name": "text/d", "category": "text", "error": "damaged"},
    {"preset": "hard", "name": "text/d", "category": "text", "error": "damaged"},
]


def test_means_gains_and_tails() -> None:
    found = summarise(RECORDS)["soft"]
    assert list(found) == ["all", "faces", "text"]
    assert list(found["all"]) == ["input", "keen", "pristine"]
    keen = found["all"]["keen"]
    assert keen["items"] == 3 and keen["psnr_y"] == 27 and keen["psnr_gain"] == 2 and keen["worst_gain"] == -1
    assert keen["ssim_gain"] == pytest.approx((0.15 + 0.05 + 0.15) / 3, abs=1e-4)
    assert keen["share_ssim_090"] == pytest.approx(66.66667) and keen["worst_psnr"] == 19
    assert found["faces"]["keen"]["psnr_gain"] == 1 and found["text"]["keen"]["psnr_gain"] == 4
    assert found["all"]["pristine"] == {"items": 3, "blockiness": 0.5}
    assert "psnr_gain" not in found["all"]["input"]
    # Of three gains, 3, -1 and 4, one is a loss; an interval needs five.
    assert keen["share_worse"] == pytest.approx(33.33333) and "psnr_gain_low" not in keen
    more = summarise([*RECORDS[:3], record("text/e", 20, 24), record("text/f", 20, 25)])["soft"]["all"][
        "keen"
    ]
    assert -1 < more["psnr_gain_low"] < more["psnr_gain"] == 3 < more["psnr_gain_high"] < 5
    assert gain(RECORDS[0], "keen", "ssim_y") == pytest.approx(0.15)


def test_a_folder_called_all_is_not_the_whole() -> None:
    records = [*RECORDS, record("all/e", 10.0, 20.0)]
    found = summarise(records)["soft"]
    assert list(found) == ["all", "all/", "faces", "text"]
    assert found["all"]["keen"]["items"] == 4 and found["all/"]["keen"]["items"] == 1
    assert "soft,all/,all/e,keen" in items_csv(records)


def test_a_clip_counts_by_its_frames_where_tails_are_concerned() -> None:
    frames = {
        "input": {"psnr_y": [30.0] * 200, "ssim_y": [0.8] * 200},
        "keen": {"psnr_y": [10.0, 12.0] + [31.0] * 198, "ssim_y": [0.95] * 50 + [0.8] * 150},
    }
    keen = summarise([record("a", 30, 31, frames=frames)])["soft"]["all"]["keen"]
    assert keen["worst_psnr"] == 11 and keen["share_ssim_090"] == 25 and keen["items"] == 1


def test_a_method_without_frames_counts_by_its_scores() -> None:
    frames = {"input": {"psnr_y": [29.0, 31.0], "ssim_y": [0.8, 0.8]}}
    failed = {"keen": "no VMAF"}
    keen = summarise([record("a", 30, 31, frames=frames, failed=failed)])["soft"]["all"]["keen"]
    assert keen["worst_psnr"] == 31 and keen["psnr_gain"] == 1


def test_problems_are_told_once() -> None:
    assert problems([*RECORDS, record("x/y", 1, 2, failed={"nafnet": "too large"})]) == [
        "text/d: damaged", "x/y: nafnet: too large",
    ]  # fmt: skip
    whole = summary({}, {}, RECORDS, ["'z' has no twin"])
    assert whole["pictures"] == 3 and whole["clips"] == 0
    assert whole["problems"] == ["'z' has no twin", "text/d: damaged"]


def test_every_value_stands_in_the_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(items_csv(RECORDS))))
    assert len(rows) == 9 and rows[2] == {
        "preset": "soft", "category": "faces", "name": "faces/a", "method": "keen", "psnr_y": "33.000",
        "ssim_y": "0.95000", "to_input": "", "overshoot": "1.0000", "blockiness": "",
    }  # fmt: skip


def missed(text: str, under: bool = True) -> list[str]:
    return broken([parse_gate(text, under)], summarise(RECORDS), ["keen"])


def test_gates() -> None:
    assert missed("psnr_gain=2") == []
    assert missed("psnr_gain=2.5") == ["soft, keen: gain 2 is below 2.5"]
    assert missed("soft keen faces psnr_gain=2.5") == ["soft, keen, faces: gain 1 is below 2.5"]
    assert missed("soft input psnr_y=25.5") == ["soft, input: PSNR-Y 25 is below 25.5"]
    assert missed("overshoot=0.5", under=False) == ["soft, keen: overshoot 1 is above 0.5"]
    assert missed("overshoot=1", under=False) == []
    assert missed("flicker=1", under=False) == ["'flicker=1': nothing of the kind was measured"]
    assert missed("r2 psnr_gain=1") == ["'r2 psnr_gain=1': nothing of the kind was measured"]


@pytest.mark.parametrize("text", ["", "psnr_gain", "psnr_gain=", "beauty=1", "psnr_gain=nan"])
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(InputError, match=r"--fail-under .*: expected \[PRESET\] \[METHOD\] MEASURE=VALUE"):
        parse_gate(text, under=True)
