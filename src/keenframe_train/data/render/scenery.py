"""Drawn pictures, for where slides and chats show a photograph."""

from __future__ import annotations

from keenframe_train.data.render.chrome import Box
from keenframe_train.data.render.screen import Screen, mixed
from keenframe_train.data.render.setting import Setting


def landscape(screen: Screen, s: Setting, box: Box) -> None:
    """Sky, sun and hills in a box of pixels."""
    left, top, right, bottom = (round(v) for v in box)
    inner = Screen(max(8, right - left), max(8, bottom - top), "#ffffff")
    sky = s.choice(("#bfe3ff", "#ffd9b0", "#27324d", "#d9e8d4"))
    for y in range(inner.height):
        inner.rectangle(0, y, inner.width, y + 1, mixed(sky, "#ffffff", 0.7 * y / inner.height))
    inner.disc(inner.width * s.rng.uniform(0.2, 0.8), inner.height * 0.25, inner.height * 0.09, "#fff3c4")
    hill = s.choice(("#3f6b4f", "#4b4e6d", "#7a5c48"))
    for layer in range(4):
        foot = inner.height * (0.5 + 0.13 * layer)
        steps = s.rng.normal(0, inner.height * 0.05, 9).cumsum()
        ridge = [(inner.width * i / 8, float(foot + steps[i])) for i in range(9)]
        points = [*ridge, (inner.width, inner.height + 9), (0, inner.height + 9)]
        inner.polygon(points, mixed(sky, hill, 0.4 + 0.2 * layer))
    screen.paste(inner, left, top)
