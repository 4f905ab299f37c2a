"""keen-nano-full: the smallest model's expert for frames that come at full size from a codec; keen-nano's body.

keenframe-train fit keen-nano-full --data DIR --start recipes/keen-nano/weights.pt

The rest of the way to the model is in README.md.
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-nano-full",
    network=NetworkSpec(
        "keen", {"scale": 1, "head": 16, "trunk": 0, "blocks": 3, "embedding": 32, "stride": 1}
    ),
    # As keen-full: between the two heavy frames are learnt and light ones are not harmed.
    losses={"rmse": 0.5, "root-rmse": 0.5},
    mix="keen-full",
    bank="keen-full",
    bank_items=16_000,
    steps=15_000,
    optimizer="muon",
    condition_noise=0.1,
    rate=1e-3,
    description="Takes codec damage off call frames of full size, in two thirds of keen's time",
)
