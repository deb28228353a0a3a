"""One connection to anything libav can open: packets in, frames with planes, times and suspicion out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, cast

import av
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.format import ContainerFormat, Flags
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from pydantic import SecretStr

from anonymizer.capture.faults import explain, silent
from anonymizer.capture.losses import attentive, listen
from anonymizer.capture.planes import PlaneReader
from anonymizer.capture.suspicion import Cadence, SuspicionGate
from anonymizer.capture.timeline import Timeline
from anonymizer.clock import Clock
from anonymizer.errors import SourceEnded, SourceError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter
from anonymizer.rate import RateLimit
from anonymizer.types import Frame, Outcome, Size, Stage

# Probing ends after 0.1 s of stream: the first picture is less than that late, and the first key frame is not lost.
LOW_DELAY: Final = {"fpsprobesize": "0", "analyzeduration": "100000"}

_POLL_S: Final = 0.005
_PROBED: Final = 32  # pictures that may have come while libav found out about the stream
_ASSEMBLED: Final = 2  # pictures that were not complete yet when packets were found missing: of one, or of the next
_MOST_OBLONG: Final = Fraction(4)  # pixels of a real picture are no longer than four times their width


@dataclass(frozen=True, slots=True)
class Input:
    """What libav needs to open one camera or file."""

    where: str  # for people: holds no login and no key
    address: SecretStr
    format: str | None = None  # libav's demuxer; None: libav finds out
    options: Mapping[str, str] = field(default_factory=dict)
    live: bool = True  # False: a file, where arrival times mean nothing


@dataclass(frozen=True, slots=True)
class Limits:
    """Time-outs and rate of one connection."""

    open_s: float
    read_s: float
    max_fps: float | None = None


class LibavSource(Resource):
    """A `ports.Source`: one attempt at one camera.

    `locate` is called in `start` and may raise SourceError. Frames count from `first_seq`. `epoch` is that of the
    first frame; a change of size in mid-stream raises it by one, so leave room between the epochs of two connections.
    A camera that sends nothing is noticed after `limits.read_s`; one that sends packets but no picture (it may have
    a very long key interval) after `limits.open_s + limits.read_s`. `close` from another thread makes a blocked
    `start` or `read` end within its time-out.
    """

    def __init__(
        self,
        camera_id: str,
        locate: Callable[[], Input],
        limits: Limits,
        *,
        epoch: int,
        first_seq: int,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._camera_id = camera_id
        self._locate = locate
        self._limits = limits
        self._epoch = epoch
        self._seq = first_seq
        self._clock = clock
        self._meter = meter
        self._where = camera_id
        self._container: InputContainer | None = None
        self._packets: Iterator[Packet[Stream]] = iter(())
        self._video: VideoStream | None = None
        self._timed = True
        self._live = True
        self._decoded: deque[tuple[VideoFrame, int]] = deque()  # a packet's pictures and when they came out
        self._size: Size | None = None
        self._planes = PlaneReader()
        self._gate = SuspicionGate()
        self._cadence = Cadence()
        self._timeline = Timeline()
        self._rate = RateLimit(limits.max_fps)
        self._closed = threading.Event()
        self._in_use = threading.Lock()

    def start(self) -> None:
        """Connect within the open time-out; raises SourceError."""
        with self._using():
            self._open(self._locate())

    def read(self) -> Frame:
        """The next picture; raises SourceError, and SourceEnded at the end of the stream."""
        with self._using():
            asked_ns = self._clock.now_ns()
            while True:
                while self._decoded:
                    asked_ns = self._clock.now_ns()
                    frame = self._frame(*self._decoded.popleft())
                    if frame is not None:
                        return frame
                self._decode(self._next_packet(asked_ns))

    def close(self) -> None:
        """Disconnect; idempotent, callable from any thread: a reader that is busy disconnects on its way out."""
        self._closed.set()
        if self._in_use.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._in_use.release()

    @property
    def codec(self) -> str:
        """What the camera speaks, as libav names it: h264, hevc, mjpeg; empty before `start`."""
        return self._video.codec_context.name if self._video is not None else ""

    @contextmanager
    def _using(self) -> Iterator[None]:
        try:
            with self._in_use:
                if self._closed.is_set():
                    raise SourceEnded(f"{self._where}: closed")
                yield
        finally:
            if self._closed.is_set():
                self.close()

    def _release(self) -> None:
        self._packets = iter(())
        self._video = None
        self._decoded.clear()
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _open(self, target: Input) -> None:
        self._where = target.where
        container = self._container = self._connect(target)
        if not container.streams.video:
            raise SourceError(f"{self._where}: this stream has no video; check the part of the URL after the host")
        video = self._video = container.streams.video[0]
        if video.codec_context is None:
            raise SourceError(f"{self._where}: its codec is unknown; set the camera to H.264, H.265 or MJPEG")
        _configure(video.codec_context)
        self._packets = container.demux()
        self._timed = _is_timed(container.format)
        self._live = target.live
        if not target.live:
            self._timeline = Timeline(step_ns=round(1e9 / (video.average_rate or 25)))

    def _connect(self, target: Input) -> InputContainer:
        asked_ns = self._clock.now_ns()
        listen()
        try:
            container, is_gap = attentive(
                lambda: av.open(
                    target.address.get_secret_value(),
                    format=target.format,
                    options=dict(target.options),
                    timeout=(self._limits.open_s, self._limits.read_s),
                    metadata_errors="replace",
                )
            )
            if is_gap:
                self._fault("loss", _PROBED)
            return container
        except av.FFmpegError as error:
            problem = self._explain(error, asked_ns, opened=False)
        raise problem  # out here it chains nothing: libav's error holds the address with the login

    def _explain(self, error: av.FFmpegError, asked_ns: int, *, opened: bool) -> SourceError:
        return explain(
            error,
            self._where,
            opened=opened,
            waited_s=(self._clock.now_ns() - asked_ns) / 1e9,
            timeout_s=self._limits.read_s if opened else self._limits.open_s,
        )

    def _next_packet(self, asked_ns: int) -> Packet[VideoStream]:
        """The next packet of the video stream; the last one is empty and flushes the decoder."""
        while True:
            waited_s = (self._clock.now_ns() - asked_ns) / 1e9
            if waited_s > self._limits.open_s + self._limits.read_s:
                raise SourceError(
                    f"{self._where}: data comes but no picture for {waited_s:.0f} s; "
                    "set a key frame (I-frame) interval of at most 4 s in the camera"
                )
            began_ns = self._clock.now_ns()
            try:
                packet, is_gap = attentive(lambda: next(self._packets))
            except StopIteration:
                problem: SourceError = SourceEnded(f"{self._where}: the stream ended")
            except av.FFmpegError as error:
                no_picture_yet = isinstance(error, av.BlockingIOError) and waited_s < self._limits.read_s
                if no_picture_yet and self._container and not self._closed.wait(_POLL_S):
                    self._packets = self._container.demux()  # its generator ended with the error
                    continue
                problem = self._explain(error, asked_ns, opened=True)
            else:
                # libav answers its first time-out with the packet that its parser still held
                if self._live and self._clock.now_ns() - began_ns >= self._limits.read_s * 1e9:
                    raise silent(self._where, self._limits.read_s)
                if is_gap and self._video is not None:
                    self._fault("loss", _ASSEMBLED + self._video.codec_context.reorder_depth)
                if packet.stream is self._video:
                    return cast("Packet[VideoStream]", packet)
                continue
            raise problem

    def _decode(self, packet: Packet[VideoStream]) -> None:
        """Queue the pictures that a packet completes."""
        reorder_depth = packet.stream.codec_context.reorder_depth
        if packet.is_corrupt:
            self._fault("flag", reorder_depth)
        try:
            pictures = packet.decode()
        except av.FFmpegError:
            self._fault("error", reorder_depth)
            return
        if packet.is_keyframe and reorder_depth == 0 and pictures and not any(map(_is_key, pictures)):
            self._gate.refresh_point()
        now_ns = self._clock.now_ns()
        self._decoded.extend((picture, now_ns) for picture in pictures)

    def _fault(self, cause: str, pending: int = 0) -> None:
        self._meter.suspect(self._camera_id, cause)
        self._gate.fault(pending)

    def _frame(self, picture: VideoFrame, captured_ns: int) -> Frame | None:
        """The picture as a frame, None if the rate limit leaves it out."""
        stream_ns = _pts_ns(picture) if self._timed else None
        if self._cadence.gap(stream_ns):
            self._fault("loss")
        if picture.is_corrupt:
            self._meter.suspect(self._camera_id, "flag")
        suspect = self._gate.admit(key=_is_key(picture), damaged=picture.is_corrupt)
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
            pixel_aspect=self._pixel_aspect(picture),
            suspect=suspect,
        )
        self._seq += 1
        return frame

    def _pixel_aspect(self, picture: VideoFrame) -> Fraction:
        aspect = (self._video and self._video.sample_aspect_ratio) or Fraction(1)  # libav says 0 or nothing for unknown
        if round(picture.rotation / 90) % 2:
            aspect = 1 / aspect
        return aspect if 1 / _MOST_OBLONG <= aspect <= _MOST_OBLONG else Fraction(1)


def _configure(decoder: VideoCodecContext) -> None:
    """Decode in one thread, and report damage.

    Frame threads add a picture of delay each. Slice threads lose damage: of pictures with a hole in them, the H.264
    decoder let a third pass unflagged with slice threads, and hardly any with one thread (but for their successors,
    which the gate holds). The H.265 decoder flags nothing; with `explode` it reports most truncated pictures, but few
    with a hole, of which the numbers of the packets tell (`losses`). Nor does the MJPEG decoder flag a picture that was
    cut off: what is missing shows what an older picture, masked in other places, left in the buffer.
    """
    decoder.thread_type = "NONE"
    decoder.thread_count = 1
    if decoder.name in ("hevc", "mjpeg"):
        decoder.options = {"err_detect": "explode"}


def _is_timed(form: ContainerFormat) -> bool:
    """False for pictures that come one after the other without times, to which libav gives invented ones."""
    return not Flags(form.flags) & Flags.no_timestamps and not form.name.endswith("_pipe")


def _is_key(picture: VideoFrame) -> bool:
    return picture.key_frame and picture.pict_type == PictureType.I


def _pts_ns(picture: VideoFrame) -> int | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return picture.pts * picture.time_base.numerator * 1_000_000_000 // picture.time_base.denominator
