"""keen-screens-enlarged: the expert for text and screens that were enlarged, blurred or noisy; keen's first body.

keenframe-train fit keen-screens-enlarged --data DIR --start recipes/keen/weights.pt

The rest of the way to the model is in ../keen-full/README.md.
"""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen-screens-enlarged",
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
    mix="keen-screens-enlarged",
    bank="keen-screens-enlarged",
    bank_items=12_000,
    steps=45_000,
    optimizer="muon",
    condition_noise=0.2,
    rate=1e-3,
    description="Sharpens enlarged, blurred and noisy text and screens",
)
