"""keen: the network behind every frame, one for light and heavy damage, same size in and out."""

from keenframe_train.nets.keen import KeenConfig
from keenframe_train.recipe import Recipe

RECIPE = Recipe(
    name="keen",
    network=KeenConfig(scale=1, head=32, trunk=64, blocks=3),
    mix="keen",
    bank_items=24_000,
    steps=85_000,
    rate=8e-4,
    description="Sharpens call frames of any damage at their own size",
)
