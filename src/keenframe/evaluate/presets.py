"""Ways to damage what is pristine. The runtime has none of its own: they are plugins.

An entry point of the group `keenframe.degradations` names a function without arguments that gives `Preset`s.
keenframe's own come with the training side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keenframe.errors import InputError
from keenframe.evaluate.methods import Filter

if TYPE_CHECKING:
    from keenframe.frame import Frame

GROUP = "keenframe.degradations"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Preset:
    """One way to damage pictures, clips or both; the same damage for the same generator.

    picture: takes (H, W, 3) RGB or (H, W) luma, uint8, sides multiples of 16, and gives the same kind in the same
        size, or smaller by a whole factor. Clips without a function of their own get it frame by frame, with the
        same random numbers.
    clip: takes frames, 8-bit I420 or gray, sides multiples of 16, and gives as many, perhaps smaller.
    window: pictures are cut to the middle square of this edge first.
    settle: frames of a clip that are sent and not judged, until a rate control has settled.
    enlarging: how a viewer shows what arrives smaller. draws_as: the preset with the same random numbers.
    """

    name: str
    description: str
    picture: Callable[[Pixels, np.random.Generator], Pixels] | None = None
    clip: Callable[[Sequence[Frame]], list[Frame]] | None = None
    window: int | None = None
    settle: int = 0
    enlarging: Filter = "bicubic"
    draws_as: str = ""

    def generator(self, seed: int, name: str) -> np.random.Generator:
        """The random numbers for a file of this name: no other file, order or worker changes them."""
        letters = name.encode(errors="surrogatepass")  # a name need not be UTF-8
        return np.random.default_rng([seed, *letters, *(self.draws_as or self.name).encode()])


def known_presets() -> dict[str, Preset]:
    """All presets that are installed, by name. InputError when there are none, saying what to install."""
    found: dict[str, Preset] = {}
    for entry in entry_points(group=GROUP):
        try:
            provide: Callable[[], Iterable[Preset]] = entry.load()
        except ImportError as error:
            raise InputError(
                f"the degradation presets of '{entry.value.partition(':')[0]}' need more than is installed "
                f"({error}); run: pip install 'keenframe[train]' — or measure pictures that are degraded already: "
                "--degraded DIR"
            ) from error
        found |= {preset.name: preset for preset in provide()}
    if not found:
        raise InputError(
            "no degradation presets are installed; run: pip install 'keenframe[train]' — or measure pictures that "
            "are degraded already: --degraded DIR"
        )
    return found


def choose_presets(names: Sequence[str]) -> list[Preset]:
    """Presets by name, each once; "all" stands for every one. InputError with the known names for another."""
    known = known_presets()
    wanted = list(dict.fromkeys(known if "all" in names else names))
    if unknown := [name for name in wanted if name not in known]:
        listed = "\n".join(f"  {preset.name:16} {preset.description}" for preset in known.values())
        raise InputError(f"there is no preset '{unknown[0]}'; expected 'all' or one of these:\n{listed}")
    return [known[name] for name in wanted]
