"""What containers say about their streams beside the frames: times, counts, tags, and what they cannot hold."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet

from clips import Clip, look, make, packets, picture
from keenframe.media.source import Source
from keenframe.media.videos import VideoReport, sharpen_video
from keenframe.sharpener import Sharpener

FRAMES_AT_25 = Fraction(1, 25)


def run(source: Path, target: str, sharpener: Sharpener, **options: Any) -> tuple[Path, VideoReport]:
    path = source.parent / target
    return path, sharpen_video(source, path, sharpener, **options)


def trimmed(path: Path, from_s: float, length_s: float) -> Path:
    """Rewrite the edit list of an mp4 with one track in 1/12800 s, and of a movie with 200 ticks a second."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    struct.pack_into(">Ii", data, at, round(length_s * 200), round(from_s * 12800))
    path.write_bytes(data)
    return path


def moved(path: Path, target: str, later_s: Callable[[Packet[Any]], float]) -> Path:
    """Copy all packets of `path` into another file, each by so much later."""
    with av.open(str(path)) as source, av.open(str(path.with_name(target)), "w") as copy:
        streams = {s.index: copy.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                ticks = round(later_s(packet) / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    return path.with_name(target)


@pytest.mark.parametrize(("from_s", "length_s", "shown"), [(1, 1, 25), (0, 1, 25), (0.4, 0.8, 20)])
def test_a_trimmed_file_is_not_damaged(
    tmp_path: Path, same: Sharpener, from_s: float, length_s: float, shown: int
) -> None:
    options = {"g": "5", "bf": "0"}
    clip = make(tmp_path / "a.mp4", Clip(times=list(range(50)), time_base=FRAMES_AT_25, options=options))
    path, report = run(trimmed(clip, from_s, length_s), "b.mp4", same)
    assert report.damage == [] and len(look(path).frames) == report.frames == shown


def test_an_avi_with_empty_chunks_is_not_damaged(tmp_path: Path, same: Sharpener) -> None:
    times = [3 * i for i in range(20)]
    clip = make(tmp_path / "a.avi", Clip(times=times, time_base=FRAMES_AT_25, codec="mpeg4"))
    _, report = run(clip, "b.mp4", same)
    assert report.damage == [] and report.frames == 20


def test_a_cut_avi_is_reported(tmp_path: Path, same: Sharpener) -> None:
    options = {"qp": "1", "bf": "0", "g": "5"}
    clip = make(tmp_path / "a.avi", Clip(times=list(range(50)), time_base=FRAMES_AT_25, options=options))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    _, report = run(clip, "b.mp4", same)
    assert any("the file ends after" in text for text in report.damage) and 10 < report.frames < 50


@pytest.mark.parametrize("target", ["b.mov", "b.mp4"])
def test_a_timecode_track_is_written_anew(tmp_path: Path, same: Sharpener, target: str) -> None:
    clip = make(tmp_path / "a.mov", Clip(metadata={"timecode": "01:02:03:04"}))
    assert [kind for kind, _ in look(clip).streams] == ["video", "data"]
    path, report = run(clip, target, same)
    assert report.warnings == [] and [kind for kind, _ in look(path).streams] == ["video", "data"]
    with av.open(str(path)) as container:
        assert [s.metadata["timecode"] for s in container.streams] == ["01:02:03:04"] * 2


SECOND = Clip(times=list(range(30)), time_base=FRAMES_AT_25, options={"bf": "0"}, sound="ac3")


def test_avi_starts_with_its_first_packet(tmp_path: Path, same: Sharpener) -> None:
    late = moved(make(tmp_path / "a.mkv", SECOND), "late.mkv", lambda packet: 10.0)
    path, report = run(late, "b.avi", same)
    with av.open(str(path)) as container:
        assert container.duration < 1.5 * av.time_base
    assert report.warnings == [] and packets(path, "audio")[-1][0] == pytest.approx(0.48, abs=0.01)


@pytest.mark.parametrize("codec", ["ac3", "aac", "libmp3lame"])
def test_sound_keeps_its_pace_from_avi_to_avi(tmp_path: Path, same: Sharpener, codec: str) -> None:
    clip = make(tmp_path / "a.avi", replace(SECOND, sound=codec))
    path, report = run(clip, "b.avi", same)
    assert report.warnings == [] and packets(path, "audio") == packets(clip, "audio")
    with av.open(str(path)) as after, av.open(str(clip)) as before:
        decoded = [np.hstack([f.to_ndarray() for f in c.decode(audio=0)]) for c in (after, before)]
    assert np.array_equal(*decoded)


def test_pauses_that_avi_cannot_hold_are_named(tmp_path: Path, same: Sharpener) -> None:
    def later_s(packet: Packet[Any]) -> float:
        return 2.0 * (packet.stream.type == "audio" and packet.pts * packet.time_base > 0.2)

    clip = moved(make(tmp_path / "a.mkv", SECOND), "pause.mkv", later_s)
    assert run(clip, "b.mkv", same)[1].warnings == []
    assert run(clip, "b.avi", same)[1].warnings == [
        "avi cannot hold pauses: audio stream #1 in ac3 ends 2.0 s too early; choose .mp4 or .mkv"
    ]


def test_a_rate_that_no_header_states_is_measured(tmp_path: Path, same: Sharpener) -> None:
    times = [33 * i + (0, 4, 1, 7)[i % 4] for i in range(60)]
    data = make(tmp_path / "whole.webm", Clip(codec="libvpx", times=times)).read_bytes()
    # A browser's recording does not say how long a frame is: a void element (0xEC) in place of that.
    at = data.index(b"\x23\xe3\x83")
    length = data[at + 3] & 0x7F
    clip = tmp_path / "a.webm"
    clip.write_bytes(data[:at] + bytes([0xEC, 0x82 + length]) + bytes(2 + length) + data[at + 4 + length :])
    source = Source(clip)
    source.close()
    assert source.finest_rate == 1000 and source.frame_rate == 30
    path, _ = run(clip, "b.mp4", same)
    assert look(path).times_s == [Fraction(t, 1000) for t in times]


@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv"])
def test_the_last_frame_is_shown_as_long(tmp_path: Path, same: Sharpener, target: str) -> None:
    """As in a recording of slides: few frames, long ones, and B-frames in the output."""
    times = [0, 1, 2, 50, 51, 52, 125, 249, 250]
    flat = make(tmp_path / "flat.mkv", Clip(times=times, time_base=FRAMES_AT_25, options={"bf": "0"}))
    lasting = tmp_path / "a.mkv"
    with av.open(str(flat)) as source, av.open(str(lasting), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.size:
                packet.duration = 5000 if packet.pts == 10000 else 40
                packet.stream = stream
                copy.mux(packet)
    path, _ = run(lasting, target, same)
    assert look(path).times_s == [t * FRAMES_AT_25 for t in times]
    with av.open(str(path)) as container:
        assert container.duration == 15 * av.time_base


@pytest.mark.parametrize(("layout", "kept"), [("5.1(side)", "5.1"), ("hexagonal", "5.1"), ("2.1", "stereo")])
def test_sound_whose_layout_opus_lacks_is_encoded_in_another(
    tmp_path: Path, same: Sharpener, layout: str, kept: str
) -> None:
    clip = make(tmp_path / "picture.mkv", SECOND)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "a.mkv"), "w") as copy:
        video = copy.add_stream_from_template(source.streams.video[0], opaque=True)
        sound: Any = copy.add_stream("flac", rate=48000, layout=layout)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                copy.mux(packet)
        tones = np.random.default_rng(1).integers(
            -9999, 9999, (1, 48000 * sound.layout.nb_channels), np.int16
        )
        samples = av.AudioFrame.from_ndarray(tones, "s16", layout)
        samples.sample_rate, samples.pts = 48000, 0
        resampler = av.AudioResampler(sound.format, layout, 48000, sound.codec_context.frame_size or None)
        for piece in [*resampler.resample(samples), *resampler.resample(None), None]:
            copy.mux(sound.encode(piece))
    path, report = run(tmp_path / "a.mkv", "b.webm", same)
    assert report.warnings == [f"webm cannot hold audio stream #1 in flac: encoded again as libopus, {kept}"]
    with av.open(str(path)) as container:
        assert container.streams.audio[0].layout.name == kept


def test_a_second_video_keeps_its_reordered_frames(tmp_path: Path, same: Sharpener) -> None:
    clip = make(tmp_path / "clip.mkv", replace(SECOND, sound=None, options={"bf": "3", "b-adapt": "0"}))
    with av.open(str(tmp_path / "a.mkv"), "w") as copy, av.open(str(clip)) as one, av.open(str(clip)) as two:
        streams = [copy.add_stream_from_template(c.streams.video[0], opaque=True) for c in (one, two)]
        for container, stream in zip((one, two), streams, strict=True):
            for packet in container.demux():
                if packet.size:
                    packet.stream = stream
                    copy.mux(packet)
    for target in ("b.mkv", "b.mp4"):
        path, report = run(tmp_path / "a.mkv", target, same)
        assert report.warnings == []
        with av.open(str(path)) as after, av.open(str(clip)) as before:
            shown = [[f.pts * f.time_base for f in c.decode(c.streams.video[-1])] for c in (after, before)]
        assert shown[0] == shown[1] and len(shown[0]) == 30
    path, report = run(tmp_path / "a.mkv", "b.avi", same)
    assert report.warnings == ["avi cannot hold video stream #1 in h264: it is left out"]
    assert look(path).streams == [("video", "h264")]


CHAPTERS = [
    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
    {"id": 2, "start": 200, "end": 390, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
]


@pytest.mark.parametrize(
    ("target", "lost"),
    [
        (
            "b.avi",
            ["avi cannot hold the chapters, the tags X-OWN, the language of audio stream #1; .mkv can"],
        ),
        ("b.ts", ["mpegts cannot hold the chapters, the tags title X-OWN; .mkv can"]),
        ("b.flv", ["flv cannot hold the chapters, the language of audio stream #1; .mkv can"]),
        ("b.mov", []),
        ("b.mp4", []),
        ("b.mkv", []),
    ],
)
def test_what_a_container_cannot_say_is_named(
    tmp_path: Path, same: Sharpener, target: str, lost: list[str]
) -> None:
    tags = {"title": "Meeting", "X-OWN": "kept"}
    clip = make(tmp_path / "a.mkv", replace(SECOND, sound="libmp3lame", metadata=tags, chapters=CHAPTERS))
    assert [w for w in run(clip, target, same)[1].warnings if "cannot hold" in w] == lost


@pytest.mark.parametrize("target", ["b.mov", "b.avi", "b.ts"])
def test_a_cover_is_kept_or_named(tmp_path: Path, same: Sharpener, target: str) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video, cover = (container.add_stream(codec, rate=25) for codec in ("libx264", "mjpeg"))
        cover.disposition = av.stream.Disposition.attached_pic
        for stream, pix_fmt in ((video, "yuv420p"), (cover, "yuvj420p")):
            stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for stream, count in ((cover, 1), (video, 5)):
            for index in range(count):
                frame = picture(Clip(pix_fmt=stream.pix_fmt), index)
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    kept, report = run(path, "c.mp4", same)
    assert report.warnings == [] and look(kept).streams == [("video", "h264"), ("video", "mjpeg")]
    left, report = run(path, target, same)
    assert "cannot hold video stream #1 in mjpeg: it is left out" in report.warnings[0]
    assert look(left).streams == [("video", "h264")]


@pytest.mark.parametrize("tags", [{}, {"album": "Calls", "season_number": "2"}])
def test_the_usual_tags_of_mp4_stay_where_players_look(
    tmp_path: Path, same: Sharpener, tags: dict[str, str]
) -> None:
    tags = {"title": "Meeting", "location": "+52.1000+013.2000/", **tags}
    clip = make(tmp_path / "a.mp4", Clip(metadata=tags))
    path, report = run(clip, "b.mp4", same)
    assert b"\xa9nam" in path.read_bytes() and report.warnings == []
    assert tags.items() <= look(path).metadata.items()
