"""The window, on SDL's dummy display: what it shows, and which keys it hears."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from conftest import picture
from keenframe.errors import OutputError
from keenframe.frame import Frame
from keenframe.live.preview import Preview, display_present
from keenframe.live.sinks import Shot

# swscale's quick paths take the nearest chroma sample, and leave gray of limited range as it is.
TOLERANCE = 6

pygame = pytest.importorskip("pygame", reason="pygame is not installed")


@pytest.fixture
def preview(monkeypatch: pytest.MonkeyPatch) -> Iterator[Preview]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Preview("test")
    yield window
    window.close()


def pixels(preview: Preview) -> np.ndarray:
    """(H, W, 3) of the window."""
    return pygame.surfarray.array3d(preview.window).swapaxes(0, 1)


def shot(width: int = 320, height: int = 240, format: str = "i420", **more: str) -> Shot:
    rgb = picture(height, width)
    after = Frame.from_rgb(rgb, format=format, **more)  # type: ignore[arg-type]
    before = Frame.from_rgb(rgb // 2, format=format, **more)  # type: ignore[arg-type]
    return Shot(before, after, 0.0)


@pytest.mark.parametrize("format", ["i420", "nv12", "i422", "rgb24", "gray"])
@pytest.mark.parametrize("range", ["limited", "full"])
def test_it_shows_the_frame_in_its_colours(preview: Preview, format: str, range: str) -> None:
    view = shot(format=format, range=range)
    preview.show(view, [])
    seen = pixels(preview)
    assert seen.shape == (240, 320, 3)
    assert abs(seen.astype(int) - view.after.to_rgb()).mean() < TOLERANCE


def test_comparing_shows_the_left_half_as_it_came(preview: Preview) -> None:
    view = shot()
    preview.show(view, [], compare=True)
    seen = pixels(preview).astype(int)
    assert abs(seen[:, :150] - view.before.to_rgb()[:, :150]).mean() < TOLERANCE
    assert abs(seen[:, 170:] - view.after.to_rgb()[:, 170:]).mean() < TOLERANCE
    assert seen[:, 160].mean() > 230


def test_large_frames_are_scaled_into_the_window_and_a_new_size_changes_it(preview: Preview) -> None:
    preview.show(shot(2560, 1440), [])
    # As much as nine tenths of the dummy display's 1024x768 hold.
    assert preview.window.get_size() == (922, 518)
    assert abs(pixels(preview).mean() - shot(2560, 1440).after.to_rgb().mean()) < 3
    preview.show(shot(240, 320), [])
    assert preview.window.get_size() == (240, 320)


def test_text_help_and_the_recording_light(preview: Preview) -> None:
    view = shot()
    preview.show(view, [])
    plain = pixels(preview)
    preview.show(view, ["29.9 FPS", "keen"])
    text = np.abs(pixels(preview).astype(int) - plain).max(-1) > 30
    assert text[:60, :120].mean() > 0.3 and not text[60:].any()
    preview.show(view, [], recording=True)
    light = pixels(preview)[20, 300]
    assert light[0] > 200 and light[1] < 80
    press(pygame.K_h)
    assert preview.actions() == ["help"]
    preview.show(view, [])
    assert (np.abs(pixels(preview).astype(int) - plain).max(-1) > 30)[120:].mean() > 0.2


def press(*keys: int) -> None:
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))


def test_keys_become_actions(preview: Preview) -> None:
    press(pygame.K_UP, pygame.K_DOWN, pygame.K_m, pygame.K_a, pygame.K_c, pygame.K_r, pygame.K_x, pygame.K_q)
    expected = ["stronger", "weaker", "level", "auto", "compare", "record", "quit"]
    assert preview.actions() == expected
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert preview.actions() == ["quit"]
    assert preview.actions() == []


def test_without_a_display_or_pygame_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert display_present() is (sys.platform != "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    assert display_present()
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    with pytest.raises(OutputError, match=r"no window can be opened: .* — use --no-preview"):
        Preview("test")
    if sys.platform == "linux":
        # SDL then falls back to a driver that shows nothing, and would seem to work.
        monkeypatch.delenv("SDL_VIDEODRIVER")
        monkeypatch.setenv("DISPLAY", ":nowhere")
        with pytest.raises(OutputError, match=r"no window can be opened: there is no display — use --no-pre"):
            Preview("test")
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(OutputError, match=r"pip install 'keenframe\[camera\]'"):
        Preview("test")
