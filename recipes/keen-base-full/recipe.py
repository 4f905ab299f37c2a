"""keen-base-full: keen-base's expert for frames that come at full size from a codec; its body, pairs of keen-full.

keenframe-train fit keen-base-full --data DIR --start recipes/keen-base/weights.pt

The rest of the way to the model is in README.md.
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-base-full",
    network=NetworkSpec(
        "keen", {"scale": 1, "head": 32, "trunk": 32, "blocks": 6, "embedding": 32, "stride": 1}
    ),
    # As keen-full: between the two heavy frames are learnt and light ones are not harmed.
    losses={"rmse": 0.5, "root-rmse": 0.5},
    mix="keen-full",
    bank="keen-full",
    bank_items=16_000,
    steps=12_000,
    optimizer="muon",
    condition_noise=0.1,
    rate=1e-3,
    description="Takes codec damage off call frames of full size, with more work than keen's",
)
