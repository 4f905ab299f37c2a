"""keen-base: a body at a quarter of the picture's size, for processors with time to spare; keen-full is its twin.

keenframe-train fit keen-base --data DIR --start recipes/keen/weights.pt    # widened: begins where keen ended
"""

from keenframe_train.data.presets import ENLARGED_SHARES
from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-base",
    network=NetworkSpec(
        "keen", {"scale": 1, "head": 32, "trunk": 32, "blocks": 6, "embedding": 32, "stride": 1}
    ),
    mix="keen",
    bank="keen",
    bank_items=16_000,
    steps=8_000,
    rate=6e-4,
    shares=ENLARGED_SHARES,
    description="Sharpens enlarged, blurred and noisy call frames with more work than keen's",
)
