"""The five source reports' claims, row by row: what each says, and what stands beside it here.

A figure here is taken from a result file; where there is none, the row says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from keenframe_train.evaluate.markdown import DASH, figure, wide_table
from keenframe_train.page.sources import ALL, Sources

_OWN = "on its own pictures"
_MINUTES = "minutes of training, see below"
_FEATURES = "features, not figures: see the README"


@dataclass(frozen=True, slots=True)
class Claim:
    """said: what the report claims, with its figure. here: what was measured, or a dash. note: what differs, or why it
    was not measured."""

    report: str
    said: str
    here: str
    note: str = ""


def claims_table(sources: Sources) -> str:
    """All claims as Markdown."""
    rows = [(claim.report, claim.said, claim.here, claim.note) for claim in claims(sources)]
    return wide_table(("report", "claim", "here", "what differs, or why it is not measured"), rows)


def claims(sources: Sources) -> list[Claim]:
    """All claims, by report."""
    return [
        *_of_r1(sources), *_of_r2(sources), *_of_r3(sources), *_of_r4(sources), *_of_r5(sources),
    ]  # fmt: skip


def _of_r1(s: Sources) -> list[Claim]:
    return [
        Claim("R1", "student of 372,803 parameters (the text rounds to 0.5M)", _parameters(s, "edsr-plain")),
        Claim("R1", f"student 34.84 dB, SSIM 0.9350 {_OWN}", _quality(s, "edsr-plain", "r1", "student"), _MINUTES),
        Claim("R1", f"teacher 35.11 dB, SSIM 0.9466 {_OWN}", _quality(s, "edsr-plain", "r1", "teacher"), _MINUTES),
        Claim(
            "R1", "student within 0.27 dB of its teacher", _ahead(s, "edsr-plain", "r1", "student", "teacher"),
            "student over teacher; the teacher had no time to get ahead",
        ),
        Claim(
            "R1", "12x faster than the teacher; its own table says 4500 ms for the student and 350 for the teacher",
            _times(s, "edsr-plain"), "256x256, PyTorch, one thread: the smaller network is not the faster one here",
        ),
        Claim("R1", "40x smaller than the teacher", _smaller(s, "edsr-plain"), "the teacher here is a smaller EDSR"),
        Claim("R1", "the student's file in this runtime beside `keen`, on R1 damage", _beside(s, "r1", "edsr-plain")),
    ]  # fmt: skip


def _of_r2(s: Sources) -> list[Claim]:
    by_category = {"text": 0.923, "nature": 0.887, "people": 0.891, "games": 0.894}
    return [
        Claim("R2", "student of 334,147 parameters", _parameters(s, "bsrgan-light")),
        Claim(
            "R2", "student SSIM 0.8882 at best on validation, 26.4 dB", _quality(s, "bsrgan-light", "r2", "control"),
            f"the run without its teacher, the better one here; {_MINUTES}",
        ),
        Claim(
            "R2", "SSIM 0.896 over 100 test pictures", _one(s, "pictures", "r2", "keen-int8", "ssim_y"),
            "`keen` on this project's validation pictures; the input had "
            + _one(s, "pictures", "r2", "input", "ssim_y"),
        ),
        *(
            Claim(
                "R2", f"SSIM {value} on {category}",
                figure(s.value("pictures", "r2", "keen-int8", "ssim_y", category), "ssim_y"), "`keen`, as above",
            )
            for category, value in by_category.items()
        ),
        Claim("R2", "SSIM 0.885 on animals", DASH, "no such category among the pictures here"),
        Claim(
            "R2", "48 of 100 pictures above SSIM 0.9",
            _one(s, "pictures", "r2", "keen-int8", "share_ssim_090", unit=True),
            "`keen`; of the inputs " + _one(s, "pictures", "r2", "input", "share_ssim_090", unit=True),
        ),
        Claim(
            "R2", "31.4, 10.9 and 4.7 frames/s at 480p, 720p and 1080p on a GTX 1060",
            _frames_per_second(s, "bsrgan-light"),
            "the student on a CPU; `keenframe bench --model bsrgan-light` measures it",
        ),
        Claim(
            "R2", "target: 30-60 frames/s at 1920x1080", _frames_per_second(s, "keen-int8"),
            "`keen`, whole frames on two CPU cores",
        ),
        Claim("R2", "below 1 MB", _megabytes(s, "bsrgan-light", "keen-int8"), "student, `keen`"),
        Claim("R2", "less than 50 MB of memory", _memory(s, "keen-int8"), "the whole process with its engine at 1080p"),
        Claim("R2", "one call for a picture; webcam to a virtual camera; web page with a slider", DASH, _FEATURES),
        Claim("R2", "mean opinion score 4.2 of 5", DASH, "no person has rated anything yet; see below"),
        Claim(
            "R2", "admits over-sharpening in low light and noise",
            _overshoot(s, "r3"), "overshoot on R3's noisy pictures, in code values: input, `keen`, unsharp mask",
        ),
    ]  # fmt: skip


def _of_r3(s: Sources) -> list[Claim]:
    return [
        Claim("R3", "less than 5 MB", _megabytes(s, "srresnet-separable-int8", "keen-int8"), "student, `keen`"),
        Claim(
            "R3", "at least 30 frames/s at 1920x1080 on a regular computer", _frames_per_second(s, "keen-int8"),
            "`keen` on two cores; of the student: `keenframe bench --model srresnet-separable-int8`",
        ),
        Claim("R3", "SSIM above 0.90", _quality(s, "srresnet-separable-int8", "r3", "control"), _MINUTES),
        Claim(
            "R3", "SSIM above 0.90, by `keen`", _one(s, "pictures", "r3", "keen-int8", "ssim_y"),
            "on R3's damage; the input had " + _one(s, "pictures", "r3", "input", "ssim_y"),
        ),
        Claim(
            "R3", "edge sharpness 1.5-2.0 times the degraded video's",
            _one(s, "pictures", "r3", "keen-int8", "edge_ratio"),
            "`keen` on R3's damage; on R2's blur "
            + _one(s, "pictures", "r2", "keen-int8", "edge_ratio")
            + ", on half-size call frames "
            + _one(s, "pictures", "call-half", "keen-int8", "edge_ratio"),
        ),
        Claim(
            "R3", "text stays readable", _readable(s, "r2"),
            "characters that Tesseract reads wrongly on R2-blurred pages: input, `keen`",
        ),
        Claim("R3", "INT8 by quantisation-aware training", _int8_cost(s), "change of the student's PSNR by INT8"),
        Claim("R3", "ONNX and TFLite; browser, phone, WebRTC", DASH, _FEATURES),
        Claim("R3", "blinded study with 20-30 raters", DASH, "the study's software is there; nobody has rated yet"),
    ]  # fmt: skip


def _of_r4(s: Sources) -> list[Claim]:
    return [
        Claim("R4", "teacher of 906,915, student of 758,755 parameters", _both_parameters(s, "unet-rrdb-x4")),
        Claim(
            "R4", "student SSIM 0.8782 on 86 pictures", _quality(s, "unet-rrdb-x4", "r4-small", "control"),
            f"the run without its teacher; {_MINUTES}; JPEG quality 5-35 at a quarter of the size leaves 0.66",
        ),
        Claim("R4", "teacher SSIM 0.888", _quality(s, "unet-rrdb-x4", "r4-small", "teacher"), _MINUTES),
        Claim("R4", "58.5 frames/s on a GPU", DASH, "measured on CPUs alone"),
        Claim(
            "R4", "about 25 frames/s of the model alone on a CPU, to 1920x1080", _frames_per_second(s, "unet-rrdb-x4"),
            "`keenframe bench --model unet-rrdb-x4` measures it",
        ),
        Claim(
            "R4", "OpenVINO: SSIM 0.8937, 26.89 dB at 0.10 frames/s of the whole system",
            _runtime_quality(s, "student-r4", "r4-small", "unet-rrdb-x4"), "the student's file in this runtime",
        ),
    ]  # fmt: skip


def _of_r5(s: Sources) -> list[Claim]:
    return [
        Claim("R5", "SSIM at least 0.90, above 30 dB", _quality(s, "nafnet-attention", "r5", "student"), _MINUTES),
        Claim(
            "R5", "30-60 frames/s at 256x256 (80.6 shown, 12.5 ms)", _times(s, "nafnet-attention"),
            "PyTorch, one CPU thread",
        ),
        Claim(
            "R5",
            "the student's file in this runtime beside `keen`, on R5 damage",
            _beside(s, "r5", "nafnet-attention"),
        ),
    ]  # fmt: skip


def _parameters(s: Sources, model: str) -> str:
    return f"{s.models[model].spec.parameters:,}" if model in s.models else DASH


def _both_parameters(s: Sources, recipe: str) -> str:
    networks = s.reproductions.get(recipe, {}).get("networks", {})
    if not networks:
        return DASH
    return f"{networks['teacher']['parameters']:,} and {networks['student']['parameters']:,}"


def _quality(s: Sources, recipe: str, kind: str, method: str) -> str:
    """A reproduction's PSNR and SSIM, with those of its input."""
    found = s.reproductions.get(recipe, {}).get("quality", {}).get(kind, {}).get(ALL, {})
    if method not in found:
        return DASH
    own, reference = found[method], found[s.reproductions[recipe]["reference"]]
    return f"{own['psnr']:.2f} dB, SSIM {own['ssim']:.4f} (input {reference['psnr']:.2f} dB, {reference['ssim']:.4f})"


