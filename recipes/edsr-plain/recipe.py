"""R1 `edsr-plain`: EDSR teaches a plain CNN of 12 convolutions to undo x2 down- and up-sampling.

keenframe-train reproduce edsr-plain --data DIR --budget cpu      # BUDGETS say what each costs
Expected: the report's student has 34.84 dB and 0.9350 on its own pictures; FSRCNN (Dong et al. 2016, 12 k parameters)
has 37.0 dB on Set5 at the same x2.
"""

from keenframe_train.experiment import Budget, Claim, Report
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec, epoch_steps

EPOCH = epoch_steps(12_000, 8)  # 12,000 pairs at batch 8
COMMON = {
    "losses": {"l1": 1.0}, "color": "rgb", "mix": "r1", "bank": "edsr-plain", "bank_items": 12_000, "bank_size": 192,
    "batch": 8, "patch": 96, "steps": 5 * EPOCH, "validate_every": EPOCH, "optimizer": "adam", "rate": 1e-4,
    "schedule": "constant", "warmup": 1, "early_stopping": 3,
}  # fmt: skip

TEACHER = Recipe(
    name="edsr-plain-teacher", network=NetworkSpec("edsr", {"features": 256, "blocks": 16}), **COMMON
)
RECIPE = Recipe(
    name="edsr-plain",
    network=NetworkSpec("plain"),
    # The report names λ1 and λ2 without values. At errors of 0.01-0.02 an MSE must weigh tens to be heard beside L1.
    distill={"response-mse": 10.0},
    teachers=(TeacherSpec(TEACHER.network, "runs/reproduce/edsr-plain/teacher"),),
    description="R1: plain CNN for x2 down- and up-sampled pictures",
    **COMMON,
)

TINY = {"steps": 4, "batch": 2, "patch": 48, "warmup": 1, "early_stopping": None}
QUICK = {
    "patch": 64, "schedule": "cosine", "warmup": 100, "early_stopping": None, "optimizer": "muon", "rate": 1e-3,
}  # fmt: skip
BUDGETS = {
    "smoke": Budget(
        "seconds, to see that everything runs",
        bank_items=8, bank_size=64, validations=1, window=96, evaluation_window=96,
        teacher={"network": NetworkSpec("edsr", {"features": 8, "blocks": 1, "unshuffle": 2}), **TINY},
        student={"network": NetworkSpec("plain", {"features": 8, "blocks": 1}), **TINY},
    ),
    "cpu": Budget(
        "an hour and a quarter of training on one core with bfloat16, most of it the teacher's; teacher 16 x 64 on 2x2 "
        "blocks, rates above the report's",
        bank_items=8_000, bank_size=192,
        # On 2x2 blocks it computes at the size that the pictures were shrunk to, as EDSR does when it enlarges.
        teacher={
            "network": NetworkSpec("edsr", {"features": 64, "blocks": 16, "unshuffle": 2}), "steps": 15_000, **QUICK,
        },
        student={"steps": 2_400, **QUICK},
    ),
    # Half of R1's pairs are bilinear, which are easy; the literature measures on bicubic ones, and by PSNR.
    "alone": Budget(
        "the student alone, 40 minutes of one core with bfloat16", alone=True, bank_items=8_000, bank_size=192,
        student={
            **QUICK, "batch": 8, "patch": 48, "steps": 12_000, "shares": {"r1": 0.3, "r1-bicubic": 0.7},
        },
        then={
            "batch": 6, "patch": 64, "steps": 6_000, "rate": 6e-4, "losses": {"rmse": 1.0},
            "shares": {"r1": 0.15, "r1-bicubic": 0.85},
        },
    ),
    "report": Budget(
        "the report's teacher, rate, batch and epochs; days on two cores, an hour or two on a data-centre GPU",
        bank_items=12_000, bank_size=192, validations=None, windows=4,
    ),
}  # fmt: skip

REPORT = Report(
    "R1",
    (
        Claim("teacher", "psnr", 35.11, "its own pictures"),
        Claim("teacher", "ssim", 0.9466, "its own pictures"),
        Claim("teacher", "ms", 350, "frame size not stated"),
        Claim("student", "psnr", 34.84, "its own pictures"),
        Claim("student", "ssim", 0.9350, "its own pictures"),
        Claim("student", "parameters", 372_803, "the layer list; the text rounds to 0.5M"),
        Claim("student", "ms", 4500, "its table, which its claim of 12x faster contradicts"),
    ),
    sets=True,
)


def smoke(data, out):
    """Teacher, control and student for a few steps on the pictures below `data`, into `out`; gives the results."""
    from keenframe_train.reproduce import smoke

    return smoke(__file__, data, out)
