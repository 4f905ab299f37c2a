"""keen-screens: the expert for text and screens that come at full size from a codec; keen-full's body.

keenframe-train fit keen-screens --data DIR --start recipes/keen-full/weights.pt

The rest of the way to the model is in ../keen-full/README.md.
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-screens",
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
    losses={"rmse": 0.5, "root-rmse": 0.5},
    mix="keen-screens",
    bank="keen-screens",
    bank_items=20_000,
    steps=36_000,
    optimizer="muon",
    condition_noise=0.1,
    rate=1e-3,
    description="Takes codec damage off text and screens of full size",
)
