"""R5 `nafnet-attention`: NAFNet teaches residual blocks with attention to undo down- and up-sampling at 256x256.

keenframe-train reproduce nafnet-attention --data DIR --budget cpu      # BUDGETS say what each costs
Expected: the report's student has SSIM of 0.90 and more, above 30 dB, on its own pictures.
"""

from keenframe_train.experiment import Budget, Claim, Report
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec

COMMON = {
    # Named without weights: all but the L1 are set to add about a half to it.
    "losses": {"l1": 1.0, "perceptual": 0.01, "ssim": 0.05, "sobel": 0.02},
    "color": "rgb", "mix": "r5", "bank": "nafnet-attention", "bank_items": 16_000, "bank_size": 256, "batch": 8,
    "patch": 256, "steps": 50_000, "validate_every": 2_500, "rate": 1e-3, "schedule": "cosine", "warmup": 200,
    "early_stopping": 6,
}  # fmt: skip

TEACHER = Recipe(name="nafnet-attention-teacher", network=NetworkSpec("nafnet", {"width": 32}), **COMMON)
RECIPE = Recipe(
    name="nafnet-attention",
    network=NetworkSpec("enhanced"),
    distill={"features": 0.005, "response-l1": 0.2},
    teachers=(TeacherSpec(TEACHER.network, "runs/reproduce/nafnet-attention/teacher"),),
    description="R5: attention CNN for x2 down- and up-sampled 256x256 pictures",
    **COMMON,
)

TINY = {"steps": 4, "batch": 2, "patch": 48, "warmup": 1, "early_stopping": None}
QUICK = {"patch": 96, "batch": 4, "warmup": 100, "early_stopping": None, "optimizer": "muon"}
SMALL = {"width": 32, "encoder": [1, 1, 2], "middle": 2, "decoder": [1, 1, 1], "unshuffle": 2}
BUDGETS = {
    "smoke": Budget(
        "seconds, to see that everything runs",
        bank_items=8, bank_size=64, validations=1, window=96, evaluation_window=96,
        teacher={
            "network": NetworkSpec("nafnet", {"width": 4, "encoder": [1], "middle": 1, "decoder": [1]}), **TINY,
        },
        student={"network": NetworkSpec("enhanced", {"features": 8, "blocks": 1}), **TINY},
    ),
    "cpu": Budget(
        "about 6 minutes of training on one core with bfloat16; teacher of width 32 and 9 blocks on 2x2 blocks of "
        "pixels",
        bank_items=4_000, bank_size=192,
        teacher={"network": NetworkSpec("nafnet", SMALL), "steps": 900, **QUICK},
        student={"steps": 400, **QUICK},
        evaluation_window=256,
    ),
    "report": Budget(
        "NAFNet of width 32 with 36 blocks and 50,000 steps, as the report states no budget; most of a day on a "
        "data-centre GPU",
        bank_items=16_000, bank_size=256, validations=20, windows=4, evaluation_window=256,
    ),
}  # fmt: skip

REPORT = Report(
    "R5",
    (
        Claim("student", "ssim", 0.90, "a lower bound, on its own pictures at 256x256"),
        Claim("student", "psnr", 30, "a lower bound, on its own pictures at 256x256"),
        Claim("student", "ms", 12.5, "80.6 frames/s at 256x256, GPU of 4 GB"),
    ),
)


def smoke(data, out):
    """Teacher, control and student for a few steps on the pictures below `data`, into `out`; gives the results."""
    from keenframe_train.reproduce import smoke

    return smoke(__file__, data, out)