def _ahead(s: Sources, recipe: str, kind: str, one: str, other: str) -> str:
    found = s.reproductions.get(recipe, {}).get("quality", {}).get(kind, {}).get(ALL, {})
    if one not in found or other not in found:
        return DASH
    return f"{found[one]['psnr'] - found[other]['psnr']:+.2f} dB"


def _times(s: Sources, recipe: str) -> str:
    networks = s.reproductions.get(recipe, {}).get("networks", {})
    if not networks:
        return DASH
    return f"{networks['student']['ms_256']:.0f} ms the student, {networks['teacher']['ms_256']:.0f} ms the teacher"


def _smaller(s: Sources, recipe: str) -> str:
    networks = s.reproductions.get(recipe, {}).get("networks", {})
    return (
        f"{networks['teacher']['parameters'] / networks['student']['parameters']:.0f}x" if networks else DASH
    )


def _one(s: Sources, run: str, preset: str, method: str, measure: str, unit: bool = False) -> str:
    return figure(s.value(run, preset, method, measure), measure, unit)


def _beside(s: Sources, kind: str, model: str) -> str:
    """Gain of a student's file and of `keen`, in one run."""
    student = s.value(f"student-{kind}", kind, model, "psnr_gain")
    keen = s.value(f"student-{kind}", kind, "keen-int8", "psnr_gain")
    return DASH if student is None or keen is None else f"{student:+.2f} dB, `keen` {keen:+.2f} dB"


