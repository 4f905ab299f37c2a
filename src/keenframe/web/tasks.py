"""What a worker process does with media: look at it, show it, sharpen it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keenframe.errors import InputError
from keenframe.sharpener import Sharpener

Task = dict[str, Any]
# Views of at most so many pixels are exact.
_LOSSLESS_PIXELS = 4_000_000
_SUFFIXES = {"PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "DIB": ".bmp"}


class Tasks:
    """All tasks, with the one model that they use and the picture that was read last.

    options: model, engine, threads as `Sharpener` takes them; picture_pixels, video_pixels, video_frames,
    video_minutes as in `Limits`.
    """

    def __init__(self, options: Task, on_progress: Callable[[int, int | None], None]) -> None:
        self._options = options
        self._on_progress = on_progress
        self._sharpener: Sharpener | None = None
        self._picture: tuple[str, Any] | None = None

    def run(self, task: Task) -> Task:
        """Do a task, named by its "task". KeenframeError when it cannot be done."""
        tasks: dict[str, Callable[..., Task]] = {
            "warm": self._warm,
            "open_picture": self._open_picture,
            "view": self._view,
            "picture": self._sharpen_picture,
            "open_video": self._open_video,
            "video": self._sharpen_video,
        }
        arguments = {key: value for key, value in task.items() if key != "task"}
        return tasks[task["task"]](**arguments)

    def _ready(self) -> Sharpener:
        if self._sharpener is None:
            options = self._options
            self._sharpener = Sharpener(options["model"], options["engine"], options["threads"])
        return self._sharpener

    def _warm(self) -> Task:
        sharpener = self._ready()
        return {"engine": sharpener.engine_name, "scale": sharpener.scale}

    def _open_picture(self, source: str, view: str) -> Task:
        """Read a picture, write its unsharpened view, and say what it is. Sizes are upright, in pixels."""
        picture = self._read(source)
        height, width = picture.colour.shape[:2]
        if picture.orientation >= 5:
            height, width = width, height
        shown = self._view(source, view, 0.0)
        suffix = _SUFFIXES.get(picture.format, ".jpg")
        if picture.alpha is not None and suffix == ".bmp":
            suffix = ".png"  # written BMP files have no alpha
        return {"width": width, "height": height, "format": picture.format, "suffix": suffix, **shown}

    def _view(self, source: str, view: str, strength: float) -> Task:
        """Write what a browser can show: upright, 8 bits, with the colour profile.

        PNG, unless the picture is large: losslessly, that would take seconds.
        """
        import numpy as np
        from PIL import Image

        from keenframe.media.images import resized_like, upright

        picture = self._read(source)
        pixels = self._ready().sharpen(np.ascontiguousarray(picture.colour), strength=strength, still=True)
        lossless = picture.alpha is not None or pixels.shape[0] * pixels.shape[1] <= _LOSSLESS_PIXELS
        if picture.alpha is not None:
            pixels = np.dstack([pixels, resized_like(picture.alpha, pixels)])
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        image = Image.fromarray(upright(pixels, picture.orientation))
        profile = picture.saving.get("icc_profile")
        if lossless:
            image.save(view, "PNG", compress_level=1, icc_profile=profile)
        else:
            image.save(view, "JPEG", quality=95, subsampling=0, icc_profile=profile)
        return {"type": "image/png" if lossless else "image/jpeg", "alpha": picture.alpha is not None}

    def _sharpen_picture(self, source: str, target: str, strength: float) -> Task:
        from keenframe.media.images import sharpen_image

        sharpen_image(Path(source), Path(target), self._ready(), strength=strength)
        return {}

    def _read(self, source: str) -> Any:
        """The decoded picture; the last one is remembered."""
        from PIL import Image

        from keenframe.media.pictures import read_picture

        if self._picture is None or self._picture[0] != source:
            self._picture = None
            # Pillow refuses a header that promises more than twice this, before it decodes.
            Image.MAX_IMAGE_PIXELS = self._options["picture_pixels"] // 2
            self._picture = source, read_picture(Path(source))
        return self._picture[1]

    def _open_video(self, source: str, demuxer: str) -> Task:
        """Read a video's header, check it, and decode its first frame."""
        from av.video.frame import VideoFrame

        from keenframe.media.source import Source

        reader = Source(Path(source), demuxer)
        try:
            context = reader.video.codec_context
            width, height = context.width, context.height
            if width * height > self._options["video_pixels"]:
                limit = self._options["video_pixels"] / 1e6
                raise InputError(
                    f"the video is {width}x{height}; expected at most {limit:.1f} megapixels a frame: "
                    "make it smaller first"
                )
            duration_s = (reader.container.duration or 0) / 1e6
            minutes = self._options["video_minutes"]
            if duration_s > 60 * minutes:
                raise InputError(
                    f"the video lasts {duration_s / 60:.1f} minutes; expected at most {minutes:g}: cut it first"
                )
            if not any(isinstance(item, VideoFrame) for item in reader):
                raise InputError(f"'{source}' has a video stream, but no frame could be decoded")
            return {
                "width": width,
                "height": height,
                "duration_s": duration_s or None,
                "frames": reader.expected_frames,
            }
        finally:
            reader.close()

    def _sharpen_video(self, source: str, demuxer: str, target: str, strength: float) -> Task:
        from keenframe.media.videos import sharpen_video

        frames_max = self._options["video_frames"]

        def progress(done: int, expected: int | None) -> None:
            if done > frames_max:
                minutes = self._options["video_minutes"]
                raise InputError(f"the video goes on for more than {minutes:g} minutes: cut it first")
            self._on_progress(done, expected)

        report = sharpen_video(
            Path(source),
            Path(target),
            self._ready(),
            strength=strength,
            on_progress=progress,
            demuxer=demuxer,
        )
        return {"frames": report.frames, "warnings": [*report.warnings, *report.damage]}
