"""Videos through the whole pipeline: what must survive, be refused, and not be left behind."""

from __future__ import annotations

import gc
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clips import Clip, look, make, packets
from keenframe.errors import InputError, OutputError
from keenframe.frame import Frame
from keenframe.media.videos import VideoReport, sharpen_video
from keenframe.sharpener import Sharpener

UNEVEN = [0, 33, 66, 101, 140, 141, 300, 333, 366, 400, 433, 950]
CHAPTERS = [
    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
    {"id": 2, "start": 200, "end": 390, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
]


def run(source: Path, target: str, sharpener: Sharpener, **options: Any) -> tuple[Path, VideoReport]:
    path = source.parent / target
    return path, sharpen_video(source, path, sharpener, **options)


@pytest.mark.parametrize(
    ("source", "target"), [("a.mkv", "b.mkv"), ("a.mkv", "b.mp4"), ("a.mp4", "b.mp4"), ("a.mp4", "b.mov")]
)
def test_uneven_times_are_exact(tmp_path: Path, same: Sharpener, source: str, target: str) -> None:
    clip = make(tmp_path / source, Clip(times=UNEVEN))
    path, report = run(clip, target, same)
    assert look(path).times_s == look(clip).times_s == [Fraction(t, 1000) for t in UNEVEN]
    assert report.frames == len(UNEVEN) and report.warnings == [] and report.damage == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".ts", ".flv"])
def test_b_frames_and_a_late_start_keep_count_and_times(tmp_path: Path, same: Sharpener, suffix: str) -> None:
    times = [500 + 40 * i for i in range(30)]
    clip = make(tmp_path / "a.mp4", Clip(times=times, options={"bf": "3", "g": "12"}))
    path, report = run(clip, f"b{suffix}", same)
    assert look(path).times_s == [Fraction(t, 1000) for t in times]
    assert report.frames == 30


@pytest.mark.parametrize("base", [Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 24)])
def test_every_time_base_is_exact_in_mp4(tmp_path: Path, same: Sharpener, base: Fraction) -> None:
    step = max(1, round(Fraction(1, 30) / base))
    clip = make(tmp_path / "a.mp4", Clip(times=[7 + step * i for i in range(10)], time_base=base))
    path, _ = run(clip, "b.mp4", same)
    assert look(path).times_s == look(clip).times_s == [(7 + step * i) * base for i in range(10)]


