"""keen-nano: two thirds of keen's time, for busy or small processors and the browser; the step before passing.

keenframe-train fit keen-nano --data DIR
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-nano",
    network=NetworkSpec(
        "keen", {"scale": 1, "head": 16, "trunk": 0, "blocks": 3, "embedding": 32, "stride": 1}
    ),
    mix="keen",
    bank="keen",
    bank_items=16_000,
    steps=45_000,
    rate=1e-3,
    shares={
        "clean": 0.02,
        "r1": 0.12,
        "r2": 0.32,
        "r3": 0.13,
        "r4": 0.05,
        "call-small": 0.17,
        "call-webcam": 0.19,
    },
    description="Sharpens call frames at their own size in two thirds of keen's time",
)
