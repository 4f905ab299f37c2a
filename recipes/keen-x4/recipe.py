"""keen-x4: a quarter-size call frame in, the full size out; the body of `keen`, whose head works on single pixels."""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-x4",
    network=NetworkSpec(
        "keen", {"scale": 4, "head": 32, "trunk": 32, "blocks": 3, "embedding": 32, "stride": 1}
    ),
    mix="keen-x4",
    bank_items=12_000,
    steps=20_000,
    optimizer="muon",
    rate=8e-4,
    condition_noise=0.1,
    description="Quarter-size call frame in, sharp full-size frame out",
)
