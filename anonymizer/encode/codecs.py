"""The H.264 encoders of libavcodec that we know, with the options for low delay, a bit rate limit and key frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from anonymizer.settings.schema import EncodeSettings
from anonymizer.types import Colour, Size

TIME_BASE = Fraction(1, 90_000)  # RTP's clock for video (RFC 6184)

CODEC_ERRORS = (av.FFmpegError, ValueError, OSError, RuntimeError)  # what PyAV raises when a codec fails

# Codes of ITU-T H.273; the same code is right for primaries, transfer and matrix.
_BT709, _BT601 = 1, 6

_KEY_FRAMES_ON_REQUEST_ONLY = 1_000_000  # pictures; H264Encoder counts the seconds itself


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoder of libavcodec."""

    name: str
    pix_fmt: str  # the format it takes; libswscale converts I420 to it where they differ
    hardware: bool


SOFTWARE = Codec("libx264", "yuv420p", hardware=False)
HARDWARE = (
    Codec("h264_nvenc", "yuv420p", hardware=True),
    Codec("h264_qsv", "nv12", hardware=True),
    Codec("h264_v4l2m2m", "yuv420p", hardware=True),  # Raspberry Pi up to 4, many Arm boards
)


def ticks(pts_ns: int) -> int:
    """Nanoseconds in units of TIME_BASE."""
    return pts_ns * TIME_BASE.denominator // 1_000_000_000


def reason(error: Exception) -> str:
    """The text of an error, without the call and the options that PyAV adds to it."""
    return error.strerror if isinstance(error, OSError | av.FFmpegError) and error.strerror else str(error)


def matrix(colour: Colour) -> int:
    """The code of ITU-T H.273 for BT.709 or BT.601."""
    return _BT709 if colour.bt709 else _BT601


def colour_range(colour: Colour) -> int:
    """libavutil's code for full or video range."""
    return int(ColorRange.JPEG if colour.full_range else ColorRange.MPEG)


def open_codec(
    codec: Codec,
    settings: EncodeSettings,
    size: Size,
    colour: Colour,
    fps: float,
    pixel_aspect: Fraction = Fraction(1),
) -> VideoCodecContext:
    """An opened encoder without B pictures or look-ahead; raises one of CODEC_ERRORS.

    `fps` scales the bit rate limit, because encoders count pictures and not seconds.
    """
    context = av.CodecContext.create(codec.name, "w")
    assert isinstance(context, VideoCodecContext)  # noqa: S101 - all names above are video
    context.width, context.height = size.width, size.height
    context.pix_fmt = codec.pix_fmt
    context.sample_aspect_ratio = pixel_aspect
    context.time_base = TIME_BASE
    context.framerate = Fraction(fps).limit_denominator(1000)
    context.gop_size = _KEY_FRAMES_ON_REQUEST_ONLY
    context.max_b_frames = 0
    context.thread_count = 1  # slices on two threads cost 15-40 % more CPU and up to 60 % more bits for 1-2 ms
    context.color_range = colour_range(colour)
    context.colorspace = context.color_primaries = context.color_trc = matrix(colour)
    context.options = _options(codec, settings)
    context.open()
    return context


def _options(codec: Codec, settings: EncodeSettings) -> dict[str, str]:
    limit = f"{settings.max_bitrate_kbps}k"
    bounded = {"maxrate": limit, "bufsize": limit}  # a burst of one second at most
    match codec.name:
        case "libx264":
            quality = {"preset": settings.preset.value, "crf": str(settings.crf), "sc_threshold": "0"}
            return {"tune": "zerolatency", "forced-idr": "1", **quality, **bounded}
        case "h264_nvenc":
            quality = {"preset": "p3", "rc": "vbr", "cq": str(settings.crf)}
            return {"tune": "ull", "zerolatency": "1", "delay": "0", "forced-idr": "1", **quality, **bounded}
        case "h264_qsv":
            quality = {"preset": "veryfast", "global_quality": str(settings.crf)}
            return {"async_depth": "1", "look_ahead": "0", "forced_idr": "1", **quality, **bounded}
        case _:  # V4L2 knows no constant quality
            return {"b": limit, "num_output_buffers": "4", "num_capture_buffers": "4"}