def test_avi_holds_as_many_frames_at_one_rate(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mp4", Clip(times=list(range(20)), time_base=Fraction(1, 30)))
    path, report = run(clip, "b.avi", same)
    assert len(look(path).frames) == 20 and report.warnings == []


def test_avi_refuses_frames_closer_than_its_rate(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(times=UNEVEN))
    with pytest.raises(OutputError, match="stores one frame rate"):
        run(clip, "b.avi", same)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mkv"]


def test_sound_subtitles_chapters_metadata_and_attachment_survive(tmp_path: Path, same: Sharpener) -> None:
    clip = make(
        tmp_path / "a.mkv",
        Clip(
            sound="aac",
            subtitles="srt",
            chapters=CHAPTERS,
            metadata={"title": "Meeting", "X-OWN": "kept"},
            attachment=b"hello",
        ),
    )
    path, report = run(clip, "b.mkv", same)
    before, after = look(clip), look(path)
    assert report.warnings == []
    assert after.streams == before.streams and after.languages == before.languages
    assert after.times_s == before.times_s
    assert packets(path, "audio") == packets(clip, "audio")
    assert packets(path, "subtitle") == packets(clip, "subtitle")
    assert after.chapters == before.chapters and len(after.chapters) == 2
    assert after.metadata["title"] == "Meeting" and after.metadata["x-own"] == "kept"


def test_sound_of_mp4_is_copied_with_its_priming(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mp4", Clip(sound="aac", chapters=CHAPTERS, metadata={"title": "Meeting"}))
    path, report = run(clip, "b.mp4", same)
    assert packets(path, "audio") == packets(clip, "audio")
    assert look(path).chapters == look(clip).chapters
    assert report.warnings == []


def test_priming_does_not_shift_video_in_matroska(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mp4", Clip(sound="aac"))
    path, _ = run(clip, "b.mkv", same)
    assert look(path).times_s == look(clip).times_s
    assert packets(path, "audio")[0][0] == 0


def test_what_webm_cannot_hold_is_encoded_again_or_named(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(sound="aac", subtitles="srt", attachment=b"hello"))
    path, report = run(clip, "b.webm", same)
    assert look(path).streams == [("video", "libvpx-vp9"), ("audio", "opus"), ("subtitle", "webvtt")] or look(
        path
    ).streams == [("video", "vp9"), ("audio", "opus"), ("subtitle", "webvtt")]
    assert [data for _, data in packets(path, "subtitle")] == [b"text at 40", b"text at 200"]
    assert any("libopus" in w for w in report.warnings) and any("webvtt" in w for w in report.warnings)


def test_attachment_that_mp4_cannot_hold_is_left_out_with_a_warning(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(attachment=b"hello"))
    path, report = run(clip, "b.mp4", same)
    assert report.warnings == ["mp4 cannot hold attachment stream #1 in note.txt: it is left out"]
    assert look(path).streams == [("video", "h264")]


@pytest.mark.parametrize("rotation", [90, 180, -90])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.mov"])
def test_rotation_survives(tmp_path: Path, same: Sharpener, rotation: int, target: str) -> None:
    clip = make(tmp_path / "a.mp4", Clip(rotation=rotation))
    path, _ = run(clip, target, same)
    assert look(path).frames[0].rotation == look(clip).frames[0].rotation != 0


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (2, 1, 1, 13), (1, 6, 6, 6), (2, 5, 5, 6), (0, 2, 2, 2)])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.webm"])
def test_colour_tags_survive(
    tmp_path: Path, same: Sharpener, tags: tuple[int, int, int, int], target: str
) -> None:
    clip = make(tmp_path / "a.mp4", Clip(tags=tags))
    path, _ = run(clip, target, same)
    after = look(path).tags
    # An unspecified range comes back as the limited range that it means.
    assert after[1:] == tags[1:] and after[0] in (tags[0], tags[0] or 1)


def test_full_range_values_are_not_squeezed(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(tags=(2, 1, 1, 1), codec="ffv1"))
    path, _ = run(clip, "b.mkv", same, codec="ffv1")
    assert np.array_equal(look(path).luma(3), look(clip).luma(3))


@pytest.mark.parametrize(
    ("codec", "target"), [("h264", "b.mp4"), ("hevc", "b.mkv"), ("vp9", "b.webm"), ("ffv1", "b.mkv")]
)
@pytest.mark.parametrize("range", [0, 2])
def test_gray_keeps_its_contrast(
    tmp_path: Path, same: Sharpener, codec: str, target: str, range: int
) -> None:
    clip = make(tmp_path / "a.mkv", Clip(codec="ffv1", pix_fmt="gray", tags=(range, 2, 2, 2)))
    path, _ = run(clip, target, same, codec=codec)
    shown = [look(p).frames[3].to_ndarray(format="rgb24").astype(int) for p in (path, clip)]
    assert np.abs(shown[0] - shown[1]).mean() < 3


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_pixel_shape_survives(tmp_path: Path, same: Sharpener, target: str) -> None:
    clip = make(tmp_path / "a.mp4", Clip(pixel_shape=Fraction(12, 11)))
    path, report = run(clip, target, same)
    assert look(path).pixel_shape == Fraction(12, 11) and report.warnings == []


def test_pixel_shape_that_is_lost_is_named(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mp4", Clip(pixel_shape=Fraction(12, 11)))
    _, report = run(clip, "b.webm", same)
    assert any("pixel shape 12:11" in w for w in report.warnings)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p", "yuv422p10le", "yuv444p10le"])
def test_bits_and_chroma_are_kept_exactly(tmp_path: Path, same: Sharpener, pix_fmt: str) -> None:
    clip = make(tmp_path / "a.mkv", Clip(codec="ffv1", pix_fmt=pix_fmt))
    path, report = run(clip, "b.mkv", same, codec="ffv1")
    before, after = look(clip), look(path)
    assert after.frames[0].format.name == pix_fmt and report.warnings == []
    assert np.array_equal(after.luma(5), before.luma(5))


def test_ten_bits_in_ten_bits_out_with_h264(tmp_path: Path, sharp: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(codec="libx265", pix_fmt="yuv420p10le", options=QUIET))
    path, _ = run(clip, "b.mp4", sharp)
    assert look(path).frames[0].format.name == "yuv420p10le"


QUIET = {"x265-params": "log-level=none"}


@pytest.mark.parametrize(
    ("codec", "target"),
    [("h264", "b.mp4"), ("hevc", "b.mp4"), ("vp9", "b.webm"), ("av1", "b.mkv"), ("ffv1", "b.mkv")],
)
def test_every_codec(tmp_path: Path, sharp: Sharpener, codec: str, target: str) -> None:
    clip = make(tmp_path / "a.mkv", Clip(width=96, height=64, times=UNEVEN))
    path, report = run(clip, target, sharp, codec=codec)
    assert look(path).times_s == [Fraction(t, 1000) for t in UNEVEN]
    assert report.frames == len(UNEVEN)


def test_odd_sizes_are_padded_by_one_or_kept(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(width=65, height=49, codec="ffv1"))
    padded, report = run(clip, "b.mp4", same)
    frame = look(padded).frames[0]
    assert (frame.width, frame.height) == (66, 50) and "65x49 becomes 66x50" in report.warnings[0]
    kept, report = run(clip, "c.mkv", same, codec="ffv1")
    assert np.array_equal(look(kept).luma(0), look(clip).luma(0)) and report.warnings == []


def test_strength_zero_is_the_input(tmp_path: Path, sharp: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(codec="ffv1"))
    off, _ = run(clip, "off.mkv", sharp, codec="ffv1", strength=0.0)
    on, _ = run(clip, "on.mkv", sharp, codec="ffv1", strength=1.0)
    assert np.array_equal(look(off).luma(4), look(clip).luma(4))
    assert not np.array_equal(look(on).luma(4), look(clip).luma(4))


def test_split_view(tmp_path: Path, sharp: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(codec="ffv1"))
    whole, _ = run(clip, "whole.mkv", sharp, codec="ffv1")
    split, _ = run(clip, "split.mkv", sharp, codec="ffv1", compare=True)
    before, after, both = look(clip).luma(4), look(whole).luma(4), look(split).luma(4)
    assert np.array_equal(both[:, :32], before[:, :32])
    assert (both[:, 32:34] == 235).all()
    assert np.array_equal(both[:, 34:], after[:, 34:])


@pytest.mark.parametrize(("rotation", "line"), [(90, 0), (180, -2), (-90, -2)])
def test_split_view_of_a_rotated_video(tmp_path: Path, sharp: Sharpener, rotation: int, line: int) -> None:
    clip = make(tmp_path / "a.mp4", Clip(rotation=rotation))
    whole, _ = run(clip, "whole.mkv", sharp, codec="ffv1")
    split, _ = run(clip, "split.mkv", sharp, codec="ffv1", compare=True)
    assert look(split).frames[0].rotation % 360 == rotation % 360
    before, after, both = (np.rot90(look(p).luma(4), rotation // 90) for p in (clip, whole, split))
    at = both.shape[1] // 2 + line
    assert np.array_equal(both[:, :at], before[:, :at])
    assert (both[:, at : at + 2] == 235).all()
    assert np.array_equal(both[:, at + 2 :], after[:, at + 2 :])


def test_enlarging_model_and_its_split_view(tmp_path: Path, double: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(times=UNEVEN))
    for name, compare in (("b.mp4", False), ("c.mp4", True)):
        path, report = run(clip, name, double, compare=compare)
        seen = look(path)
        assert (seen.frames[0].width, seen.frames[0].height) == (128, 96)
        assert seen.times_s == [Fraction(t, 1000) for t in UNEVEN] and report.frames == len(UNEVEN)


def test_rgb_input_becomes_tagged_yuv(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(codec="ffv1", pix_fmt="bgr0"))
    path, report = run(clip, "b.mp4", same)
    seen = look(path)
    assert report.warnings == ["RGB becomes YUV 4:2:0"]
    assert seen.frames[0].format.name == "yuv420p" and seen.tags[:2] == (1, 1)


def test_progress_counts_every_frame(tmp_path: Path, same: Sharpener) -> None:
    seen: list[tuple[int, int | None]] = []
    clip = make(tmp_path / "a.mp4", Clip())
    run(clip, "b.mp4", same, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 12) for i in range(12)]


def test_no_frame_waits_for_the_garbage_collector(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mp4", Clip(times=[33 * i for i in range(60)]))
    gc.collect()
    gc.disable()
    try:
        run(clip, "b.mp4", same)
        left = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert left <= 2  # the first frame, whose side data was looked at


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused(tmp_path: Path, same: Sharpener, transfer: int) -> None:
    tags = (1, 9, 9, transfer)
    clip = make(tmp_path / "a.mkv", Clip(codec="libx265", pix_fmt="yuv420p10le", tags=tags, options=QUIET))
    with pytest.raises(InputError, match="HDR"):
        run(clip, "b.mkv", same)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_interlaced_is_refused_with_what_to_do(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(options={"flags": "+ildct+ilme", "x264-params": "tff=1"}))
    with pytest.raises(InputError, match="bwdif"):
        run(clip, "b.mkv", same)


def test_an_error_in_the_network_ends_all_threads(tmp_path: Path, same: Sharpener) -> None:
    class Failing:
        scale = 1
        calls = 0

        def reset(self) -> None:
            pass

        def sharpen(self, frame: Any, strength: float) -> Any:
            self.calls += 1
            if self.calls == 5:
                raise RuntimeError("network broke")
            return frame

    clip = make(tmp_path / "a.mkv", Clip(times=[33 * i for i in range(60)]))
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="network broke"):
        run(clip, "b.mkv", Failing())  # type: ignore[arg-type]
    assert not set(threading.enumerate()) - before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_an_error_in_the_caller_ends_all_threads(tmp_path: Path, same: Sharpener) -> None:
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    clip = make(tmp_path / "a.mkv", Clip(times=[33 * i for i in range(60)]))
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        run(clip, "b.mkv", same, on_progress=stop)
    assert not set(threading.enumerate()) - before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize("struck", ["keenframe-reader", "keenframe-sharpener"])
def test_ctrl_c_while_the_threads_are_being_started_ends_them(
    tmp_path: Path, same: Sharpener, monkeypatch: pytest.MonkeyPatch, struck: str
) -> None:
    """It comes where a start waits for the thread's first step; the file must not be closed under a reader."""
    plain = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        plain(thread)
        if thread.name == struck:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start)
    clip = make(tmp_path / "a.mkv", Clip(times=[33 * i for i in range(60)]))
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        run(clip, "b.mkv", same)
    left = set(threading.enumerate()) - before
    for thread in left:
        # Its work is over; Python may still be at its end.
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_cut_file_is_finished_and_reported(tmp_path: Path, same: Sharpener, suffix: str) -> None:
    times = [33 * i for i in range(90)]
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    clip = make(tmp_path / f"a{suffix}", Clip(times=times, options={"g": "10"}))
    if options:
        remux_fast_start(clip)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 6 // 10])
    path, report = run(clip, "b.mkv", same)
    assert 10 < report.frames < 90
    assert len(look(path).frames) == report.frames
    assert report.damage or suffix == ".ts"  # a transport stream does not say how long it should be


def remux_fast_start(path: Path) -> None:
    """Put the index of an mp4 file first, as web videos have it, so that a cut leaves it whole."""
    moved = path.with_name("moved.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(moved), "w", container_options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    moved.replace(path)


def test_damage_in_the_middle_is_passed_over(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "a.mkv", Clip(times=[33 * i for i in range(60)], options={"g": "10"}))
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    clip.write_bytes(bytes(data))
    path, report = run(clip, "b.mkv", same)
    assert report.damage and report.frames > 20
    assert len(look(path).frames) == report.frames


def test_what_waits_for_the_first_frame_is_bounded(
    tmp_path: Path, same: Sharpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make(tmp_path / "a.mkv", Clip(sound="aac"))
    monkeypatch.setattr("keenframe.media.target._WAITING_MAX", 0)
    with pytest.raises(
        InputError, match=r"no frame of it in its first 0 MB: its other streams are far ahead"
    ):
        run(clip, "b.mkv", same)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_a_change_of_resolution_is_scaled_to_the_first(tmp_path: Path, same: Sharpener) -> None:
    first = make(tmp_path / "1.ts", Clip(width=96, height=64, times=[33 * i for i in range(10)]))
    second = make(tmp_path / "2.ts", Clip(width=64, height=48, times=[400 + 33 * i for i in range(10)]))
    joined = tmp_path / "a.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    path, report = run(joined, "b.mkv", same)
    seen = look(path)
    assert len(seen.frames) == len(look(joined).frames) == report.frames
    assert {(f.width, f.height) for f in seen.frames} == {(96, 64)}
    assert any("resolution changes" in w for w in report.warnings)


@pytest.mark.parametrize("tags", [(2, 5, 2, 2), (1, 1, 2, 2), (2, 1, 2, 2)], ids=["range", "matrix", "both"])
def test_colours_that_change_in_the_middle_are_converted_to_the_first_ones(
    tmp_path: Path, same: Sharpener, tags: tuple[int, int, int, int]
) -> None:
    first = make(tmp_path / "first.ts", Clip(tags=(1, 5, 2, 2)))
    second = make(tmp_path / "second.ts", Clip(tags=tags, times=[400 + 33 * i for i in range(12)]))
    (clip := tmp_path / "a.ts").write_bytes(first.read_bytes() + second.read_bytes())
    path, report = run(clip, "b.mkv", same, crf=4)
    before, after = [*look(first).frames, *look(second).frames], look(path).frames
    assert report.frames == len(after) == len(before) == 24
    assert len({(f.colorspace, f.color_range) for f in after}) == 1
    for old, new in zip(before, after, strict=True):
        old_rgb, new_rgb = (Frame.from_av(f).to_rgb().astype(int) for f in (old, new))
        assert np.abs(old_rgb - new_rgb).mean() < 2


@pytest.mark.parametrize("bf", ["0", "2"])
def test_joined_files_whose_clock_starts_anew_play_one_after_the_other(
    tmp_path: Path, same: Sharpener, bf: str
) -> None:
    times = [33 * i for i in range(40)]
    part = make(tmp_path / "part.ts", Clip(times=times, sound="aac", options={"bf": bf}))
    (clip := tmp_path / "a.ts").write_bytes(part.read_bytes() * 3)
    path, report = run(clip, "b.mkv", same)
    seen, once = look(path), look(part)
    assert report.frames == len(seen.frames) == 3 * len(once.frames)
    assert report.damage[-1:] == [
        "the clock starts anew 2 times; what follows is put behind what came before"
    ]
    steps_s = [float(b - a) for a, b in pairwise(seen.times_s)]
    assert min(steps_s) > 0.01 and max(steps_s) < 0.2
    # Sound and pictures of each part stay as far apart as they were.
    length, sounds = len(once.frames), packets(path, "audio")
    sounds_once = packets(part, "audio")
    assert len(sounds) == 3 * len(sounds_once)
    apart = [sounds[part * len(sounds_once)][0] - float(seen.times_s[part * length]) for part in range(3)]
    assert apart == pytest.approx([sounds_once[0][0] - float(once.times_s[0])] * 3, abs=0.002)
