"""keen: the expert for enlarged, blurred and noisy frames; the flagship is it and three more experts in one file.

keenframe-train reproduce keen --data DIR --budget cpu    # teacher, control, distilled student
keenframe-train fit keen --data DIR --control             # the student alone, from nothing
"""

from keenframe_train.data.presets import ENLARGED_SHARES
from keenframe_train.experiment import Budget, Report
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec

COMMON = {
    "mix": "keen",
    "bank_items": 16_000,
    "steps": 45_000,
    "optimizer": "muon",
    "condition_noise": 0.2,
    "rate": 1e-3,
    "shares": ENLARGED_SHARES,
}

SHAPE = {"scale": 1, "head": 32, "trunk": 32, "blocks": 3, "embedding": 32, "stride": 1}
TINY_SHAPE = {"head": 8, "trunk": 16, "blocks": 1, "stride": 1}

# Twice as wide inside its blocks, and otherwise the student: it can be asked for exactly what the student is to do,
# and the student starts as what is left of it.
TEACHER = Recipe(name="keen-teacher", network=NetworkSpec("keen", SHAPE), bank="keen", **COMMON)
RECIPE = Recipe(
    name="keen",
    network=NetworkSpec("keen", {**SHAPE, "inner": [16, 16, 16]}),
    distill={"response-rmse": 0.5},
    teachers=(TeacherSpec(TEACHER.network, "runs/reproduce/keen/teacher"),),
    inherit=True,
    description="Sharpens enlarged, blurred and noisy call frames at their own size",
    **COMMON,
)

TINY = {"steps": 4, "batch": 2, "patch": 64, "warmup": 1}
BUDGETS = {
    "smoke": Budget(
        "seconds, to see that everything runs",
        bank_items=16, bank_size=96, validations=1, window=96, evaluation_window=96,
        teacher={"network": NetworkSpec("keen", TINY_SHAPE), **TINY},
        student={"network": NetworkSpec("keen", {**TINY_SHAPE, "inner": [8]}), **TINY},
    ),
    "cpu": Budget(
        "about 20 minutes of training on one core with bfloat16",
        bank_items=4_000, bank_size=256,
        teacher={"steps": 8_000, "warmup": 200},
        student={"steps": 6_000, "warmup": 200},
    ),
    "full": Budget(
        "the steps and pairs of the shipped weights; some two hours on one core",
        bank_items=16_000, bank_size=320, validations=10, windows=4,
        teacher={"steps": 36_000},
    ),
}  # fmt: skip

REPORT = Report("this project")


def smoke(data, out):
    """Teacher, control and student for a few steps on the pictures below `data`, into `out`; gives the results."""
    from keenframe_train.reproduce import smoke

    return smoke(__file__, data, out)
