"""Encodes redacted pictures as H.264 access units; a viewer can join at every key frame."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from anonymizer.encode.annexb import parameter_sets
from anonymizer.encode.codecs import (
    CODEC_ERRORS,
    SOFTWARE,
    TIME_BASE,
    Codec,
    colour_range,
    matrix,
    open_codec,
    reason,
    ticks,
)
from anonymizer.errors import EncodeError
from anonymizer.settings.schema import EncodeSettings
from anonymizer.types import Colour, EncodedPacket, RedactedFrame, Size

_LOG = logging.getLogger(__name__)

_MIN_STEP_NS = 100_000  # nine ticks of the time base, so that rounding leaves distinct times distinct
_MAX_INSIDE = 8  # pictures an encoder may hold back before it counts as stuck
_FPS_TOLERANCE = 0.25  # the encoder is opened anew if the frame rate changes by more than this share


@dataclass(frozen=True, slots=True)
class _Inside:
    """A picture that is inside the encoder."""

    tick: int
    pts_ns: int
    captured_ns: int


class H264Encoder:
    """A `ports.Encoder`: one access unit a picture; key frames with parameter sets, at intervals and on request.

    Opens with the first picture, and again, with a key frame, when size, colour, pixel aspect or frame rate change.
    Hardware that fails is replaced by libx264 within the same call.
    """

    def __init__(
        self, camera_id: str, settings: EncodeSettings, *, codec: Codec = SOFTWARE, fps_hint: float = 25.0
    ) -> None:
        self._camera_id = camera_id
        self._settings = settings
        self._codec = codec
        self._fps = fps_hint
        self._context: VideoCodecContext | None = None
        self._format: tuple[Size, Colour, Fraction] | None = None
        self._inside: deque[_Inside] = deque()
        self._parameter_sets = b""
        self._last_pts_ns: int | None = None
        self._key_pts_ns = 0
        self._since_key = 0  # pictures since the last key frame, itself included; 0: the encoder is new

    def encode(self, frame: RedactedFrame, *, key: bool) -> Sequence[EncodedPacket]:
        """Packets that are ready, strictly increasing in PTS; `key` forces an IDR picture; raises EncodeError.

        `frame.i420` is read in place and never written to.
        """
        pts_ns = frame.pts_ns if self._last_pts_ns is None else max(frame.pts_ns, self._last_pts_ns + _MIN_STEP_NS)
        self._last_pts_ns = pts_ns
        try:
            return self._encode(frame, pts_ns, key=key)
        except CODEC_ERRORS as error:
            self._drop_context()
            if not self._codec.hardware:
                raise EncodeError(self._trouble(error)) from error
            _LOG.warning("%s; going on with %s", self._trouble(error), SOFTWARE.name)
        self._codec = SOFTWARE
        try:
            return self._encode(frame, pts_ns, key=True)
        except CODEC_ERRORS as error:
            self._drop_context()
            raise EncodeError(self._trouble(error)) from error

    def close(self) -> None:
        """Drop what is inside; idempotent."""
        self._drop_context()

    def _encode(self, frame: RedactedFrame, pts_ns: int, *, key: bool) -> list[EncodedPacket]:
        due = pts_ns - self._key_pts_ns >= self._settings.key_interval_s * 1e9
        if _format_of(frame) != self._format:
            self._drop_context()
        elif key or due:
            self._follow_pace(pts_ns)
        context = self._context or self._open(frame)
        key = key or due or not self._since_key
        if key:
            self._key_pts_ns = pts_ns
            self._since_key = 0
        self._since_key += 1
        picture = _picture(frame)
        picture.time_base = TIME_BASE
        picture.pts = ticks(pts_ns)
        picture.pict_type = PictureType.I if key else PictureType.NONE
        self._inside.append(_Inside(picture.pts, pts_ns, frame.captured_ns))
        if len(self._inside) > _MAX_INSIDE:
            raise RuntimeError(f"no output for {_MAX_INSIDE} pictures")
        return [self._packet(packet, frame.size) for packet in context.encode(picture)]

    def _open(self, frame: RedactedFrame) -> VideoCodecContext:
        size, colour, aspect = self._format = _format_of(frame)
        self._context = open_codec(self._codec, self._settings, size, colour, self._fps, aspect)
        return self._context

    def _drop_context(self) -> None:
        self._context = None
        self._format = None
        self._inside.clear()
        self._parameter_sets = b""
        self._since_key = 0

    def _follow_pace(self, pts_ns: int) -> None:
        """Have the encoder opened anew if pictures since the last key frame came at another rate than it was told."""
        elapsed_ns = pts_ns - self._key_pts_ns
        if self._since_key < 2 or elapsed_ns < 1_000_000_000:
            return
        fps = min(max(self._since_key * 1e9 / elapsed_ns, 1.0), 120.0)
        if abs(fps - self._fps) > self._fps * _FPS_TOLERANCE:
            self._fps = fps
            self._drop_context()

    def _packet(self, packet: Packet[VideoStream], size: Size) -> EncodedPacket:
        while self._inside and self._inside[0].tick != packet.pts:
            self._inside.popleft()
        if not self._inside:
            raise RuntimeError("a packet came out for a picture that never went in")
        origin = self._inside.popleft()
        data = bytes(packet)
        if packet.is_keyframe:
            data = self._with_parameter_sets(data)
        return EncodedPacket(self._camera_id, origin.pts_ns, origin.captured_ns, data, packet.is_keyframe, size)

    def _with_parameter_sets(self, data: bytes) -> bytes:
        """The key frame with parameter sets, which viewers need; some hardware sends them with the first one only."""
        found = parameter_sets(data)
        if found:
            self._parameter_sets = found
            return data
        return self._parameter_sets + data

    def _trouble(self, error: Exception) -> str:
        size = self._format[0] if self._format else "unopened"
        return f"camera {self._camera_id}: encoder {self._codec.name} ({size}) failed: {reason(error)}"


def _format_of(frame: RedactedFrame) -> tuple[Size, Colour, Fraction]:
    return frame.size, frame.colour, frame.pixel_aspect


def _picture(frame: RedactedFrame) -> VideoFrame:
    """A libav frame in the same memory if PyAV can address it (height a multiple of 4), else a copy."""
    if frame.size.height % 4 == 0:
        picture = VideoFrame.from_numpy_buffer(frame.i420, "yuv420p")
    else:
        picture = VideoFrame.from_ndarray(frame.i420, "yuv420p")
    picture.color_range = colour_range(frame.colour)
    picture.colorspace = matrix(frame.colour)
    return picture
