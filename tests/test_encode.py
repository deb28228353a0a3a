"""The encoder: what goes in decodes back, on time, with key frames where they were asked for."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from anonymizer.encode import h264
from anonymizer.encode.annexb import parameter_sets
from anonymizer.encode.choose import choose_codec
from anonymizer.encode.codecs import SOFTWARE, Codec, open_codec
from anonymizer.encode.h264 import H264Encoder
from anonymizer.errors import EncodeError
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import EncodeSettings, HardwareEncoding, RedactSettings
from anonymizer.types import Colour, EncodedPacket, Frame, RedactedFrame, RedactionPlan, Size
from tests.fakes import make_planes

SETTINGS = EncodeSettings()
MS = 1_000_000


def picture(
    seq: int, width: int = 64, height: int = 48, *, pts_ms: int | None = None, colour: Colour | None = None
) -> RedactedFrame:
    at_ns = (seq * 40 if pts_ms is None else pts_ms) * MS
    planes = make_planes(width, height, seed=seq)
    frame = Frame("cam", seq, 0, at_ns, at_ns + 5, 0, planes, colour or Colour())
    return Redactor(RedactSettings()).redact(frame, RedactionPlan(seq))


def encode_all(encoder: H264Encoder, frames: Iterable[RedactedFrame]) -> list[EncodedPacket]:
    return [packet for frame in frames for packet in encoder.encode(frame, key=False)]


def decode(packets: Iterable[EncodedPacket]) -> list[VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    return [shown for packet in packets for shown in decoder.decode(av.Packet(packet.data))]


def test_every_picture_becomes_one_packet_at_once_and_decodes_to_what_went_in() -> None:
    encoder = H264Encoder("cam", EncodeSettings(crf=10, max_bitrate_kbps=100_000))
    frames = [picture(seq) for seq in range(5)]
    packets = [encoder.encode(frame, key=False) for frame in frames]
    assert [len(ready) for ready in packets] == [1] * 5
    shown = decode(packet for ready in packets for packet in ready)
    assert len(shown) == 5
    for frame, back in zip(frames, shown, strict=True):
        assert np.abs(back.to_ndarray().astype(int) - frame.i420).mean() < 6


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(16, 11)])
def test_pixels_that_are_not_square_are_shown_as_the_camera_means_them(aspect: Fraction) -> None:
    frame = Frame("cam", 0, 0, 0, 0, 0, make_planes(64, 48), pixel_aspect=aspect)
    redacted = Redactor(RedactSettings()).redact(frame, RedactionPlan(0))
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    for packet in H264Encoder("cam", SETTINGS).encode(redacted, key=False):
        decoder.decode(av.Packet(packet.data))
    assert decoder.sample_aspect_ratio == aspect


def test_packets_carry_the_pictures_own_times_camera_and_size() -> None:
    packets = encode_all(H264Encoder("cam", SETTINGS), [picture(0, pts_ms=7), picture(1, pts_ms=47)])
    assert [packet.pts_ns for packet in packets] == [7 * MS, 47 * MS]
    assert [packet.captured_ns for packet in packets] == [7 * MS + 5, 47 * MS + 5]
    assert {(packet.camera_id, str(packet.size)) for packet in packets} == {("cam", "64x48")}


def test_times_that_stand_still_or_go_back_come_out_increasing() -> None:
    times = [100, 100, 60, 140]
    packets = encode_all(H264Encoder("cam", SETTINGS), [picture(i, pts_ms=at) for i, at in enumerate(times)])
    out = [packet.pts_ns for packet in packets]
    assert all(a < b for a, b in itertools.pairwise(out))
    assert out[3] == 140 * MS


def test_the_first_picture_and_every_requested_one_are_key_frames_and_no_other() -> None:
    encoder = H264Encoder("cam", SETTINGS)
    keys = [encoder.encode(picture(seq), key=seq == 3)[0].is_key for seq in range(6)]
    assert keys == [True, False, False, True, False, False]


def test_every_key_frame_carries_its_parameter_sets_and_can_be_joined() -> None:
    encoder = H264Encoder("cam", SETTINGS)
    packets = [encoder.encode(picture(seq), key=seq == 3)[0] for seq in range(6)]
    assert [bool(parameter_sets(packet.data)) for packet in packets] == [packet.is_key for packet in packets]
    assert len(decode(packets[3:])) == 3


@pytest.mark.parametrize("fps", [5, 50])
def test_the_key_interval_is_seconds_whatever_the_frame_rate(fps: int) -> None:
    encoder = H264Encoder("cam", EncodeSettings(key_interval_s=1.0))
    packets = encode_all(encoder, [picture(i, pts_ms=i * 1000 // fps) for i in range(3 * fps + 1)])
    assert [packet.pts_ns // MS for packet in packets if packet.is_key] == [0, 1000, 2000, 3000]


@pytest.mark.parametrize(("fps", "reopened"), [(24, False), (5, True)])
def test_the_bit_rate_limit_follows_the_real_frame_rate(
    monkeypatch: pytest.MonkeyPatch, fps: int, reopened: bool
) -> None:
    opened: list[float] = []

    def opening(
        codec: Codec, settings: EncodeSettings, size: Size, colour: Colour, fps: float, aspect: Fraction
    ) -> VideoCodecContext:
        opened.append(fps)
        return open_codec(codec, settings, size, colour, fps, aspect)

    monkeypatch.setattr(h264, "open_codec", opening)
    encoder = H264Encoder("cam", SETTINGS, fps_hint=25.0)
    encode_all(encoder, [picture(i, pts_ms=i * 1000 // fps) for i in range(3 * fps)])
    assert opened == ([25.0, pytest.approx(fps)] if reopened else [25.0])


def test_a_new_size_opens_the_encoder_again_with_a_key_frame() -> None:
    frames = [picture(0), picture(1), picture(2, 96, 80), picture(3, 96, 80)]
    packets = encode_all(H264Encoder("cam", SETTINGS), frames)
    assert [packet.is_key for packet in packets] == [True, False, True, False]
    assert [(shown.width, shown.height) for shown in decode(packets)] == [(64, 48), (64, 48), (96, 80), (96, 80)]


@pytest.mark.parametrize("height", [2, 46, 50, 362], ids=str)
def test_heights_that_are_no_multiple_of_four_lose_no_row(height: int) -> None:
    frame = picture(0, 64, height)
    (shown,) = decode(encode_all(H264Encoder("cam", EncodeSettings(crf=10)), [frame]))
    assert (shown.width, shown.height) == (64, height)
    assert np.abs(shown.to_ndarray().astype(int) - frame.i420).mean() < 12


@pytest.mark.parametrize(
    ("colour", "tags"),
    [
        (Colour(full_range=False, bt709=True), (1, 1)),
        (Colour(full_range=True, bt709=True), (2, 1)),
        (Colour(full_range=False, bt709=False), (1, 6)),
        (Colour(full_range=True, bt709=False), (2, 6)),
    ],
    ids=str,
)
def test_viewers_are_told_how_the_colours_are_meant(colour: Colour, tags: tuple[int, int]) -> None:
    (shown,) = decode(encode_all(H264Encoder("cam", SETTINGS), [picture(0, colour=colour)]))
    assert (shown.color_range, shown.colorspace) == tags


def test_a_change_of_colours_opens_the_encoder_again() -> None:
    frames = [picture(0), picture(1, colour=Colour(full_range=True))]
    packets = encode_all(H264Encoder("cam", SETTINGS), frames)
    assert [shown.color_range for shown in decode(packets)] == [1, 2]


def test_the_picture_is_neither_changed_nor_made_writable() -> None:
    frame = picture(0)
    before = frame.i420.copy()
    H264Encoder("cam", SETTINGS).encode(frame, key=True)
    assert np.array_equal(frame.i420, before)
    assert not frame.i420.flags.writeable


def test_the_bit_rate_stays_under_its_limit() -> None:
    encoder = H264Encoder("cam", EncodeSettings(max_bitrate_kbps=500, crf=20))
    packets = encode_all(encoder, [picture(seq, 320, 240) for seq in range(100)])
    after_first_second = packets[25:]
    assert sum(len(packet.data) for packet in after_first_second) * 8 / 3.0 < 500_000 * 1.15


def test_close_twice_and_encode_again_begins_with_a_key_frame() -> None:
    encoder = H264Encoder("cam", SETTINGS)
    encode_all(encoder, [picture(0), picture(1)])
    encoder.close()
    encoder.close()
    assert [packet.is_key for packet in encode_all(encoder, [picture(2)])] == [True]


def test_an_encoder_that_cannot_open_says_which_and_for_which_camera() -> None:
    encoder = H264Encoder("yard", SETTINGS, codec=Codec("nonsense", "yuv420p", hardware=False))
    with pytest.raises(EncodeError, match="camera yard: encoder nonsense"):
        encoder.encode(picture(0), key=False)


def test_hardware_that_fails_is_replaced_without_losing_the_picture(caplog: pytest.LogCaptureFixture) -> None:
    encoder = H264Encoder("yard", SETTINGS, codec=Codec("nonsense", "yuv420p", hardware=True))
    packets = encode_all(encoder, [picture(0), picture(1)])
    assert [packet.is_key for packet in packets] == [True, False]
    assert len(caplog.records) == 1
    assert "going on with libx264" in caplog.text


class Stub:
    """An encoder context that answers with prepared access units, or holds everything back."""

    def __init__(self, *units: bytes) -> None:
        self._units = list(units)

    def encode(self, shown: VideoFrame) -> list[av.Packet[Any]]:
        if not self._units:
            return []
        packet = av.Packet(self._units.pop(0))
        packet.pts = shown.pts
        packet.is_keyframe = True
        return [packet]


def stub_hardware(monkeypatch: pytest.MonkeyPatch, stub: Stub) -> H264Encoder:
    monkeypatch.setattr(h264, "open_codec", lambda codec, *rest: stub if codec.hardware else open_codec(codec, *rest))
    return H264Encoder("cam", SETTINGS, codec=Codec("stub", "yuv420p", hardware=True))


def test_parameter_sets_that_hardware_sends_once_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    sets, slice_ = b"\x00\x00\x00\x01\x67A\x00\x00\x00\x01\x68B", b"\x00\x00\x00\x01\x65C"
    encoder = stub_hardware(monkeypatch, Stub(sets + slice_, slice_))
    packets = encode_all(encoder, [picture(0), picture(1)])
    assert [packet.data for packet in packets] == [sets + slice_] * 2


def test_hardware_that_swallows_pictures_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    packets = encode_all(stub_hardware(monkeypatch, Stub()), [picture(seq) for seq in range(16)])
    assert packets[0].is_key
    assert [packet.pts_ns // (40 * MS) for packet in packets] == list(range(8, 16))


def test_hardware_off_is_not_even_looked_for() -> None:
    works = Codec("libx264", "yuv420p", hardware=True)
    assert choose_codec(EncodeSettings(hardware=HardwareEncoding.OFF), [works]) is SOFTWARE


def test_the_first_candidate_that_proves_itself_is_taken() -> None:
    works = Codec("libx264", "yuv420p", hardware=True)
    unlisted = Codec("nonsense", "yuv420p", hardware=True)
    not_h264 = Codec("mpeg4", "yuv420p", hardware=True)
    assert choose_codec(SETTINGS, [unlisted, not_h264, works]) is works


def test_without_usable_hardware_one_line_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert choose_codec(SETTINGS, [Codec("mpeg4", "yuv420p", hardware=True)]) is SOFTWARE
    assert len(caplog.records) == 1
    assert "encoding with libx264 (mpeg4: " in caplog.text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"\x00\x00\x01", b""),  # a start code and nothing behind it
        (b"\x00\x00\x01\x67A", b""),  # an SPS alone
        (b"\x00\x00\x01\x67A\x00\x00\x01\x68B\x00\x00\x01\x65C", b"\x00\x00\x00\x01\x67A\x00\x00\x00\x01\x68B"),
        (b"\x00\x00\x00\x01\x67A\x00\x00\x00\x01\x68B", b"\x00\x00\x00\x01\x67A\x00\x00\x00\x01\x68B"),
    ],
)
def test_parameter_sets_are_found_behind_either_start_code(data: bytes, expected: bytes) -> None:
    assert parameter_sets(data) == expected
