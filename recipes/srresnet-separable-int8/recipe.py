"""R3 `srresnet-separable-int8`: SRResNet teaches depthwise-separable convolutions with attention, made for INT8.

keenframe-train reproduce srresnet-separable-int8 --data DIR --budget cpu      # BUDGETS say what each costs
Expected: the report sets targets and measures nothing: SSIM above 0.90, 30 frames/s at 1920x1080, less than 5 MB.
INT8 comes after training: `keenframe-train export` takes the student's run.
"""

from keenframe_train.experiment import Budget, Claim, Report
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec

COMMON = {
    "losses": {"l1": 1.0}, "color": "rgb", "mix": "r3", "bank": "srresnet-separable-int8", "bank_items": 16_000,
    "bank_size": 192, "batch": 16, "patch": 96, "steps": 100_000, "validate_every": 5_000, "optimizer": "adam",
    "rate": 4e-4, "schedule": "cosine", "warmup": 200,
}  # fmt: skip

TEACHER = Recipe(
    name="srresnet-separable-int8-teacher",
    network=NetworkSpec("srresnet", {"features": 64, "blocks": 16, "scale": 1}),
    **COMMON,
)
RECIPE = Recipe(
    name="srresnet-separable-int8",
    network=NetworkSpec("separable"),
    # Responses and features, without weights in the report. "gradients" (its SIFT-KD) is there to be tried.
    distill={"response-l1": 0.5, "features": 0.005, "gradients": 0.0},
    teachers=(TeacherSpec(TEACHER.network, "runs/reproduce/srresnet-separable-int8/teacher"),),
    description="R3: separable CNN for small, blurred, noisy JPEG pictures with lost rows",
    **COMMON | {"rate": 1e-3},
)

TINY = {"steps": 4, "batch": 2, "patch": 48, "warmup": 1}
QUICK = {"batch": 8, "optimizer": "muon", "rate": 1e-3}
BUDGETS = {
    "smoke": Budget(
        "seconds, to see that everything runs",
        bank_items=8, bank_size=64, validations=1, window=96, evaluation_window=96,
        teacher={"network": NetworkSpec("srresnet", {"features": 8, "blocks": 1, "unshuffle": 4}), **TINY},
        student={"network": NetworkSpec("separable", {"features": 8, "blocks": 1}), **TINY},
    ),
    "cpu": Budget(
        "an hour of training on one core with bfloat16, nearly all of it the teacher's; teacher on 2x2 blocks",
        bank_items=8_000, bank_size=192,
        teacher={
            "network": NetworkSpec("srresnet", {"features": 64, "blocks": 16, "unshuffle": 2}),
            "steps": 12_000, **QUICK, "patch": 64,
        },
        student={"steps": 2_000, **QUICK},
    ),
    "alone": Budget(
        "the student alone, 10 minutes of one core with bfloat16", alone=True, bank_items=8_000, bank_size=192,
        student={"steps": 12_000, **QUICK},
    ),
    "report": Budget(
        "SRResNet at full resolution and 100,000 steps, as the report states no budget; hours on a data-centre GPU",
        bank_items=16_000, bank_size=192, validations=20, windows=4,
    ),
}  # fmt: skip

REPORT = Report(
    "R3",
    (
        Claim("student", "ssim", 0.90, "a target"),
        Claim("student", "megabytes", 5, "a target, in INT8"),
        Claim("student", "frames/s at 1920x1080", 30, "a target, on a regular computer"),
    ),
)


def smoke(data, out):
    """Teacher, control and student for a few steps on the pictures below `data`, into `out`; gives the results."""
    from keenframe_train.reproduce import smoke

    return smoke(__file__, data, out)
