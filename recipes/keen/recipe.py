"""keen: the network behind every frame, one for light and heavy damage, same size in and out."""

from keenframe_train.recipe import NetworkSpec, Recipe

RECIPE = Recipe(
    name="keen",
    network=NetworkSpec("keen", {"scale": 1, "head": 32, "trunk": 64, "blocks": 3, "embedding": 32}),
    mix="keen",
    bank_items=24_000,
    steps=50_000,
    rate=6e-4,
    shares={
        "clean": 0.02,
        "r1": 0.06,
        "r2": 0.20,
        "r3": 0.07,
        "r4": 0.01,
        "call-small": 0.19,
        "call-full": 0.45,
    },
    light=0.15,
    description="Sharpens call frames of any damage at their own size",
)
