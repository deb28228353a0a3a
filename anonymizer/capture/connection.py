"""One connection to anything libav can open: packets in, frames out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

import av
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.format import ContainerFormat, Flags
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from anonymizer.capture.faults import explain, silent
from anonymizer.capture.frames import FrameMaker, is_key
from anonymizer.capture.input import Input
from anonymizer.capture.losses import noticing_losses, report_losses
from anonymizer.clock import Clock
from anonymizer.errors import SourceEnded, SourceError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter
from anonymizer.types import Frame

_POLL_S: Final = 0.005
_PROBED: Final = 32  # pictures that libav may have read while it was finding out about the stream
_ASSEMBLED: Final = 2  # a hole between packets is in the picture being assembled, or in the next one


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
    A camera that sends nothing is given up after `limits.read_s`; one that sends packets but no picture (its key
    interval may be very long) after `limits.open_s + limits.read_s`. When another thread calls `close`, a blocked
    `start` or `read` ends within its own time-out.
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
        self._locate = locate
        self._limits = limits
        self._clock = clock
        self._where = camera_id
        self._frames = FrameMaker(
            camera_id, epoch=epoch, first_seq=first_seq, max_fps=limits.max_fps, clock=clock, meter=meter
        )
        self._container: InputContainer | None = None
        self._packets: Iterator[Packet[Stream]] = iter(())
        self._video: VideoStream | None = None
        self._live = True
        self._decoded: deque[tuple[VideoFrame, int]] = deque()  # pictures of one packet, and when they were decoded
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
                    picture, decoded_ns = self._decoded.popleft()
                    aspect = self._video.sample_aspect_ratio if self._video is not None else None
                    frame = self._frames.make(picture, decoded_ns, aspect)
                    if frame is not None:
                        return frame
                self._decode(self._next_packet(asked_ns))

    def close(self) -> None:
        """Disconnect; idempotent, from any thread; if another thread is reading, it disconnects when it is done."""
        self._closed.set()
        if self._in_use.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._in_use.release()

    @property
    def codec(self) -> str:
        """What the camera sends, as libav names it: h264, hevc, mjpeg; empty before `start`."""
        return self._video.codec_context.name if self._video is not None else ""

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Keep `close` from freeing what is in use, and free it here if `close` was called meanwhile."""
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
        self._live = target.live
        container = self._container = self._connect(target)
        if not container.streams.video:
            raise SourceError(f"{self._where}: this stream has no video; check the part of the URL after the host")
        video = self._video = container.streams.video[0]
        if video.codec_context is None:
            raise SourceError(f"{self._where}: its codec is unknown; set the camera to H.264, H.265 or MJPEG")
        _configure(video.codec_context)
        self._packets = container.demux()
        self._frames.expect(
            has_timestamps=_has_timestamps(container.format),
            step_ns=None if target.live else round(1e9 / (video.average_rate or 25)),
        )

    def _connect(self, target: Input) -> InputContainer:
        asked_ns = self._clock.now_ns()
        report_losses()
        try:
            container, is_gap = noticing_losses(
                lambda: av.open(
                    target.address.get_secret_value(),
                    format=target.format,
                    options=dict(target.options),
                    timeout=(self._limits.open_s, self._limits.read_s),
                    metadata_errors="replace",
                )
            )
        except av.FFmpegError as error:
            problem = self._explain(error, asked_ns, opened=False)
        else:
            if is_gap:
                self._frames.fault("loss", _PROBED)
            return container
        # Raised outside of the `except`, so that libav's error, which holds the login, is not chained to it.
        raise problem

    def _explain(self, error: av.FFmpegError, asked_ns: int, *, opened: bool) -> SourceError:
        return explain(
            error,
            self._where,
            opened=opened,
            waited_s=self._seconds_since(asked_ns),
            timeout_s=self._limits.read_s if opened else self._limits.open_s,
        )

    def _next_packet(self, asked_ns: int) -> Packet[VideoStream]:
        """The next packet of the video stream; the last one is empty and flushes the decoder."""
        while True:
            waited_s = self._seconds_since(asked_ns)
            if waited_s > self._limits.open_s + self._limits.read_s:
                raise SourceError(
                    f"{self._where}: data comes but no picture for {waited_s:.0f} s; "
                    "set a key frame (I-frame) interval of at most 4 s in the camera"
                )
            packet = self._demux(asked_ns)
            if packet is not None and packet.stream is self._video:
                return cast("Packet[VideoStream]", packet)

    def _demux(self, asked_ns: int) -> Packet[Stream] | None:
        """One packet of any stream; None: a device has none yet, ask again."""
        began_ns = self._clock.now_ns()
        try:
            packet, is_gap = noticing_losses(lambda: next(self._packets))
        except StopIteration:
            problem: SourceError = SourceEnded(f"{self._where}: the stream ended")
        except av.FFmpegError as error:
            is_early = isinstance(error, av.BlockingIOError) and self._seconds_since(asked_ns) < self._limits.read_s
            if is_early and self._container is not None and not self._closed.wait(_POLL_S):
                self._packets = self._container.demux()  # the old generator ended with the error
                return None
            problem = self._explain(error, asked_ns, opened=True)
        else:
            # When libav first runs out of time it returns the packet that its parser still held, and no error.
            if self._live and self._seconds_since(began_ns) >= self._limits.read_s:
                raise silent(self._where, self._limits.read_s)
            if is_gap and self._video is not None:
                self._frames.fault("loss", _ASSEMBLED + self._video.codec_context.reorder_depth)
            return packet
        raise problem  # as in `_connect`

    def _decode(self, packet: Packet[VideoStream]) -> None:
        """Queue the pictures that a packet completes."""
        reorder_depth = packet.stream.codec_context.reorder_depth
        if packet.is_corrupt:
            self._frames.fault("flag", reorder_depth)
        try:
            pictures = packet.decode()
        except av.FFmpegError:
            self._frames.fault("error", reorder_depth)
            return
        # libav marks the packet of a recovery point as a key packet; with reordering its picture comes out later.
        if packet.is_keyframe and reorder_depth == 0 and pictures and not any(map(is_key, pictures)):
            self._frames.recovery_point()
        now_ns = self._clock.now_ns()
        self._decoded.extend((picture, now_ns) for picture in pictures)

    def _seconds_since(self, start_ns: int) -> float:
        return (self._clock.now_ns() - start_ns) / 1e9


def _configure(decoder: VideoCodecContext) -> None:
    """Decode in one thread, and report damage.

    Each frame thread delays the picture by one. Slice threads hide damage: with them a third of the H.264 pictures with
    a hole came out unflagged, with one thread hardly any (except the pictures predicted from them, which the gate
    holds). The H.265 decoder flags nothing; `explode` makes it report most truncated pictures but few with a hole,
    which the numbers of the packets tell (`losses`). The MJPEG decoder does not flag a truncated picture either: its
    missing part shows an older picture, whose masks were elsewhere.
    """
    decoder.thread_type = "NONE"
    decoder.thread_count = 1
    if decoder.name in ("hevc", "mjpeg"):
        decoder.options = {"err_detect": "explode"}


def _has_timestamps(form: ContainerFormat) -> bool:
    """False for bare pictures one after the other, for which libav invents times."""
    return not Flags(form.flags) & Flags.no_timestamps and not form.name.endswith("_pipe")
