"""keen-nano-full: keen-nano's expert for frames that come at full size from a codec.

keenframe-train fit keen-nano-full --data DIR
keenframe-train bank keen-full --mix keen-route --items 6000 --data DIR
keenframe-train bank keen --mix keen-rule --items 6000 --data DIR
keenframe-train export runs/keen-nano --expert runs/keen-nano-full --bank banks/keen-route --rule-bank banks/keen-rule \
    --data DIR --out src/keenframe/zoo/models
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-nano-full",
    network=NetworkSpec("keen", {"scale": 1, "head": 16, "trunk": 32, "blocks": 3, "embedding": 32}),
    # As keen-full: between the two heavy frames are learnt and light ones are not harmed.
    losses={"rmse": 0.5, "root-rmse": 0.5},
    mix="keen-full",
    bank="keen-full",
    bank_items=14_000,
    steps=30_000,
    rate=1e-3,
    description="Takes codec damage off call frames of full size, in a third of keen's time",
)
