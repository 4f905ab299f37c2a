"""keen-nano: a quarter of keen's work, for busy or small processors and the browser; the step before passing.

keenframe-train fit keen-nano --data DIR
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-nano",
    network=NetworkSpec("keen", {"scale": 1, "head": 16, "trunk": 32, "blocks": 3, "embedding": 32}),
    mix="keen",
    bank="keen",
    bank_items=16_000,
    steps=60_000,
    rate=1e-3,
    shares={"clean": 0.02, "r1": 0.12, "r2": 0.36, "r3": 0.11, "r4": 0.02, "call-small": 0.37},
    description="Sharpens call frames at their own size in a third of keen's time",
)
