"""keen-x4: a quarter-size call frame in, the full size out; the body of `keen`, whose head works on single pixels."""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-x4",
    network=NetworkSpec("keen", {"scale": 4, "head": 32, "trunk": 64, "blocks": 3, "embedding": 32}),
    mix="keen-x4",
    bank_items=8_000,
    steps=24_000,
    description="Quarter-size call frame in, sharp full-size frame out",
)
