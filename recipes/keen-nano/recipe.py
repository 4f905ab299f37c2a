"""keen-nano: two thirds of keen's time, for busy or small processors and the browser; the step before passing.

keenframe-train fit keen-nano --data DIR
"""

from keenframe_train.data.presets import ENLARGED_SHARES
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
    shares=ENLARGED_SHARES,
    description="Sharpens call frames at their own size in two thirds of keen's time",
)
