"""R2 `bsrgan-light`: BSRGAN's RRDBNet teaches a light CNN (334,147 parameters) to undo blur and halving.

keenframe-train reproduce bsrgan-light --data DIR --budget cpu      # BUDGETS say what each costs
Expected: the report's student has SSIM 0.8882 on validation, 0.896 on test, 26.4 dB.
"""

from keenframe_train.experiment import Budget, Claim, Report
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec, epoch_steps

EPOCH = epoch_steps(800, 4)  # 800 training pictures at batch 4
COMMON = {
    "losses": {"l1": 0.7}, "color": "rgb", "mix": "r2", "bank": "bsrgan-light", "bank_items": 8_000, "bank_size": 256,
    "batch": 4, "patch": 256, "steps": 100 * EPOCH, "validate_every": EPOCH, "optimizer": "adam", "rate": 1e-3,
    "schedule": "plateau", "factor": 0.5, "patience": 5, "warmup": 1,
}  # fmt: skip

# A rate of 1e-3 is the student's; 23 dense blocks want a tenth (BSRGAN trains at 1e-4).
TEACHER = Recipe(
    name="bsrgan-light-teacher",
    network=NetworkSpec("rrdbnet", {"features": 64, "blocks": 23, "growth": 32, "scale": 1}),
    **COMMON | {"rate": 1e-4, "warmup": 200},
)
RECIPE = Recipe(
    name="bsrgan-light",
    network=NetworkSpec("light"),
    # 0.3 is the listing's. Its text also names feature maps, without a weight: one that makes them a third of the L1.
    distill={"response-mse": 0.3, "features": 0.005},
    teachers=(TeacherSpec(TEACHER.network, "runs/reproduce/bsrgan-light/teacher"),),
    description="R2: light CNN for blurred, halved and enlarged pictures",
    **COMMON,
)

TINY = {"steps": 4, "batch": 2, "patch": 48, "warmup": 1}
QUICK = {"batch": 8, "patch": 64, "schedule": "cosine", "warmup": 100}
BUDGETS = {
    "smoke": Budget(
        "seconds, to see that everything runs",
        bank_items=8, bank_size=64, validations=1, window=96, evaluation_window=96,
        teacher={
            "network": NetworkSpec("rrdbnet", {"features": 8, "blocks": 1, "growth": 4, "scale": 1}), **TINY,
        },
        student={"network": NetworkSpec("light", {"features": 8, "blocks": 1}), **TINY},
    ),
    "cpu": Budget(
        "about 20 minutes of training on one core with bfloat16; teacher of 6 blocks, patches of 64, cosine schedule",
        bank_items=4_000, bank_size=192,
        teacher={
            "network": NetworkSpec("rrdbnet", {"features": 64, "blocks": 6, "growth": 32, "scale": 1}),
            "steps": 1_200, **QUICK, "optimizer": "muon",
        },
        student={"steps": 600, **QUICK, "optimizer": "muon"},
    ),
    "alone": Budget(
        "the student alone, an hour of one core with bfloat16", alone=True, bank_items=8_000, bank_size=192,
        student={**QUICK, "batch": 6, "steps": 11_000, "rate": 2e-3},
    ),
    "report": Budget(
        "the report's teacher, rates, batch and 100 epochs of 800 pictures; days on two cores, hours on a "
        "data-centre GPU",
        bank_items=8_000, bank_size=256, validations=None, windows=4,
    ),
}  # fmt: skip

OWN = "its own 100 test pictures"
REPORT = Report(
    "R2",
    (
        Claim("student", "ssim", 0.8882, "its own validation pictures, best epoch"),
        Claim("student", "psnr", 26.4, "its own pictures"),
        Claim("student", "ssim", 0.896, OWN),
        Claim("student", "ssim", 0.923, OWN, "text"),
        Claim("student", "ssim", 0.887, OWN, "nature"),
        Claim("student", "ssim", 0.891, OWN, "people"),
        Claim("student", "ssim", 0.894, OWN, "games"),
        Claim("student", "ssim", 0.885, f"{OWN}; no such category here", "animals"),
        Claim("student", "parameters", 334_147, "the layer list"),
        Claim("student", "megabytes", 1, "an upper bound"),
        Claim("student", "frames/s at 1920x1080", 4.7, "GTX 1060"),
    ),
)


def smoke(data, out):
    """Teacher, control and student for a few steps on the pictures below `data`, into `out`; gives the results."""
    from keenframe_train.reproduce import smoke

    return smoke(__file__, data, out)
