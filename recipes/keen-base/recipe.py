"""keen-base: a larger body for processors with time to spare; as keen-full's twin it would be an expert of two.

keenframe-train fit keen-base --data DIR --start recipes/keen/weights.pt
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-base",
    network=NetworkSpec(
        "keen",
        {"scale": 1, "head": 48, "trunk": 80, "blocks": 4, "embedding": 32, "inner": [64, 64, 64, 64]},
    ),
    mix="keen",
    bank="keen",
    bank_items=24_000,
    steps=40_000,
    rate=6e-4,
    shares={"clean": 0.02, "r1": 0.12, "r2": 0.36, "r3": 0.11, "r4": 0.02, "call-small": 0.37},
    description="Sharpens enlarged, blurred and noisy call frames with more than one and a half times keen's work",
)
