"""Chooses the encoder by trying candidates out, because many are listed that do not work on the machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import av
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from anonymizer.encode.annexb import parameter_sets
from anonymizer.encode.codecs import CODEC_ERRORS, HARDWARE, SOFTWARE, TIME_BASE, Codec, open_codec, reason, ticks
from anonymizer.errors import EncodeError
from anonymizer.settings.schema import EncodeSettings, HardwareEncoding
from anonymizer.types import Colour, Size

_LOG = logging.getLogger(__name__)

_SIZE = Size(1280, 720)  # of the trial
_FPS = 25
_PICTURES = 10
_KEY_AT = 6
_MAX_DELAY = 2  # pictures that the encoder may still hold back after the last one went in
_LUMA_TOLERANCE = 8


def choose_codec(settings: EncodeSettings, candidates: Sequence[Codec] = HARDWARE) -> Codec:
    """The first candidate that passes the trial, else libx264; logs one line.

    May take seconds: call it once for all cameras, not for each.
    """
    if settings.hardware is HardwareEncoding.OFF:
        return SOFTWARE
    refused = []
    for codec in candidates:
        try:
            _try_out(codec, settings)
        except (*CODEC_ERRORS, EncodeError) as error:
            refused.append(f"{codec.name}: {reason(error)}")
        else:
            _LOG.info("encoding with %s", codec.name)
            return codec
    _LOG.info("no hardware encoder is usable, encoding with %s (%s)", SOFTWARE.name, "; ".join(refused))
    return SOFTWARE


def _try_out(codec: Codec, settings: EncodeSettings) -> None:
    """Encode and decode pictures; raises EncodeError, or an error of PyAV, unless the codec does all we rely on."""
    context = open_codec(codec, settings, _SIZE, Colour(), _FPS)
    lumas = [40 + 15 * index for index in range(_PICTURES)]
    packets = [packet for index, luma in enumerate(lumas) for packet in _encode_grey(context, index, luma)]
    if len(packets) < _PICTURES - _MAX_DELAY:
        raise EncodeError(f"holds back more than {_MAX_DELAY} pictures")
    if not packets[0].is_keyframe or not parameter_sets(bytes(packets[0])):
        raise EncodeError("does not begin with a key frame and its parameter sets")
    if not any(packet.is_keyframe and packet.pts == _pts(_KEY_AT) for packet in packets):
        raise EncodeError("does not make key frames on request")
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)  # noqa: S101
    pictures = [picture for packet in packets for picture in decoder.decode(packet)]
    wrong = [
        picture
        for picture, luma in zip(pictures, lumas, strict=False)
        if (picture.width, picture.height) != (_SIZE.width, _SIZE.height)
        or abs(float(picture.to_ndarray()[: _SIZE.height].mean()) - luma) > _LUMA_TOLERANCE
    ]
    if not pictures or wrong:
        raise EncodeError("its pictures do not decode to what went in")


def _encode_grey(context: VideoCodecContext, index: int, luma: int) -> list[Packet[VideoStream]]:
    i420 = np.full((_SIZE.height * 3 // 2, _SIZE.width), 128, np.uint8)
    i420[: _SIZE.height] = luma
    picture = VideoFrame.from_numpy_buffer(i420, "yuv420p")
    picture.time_base = TIME_BASE
    picture.pts = _pts(index)
    picture.pict_type = PictureType.I if index in (0, _KEY_AT) else PictureType.NONE
    return context.encode(picture)


def _pts(index: int) -> int:
    return ticks(index * 1_000_000_000 // _FPS)
