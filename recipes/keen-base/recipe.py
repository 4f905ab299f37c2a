"""keen-base: keen with whole blocks and twice as many, for processors with time to spare; keen-full is its twin.

keenframe-train fit keen-base --data DIR
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
    steps=90_000,
    optimizer="muon",
    condition_noise=0.2,
    rate=1e-3,
    shares=ENLARGED_SHARES,
    description="Sharpens enlarged, blurred and noisy call frames with more work than keen's",
)
