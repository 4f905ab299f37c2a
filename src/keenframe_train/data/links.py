"""Videos behind links, through yt-dlp, which is an optional extra."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keenframe_train.errors import TrainError

# The best picture up to 1080 lines: training frames gain nothing from more, and sound is of no use.
_FORMAT = "bestvideo[height<=1080]/best[height<=1080]/best"


def is_link(source: str) -> bool:
    """Whether a source is to be fetched."""
    return source.startswith(("http://", "https://"))


@contextmanager
def fetched(source: str, folder: Path) -> Iterator[Path]:
    """The path of a local video; a link is downloaded below `folder` for as long as the block runs.

    Raises TrainError when yt-dlp is missing or cannot get the video.
    """
    if not is_link(source):
        yield Path(source)
        return
    try:
        from yt_dlp import YoutubeDL
        from yt_dlp.utils import YoutubeDLError
    except ImportError as error:
        raise TrainError(
            f"'{source}' is a link, and links need yt-dlp: pip install 'keenframe[links]'"
        ) from error
    with tempfile.TemporaryDirectory(dir=folder, prefix=".link-") as temporary:
        options: Any = {
            "format": _FORMAT,
            "outtmpl": str(Path(temporary) / "video.%(ext)s"),
            "noplaylist": True,
            "quiet": True,
            "no_warnings": True,
            "noprogress": True,
            "logger": _Silent(),
        }
        try:
            with YoutubeDL(options) as downloader:
                downloader.extract_info(source, download=True)
        except YoutubeDLError as error:
            raise TrainError(f"cannot fetch '{source}': {error}") from error
        files = sorted(Path(temporary).iterdir())
        if not files:
            raise TrainError(f"cannot fetch '{source}': nothing was downloaded")
        yield files[0]


class _Silent:
    """yt-dlp also prints what it raises; once is enough."""

    def debug(self, message: str) -> None: ...

    info = warning = error = debug
