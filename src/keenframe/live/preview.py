"""A window with the stream, its numbers, and keys to steer it by."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

from keenframe.errors import OutputError
from keenframe.frame import Frame
from keenframe.live.sinks import Shot
from keenframe.media.compare import split_view

Action = Literal["quit", "stronger", "weaker", "level", "auto", "compare", "record", "help"]

# The window opens at the frame's size, or as much of it as fits here and into this share of the screen.
_WIDTH_MAX, _HEIGHT_MAX = 1280, 720
_SCREEN_SHARE = 0.9
# What SDL falls back to where nothing can be shown.
_UNSEEN = ("dummy", "offscreen")
_FULL_RANGE = 2
_TEXT, _SHADE = (240, 240, 240), (0, 0, 0, 190)
_MARGIN = 8
# Key and meaning, with a tab between.
HELP = (
    "up, down\tstronger, weaker",
    "m\tnext model, then pass, then automatic",
    "a\tautomatic",
    "c\tcompare: left half as it came",
    "r\trecord, or stop recording",
    "h\tthis help",
    "q, Esc\tquit",
)


def display_present() -> bool:
    """Whether a window can be opened here, as far as the environment tells."""
    if os.environ.get("SDL_VIDEODRIVER"):
        return True
    if sys.platform == "linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


class Preview:
    """The window. All calls come from the main thread: some systems want it so.

    OutputError when pygame is not installed or no window can be opened.
    """

    def __init__(self, title: str) -> None:
        # Ctrl-C stays the program's, stdout free of greetings, and a window that grows on the screen.
        os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        os.environ.setdefault("SDL_VIDEO_CENTERED", "1")
        try:
            import pygame
        except ImportError as error:
            raise OutputError(
                "the preview window needs pygame — pip install 'keenframe[camera]', or use --no-preview"
            ) from error
        self._pygame = pygame
        try:
            pygame.display.init()
            pygame.font.init()
            if not os.environ.get("SDL_VIDEODRIVER") and pygame.display.get_driver() in _UNSEEN:
                raise pygame.error("there is no display")
            self._window = pygame.display.set_mode((640, 360), pygame.RESIZABLE)
        except pygame.error as error:
            raise OutputError(
                f"no window can be opened: {error} — use --no-preview, or set DISPLAY"
            ) from error
        pygame.display.set_caption(title)
        self._font = pygame.font.Font(None, 20)
        self._fitted: tuple[int, int] | None = None
        self._help = False

    @property
    def window(self) -> Any:
        """The window's pygame surface, as it was shown last."""
        return self._window

    def show(self, shot: Shot, lines: list[str], compare: bool = False, recording: bool = False) -> None:
        """Draw a frame, `lines` of text in a corner, and a red dot while recording."""
        self._fit(shot.after)
        frame = split_view(shot.before, shot.after) if compare else shot.after
        picture, corner = self._picture(frame)
        self._window.fill((0, 0, 0))
        self._window.blit(picture, corner)
        self._write(lines, top=_MARGIN)
        if self._help:
            self._write(list(HELP), bottom=_MARGIN)
        if recording:
            self._pygame.draw.circle(self._window, (220, 40, 40), (self._window.get_width() - 20, 20), 8)
        self._pygame.display.flip()

    def actions(self) -> list[Action]:
        """What the user asked for since the last call."""
        pygame = self._pygame
        keys: dict[int, Action] = {
            pygame.K_q: "quit",
            pygame.K_ESCAPE: "quit",
            pygame.K_UP: "stronger",
            pygame.K_PLUS: "stronger",
            pygame.K_KP_PLUS: "stronger",
            pygame.K_DOWN: "weaker",
            pygame.K_MINUS: "weaker",
            pygame.K_KP_MINUS: "weaker",
            pygame.K_m: "level",
            pygame.K_a: "auto",
            pygame.K_c: "compare",
            pygame.K_r: "record",
            pygame.K_h: "help",
        }
        found: list[Action] = []
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                found.append("quit")
            elif event.type == pygame.KEYDOWN and event.key in keys:
                found.append(keys[event.key])
        self._help ^= found.count("help") % 2 == 1
        return found

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()
        self._pygame.font.quit()

    def _fit(self, frame: Frame) -> None:
        """Give the window the frame's shape when that changes; what the user made of it since is theirs."""
        shape = (frame.width, frame.height)
        if shape != self._fitted:
            self._fitted = shape
            screen = self._pygame.display.get_desktop_sizes()[0]
            limits = (min(_WIDTH_MAX, _SCREEN_SHARE * screen[0]), min(_HEIGHT_MAX, _SCREEN_SHARE * screen[1]))
            scale = min(1.0, limits[0] / frame.width, limits[1] / frame.height)
            size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
            self._window = self._pygame.display.set_mode(size, self._pygame.RESIZABLE)

    def _picture(self, frame: Frame) -> tuple[Any, tuple[int, int]]:
        """The frame as a surface as large as fits the window, and where it goes. Scaling and colours in one step."""
        width, height = self._window.get_size()
        scale = min(width / frame.width, height / frame.height)
        size = (max(2, round(frame.width * scale)), max(2, round(frame.height * scale)))
        rgb = frame.to_av().reformat(*size, "rgb24", dst_color_range=_FULL_RANGE)
        surface = self._pygame.image.frombuffer(rgb.to_ndarray().tobytes(), size, "RGB")
        return surface, ((width - size[0]) // 2, (height - size[1]) // 2)

    def _write(self, lines: list[str], top: int | None = None, bottom: int = 0) -> None:
        """Text on a shade, at the left; `top` or `bottom` pixels from the edge. A tab begins a second column."""
        if not lines:
            return
        rows = [[self._font.render(part, True, _TEXT) for part in line.split("\t")] for line in lines]
        second = max(row[0].get_width() for row in rows) + 2 * _MARGIN
        right = max(row[0].get_width() if len(row) == 1 else second + row[1].get_width() for row in rows)
        step = self._font.get_linesize()
        shade = self._pygame.Surface((right + 2 * _MARGIN, step * len(rows) + _MARGIN), self._pygame.SRCALPHA)
        shade.fill(_SHADE)
        for index, row in enumerate(rows):
            for text, left in zip(row, (0, second), strict=False):
                shade.blit(text, (_MARGIN + left, _MARGIN // 2 + index * step))
        y = top if top is not None else self._window.get_height() - shade.get_height() - bottom
        self._window.blit(shade, (_MARGIN, y))
