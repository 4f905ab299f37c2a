"""keen-full: the expert for frames that come at full size from a codec; keen's body, pairs of its own.

keenframe-train fit keen-full --data DIR
keenframe-train prune runs/keen-full --keep 0.5 --data DIR

The rest of the way to the model is in README.md.
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-full",
    network=NetworkSpec("keen", {"scale": 1, "head": 32, "trunk": 64, "blocks": 3, "embedding": 32}),
    # Between the two: heavy frames are learnt, light ones are not harmed.
    losses={"rmse": 0.5, "root-rmse": 0.5},
    mix="keen-full",
    bank="keen-full",
    bank_items=14_000,
    steps=40_000,
    description="Takes codec damage off call frames of full size",
)
