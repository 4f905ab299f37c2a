"""keen-base-full: keen-base's expert for filmed frames of full size from a codec; keen-base's body.

keenframe-train fit keen-base-full --data DIR --start recipes/keen-full/weights.pt

The rest of the way to the model is in ../keen-base/README.md.
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-base-full",
    network=NetworkSpec(
        "keen", {"scale": 1, "head": 32, "trunk": 32, "blocks": 6, "embedding": 32, "stride": 1}
    ),
    losses={"rmse": 0.5, "root-rmse": 0.5},
    mix="keen-full",
    bank="keen-full",
    bank_items=14_000,
    steps=30_000,
    optimizer="muon",
    condition_noise=0.1,
    rate=1e-3,
    description="Takes codec damage off call frames of full size, with more work than keen's",
)
