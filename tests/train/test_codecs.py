from __future__ import annotations

import numpy as np
import pytest

from keenframe.metrics import psnr
from keenframe_train.data.call import CALL, CALL_HALF, Call
from keenframe_train.data.codecs import CodecSetting, luma_frame, luma_of, transcode
from keenframe_train.errors import TrainError

from .conftest import picture


def clip(frames: int = 5) -> list[np.ndarray]:
    plane = picture(11, 128, 160)[..., 0]
    return [np.roll(plane, 2 * i, axis=1) for i in range(frames)]


@pytest.mark.parametrize(
    "setting",
    [
        CodecSetting("h264", 28),
        CodecSetting("h264", 37, constant_qp=True),
        CodecSetting("h264", bits_per_pixel=0.1),
        CodecSetting("hevc", 28),
        CodecSetting("hevc", 37, constant_qp=True),
        CodecSetting("vp8", 30, constant_qp=True),
        CodecSetting("vp8", bits_per_pixel=0.1),
        CodecSetting("vp9", 40, constant_qp=True),
        CodecSetting("vp9", bits_per_pixel=0.1),
        CodecSetting("av1", 40),
    ],
    ids=str,
)
def test_every_frame_comes_back_damaged_but_recognisable(setting: CodecSetting) -> None:
    planes = clip()
    decoded = transcode([luma_frame(p) for p in planes], setting)
    assert len(decoded) == len(planes)
    for before, after in zip(planes, decoded, strict=True):
        assert 18 < psnr(luma_of(after), before) < 60


def test_a_coarser_quantiser_damages_more() -> None:
    plane = picture(12, 128, 128)[..., 0]
    for codec, fine, coarse in (("h264", 20, 42), ("vp8", 8, 60), ("av1", 20, 60)):
        good, bad = (
            luma_of(
                transcode([luma_frame(plane)] * 2, CodecSetting(codec, q, constant_qp=codec == "vp8"))[-1]
            )  # type: ignore[arg-type]
            for q in (fine, coarse)
        )
        assert psnr(good, plane) > psnr(bad, plane) + 3


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9", "hevc"])
def test_a_lost_packet_is_concealed(codec: str) -> None:
    planes = clip(6)
    setting = CodecSetting(codec, 28, constant_qp=True, lost=(3,))  # type: ignore[arg-type]
    decoded = transcode([luma_frame(p) for p in planes], setting)
    assert 1 <= len(decoded) <= len(planes)
    assert luma_of(decoded[-1]).shape == planes[0].shape


def test_odd_sizes_and_av1_rates_are_refused() -> None:
    with pytest.raises(TrainError, match="even sizes; got 33x32"):
        transcode([luma_frame(np.zeros((32, 34), np.uint8)).reformat(width=33)], CodecSetting("h264"))
    with pytest.raises(TrainError, match="AV1 is driven by quality"):
        transcode([luma_frame(np.zeros((64, 64), np.uint8))], CodecSetting("av1", bits_per_pixel=0.1))


def test_call_draws_every_codec_and_scale_in_proportion() -> None:
    rng = np.random.default_rng(0)
    drawn = [CALL.setting(rng, 5) for _ in range(2000)]
    shares = {codec: sum(s.codec == codec for s in drawn) / len(drawn) for codec in CALL.codecs}
    assert all(abs(shares[codec] - share) < 0.04 for codec, share in CALL.codecs.items())
    assert 0.01 < sum(bool(s.lost) for s in drawn) / len(drawn) < 0.06


def test_received_frames_have_the_sent_size() -> None:
    image = picture(13, 192, 256)
    received = CALL_HALF.received(image, np.random.default_rng(1))
    assert received.shape == (96, 128, 3)


def test_the_last_frame_of_a_moving_window_is_in_place() -> None:
    image = picture(14, 128, 128)[..., 0]
    call = Call(scales=((1, 1.0),), codecs={"h264": 1.0}, crf=(20, 20), moving=1.0, rate_control=0, loss=0,
                blur=(0, (0.3, 0.3)), noise=(0, (1, 1)))  # fmt: skip
    for seed in range(4):
        assert psnr(call(image, np.random.default_rng(seed)), image) > 32