def _runtime_quality(s: Sources, run: str, preset: str, model: str) -> str:
    values = s.values(run, preset, model)
    return f"{values['psnr_y']:.2f} dB, SSIM {values['ssim_y']:.4f}" if values else DASH


def _frames_per_second(s: Sources, model: str) -> str:
    found = [s.fps(model, height) for height in (480, 720, 1080)]
    known = [f"{fps:.0f}" if fps >= 10 else f"{fps:.1f}" for fps in found if fps is not None]
    return f"{', '.join(known)} at 480p, 720p, 1080p" if len(known) == 3 else DASH


def _megabytes(s: Sources, *models: str) -> str:
    return ", ".join(f"{s.models[model].size / 1e6:.2f} MB" for model in models if model in s.models) or DASH


def _memory(s: Sources, model: str) -> str:
    rows = [row["memory_mb"] for row in s.speed if row["model"] == model and row["height"] == 1080]
    return f"{max(rows):.0f} MB" if rows else DASH


def _overshoot(s: Sources, preset: str) -> str:
    found = [s.value("pictures", preset, method, "overshoot") for method in ("input", "keen-int8", "unsharp")]
    return DASH if None in found else ", ".join(figure(value, "overshoot") for value in found)


def _readable(s: Sources, preset: str) -> str:
    before, after = (s.value("text", preset, method, "cer") for method in ("input", "keen-int8"))
    return DASH if before is None or after is None else f"{before:.1f} % → {after:.1f} %"


def _int8_cost(s: Sources) -> str:
    model = s.models.get("srresnet-separable-int8")
    found = model.spec.measured.get("INT8 to float, dB", {}) if model is not None else {}
    return ", ".join(f"{value:+.3f} dB on {kind}" for kind, value in found.items()) or DASH
