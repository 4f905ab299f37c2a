"""keen-x2: a half-size call frame in, the full size out; the body of `keen`, with another head and base."""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-x2",
    network=NetworkSpec(
        "keen", {"scale": 2, "head": 32, "trunk": 32, "blocks": 3, "embedding": 32, "stride": 1}
    ),
    mix="keen-x2",
    bank_items=14_000,
    steps=24_000,
    optimizer="muon",
    rate=8e-4,
    condition_noise=0.1,
    description="Half-size call frame in, sharp full-size frame out",
)
