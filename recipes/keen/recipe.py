"""keen: the expert for enlarged, blurred and noisy frames; the flagship is this one and keen-full in one file.

keenframe-train fit keen --data DIR --control                # the student alone
keenframe-train prune runs/keen-control --keep 0.5 --data DIR    # half of the channels inside its blocks, as shipped
keenframe-train reproduce keen --data DIR --budget cpu       # teacher, control, distilled student
"""

from keenframe_train.experiment import Budget, Report
from keenframe_train.recipe import NetworkSpec, Recipe, TeacherSpec

COMMON = {
    "mix": "keen",
    "bank_items": 16_000,
    "steps": 45_000,
    "rate": 1e-3,
    "shares": {"clean": 0.02, "r1": 0.12, "r2": 0.33, "r3": 0.13, "r4": 0.06, "call-small": 0.34},
}

# The student with twice the blocks, so that it can be asked for exactly what the student is to do: keen-base's body.
TEACHER = Recipe(
    name="keen-teacher",
    network=NetworkSpec(
        "keen", {"scale": 1, "head": 32, "trunk": 32, "blocks": 6, "embedding": 32, "stride": 1}
    ),
    bank="keen",
    **COMMON,
)
RECIPE = Recipe(
    name="keen",
    network=NetworkSpec(
        "keen", {"scale": 1, "head": 32, "trunk": 32, "blocks": 3, "embedding": 32, "stride": 1}
    ),
    distill={"response-rmse": 1.0},
    teachers=(TeacherSpec(TEACHER.network, "runs/reproduce/keen/teacher"),),
    description="Sharpens enlarged, blurred and noisy call frames at their own size",
    **COMMON,
)

TINY = {"steps": 4, "batch": 2, "patch": 64, "warmup": 1}
BUDGETS = {
    "smoke": Budget(
        "seconds, to see that everything runs",
        bank_items=16, bank_size=96, validations=1, window=96, evaluation_window=96,
        teacher={"network": NetworkSpec("keen", {"head": 8, "trunk": 16, "blocks": 1, "stride": 1}), **TINY},
        student={"network": NetworkSpec("keen", {"head": 8, "trunk": 8, "blocks": 1, "stride": 1}), **TINY},
    ),
    "cpu": Budget(
        "about 12 minutes of training on one core with bfloat16",
        bank_items=4_000, bank_size=256,
        teacher={"steps": 4_000, "warmup": 200},
        student={"steps": 3_000, "warmup": 200},
    ),
    "full": Budget(
        "the steps and pairs of the shipped weights; a working day on two cores",
        bank_items=16_000, bank_size=320, validations=10, windows=4,
        teacher={"steps": 100_000},
    ),
}  # fmt: skip

REPORT = Report("this project")


def smoke(data, out):
    """Teacher, control and student for a few steps on the pictures below `data`, into `out`; gives the results."""
    from keenframe_train.reproduce import smoke

    return smoke(__file__, data, out)
