"""keen-full: the expert for frames that come at full size from a codec; keen's body, pairs of its own.

keenframe-train fit keen-full --data DIR --start recipes/keen/weights.pt

The rest of the way to the model is in README.md.
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-full",
    network=NetworkSpec(
        "keen",
        {
            "scale": 1,
            "head": 32,
            "trunk": 32,
            "blocks": 3,
            "embedding": 32,
            "stride": 1,
            "inner": [16, 16, 16],
        },
    ),
    # Between the two: heavy frames are learnt, light ones are not harmed.
    losses={"rmse": 0.5, "root-rmse": 0.5},
    mix="keen-full",
    bank="keen-full",
    bank_items=16_000,
    steps=22_000,
    optimizer="muon",
    condition_noise=0.1,
    rate=1e-3,
    description="Takes codec damage off call frames of full size",
)
