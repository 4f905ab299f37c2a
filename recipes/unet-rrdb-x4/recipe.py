"""R4 `unet-rrdb-x4`: a U-Net on the enlarged picture teaches an RRDBNet that enlarges x4 by itself.

keenframe-train reproduce unet-rrdb-x4 --data DIR --budget cpu      # BUDGETS say what each costs
Expected: the report's teacher has SSIM 0.888, its student 0.8782 on 86 frames (0.8937 and 26.89 dB in OpenVINO).
"""

from keenframe_train.experiment import Budget, Claim, Report
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec, epoch_steps

EPOCH = epoch_steps(4_017, 32)  # 4,017 training frames at batch 32
COMMON = {
    # Ground truth, perceptual, gradient, frequency: α, γ, ε, λ are named without values.
    "losses": {"l1": 1.0, "perceptual": 0.01, "gradient": 0.1, "fft": 0.05},
    "color": "rgb", "mix": "r4", "jitter": 0.5, "bank": "unet-rrdb-x4", "bank_items": 4_017, "bank_size": 256,
    "batch": 32, "patch": 128, "steps": 63 * EPOCH, "validate_every": EPOCH, "optimizer": "adam", "rate": 1e-4,
    "schedule": "constant", "warmup": 1,
}  # fmt: skip

# At scale 4 the U-Net enlarges its input bicubically first: the same small pictures serve both.
TEACHER = Recipe(name="unet-rrdb-x4-teacher", network=NetworkSpec("unet", {"scale": 4}), **COMMON)
RECIPE = Recipe(
    name="unet-rrdb-x4",
    network=NetworkSpec("rrdbnet-lite"),
    distill={"response-l1": 0.2},  # β
    teachers=(TeacherSpec(TEACHER.network, "runs/reproduce/unet-rrdb-x4/teacher"),),
    description="R4: a quarter of the size, JPEG and noise, enlarged x4",
    **COMMON,
)

TINY = {"steps": 4, "batch": 2, "patch": 64, "warmup": 1}
QUICK = {
    "patch": 96, "batch": 8, "schedule": "cosine", "warmup": 100, "optimizer": "muon", "rate": 1e-3,
}  # fmt: skip
BUDGETS = {
    "smoke": Budget(
        "seconds, to see that everything runs",
        bank_items=8, bank_size=64, validations=1, window=96, evaluation_window=96,
        teacher={"network": NetworkSpec("unet", {"features": 8, "scale": 4}), **TINY},
        student={"network": NetworkSpec("rrdbnet-lite", {"features": 8, "blocks": 1, "growth": 4}), **TINY},
    ),
    "cpu": Budget(
        "half an hour of training on one core with bfloat16, most of it the teacher's; batch 8 of 96x96, rates above "
        "the report's",
        bank_items=16_000, bank_size=256,
        teacher={"steps": 1_200, **QUICK},
        student={"steps": 1_000, **QUICK},
    ),
    # What the network can do for its PSNR: the report's other terms and its colour jitter, which asks for colours that
    # the picture does not tell, want another optimum.
    "alone": Budget(
        "the student alone, 20 minutes of one core; each patch's RMSE is its loss, no colour jitter", alone=True,
        bank_items=8_000, bank_size=192,
        student={**QUICK, "steps": 8_000, "losses": {"rmse": 1.0}, "jitter": 0.0},
    ),
    "report": Budget(
        "the report's rate, batch and 63 epochs; days on two cores, an hour or two on a data-centre GPU",
        bank_items=4_017, bank_size=256, validations=21, windows=4,
    ),
}  # fmt: skip

OWN = "86 frames of its own videos"
REPORT = Report(
    "R4",
    (
        Claim("teacher", "ssim", 0.888, OWN),
        Claim("teacher", "parameters", 906_915, "the layer list"),
        Claim("student", "ssim", 0.8782, OWN),
        Claim("student", "ssim", 0.8937, f"{OWN}, in OpenVINO"),
        Claim("student", "psnr", 26.89, f"{OWN}, in OpenVINO"),
        Claim("student", "parameters", 758_755, "the layer list"),
        Claim("student", "frames/s on a CPU", 1.2, "1920x1080 out, PyTorch"),
    ),
)


def smoke(data, out):
    """Teacher, control and student for a few steps on the pictures below `data`, into `out`; gives the results."""
    from keenframe_train.reproduce import smoke

    return smoke(__file__, data, out)
