"""Turns decoded pictures into frames: numbered, timed, marked as suspect after damage, limited in rate."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from av import VideoFrame
from av.video.frame import PictureType

from anonymizer.capture.planes import PlaneReader
from anonymizer.capture.suspicion import Cadence, SuspicionGate
from anonymizer.capture.timeline import Timeline
from anonymizer.clock import Clock
from anonymizer.ports import Meter
from anonymizer.rate import RateLimit
from anonymizer.types import Frame, Outcome, Size, Stage

_MOST_OBLONG: Final = Fraction(4)  # width of a pixel by its height, or the reverse; beyond this the stream is wrong


class FrameMaker:
    """Makes the frames of one connection; used by one thread.

    Frames count from `first_seq`. `epoch` is that of the first frame; a change of size raises it by one.
    """

    def __init__(
        self, camera_id: str, *, epoch: int, first_seq: int, max_fps: float | None, clock: Clock, meter: Meter
    ) -> None:
        self._camera_id = camera_id
        self._epoch = epoch
        self._seq = first_seq
        self._clock = clock
        self._meter = meter
        self._has_timestamps = True
        self._size: Size | None = None
        self._planes = PlaneReader()
        self._gate = SuspicionGate()
        self._cadence = Cadence()
        self._timeline = Timeline()
        self._rate = RateLimit(max_fps)

    def expect(self, *, has_timestamps: bool, step_ns: int | None) -> None:
        """Learn what was opened; `step_ns` is the time between two pictures of a file, None for a live stream."""
        self._has_timestamps = has_timestamps
        self._timeline = Timeline(step_ns)

    def fault(self, cause: str, pending: int = 0) -> None:
        """Damage was seen (`error`, `flag` or `loss`) up to `pending` pictures ahead of what comes out next."""
        self._meter.suspect(self._camera_id, cause)
        self._gate.fault(pending)

    def recovery_point(self) -> None:
        """The stream can be decoded from here on, though this is no key frame."""
        self._gate.recovery_point()

    def make(self, picture: VideoFrame, captured_ns: int, stream_aspect: Fraction | None) -> Frame | None:
        """The picture as a frame, None if the rate limit leaves it out; raises SourceError.

        `stream_aspect` is the width of a pixel by its height; None or 0 if unknown.
        """
        stream_ns = _pts_ns(picture) if self._has_timestamps else None
        if self._cadence.gap(stream_ns):
            self.fault("loss")
        if picture.is_corrupt:
            self._meter.suspect(self._camera_id, "flag")
        suspect = self._gate.admit(key=is_key(picture), damaged=picture.is_corrupt)
        pts_ns = self._timeline.place(stream_ns, captured_ns)
        if not self._rate.passes(pts_ns):
            self._meter.frame(self._camera_id, Stage.CAPTURE, Outcome.DROPPED)
            return None
        planes, colour = self._planes.read(picture)
        if self._size is not None and self._size != planes.size:
            self._epoch += 1
        self._size = planes.size
        frame = Frame(
            camera_id=self._camera_id,
            seq=self._seq,
            epoch=self._epoch,
            pts_ns=pts_ns,
            captured_ns=captured_ns,
            wall_ns=self._clock.wall_ns(),
            planes=planes,
            colour=colour,
            pixel_aspect=_pixel_aspect(picture, stream_aspect),
            suspect=suspect,
        )
        self._seq += 1
        return frame


def is_key(picture: VideoFrame) -> bool:
    """Whether the picture can be decoded without any other."""
    return picture.key_frame and picture.pict_type == PictureType.I


def _pts_ns(picture: VideoFrame) -> int | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return picture.pts * picture.time_base.numerator * 1_000_000_000 // picture.time_base.denominator


def _pixel_aspect(picture: VideoFrame, stream_aspect: Fraction | None) -> Fraction:
    """Of the picture once it stands upright; square if unknown or absurd."""
    aspect = stream_aspect or Fraction(1)
    if round(picture.rotation / 90) % 2:
        aspect = 1 / aspect
    return aspect if 1 / _MOST_OBLONG <= aspect <= _MOST_OBLONG else Fraction(1)
